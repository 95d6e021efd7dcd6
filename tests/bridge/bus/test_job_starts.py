"""Which `new` events of jobs are believed."""

import pytest

from saltapi.bridge.bus import job_starts
from saltapi.bridge.bus.events import Event
from saltapi.bridge.bus.job_starts import JobStarts, time_of

JID = "20260101120000000000"
MADE = 1_767_268_800.0


class Clock:
    """Says what time it is."""

    def __init__(self) -> None:
        self.now = MADE

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def starts(clock: Clock) -> JobStarts:
    return JobStarts(clock=clock)


def believed(starts: JobStarts, jid: str = JID, name: str = "1") -> bool:
    """Let a `new` event come, and return whether it is believed."""
    starts.hear(jid, name)
    return starts.believes(Event(name, f"salt/job/{jid}/new", b""))


@pytest.mark.parametrize(
    ("late_seconds", "expected"), [(0, True), (59, True), (61, False), (-0.001, False)]
)
def test_when(starts: JobStarts, clock: Clock, late_seconds: float, expected: bool) -> None:
    """A job is announced after its jid was made, and soon."""
    clock.now = MADE + late_seconds
    assert expected is believed(starts)


def test_the_first_counts(starts: JobStarts) -> None:
    """Another `new` of the same job is not believed; the first one still is."""
    assert believed(starts, name="1")
    assert not believed(starts, name="2")
    assert believed(starts, name="1")


def test_forged_ahead(starts: JobStarts, clock: Clock) -> None:
    """Who announces a job before its time does not stand in its way."""
    clock.now = MADE - 1
    assert not believed(starts, name="forged")
    assert starts.knows(JID)
    clock.now = MADE + 1
    assert believed(starts, name="real")
    assert not believed(starts, name="forged")


def test_what_may_have_been_missed(starts: JobStarts, clock: Clock) -> None:
    """Of jobs that are older than the connection to the bus nothing is believed."""
    clock.now = MADE + 0.5
    starts.connected()
    assert not believed(starts)
    clock.now = MADE + 1.5
    assert believed(starts, "20260101120001000000")


def test_what_is_forgotten(
    starts: JobStarts, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many events make a job forgotten, but not those be believed that come after them."""
    monkeypatch.setattr(job_starts, "JOBS_LIMIT", 3)
    assert believed(starts, name="real")
    clock.now = MADE + 10
    for number in range(5):
        starts.hear(f"2026010112000900000{number}", f"flood-{number}")
    assert not starts.knows(JID)
    assert not believed(starts, name="forged")


@pytest.mark.parametrize("jid", ["", "1", "20269999000000000000", JID + "x" * 9, JID + "_x"])
def test_no_jids(starts: JobStarts, jid: str) -> None:
    """What is no jid has no time."""
    assert time_of(jid) is None
    assert not believed(starts, jid)
    assert not starts.knows(jid)


def test_time_of() -> None:
    """The time in a jid is UTC; what `unique_jid` adds does not count."""
    assert [MADE, MADE] == [time_of(JID), time_of(f"{JID}_4711")]
