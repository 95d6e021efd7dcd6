"""Pages of the list of jobs: what is looked at for them, and what is not waited for."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bench.jobs import FIRST_JID, MINION
from bench.jobs import main as fill
from saltapi.bridge.jobs import past_jobs
from saltapi.bridge.jobs.states import JobState
from saltapi.config import load
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.engine.jobs import listing
from saltapi.engine.jobs.listing import JobFilter, JobPage, page
from saltapi.engine.jobs.service import JobService
from saltapi.engine.sessions.administrators import Administrators
from saltapi.engine.store.sqlite import SqliteStore
from saltapi.errors import JobCacheUnavailable
from saltapi.types import Session

JIDS = [str(FIRST_JID + number) for number in reversed(range(5))]
ROOT = Session(token="t", name="root", eauth="file", start=0.0, expire=float("inf"))
RUNNING = JobFilter(state=JobState.RUNNING)


@pytest.fixture
async def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[JobService]:
    """The jobs of a master that does not run; nobody has returned to any of them."""
    monkeypatch.setattr(past_jobs, "FIRST_WAIT_SECONDS", 60.0)
    monkeypatch.setattr(listing, "PAGE_SECONDS", 60.0)
    (tmp_path / "master").write_text(f"root_dir: {tmp_path}\ncachedir: {tmp_path}/cache\n")
    fill(str(tmp_path), len(JIDS), f"{tmp_path}/cache/jobs")
    for returned in (tmp_path / "cache" / "jobs").glob(f"*/*/{MINION}"):
        shutil.rmtree(returned)
    opts = load(tmp_path)
    client, store = AsyncAPIClient(opts), SqliteStore(tmp_path / "test.sqlite")
    client.job_cache._readable = True
    administrators = Administrators(opts, client.permissions, [])
    service = JobService(
        client, store, jobs=100, limit_bytes=10_000_000, administrators=administrators
    )

    async def sees_all(_session: Session) -> bool:
        return True

    monkeypatch.setattr(service, "sees_all", sees_all)
    yield service
    await service.close()
    await client.close()
    await store.close()


def jids(found: JobPage) -> list[str]:
    return [job["jid"] for job in found.jobs]


async def test_who_looks_keeps_nothing(jobs: JobService) -> None:
    """Past jobs that a filter has to read do not take the place of those of late."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        some = await page(jobs, ROOT, RUNNING, limit=3, cursor=cursor)
        found += jids(some)
        cursor = some.cursor
        if cursor is None:
            break
    assert found == JIDS
    assert not len(jobs.registry)
    await jobs.get(ROOT, JIDS[0])
    assert 1 == len(jobs.registry)


async def test_no_answer(jobs: JobService, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a job cannot be read the page ends, says that it is a part, and leads on."""
    load_of = jobs.cache.load

    async def fails(jid: str) -> dict[str, Any]:
        if jid == JIDS[1]:
            raise JobCacheUnavailable("It does not answer.")
        return await load_of(jid)

    assert JIDS == jids(await page(jobs, ROOT, JobFilter(), limit=10))
    monkeypatch.setattr(jobs.cache, "load", fails)
    first = await page(jobs, ROOT, RUNNING, limit=10)
    assert (JIDS[:1], JIDS[1], True) == (jids(first), first.cursor, first.partial)
    assert JIDS[2:] == jids(await page(jobs, ROOT, RUNNING, limit=10, cursor=first.cursor))


async def test_slow_answer(jobs: JobService, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that takes long to read is left to the next page, which waits for it."""
    load_of = jobs.cache.load
    slow = {JIDS[1]: 60.0}

    async def later(jid: str) -> dict[str, Any]:
        await asyncio.sleep(slow.pop(jid, 0.0))
        return await load_of(jid)

    await page(jobs, ROOT, JobFilter(), limit=10)
    monkeypatch.setattr(jobs.cache, "load", later)
    monkeypatch.setattr(listing, "PAGE_SECONDS", 1.0)
    first = await page(jobs, ROOT, RUNNING, limit=10)
    assert (JIDS[:1], JIDS[0]) == (jids(first), first.cursor)
    assert JIDS[1:2] == jids(await page(jobs, ROOT, RUNNING, limit=1, cursor=first.cursor))
