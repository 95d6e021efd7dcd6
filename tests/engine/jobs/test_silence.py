"""Why minions have not returned, as far as the bus tells."""

import time
from pathlib import Path

import pytest

from saltapi.bridge.bus.events import Event
from saltapi.bridge.bus.outages import Outages
from saltapi.bridge.jobs.registered import RegisteredJob
from saltapi.bridge.jobs.state_results import StateResult
from saltapi.bridge.jobs.states import JobState, MinionState
from saltapi.engine.jobs.silence import Silence
from saltapi.engine.store.sqlite import SqliteStore

JID = "20260101000000000001"


@pytest.fixture
def outages() -> Outages:
    found = Outages()
    found.back()
    return found


@pytest.fixture
def silence(outages: Outages, tmp_path: Path) -> Silence:
    return Silence(outages, SqliteStore(tmp_path / "store.sqlite"), seconds=60)


def new_job(**facts: float) -> RegisteredJob:
    job = RegisteredJob(JID, "local", limit_bytes=1_000_000)
    job.started_at = facts.get("at", 1_000.0)
    job.expect(["a", "b"])
    return job


def test_nothing_is_known(silence: Silence) -> None:
    """Without a sign the reason is that there is no response; what was found out then stays."""
    job = new_job()
    assert MinionState.NO_RESPONSE is silence.reason(job, "a")
    coarse = {"a": MinionState.NOT_CONNECTED, "b": MinionState.NO_RESPONSE}
    assert coarse == silence.reasons(job, coarse)


def test_replies(silence: Silence) -> None:
    """What a minion said when it was asked tells whether it has the job, or had it."""
    job = new_job()
    job.asked(["a"], at=1_005.0)
    assert MinionState.NO_RESPONSE is silence.reason(job, "a")
    job.answered("a", running=False, at=1_006.0)
    assert MinionState.NOT_RECEIVED is silence.reason(job, "a")
    job.answered("a", running=True, at=1_007.0)
    assert MinionState.RUNNING is silence.reason(job, "a")
    job.answered("a", running=False, at=1_008.0)
    assert MinionState.RETURN_LOST is silence.reason(job, "a")


def test_restarted(silence: Silence) -> None:
    """A minion that has started after the job was published does not run it, unless it says so."""
    job, started = new_job(), {"a": 900.0}
    silence.started_at = started.get
    job.answered("a", running=False, at=1_001.0)
    assert MinionState.NOT_RECEIVED is silence.reason(job, "a")
    started["a"] = 1_002.0
    assert MinionState.RESTARTED is silence.reason(job, "a")
    job.answered("a", running=True, at=1_003.0)
    assert MinionState.RUNNING is silence.reason(job, "a")


def test_master_away(silence: Silence, outages: Outages) -> None:
    """What was lost while the bus was not heard is put down to that."""
    before = new_job(at=time.time() - 10)
    outages.lost()
    outages.back()
    assert MinionState.MASTER_AWAY is silence.reason(before, "a")
    silence.started_at = {"a": time.time() + 0.1}.get  # minions start anew with the master
    assert MinionState.MASTER_AWAY is silence.reason(before, "a")
    before.answered("a", running=False, at=time.time())
    assert MinionState.MASTER_AWAY is silence.reason(before, "a")
    after = new_job(at=time.time() + 1)
    after.asked(["a"], at=time.time())
    assert MinionState.NO_RESPONSE is silence.reason(after, "a")


def test_what_is_certain(silence: Silence) -> None:
    """Who was terminated was, and who came with a syndic is behind one."""
    job = new_job()
    job.silent["a"] = MinionState.TERMINATED
    assert MinionState.TERMINATED is silence.reason(job, "a")
    job.join(["c"])
    assert MinionState.BEHIND_SYNDIC is silence.reason(job, "c")


async def test_given_up(silence: Silence, outages: Outages, tmp_path: Path) -> None:
    """Every process knows when a job was given up."""
    job, elsewhere = new_job(), new_job()
    assert await silence.gave_up_at(elsewhere) is None
    await silence.settle(job, {"a": MinionState.NO_RESPONSE})
    other = Silence(outages, SqliteStore(tmp_path / "store.sqlite"), seconds=60)
    assert job.gave_up_at == await other.gave_up_at(elsewhere)


async def test_settled_elsewhere(silence: Silence, outages: Outages, tmp_path: Path) -> None:
    """What one process has settled is settled in all, with the same reasons and times."""
    job, elsewhere, followed = new_job(), new_job(), new_job()
    other = Silence(outages, SqliteStore(tmp_path / "store.sqlite"), seconds=60)
    await other.recall(elsewhere)
    assert JobState.RUNNING is elsewhere.state
    await silence.settle(job, {"a": MinionState.NOT_CONNECTED, "b": MinionState.NO_RESPONSE})
    followed.held += 1
    for one in (elsewhere, followed):
        await other.recall(one)
    assert (job.missing, job.ended_at) == (elsewhere.missing, elsewhere.ended_at)
    assert {"a": "not_connected", "b": "no_response"} == elsewhere.missing
    assert JobState.RUNNING is followed.state


async def test_ended_elsewhere(silence: Silence, outages: Outages, tmp_path: Path) -> None:
    """What one process has ended on its minions nobody waits for any more, and all know how."""
    job, followed, given_up = new_job(), new_job(), new_job()
    other = Silence(outages, SqliteStore(tmp_path / "store.sqlite"), seconds=60)
    followed.held += 1
    await silence.settle(job, {"a": MinionState.TERMINATED}, ended=True)
    await other.recall_end(followed)
    assert {"a": "terminated", "b": "no_response"} == followed.missing
    await other.settle(given_up, dict.fromkeys("ab", MinionState.NO_RESPONSE))
    assert {"a": "terminated", "b": "no_response"} == given_up.missing
    still = RegisteredJob("20260101000000000002", "local", limit_bytes=1_000_000)
    still.expect(["a"])
    await silence.settle(still, {"a": MinionState.NO_RESPONSE})
    still.settled, still.held = False, 1
    await other.recall_end(still)
    assert JobState.RUNNING is still.state


def test_heard_of_unasked(silence: Silence) -> None:
    """A minion that tells of a state after it was asked runs the job, though it did not answer."""
    job, event = new_job(), Event("1-1", f"salt/job/{JID}/prog/a/0", b"")
    job.asked(["a", "b"], at=1_005.0)
    job.tell("a", 3, StateResult(1, "x", None, "x", True, {}, "", None, None), event)
    assert [MinionState.RUNNING, MinionState.NO_RESPONSE] == [
        silence.reason(job, minion) for minion in "ab"
    ]
    assert {"a": "running", "b": "no_answer"} == job.waiting


async def test_of_masters_below(outages: Outages, tmp_path: Path) -> None:
    """A syndic returns nothing and is not missed; a job of nobody is not complete."""
    silence = Silence(
        outages, SqliteStore(tmp_path / "store.sqlite"), seconds=60, is_syndic="s".__eq__
    )
    job = RegisteredJob(JID, "local", limit_bytes=1_000_000)
    job.growing = True
    job.expect(["s"])
    job.miss(["a", "c"])
    job.join(["a", "b"])
    assert ({"a", "b", "s"}, {"c"}) == (set(job.minions), job.unknown)
    await silence.settle(job, dict.fromkeys("ab", MinionState.NO_RESPONSE))
    assert {"a": "behind_syndic", "b": "behind_syndic", "c": "unknown_minion"} == job.missing
    elsewhere = RegisteredJob(JID, "local", limit_bytes=1_000_000)
    elsewhere.growing = True
    elsewhere.expect(["s"])
    elsewhere.join(["a", "b"])
    elsewhere.miss(["a", "c"])
    await silence.recall(elsewhere)
    assert job.missing == elsewhere.missing
    alone = RegisteredJob("20260101000000000002", "local", limit_bytes=1_000_000)
    alone.growing = True
    alone.expect(["s"])
    await silence.settle(alone, {})
    assert (JobState.INCOMPLETE, {}) == (alone.state, alone.missing)


def test_outages_are_bounded() -> None:
    """Only the latest outages are remembered."""
    outages = Outages()
    for _ in range(1_000):
        outages.lost()
    outages.back()
    assert 100 == len(outages.since(0.0))
    assert outages.since(0.0)[-1].end is not None
