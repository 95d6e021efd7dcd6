"""A process that another one starts, watches, and starts again."""

import os
import signal
import time
from collections.abc import Callable

import pytest

from saltapi.process import lifecycle
from saltapi.process.child import EX_CONFIG, Child, State
from saltapi.process.tally import Tally
from tests.daemons import wait_until

HEARTBEAT_SECONDS = 0.3


def ended(child: Child) -> bool:
    """Return whether *child* has ended, after a look at it as its parent takes one."""
    child.end_if_silent()
    child.read_reports()
    return child.reap()


def reporting(*kinds: str, seconds: float = 60.0) -> Callable[[int], None]:
    """Return what a process does that reports *kinds* and then nothing more."""

    def run(report_fd: int) -> None:
        lifecycle.attach("a test", report_fd, heartbeat_seconds=HEARTBEAT_SECONDS)
        for kind in kinds:
            lifecycle.report(kind, "text")
        time.sleep(seconds)
        os._exit(0)

    return run


def started(run: Callable[[int], None], **options: float) -> Child:
    child = Child("a test", run, heartbeat_seconds=options.get("heartbeat", HEARTBEAT_SECONDS))
    child.start()
    assert child.alive, child.detail
    return child


def test_silent() -> None:
    """A process that has given a sign of life and gives no more is killed and started again."""
    child = started(reporting(lifecycle.READY, lifecycle.ALIVE))
    wait_until(lambda: ended(child))

    assert (State.WAITING, 1) == (child.state, child.ends)
    assert "gave no sign of life for 0.3 s and was killed" == child.detail
    assert not child.is_stuck


@pytest.mark.parametrize("kinds", [[lifecycle.READY], [lifecycle.ALIVE, lifecycle.STOPPING]])
def test_not_watched(kinds: list[str]) -> None:
    """Whoever never gives a sign of life, or is about to stop, may be silent."""
    child = started(reporting(*kinds, seconds=3 * HEARTBEAT_SECONDS))
    wait_until(lambda: ended(child))

    assert "ended by itself" == child.detail


def test_heartbeat_off() -> None:
    """With 0 seconds nobody is watched."""
    child = started(reporting(lifecycle.ALIVE, seconds=2 * HEARTBEAT_SECONDS), heartbeat=0)
    wait_until(lambda: ended(child))

    assert "ended by itself" == child.detail


def test_slept_through() -> None:
    """Silence that we slept through does not count."""
    child = started(reporting(lifecycle.ALIVE))
    wait_until(lambda: child.read_reports() and child.due_at is not None)
    time.sleep(3 * HEARTBEAT_SECONDS)
    child.end_if_silent()

    assert child.alive
    assert not child.is_stuck
    wait_until(lambda: ended(child))


def test_cannot_start() -> None:
    """A process that says why it cannot start is tried again, with its reason to show."""

    def run(report_fd: int) -> None:
        lifecycle.attach("a test", report_fd)
        lifecycle.report(lifecycle.FAILED, "Its certificate is broken.")
        os._exit(EX_CONFIG)

    child = started(run)
    wait_until(lambda: ended(child))

    assert (State.FAILED, "Its certificate is broken.") == (child.state, child.detail)
    assert child.due_at is not None


def test_tally_is_shared() -> None:
    """Children see what their parent counts."""
    tally = Tally()

    def run(report_fd: int) -> None:
        lifecycle.attach("a test", report_fd, tally=tally)
        while lifecycle.processes() != (3, 1):
            time.sleep(0.01)
        lifecycle.report(lifecycle.READY, "seen")
        time.sleep(60)

    child = started(run)
    tally.set(ended=3, missing=1)
    wait_until(lambda: child.read_reports() and child.state is State.READY)

    child.send(signal.SIGKILL)
    wait_until(lambda: ended(child))
