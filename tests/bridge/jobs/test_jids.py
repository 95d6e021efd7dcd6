"""Job ids: new ones, and those of clients."""

import pytest
import salt.utils.jid

from saltapi.bridge.jobs import jids as module
from saltapi.bridge.jobs.jids import Jids
from saltapi.errors import Conflict
from saltapi.types import Jid
from tests.apis import jid_of_now
from tests.fake_master import frame_body, new_hub


def jids_on(hub: object = None, **opts: object) -> Jids:
    return Jids(dict(opts), hub or new_hub())  # type: ignore[arg-type]


async def refused(jids: Jids, *wanted: Jid | None) -> bool:
    try:
        await jids.claim(wanted)
    except Conflict as error:
        return (module.REFUSED, None) == (str(error), error.index)
    return False


async def test_the_present_time() -> None:
    """A jid is taken within a minute of the time that it carries."""
    jids = jids_on()
    for seconds in (-50.0, 0.0, 50.0):
        assert not await refused(jids, jid_of_now(seconds))
    for seconds in (-70.0, 70.0, -86_400.0):
        assert await refused(jids, jid_of_now(seconds))
    assert await refused(jids, "20269999000000000000")
    assert not await refused(jids, None, None)


async def test_once() -> None:
    """It is taken once: also twice in a request, with a suffix, and when it was refused."""
    jids = jids_on()
    one, two, three = jid_of_now(), jid_of_now(), jid_of_now()
    assert not await refused(jids, one)
    assert await refused(jids, one)
    assert await refused(jids, f"{one}_17")
    assert await refused(jids, two, two)
    assert await refused(jids, three, one)
    assert not await refused(jids, three)  # nothing of the request before was claimed


async def test_jobs_of_late() -> None:
    """The id of a job that is waited for, or that the bus has shown, is somebody's."""
    hub = new_hub()
    jids = jids_on(hub)
    waited, shown, run = jid_of_now(), jid_of_now(-1), jid_of_now(-2)
    hub.watch_job(waited, lambda _: None)
    hub.dispatch(frame_body(f"salt/job/{shown}/new", {"jid": shown}))
    hub.dispatch(frame_body(f"salt/run/{run}/new", {"jid": run}))
    for jid in (waited, shown, run):
        assert await refused(jids, jid)
    named_new = jid_of_now(-3)
    hub.dispatch(frame_body(f"salt/job/{named_new}/ret/new", {"jid": named_new}))
    assert not await refused(jids, named_new)


async def test_whoever_else_knows() -> None:
    """Whatever is asked besides can refuse it; jids of another time are not even looked up."""
    jids, asked = jids_on(), []

    async def taken(jid: Jid) -> bool:
        asked.append(jid)
        return True

    jids.ask(taken)
    assert await refused(jids, jid_of_now(-120))
    assert not asked
    jid = jid_of_now()
    assert await refused(jids, jid)
    assert [jid] == asked


def test_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new jid is not that of a job which somebody else has announced or asked for."""
    made = iter(["a", "a", "b", "c", "d"])
    monkeypatch.setattr(salt.utils.jid, "gen_jid", lambda _opts: next(made))
    hub = new_hub()
    jids = jids_on(hub)
    assert "a" == jids.new()
    hub.watch_job("b", lambda _: None)
    assert ["c", "d"] == [jids.new(), jids.new()]


async def test_new_ones_are_not_claimed_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that claims a moment to come does not get the job that begins then."""
    later, after = jid_of_now(30), jid_of_now(31)
    jids = jids_on()
    await jids.claim([later])
    made = iter([later, after])
    monkeypatch.setattr(salt.utils.jid, "gen_jid", lambda _opts: next(made))
    assert after == jids.new()
