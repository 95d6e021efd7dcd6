"""Past jobs come from an index that the loop keeps up to date without being held up by it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import salt.config

from bench.jobs import FIRST_JID
from bench.jobs import main as fill
from saltapi.bridge.jobs import past_jobs
from saltapi.bridge.jobs.job_cache import JobCache
from saltapi.bridge.jobs.past_jobs import PastJobs
from saltapi.bridge.worker import job_index
from saltapi.bridge.worker.job_index import Search
from saltapi.bridge.worker.job_scan import JobScan
from tests.waiting import async_eventually, scaled

JIDS = [str(FIRST_JID + number) for number in reversed(range(5))]


@pytest.fixture
def opts(tmp_path: Path) -> dict[str, Any]:
    """The options of a master whose job cache has a few jobs."""
    (tmp_path / "config").mkdir()
    config = tmp_path / "config" / "master"
    config.write_text(f"root_dir: {tmp_path}\ncachedir: {tmp_path}/cache\n")
    opts: dict[str, Any] = salt.config.master_config(str(config))
    fill(str(config.parent), len(JIDS), f"{opts['cachedir']}/jobs")
    return opts


@pytest.fixture
async def cache(opts: dict[str, Any]) -> AsyncIterator[JobCache]:
    cache = JobCache(opts)
    cache._readable = True
    yield cache
    cache.close()


@pytest.fixture
async def past(opts: dict[str, Any], cache: JobCache) -> AsyncIterator[PastJobs]:
    past = PastJobs(opts, cache)
    yield past
    await past.close()


async def test_files(past: PastJobs, opts: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the job cache is found, and what has come since."""
    monkeypatch.setattr(past_jobs, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(past_jobs, "WAIT_SECONDS", 60.0)
    monkeypatch.setattr(past_jobs, "FIRST_WAIT_SECONDS", 60.0)
    found = await past.search(Search(), None)
    assert (JIDS, None, False) == (list(found.jobs), found.last, past.partial)
    fill(f"{Path(opts['conf_file']).parent}", len(JIDS) + 1, f"{opts['cachedir']}/jobs")
    found = await past.search(Search(), None)
    assert [str(FIRST_JID + len(JIDS)), *JIDS] == list(found.jobs)


async def test_warm(past: PastJobs, cache: JobCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """What reads a job is loaded before the first one has to be read, once."""
    monkeypatch.setattr(past_jobs, "INTERVAL_SECONDS", 0.01)
    probes: list[int] = []
    steps: list[int] = []
    step = JobScan.step

    async def probe() -> None:
        probes.append(len(steps))

    def counted(scan: JobScan) -> bool:
        steps.append(1)
        return step(scan)

    monkeypatch.setattr(cache, "probe", probe)
    monkeypatch.setattr(JobScan, "step", counted)
    past.start()
    assert await async_eventually(lambda: len(steps) >= 4)
    assert [1] == probes


async def test_many_files(
    opts: dict[str, Any], cache: JobCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes long is done in another process, which ends; of several one does it."""
    monkeypatch.setattr(past_jobs, "STEPS_HERE", 0)
    monkeypatch.setattr(past_jobs, "FIRST_WAIT_SECONDS", scaled(60.0))
    several = [PastJobs(opts, cache) for _ in range(2)]
    before = set(psutil.Process().children())
    try:
        found = await asyncio.gather(*(each.search(Search(), None) for each in several))
        assert [JIDS] * 2 == [list(each.jobs) for each in found]
        assert not any(each.partial for each in several)
        assert set(psutil.Process().children()) <= before
    finally:
        for each in several:
            await each.close()


async def test_nobody_waits_for_the_index(past: PastJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the index is made, what it has by then is told, and that it is a part."""
    monkeypatch.setattr(past_jobs, "FIRST_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(JobScan, "step", lambda _self: False)
    found = await past.search(Search(), None)
    assert ({}, True) == (found.jobs, past.partial)


async def test_unusable_index(past: PastJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that cannot be used leaves past jobs out, and says so."""

    def fail(_self: Any) -> bool:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(JobScan, "step", fail)
    await past.search(Search(), None)
    assert past.partial


async def test_busy_index(
    past: PastJobs,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """While another process changes the index it is as good as it was, and nobody is alarmed."""
    monkeypatch.setattr(past_jobs, "FIRST_WAIT_SECONDS", scaled(60.0))
    monkeypatch.setattr(past_jobs, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(past_jobs, "WAIT_SECONDS", scaled(60.0))
    monkeypatch.setattr(job_index, "BUSY_TIMEOUT_SECONDS", 0.01)
    await past.search(Search(), None)
    other = sqlite3.connect(past._index.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    found = await past.search(Search(), None)
    other.close()
    assert (JIDS, False) == (list(found.jobs), past.partial)
    assert "cannot be used" not in caplog.text


async def test_other_returner(
    past: PastJobs, cache: JobCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list of another returner is taken over: what is new, changed, and gone."""
    monkeypatch.setattr(past_jobs, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(past_jobs, "WAIT_SECONDS", 60.0)
    monkeypatch.setattr(past_jobs, "FIRST_WAIT_SECONDS", 60.0)
    monkeypatch.setattr(past_jobs, "REST_FACTOR", 0)
    cache.name = "elsewhere"
    lists: list[dict[str, Any]] = [
        {JIDS[0]: {"Function": "test.ping", "User": "a"}, JIDS[1]: {"Function": "test.arg"}},
        {JIDS[0]: {"Function": "test.ping", "User": "b"}, JIDS[2]: {"Function": "test.arg"}},
    ]

    async def listing() -> dict[str, Any]:
        await asyncio.sleep(0)
        return lists[0]

    monkeypatch.setattr(cache, "listing", listing)
    assert lists[0] == (await past.search(Search(), None)).jobs
    del lists[0]
    assert lists[0] == (await past.search(Search(), None)).jobs
    assert [JIDS[2]] == list((await past.search(Search(fun="*.arg"), None)).jobs)
