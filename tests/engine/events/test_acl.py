"""Who sees which events: the table of docs/rest_asgi/events.md, and what holds it up."""

import asyncio
import gc
from collections.abc import Iterable
from typing import Any

import pytest

from saltapi.bridge.bus.events import Event, Gap
from saltapi.bridge.bus.hub import BUS_LOST, Hub, Listener
from saltapi.bridge.permissions.members import Members
from saltapi.engine.events.acl import EventAcl
from saltapi.engine.events.filters import HELD_TOO_LONG
from saltapi.engine.sessions.administrators import Administrators
from saltapi.errors import CannotStart
from saltapi.types import Session
from tests.apis import jid_of_now
from tests.fake_master import BIG, frame_body, new_hub
from tests.waiting import async_eventually

JID = "20261123180812345678"
OTHER = "20261123180812345679"
WEB = frozenset({"web-1", "web-2"})
OPTS: dict[str, Any] = {"external_auth": {"file": {}}, "user": "salt"}
RULES: dict[str, list[Any]] = {
    "low": ["test.ping"],
    "scoped": [{"minion-1": ["test.*"]}],
    "runners": ["@runner"],
    "wheels": ["@wheel"],
    "saltdev": [".*", "@runner", "@wheel"],
    "echo": [{"minion-1": [{"test.echo": {"args": ["hello"]}}]}],
    "jobs": [{"@runner": ["jobs.list_jobs"]}],
    "web": [{"G@role:web": ["test.*"]}],
}
EVERYBODY = ["low", "runners", "saltdev", "scoped", "wheels"]


class FakePermissions:
    """Knows the rules of users."""

    async def rules(self, session: Session) -> list[Any]:
        """Answer as `Permissions.rules`."""
        await asyncio.sleep(0)
        return list(RULES.get(session.name, []))

    async def is_administrator(self, session: Session) -> bool:
        """Answer as `Permissions.is_administrator`."""
        return session.name == "saltdev"


def session_of(name: str, eauth: str = "file") -> Session:
    return Session(token="7" * 64, name=name, eauth=eauth, start=0, expire=2e9)


def acl_on(hub: Hub, **options: Any) -> EventAcl:
    opts = options.pop("opts", OPTS)
    permissions: Any = FakePermissions()
    administrators = Administrators(opts, permissions, options.pop("administrators", ()))
    return EventAcl(opts, hub, permissions, administrators, **options)


def new_job(
    jid: str, fun: Any, user: str, minions: Iterable[str], args: Any = ()
) -> tuple[str, Any]:
    data = {"jid": jid, "user": user, "fun": fun, "arg": list(args), "minions": list(minions)}
    return f"salt/job/{jid}/new", data


def returned(jid: str, minion: str, fun: str = "test.ping", args: Any = ()) -> tuple[str, Any]:
    data = {"id": minion, "jid": jid, "fun": fun, "fun_args": list(args), "return": "secret"}
    return f"salt/job/{jid}/ret/{minion}", data


def function(kind: str, fun: str, user: str, part: str = "new", jid: str = JID) -> tuple[str, Any]:
    client = {"run": "runner", "wheel": "wheel"}[kind]
    return f"salt/{kind}/{jid}/{part}", {"fun": f"{client}.{fun}", "user": user, "fun_args": []}


def of_minion(tag: str, minion: str) -> tuple[str, Any]:
    return tag, {"cmd": "_minion_event", "id": minion, "tag": tag, "data": {}}


PING = new_job(JID, "test.ping", "saltdev", ["minion-1", "minion-2"])
ECHO = new_job(JID, "test.echo", "saltdev", ["minion-1"], ["hello"])
BOTH = new_job(JID, ["test.ping", "cmd.run"], "saltdev", ["minion-1"], [[], ["ls"]])
REFUSED = (f"salt/job/{JID}/error", {"fun": "cmd.run", "arg": ["x"], "user": "low", "tgt": "*"})
TABLE: list[tuple[list[tuple[str, Any]], list[str]]] = [
    # Jobs of somebody else: what the user might run on these minions, all of them
    ([PING], ["low", "runners"]),
    ([new_job(JID, "test.ping", "saltdev", ["minion-1"])], ["low", "runners", "scoped"]),
    ([new_job(JID, "cmd.run", "saltdev", ["minion-1"], ["reboot"])], ["runners"]),
    ([BOTH], ["runners"]),
    ([PING, returned(JID, "minion-1")], ["low", "runners", "scoped"]),
    ([PING, returned(JID, "minion-2")], ["low", "runners"]),
    ([PING, (f"salt/job/{JID}/publish", {"fun": "test.ping"})], ["low", "runners"]),
    ([PING, (f"salt/job/{JID}/prog/minion-1/0", {})], ["low", "runners", "scoped"]),
    ([PING, (f"salt/job/{JID}/sub/minion-1/error/test.ping", {})], ["low", "runners", "scoped"]),
    ([PING, (f"salt/state_result/{JID}/minion-1/x", {})], ["low", "runners", "scoped"]),
    ([PING, (f"salt/job/{JID}/else", {})], ["low", "runners"]),
    ([PING, (JID, {"minions": ["minion-1"]})], ["low", "runners", "scoped"]),
    ([PING, (f"syndic/below/{returned(JID, 'minion-1')[0]}", {})], ["low", "runners", "scoped"]),
    ([new_job(JID, "saltutil.find_job", "saltdev", ["minion-1"], [OTHER])], ["runners"]),
    ([(f"salt/job/{JID}/prog/minion-1/0", {})], ["runners"]),  # nobody knows of what job
    ([returned(JID, "minion-1", "cmd.run")], ["runners"]),
    ([("salt/job/x/ret/minion-1", {"fun": ["test.ping", 7]})], ["runners"]),
    # What the minion says of user and function of a known job counts for nothing
    (
        [
            new_job(JID, "cmd.run", "saltdev", ["minion-1"]),
            (returned(JID, "minion-1")[0], {"fun": "test.ping", "user": "low", "return": "secret"}),
        ],
        ["runners"],
    ),
    ([(returned(JID, "minion-1")[0], {"fun": "cmd.run", "user": "low"})], ["runners"]),
    # Jobs of the user, whatever they are
    ([new_job(JID, "cmd.run", "scoped", ["db"])], ["runners", "scoped"]),
    ([new_job(JID, "cmd.run", "scoped", ["db"]), returned(JID, "db")], ["runners", "scoped"]),
    # Refused: the user in it is a claim
    ([REFUSED], ["runners"]),
    ([new_job(JID, "test.ping", "scoped", ["db"]), REFUSED], ["runners"]),
    # Functions of the master
    ([function("run", "jobs.list_jobs", "saltdev")], ["runners"]),
    ([function("run", "jobs.list_jobs", "low")], ["low", "runners"]),
    ([function("run", "jobs.x", "low"), (f"salt/run/{JID}/progress", {})], ["low", "runners"]),
    ([function("wheel", "key.accept", "saltdev")], ["wheels"]),
    ([function("wheel", "key.accept", "low", "ret")], ["low", "wheels"]),
    ([("salt/run/x/progress", {})], []),
    # Keys
    ([("salt/key", {"id": "new", "act": "accept"})], ["wheels"]),
    ([("salt/auth", {"id": "new", "act": "pend", "pub": "…"})], ["wheels"]),
    ([("key", {"rotate_aes_key": True})], ["wheels"]),
    # Minions
    ([("salt/presence/present", {"present": ["minion-1"]})], ["low", "runners"]),
    ([("salt/presence/change", {"new": [], "lost": []})], ["low", "runners"]),
    ([of_minion("salt/minion/minion-1/start", "minion-1")], ["low", "scoped"]),
    ([of_minion("salt/minion/minion-2/start", "minion-2")], ["low"]),
    ([of_minion("salt/beacon/minion-1/load/", "minion-1")], ["low", "scoped"]),
    ([of_minion("my/own/tag", "minion-1")], ["low", "scoped"]),
    ([of_minion("salt/minion/minion-1/start", "minion-2")], ["low"]),
    ([("salt/refresh/minion-1", {})], ["low", "scoped"]),
    # Everything else is for administrators
    ([("salt/netapi/hook/github", {"post": {}})], []),
    ([("my/own/tag", {"a": 1})], []),
    ([("salt/cloud/x/creating", {})], []),
    ([("salt/stats/m", {})], []),
    ([("", {})], []),
]


@pytest.mark.parametrize(
    ("events", "expected"), TABLE, ids=[f"{n}-{row[0][-1][0]}" for n, row in enumerate(TABLE)]
)
async def test_the_table(events: list[tuple[str, Any]], expected: list[str]) -> None:
    """Each kind of event reaches exactly those users, live and when it is made up for."""
    hub = new_hub()
    acl = acl_on(hub)
    listeners = {name: await acl.listen(session_of(name)) for name in EVERYBODY}
    for tag, data in events:
        hub.dispatch(frame_body(tag, data))
    assert sorted([*expected, "saltdev"]) == [
        n for n in EVERYBODY if events[-1][0] in seen(listeners[n])
    ]
    late = {name: await acl.listen(session_of(name), since=f"{hub.epoch}-0") for name in EVERYBODY}
    assert sorted([*expected, "saltdev"]) == [
        n for n in EVERYBODY if events[-1][0] in seen(late[n])
    ]
    acl.close()


def seen(listener: Listener) -> list[str]:
    """Return the tags, and the reasons of gaps, that are queued."""
    return [r.tag if isinstance(r, Event) else r.reason for r in listener.drain()]


async def tags_seen(
    acl: EventAcl, hub: Hub, session: Session, *events: tuple[str, Any]
) -> list[str]:
    """Return the tags of those *events* that *session* gets."""
    listener = await acl.listen(session)
    for tag, data in events:
        hub.dispatch(frame_body(tag, data))
    return seen(listener)


async def test_conditions_on_arguments() -> None:
    """Where permissions depend on arguments, so does what is seen."""
    hub = new_hub()
    acl = acl_on(hub)
    other = new_job(OTHER, "test.echo", "saltdev", ["minion-1"], ["password"])
    returns = [
        returned(JID, "minion-1", "test.echo", ["hello"]),
        returned(OTHER, "minion-1", "test.echo", ["password"]),
        (f"salt/job/{JID}/prog/minion-1/0", {}),
    ]
    found = await tags_seen(acl, hub, session_of("echo"), ECHO, other, *returns)
    assert [ECHO[0], returns[0][0]] == found


async def test_own() -> None:
    """With `own` a user sees what the user has started, and nothing else."""
    hub = new_hub()
    acl = acl_on(hub, option="own")
    mine = [new_job(OTHER, "x.y", "low", ["db"]), returned(OTHER, "db", "x.y")]
    found = await tags_seen(acl, hub, session_of("low"), PING, returned(JID, "minion-1"), *mine)
    assert [tag for tag, _ in mine] == found


async def test_own_needs_a_name_that_says_who() -> None:
    """Where a name in an event may be somebody else's, it gives no right to see it."""
    event = new_job(JID, "x.y", "root", ["db"])
    hub = new_hub()
    assert [] == await tags_seen(acl_on(hub, option="own"), hub, session_of("root"), event)
    assert [event[0]] == await tags_seen(
        acl_on(hub, option="own"), hub, session_of("root", "pam"), event
    )
    several = {**OPTS, "external_auth": {"file": {}, "ldap": {}}}
    acl = acl_on(hub, option="own", opts=several)
    assert [] == await tags_seen(acl, hub, session_of("low"), new_job(OTHER, "x", "low", ["db"]))


async def test_forged_starts() -> None:
    """Who fires the `new` event of somebody's job does not get to see what it returns."""
    hub = Hub(history_bytes=BIG, queue_bytes=BIG)
    acl = acl_on(hub)
    known, missed = jid_of_now(), jid_of_now(-300)
    real = new_job(known, "cmd.run", "saltdev", ["minion-1"])
    forged = [new_job(jid, "test.ping", "low", ["minion-1"]) for jid in (known, missed)]
    returns = [returned(jid, "minion-1", "cmd.run") for jid in (known, missed)]
    found = await tags_seen(acl, hub, session_of("low"), real, *forged, *returns)
    assert not {tag for tag, _ in returns} & set(found)


async def test_globs() -> None:
    """With globs a user sees the events with these tags."""
    hub = new_hub()
    acl = acl_on(hub, option=["salt/netapi/hook/*", "my/*"])
    events: list[tuple[str, Any]] = [
        ("salt/netapi/hook/a", {}),
        PING,
        ("my/tag", {}),
        ("salt/key", {}),
    ]
    assert ["salt/netapi/hook/a", "my/tag"] == await tags_seen(acl, hub, session_of("low"), *events)
    assert [] == await tags_seen(acl_on(hub, option=[]), hub, session_of("low"), *events)


async def test_a_policy_for_each_user() -> None:
    """Users have policies of their own; those who are not named have that of `*`."""
    hub = new_hub()
    option = {"low": "all", "scoped": ["my/*"], "*": "own"}
    acl = acl_on(hub, option=option)
    events: list[tuple[str, Any]] = [("my/tag", {}), ("salt/key", {})]
    assert ["my/tag", "salt/key"] == await tags_seen(acl, hub, session_of("low"), *events)
    assert ["my/tag"] == await tags_seen(acl, hub, session_of("scoped"), *events)
    assert [] == await tags_seen(acl, hub, session_of("wheels"), *events)
    rest = acl_on(hub, option={"low": "all"})
    assert ["salt/key"] == await tags_seen(rest, hub, session_of("wheels"), *events)


async def test_policies_are_of_one_eauth_system() -> None:
    """A policy is that of one user of one eauth system, and a name that is not clear is refused."""
    hub = new_hub()
    opts = {**OPTS, "external_auth": {"file": {}, "auto": {}}}
    acl = acl_on(hub, opts=opts, option={"file:low": "all", "*": []})
    assert ["any"] == await tags_seen(acl, hub, session_of("low"), ("any", {}))
    assert [] == await tags_seen(acl, hub, session_of("low", "auto"), ("any", {}))
    with pytest.raises(CannotStart, match=r"event_acl: low could be .* write auto:low or file:low"):
        acl_on(hub, opts=opts, option={"low": "own", "*": "all"})


@pytest.mark.parametrize("option", ["own", "permitted", [], {"*": "own"}], ids=str)
async def test_administrators_see_everything(option: Any) -> None:
    """Who is named an administrator, or may run everything, sees everything."""
    hub = new_hub()
    acl = acl_on(hub, option=option, administrators=["low"])
    for name in ("low", "saltdev"):
        assert ["any"] == await tags_seen(acl, hub, session_of(name), ("any", {}))


async def test_who_sees_everything_costs_nothing_more() -> None:
    """Their listeners are the hub's own; those with the same permissions share one filter."""
    hub = new_hub()
    acl = acl_on(hub)
    assert await acl.event_filter(session_of("saltdev")) is None
    first = await acl.event_filter(session_of("low"))
    assert first is await acl.event_filter(session_of("low"))
    assert first is not await acl.event_filter(session_of("scoped"))
    assert first is not None
    some = [first.listen() for _ in range(3)]
    whole = hub.listen()
    assert (4, 2) == (hub.listeners, len(hub._receivers))
    for listener in [*some, whole]:
        listener.close()
    assert (0, 0) == (hub.listeners, len(hub._receivers))
    del first, some, listener
    gc.collect()
    assert 0 == len(acl._filters)


async def test_gaps_and_the_end_reach_everybody() -> None:
    """That the bus was lost, and that the service stops, concerns listeners of filters, too."""
    hub = new_hub()
    listener = await acl_on(hub).listen(session_of("low"))
    hub.gap()
    assert [BUS_LOST] == seen(listener)
    hub.close("The service is stopping.")
    assert "The service is stopping." == listener.closed


async def test_tags_choose_among_what_may_be_seen() -> None:
    """Tag globs narrow what a user sees, they never widen it."""
    hub = new_hub()
    acl = acl_on(hub)
    listener = await acl.listen(session_of("low"), tags=["salt/job/*/ret/*", "salt/key"])
    for tag, data in (PING, returned(JID, "minion-1"), ("salt/key", {})):
        hub.dispatch(frame_body(tag, data))
    assert [returned(JID, "minion-1")[0]] == seen(listener)


class Lookups:
    """Looks targets up when it is told to."""

    def __init__(self, acl: EventAcl) -> None:
        self.reads = 0
        self.may_go_on = asyncio.Event()
        acl._members = Members({}, read=self._read)
        self._look = acl._members.look
        acl._members.look = self._wait  # type: ignore[method-assign]

    async def _wait(self, targets: Any) -> None:
        await self.may_go_on.wait()
        await self._look(targets)

    def _read(self, expressions: list[str]) -> dict[str, frozenset[str]]:
        self.reads += 1
        return {"*": WEB | {"db-1"}, **dict.fromkeys(expressions, WEB)}


async def test_the_order_stays_while_targets_are_looked_up() -> None:
    """Nothing is lost or overtaken while it is not known who may see it."""
    hub = new_hub()
    acl = acl_on(hub)
    lookups = Lookups(acl)
    listener = await acl.listen(session_of("web"))
    before = listener.cursor()
    job = new_job(JID, "test.ping", "web", ["web-1", "db-1"])
    events = [job, returned(OTHER, "web-1"), returned(JID, "db-1"), returned(OTHER, "db-1")]
    for tag, data in events:
        hub.dispatch(frame_body(tag, data))
    assert [job[0]] == seen(listener)
    assert listener.cursor() is None
    lookups.may_go_on.set()
    rest = await listener.take()
    assert [events[1][0], events[2][0]] == [r.tag for r in rest if isinstance(r, Event)]
    await async_eventually(lambda: listener.cursor() not in {None, before})
    assert 1 == lookups.reads
    hub.dispatch(frame_body(*returned(OTHER, "web-2")))
    assert [returned(OTHER, "web-2")[0]] == seen(listener)
    assert 1 == lookups.reads


async def test_resuming_waits_for_targets() -> None:
    """What is made up for is decided about before the listener begins, without a hole behind it."""
    hub = new_hub()
    acl = acl_on(hub)
    lookups = Lookups(acl)
    for minion in ("web-1", "db-1"):
        hub.dispatch(frame_body(*returned(JID, minion)))
    listening = asyncio.create_task(acl.listen(session_of("web"), since=f"{hub.epoch}-0"))
    await asyncio.sleep(0.01)
    hub.dispatch(frame_body(*returned(JID, "web-2")))
    lookups.may_go_on.set()
    listener = await listening
    hub.dispatch(frame_body(*returned(OTHER, "web-1")))
    expected = [returned(JID, "web-1"), returned(JID, "web-2"), returned(OTHER, "web-1")]
    assert [tag for tag, _ in expected] == seen(listener)


async def test_a_long_history_is_made_up_for() -> None:
    """A history of thousands of events is judged in slices, and delivered once and in order."""
    hub = new_hub()
    acl = acl_on(hub)
    for number in range(1_700):
        hub.dispatch(frame_body(f"salt/minion/minion-{number % 2}/n{number}", {}))
    listener = await acl.listen(session_of("scoped"), since=f"{hub.epoch}-0")
    expected = [f"salt/minion/minion-1/n{number}" for number in range(1, 1_700, 2)]
    assert expected == seen(listener)


async def test_what_is_held_back_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """When a look-up takes too long, what was held back is given up, and a gap says so."""
    monkeypatch.setattr("saltapi.engine.events.filters.HELD_LIMIT_BYTES", 2_000)
    hub = new_hub()
    acl = acl_on(hub)
    lookups = Lookups(acl)
    listener = await acl.listen(session_of("web"))
    for _ in range(10):
        hub.dispatch(frame_body(*returned(JID, "web-1")))
    lookups.may_go_on.set()
    records = await listener.take()
    assert isinstance(records[0], Gap)
    assert HELD_TOO_LONG == records[0].reason


async def test_a_screen_that_nobody_needs_stops() -> None:
    """When the last listener leaves, what is held back for it is dropped."""
    hub = new_hub()
    acl = acl_on(hub)
    Lookups(acl)
    listener = await acl.listen(session_of("web"))
    hub.dispatch(frame_body(*returned(JID, "web-1")))
    listener.close()
    await asyncio.sleep(0)
    assert (0, 0) == (hub.listeners, len(hub._receivers))


async def test_jobs_are_forgotten_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many jobs are remembered, the newest; of a forgotten one the user is not known."""
    monkeypatch.setattr("saltapi.engine.events.subjects.JIDS_LIMIT", 2)
    hub = new_hub()
    acl = acl_on(hub, option="own")
    jids = [f"2026112318081234567{n}" for n in range(3)]
    jobs = [new_job(jid, "x.y", "low", ["db"]) for jid in jids]
    rets = [returned(jid, "db") for jid in jids]
    found = await tags_seen(acl, hub, session_of("low"), *jobs, *rets)
    assert [*(tag for tag, _ in jobs), rets[1][0], rets[2][0]] == found


async def test_a_second_announcement_changes_nothing() -> None:
    """Nobody takes a job over by announcing it again."""
    hub = new_hub()
    acl = acl_on(hub, option="own")
    events = [PING, new_job(JID, "test.ping", "low", ["minion-1"]), returned(JID, "minion-1")]
    assert [] == await tags_seen(acl, hub, session_of("low"), *events)
