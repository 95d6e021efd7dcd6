"""Calls that may hang."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator

import pytest

from saltapi.bridge.workers import deadlines
from saltapi.bridge.workers.deadlines import Deadlines
from saltapi.errors import JobCacheUnavailable
from tests.waiting import eventually


@pytest.fixture
async def calls() -> AsyncIterator[Deadlines[str]]:
    made = Deadlines("test", lambda: "made", lambda: JobCacheUnavailable("away"), seconds=0.1)
    yield made
    made.close()


async def test_result(calls: Deadlines[str]) -> None:
    """A call gets what was made for it, and its result comes back."""
    assert "made!" == await calls.call(lambda made: f"{made}!")
    assert (True, 0, 0) == (calls.ok, calls.hanging, calls.failed_total)


async def test_failure(calls: Deadlines[str]) -> None:
    """A call that fails is the error that says so; the next one begins with something new."""

    def fail(_: str) -> None:
        raise OSError("connection refused")

    with pytest.raises(JobCacheUnavailable):
        await calls.call(fail)
    assert not calls.ok
    assert "made" == await calls.call(str)
    assert calls.ok


async def test_hanging(calls: Deadlines[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What hangs has a deadline, only so many threads may hang, and it is noticed when it ends."""
    monkeypatch.setattr(deadlines, "RETRY_SECONDS", 0.0)
    go = threading.Event()
    for _ in range(deadlines.HANGING_THREADS + 3):
        with pytest.raises(JobCacheUnavailable):
            await calls.call(lambda _: go.wait())

    assert deadlines.HANGING_THREADS == calls.hanging
    began = time.monotonic()
    with pytest.raises(JobCacheUnavailable):
        await calls.call(str)
    assert time.monotonic() - began < 0.1
    go.set()
    await asyncio.to_thread(eventually, lambda: not calls.hanging)
    assert "made" == await calls.call(str)


async def test_refused_at_once(calls: Deadlines[str]) -> None:
    """While something hangs, one call at a time finds out whether it goes on; others are told."""
    go = threading.Event()
    for _ in range(2):
        with pytest.raises(JobCacheUnavailable):
            await calls.call(lambda _: go.wait())
    began = time.monotonic()
    for _ in range(100):
        with pytest.raises(JobCacheUnavailable):
            await calls.call(lambda _: go.wait())

    assert time.monotonic() - began < 0.1
    assert 2 == calls.hanging
    go.set()
