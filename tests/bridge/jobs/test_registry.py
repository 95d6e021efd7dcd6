"""The registry of jobs: what the bus shows, kept within limits."""

import asyncio
from typing import Any

import pytest

from saltapi.bridge.bus.events import Event
from saltapi.bridge.bus.hub import Hub
from saltapi.bridge.jobs.registered import RegisteredJob
from saltapi.bridge.jobs.registry import JobRegistry
from saltapi.bridge.jobs.states import JobState, MinionState
from tests.apis import jid_of_now
from tests.fake_master import frame_body, new_hub
from tests.waiting import scaled

JID, ASKED = "20260101000000000001", "20260101000000000002"
STAMP = "2026-01-01T00:00:05.000000+00:00"


@pytest.fixture
def hub() -> Hub:
    return new_hub()


def book_of(hub: Hub, *, jobs: int = 10, limit_bytes: int = 10_000_000) -> JobRegistry:
    return JobRegistry(hub, master_id="the_master", jobs=jobs, limit_bytes=limit_bytes)


def fire(hub: Hub, tag: str, data: Any) -> None:
    hub.dispatch(frame_body(tag, data))


def publish(hub: Hub, jid: str = JID, minions: Any = ("a", "b"), **more: Any) -> None:
    data = {"jid": jid, "fun": "test.ping", "arg": [], "tgt": "*", "tgt_type": "glob"}
    data |= {"user": "me", "minions": list(minions), "_stamp": "2026-01-01T00:00:00.000000"}
    fire(hub, f"salt/job/{jid}/new", {**data, **more})


def returns(hub: Hub, minion: str, value: Any = True, jid: str = JID, **more: Any) -> None:
    data = {"id": minion, "jid": jid, "return": value, "retcode": 0, "success": True}
    fire(hub, f"salt/job/{jid}/ret/{minion}", {**data, "_stamp": STAMP, **more})


def registered(registry: JobRegistry, jid: str = JID) -> RegisteredJob:
    job = registry.get(jid)
    assert job is not None
    return job


def test_long_lists_of_jobs(hub: Hub) -> None:
    """What a function that lists jobs returns is not even decoded; what others return is."""
    registry, seen = book_of(hub), list[Event]()
    hub.observe(seen.append)
    for jid, fun in ((ASKED, "runner.jobs.list_jobs"), (JID, "runner.state.orchestrate")):
        data: dict[str, Any] = {"fun": fun, "jid": jid, "user": "me", "_stamp": STAMP}
        fire(hub, f"salt/run/{jid}/new", data)
        data |= {"return": {"x": "y" * 100_000}, "success": True}
        fire(hub, f"salt/run/{jid}/ret", data)
    assert [True, False] == [event._data is None for event in seen[1::2]]
    assert ["the_master"] == list(registered(registry).returns)


def test_a_job_from_start_to_end(hub: Hub) -> None:
    """Who is waited for, who has returned what, who has failed, and how far the job is."""
    registry = book_of(hub)
    publish(hub, missing=["ghost"])
    job = registered(registry)
    assert (JobState.RUNNING, "me", ["a", "b"]) == (job.state, job.user, job.outstanding)
    returns(hub, "a", {"x": 1})
    returns(hub, "b", "no", retcode=1, success=False)
    assert {"a": {"x": 1}, "b": "no"} == {m: found.read() for m, found in job.returns.items()}
    assert (["b"], {"ghost": MinionState.UNKNOWN}) == (job.failed, job.missing)
    assert JobState.INCOMPLETE == job.state
    assert pytest.approx(5.0) == (job.ended_at or 0) - job.started_at


def test_compound_commands_fail_by_their_parts(hub: Hub) -> None:
    """A compound command has failed if one of its functions has."""
    registry = book_of(hub)
    publish(hub)
    returns(hub, "a", {}, retcode={"f.a": 0, "f.b": 0}, success={"f.a": True, "f.b": True})
    returns(hub, "b", {}, retcode={"f.a": 0, "f.b": 2}, success={"f.a": True, "f.b": False})
    assert ["b"] == registered(registry).failed


def test_silent_minions(hub: Hub) -> None:
    """What minions say to anybody's `saltutil.find_job` counts; who comes late has come."""
    registry = book_of(hub)
    publish(hub, minions=["a", "b", "c"])
    publish(hub, ASKED, ["a", "b"], fun="saltutil.find_job", arg=[JID])
    returns(hub, "a", {"jid": JID, "pid": 1}, ASKED)
    returns(hub, "b", {}, ASKED)
    job = registered(registry)
    assert {
        "a": MinionState.RUNNING,
        "b": MinionState.NO_ANSWER,
        "c": MinionState.WAITING,
    } == job.waiting
    assert registry.get(ASKED) is None
    job.settle(dict.fromkeys("abc", MinionState.NO_RESPONSE))
    assert (JobState.INCOMPLETE, {}) == (job.state, job.waiting)
    for minion in "abc":
        returns(hub, minion)
    assert (JobState.COMPLETE, {}) == (job.state, job.missing)


@pytest.mark.parametrize("minions", [[], ["a"]], ids=["nobody", "one"])
def test_masters_below(hub: Hub, minions: list[str]) -> None:
    """Where masters below may add minions, a job is not complete before nobody is waited for."""
    registry = JobRegistry(hub, master_id="m", jobs=10, limit_bytes=10_000_000, syndics=True)
    publish(hub, minions=minions)
    for minion in minions:
        returns(hub, minion)
    job = registered(registry)
    assert JobState.RUNNING is job.state
    job.settle({"behind": MinionState.BEHIND_SYNDIC})
    assert (JobState.INCOMPLETE, ["behind"]) == (job.state, list(job.missing))


def test_the_first_return_counts(hub: Hub) -> None:
    """A second return of the same minion changes nothing, as in the job cache."""
    registry = book_of(hub)
    publish(hub)
    returns(hub, "a", "first")
    returns(hub, "a", "second")
    assert "first" == registered(registry).returns["a"].read()


@pytest.mark.parametrize(
    ("tag", "data"),
    [
        (f"salt/job/{JID}/ret/a", {"id": "b", "jid": JID, "return": 1}),
        (f"salt/job/{JID}/ret/a", {"id": "a", "jid": ASKED, "return": 1}),
        (f"salt/job/{JID}/ret/a", {"id": "a", "jid": JID}),
        (f"salt/job/{JID}/ret/a/b", {"id": "a", "jid": JID, "return": 1}),
        (f"salt/job/{JID}/ret/a", "text"),
        (f"salt/job/{JID}/new", {"jid": JID, "minions": "many"}),
        (f"salt/job/{JID}/new", {"jid": JID, "minions": [1, 2]}),
        (f"salt/job/{JID}/new", {"jid": ASKED, "minions": ["x"]}),
        (f"salt/run/{JID}/ret", {"jid": ASKED, "return": 1}),
        (f"salt/job/{ASKED}/new", {"jid": ASKED, "fun": "saltutil.find_job", "arg": 7}),
    ],
)
def test_events_that_contradict_themselves(hub: Hub, tag: str, data: Any) -> None:
    """Who may fire events can write anything in them: nothing is believed that does not fit."""
    registry = book_of(hub)
    publish(hub)
    fire(hub, tag, data)
    assert ({}, ["a", "b"]) == (registered(registry).returns, list(registered(registry).minions))
    assert 1 == len(registry)


def test_functions_of_the_master(hub: Hub) -> None:
    """Runner and wheel functions are jobs of the master; those that look at jobs are left out."""
    registry = book_of(hub)
    fire(
        hub, f"salt/run/{JID}/new", {"jid": JID, "fun": "runner.a.b", "fun_args": [1], "user": "me"}
    )
    job = registered(registry)
    assert (JobState.RUNNING, "runner", [1]) == (job.state, job.kind, job.arg)
    fire(hub, f"salt/run/{JID}/ret", {"jid": JID, "return": "no", "success": False})
    assert (JobState.COMPLETE, ["the_master"]) == (job.state, job.failed)
    fire(hub, f"salt/run/{ASKED}/new", {"jid": ASKED, "fun": "runner.jobs.list_jobs"})
    assert registry.get(ASKED) is None


def test_count_limit(hub: Hub) -> None:
    """The oldest jobs are forgotten, but not those that somebody follows."""
    registry = book_of(hub, jobs=3)
    jids = [f"2026010100000000000{number}" for number in range(5)]
    publish(hub, jids[0])
    registered(registry, jids[0]).held += 1
    for jid in jids[1:]:
        publish(hub, jid)
    assert {jids[0], *jids[3:]} == {job.jid for job in registry.jobs()}


def test_byte_limit(hub: Hub) -> None:
    """All jobs together, and the returns of one, take no more than they may."""
    registry = book_of(hub, limit_bytes=100_000)
    publish(hub)
    returns(hub, "a", "x" * 20_000)
    returns(hub, "b", "x" * 20_000)
    found = registered(registry).returns
    assert (False, True) == (found["a"].omitted, found["b"].omitted)
    for number in range(20):
        jid = f"202602010000000000{number:02}"
        publish(hub, jid)
        returns(hub, "a", "x" * 20_000, jid)
    assert sum(job.size_bytes for job in registry.jobs()) <= 100_000
    assert registry.get(JID) is None


def test_jobs_of_our_own_count_what_they_grow_by(hub: Hub) -> None:
    """A job begun here, whose minions are told by the master's answer, counts with them."""
    registry = book_of(hub, jobs=1_000, limit_bytes=100_000)
    minions = [f"minion-{number}" for number in range(50)]
    for number in range(100):
        job = registry.new(f"{20260101000000000000 + number}", "local")
        registry.add(job)
        job.expect(minions)
    assert 100_000 >= sum(job.size_bytes for job in registry.jobs()[:-1]) > 80_000


async def test_who_waits_is_woken(hub: Hub) -> None:
    """Every change of a job wakes those that wait for one."""
    registry = book_of(hub)
    publish(hub)
    pulse = registered(registry).pulse()
    assert not pulse.is_set()
    returns(hub, "a")
    await asyncio.wait_for(pulse.wait(), scaled(5))
    registry.close()
    returns(hub, "b")
    assert ["b"] == registered(registry).outstanding


def test_the_first_start_counts(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    """Another `new` event changes nothing; that it says something else is noted, once."""
    registry = book_of(hub)
    publish(hub, minions=["a"])
    publish(hub, minions=["a"])
    job = registered(registry)
    assert (job.contradicted, caplog.messages) == (False, [])
    for _ in range(2):
        publish(hub, minions=["a", "x"], fun="cmd.run", user="them", arg=["id"], tgt="x")
    assert ("test.ping", [], "*", "me") == (job.fun, job.arg, job.tgt, job.user)
    assert ["a"] == list(job.minions)
    assert (True, False, 1) == (job.contradicted, job.vouched, len(caplog.messages))


def test_what_is_ours(hub: Hub) -> None:
    """No event changes a job that was started here, nor makes it doubtful."""
    registry = book_of(hub)
    job = registry.new(JID, "local")
    job.describe({"fun": "test.arg", "arg": [1], "tgt": "a", "tgt_type": "glob"})
    job.own("me", "file")
    registry.add(job)
    for user in ("me", "them"):
        publish(hub, fun="cmd.run", user=user, minions=["x"])
    assert ("test.arg", [1], "me", True) == (job.fun, job.arg, job.user, job.vouched)
    assert not job.minions


def test_a_start_that_is_not_believed() -> None:
    """A `new` event that does not come at its time makes no job."""
    hub = Hub(history_bytes=1_000_000, queue_bytes=1_000_000)
    registry = book_of(hub)
    publish(hub)
    fire(hub, f"salt/run/{ASKED}/new", {"jid": ASKED, "fun": "runner.a.b", "user": "me"})
    assert 0 == len(registry)
    now = jid_of_now()
    publish(hub, jid=now)
    assert registered(registry, now).minions


def test_what_is_lost(hub: Hub) -> None:
    """Of a return that has taken the place of the load, the arguments are known and no target."""
    job = book_of(hub).new(JID, "local")
    assert (None, None) == (job.arg, job.tgt)
    job.describe({"fun": "cmd.run_all", "arg": None, "fun_args": ["exit 3"], "tgt": None})
    assert (["exit 3"], None) == (job.arg, job.tgt)
