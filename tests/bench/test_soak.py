"""The soak: what it fills before it begins, and how it tells what grows."""

import asyncio

import psutil
import pytest

from bench.filling import announce_jobs
from bench.soak import Soaked
from bench.worlds import RealWorld
from saltapi import config
from saltapi.bridge.bus.events import Event
from saltapi.demo import PrivateMaster
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.engine.events.subjects import Subjects
from tests.waiting import async_eventually

JOBS = 300


async def test_tables_are_filled(master: PrivateMaster) -> None:
    """What is announced is believed as the master's own jobs are, and is in both tables of jobs."""
    client = AsyncAPIClient(config.load(master.config_dir))
    subjects = Subjects(client.hub.starts)
    believed: set[str] = set()

    def note(event: Event) -> None:
        subjects.note(event)
        if event.parts.is_new and subjects.of(event).user == master.username:
            believed.add(str(event.parts.jid))

    client.hub.observe(note)
    await client.start()
    try:
        await asyncio.to_thread(announce_jobs, RealWorld(master), JOBS)
        assert await async_eventually(lambda: len(believed) >= JOBS)
        assert all(map(client.hub.starts.knows, believed))
        assert believed <= subjects._jobs.keys()
    finally:
        await client.close()


@pytest.mark.parametrize(
    ("samples", "grew"),
    [
        ([50.0 + number for number in range(50)] + [100.0] * 50, 0.0),  # while tables fill up
        ([100.0] * 50 + [100.0 + number / 10 for number in range(50)], 0.04),
    ],
)
def test_growth(samples: list[float], grew: float) -> None:
    """What counts is the second half alone: its end against its beginning."""
    soaked = Soaked(None, psutil.Process(), samples=samples)  # type: ignore[arg-type]
    assert grew == pytest.approx(soaked.growth, abs=0.001)
