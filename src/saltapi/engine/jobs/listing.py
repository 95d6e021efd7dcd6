"""Pages of the list of jobs: from the registry and the job cache together, the newest first."""

import asyncio
import contextlib
import fnmatch
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from saltapi.bridge.bus.job_starts import jid_at
from saltapi.bridge.jobs.registered import RegisteredJob
from saltapi.bridge.jobs.states import JobState
from saltapi.bridge.worker.job_index import Search
from saltapi.engine.jobs.records import Record, brief
from saltapi.engine.jobs.service import JobService
from saltapi.errors import JobCacheUnavailable, SaltApiError, StoreUnavailable
from saltapi.types import Jid, Session

PAGE_SECONDS = 0.1
"""For so long it is looked for the jobs of one page; the next one goes on from there."""
JOBS_AT_ONCE = 50
"""So many jobs are looked at before others have their turn."""
TIME_MARGIN_SECONDS = 0.001
"""Jids tell microseconds, which numbers of seconds do not quite."""
QUIET_FUNCTIONS = ("saltutil.find_job", "runner.jobs.*")
"""Functions that only look at jobs; listed where the filter names them."""
FAILED = "failed"
"""In place of a state: what has ended, and failed somewhere or is missing from somebody."""


@dataclass(frozen=True, slots=True)
class JobFilter:
    """What jobs are wanted; texts are shell patterns, times seconds since the epoch."""

    fun: str | None = None
    user: str | None = None
    tgt: str | None = None
    minion: str | None = None
    state: str | None = None
    """A `JobState`, or `FAILED`."""
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some jobs, and where the next page begins; None if this was the last."""

    jobs: list[Record]
    cursor: str | None
    partial: bool = False
    """Whether past jobs may be missing."""


async def page(
    job_service: JobService,
    session: Session,
    wanted: JobFilter,
    *,
    limit: int,
    cursor: Jid | None = None,
) -> JobPage:
    """
    Return the newest *limit* jobs that *session* may see, older than *cursor*.

    A page may hold fewer and yet not be the last: it is made within `PAGE_SECONDS`, or ends where
    the job cache does not answer.
    """
    with contextlib.suppress(StoreUnavailable):  # what is known here is listed in any case
        await job_service.changes.learn()
    changes: Collection[Jid] = ()
    with contextlib.suppress(StoreUnavailable):
        changes = await job_service.changes.ended()
    search = await _search(job_service, session, wanted)
    registered = {job.jid: job for job in job_service.registry.jobs() if job.minions or job.fun}
    before, last, looked_at, ends_at = cursor, None, 0, None
    if wanted.until is not None:
        latest = jid_at(wanted.until + TIME_MARGIN_SECONDS)
        before = latest if cursor is None else min(cursor, latest)
    found: list[Record] = []
    while True:
        past = await job_service.search(session, search, before)
        ends_at = ends_at or time.monotonic() + PAGE_SECONDS  # the first may wait for the index
        these = [
            jid
            for jid in {*past.jobs, *registered, *changes}
            if (before is None or jid < before) and (past.last is None or jid >= past.last)
        ]
        for jid in sorted(these, reverse=True):
            left = max(ends_at - time.monotonic(), 0.0)
            if len(found) == limit or (last is not None and not left):
                return JobPage(found, last, job_service.is_partial)
            try:
                async with asyncio.timeout(None if last is None else left):
                    record = await _record(job_service, session, wanted, jid, registered, past.jobs)
            except TimeoutError:
                return JobPage(found, last, job_service.is_partial)
            except JobCacheUnavailable:
                return JobPage(found, jid, partial=True)
            last = jid
            if record is not None:
                found.append(record)
            looked_at += 1
            if looked_at % JOBS_AT_ONCE == 0:
                await asyncio.sleep(0)
        if past.last is None or len(found) == limit or time.monotonic() > ends_at:
            return JobPage(found, past.last, job_service.is_partial)
        before = last = past.last


async def _search(job_service: JobService, session: Session, wanted: JobFilter) -> Search:
    """Return what the index can tell of *wanted*, and of what *session* may see."""
    return Search(
        fun=wanted.fun,
        user=wanted.user,
        tgt=wanted.tgt,
        minion=wanted.minion,
        outstanding=wanted.state in {JobState.RUNNING, JobState.INCOMPLETE},
        owner=None if await job_service.sees_all(session) else session.name,
        without=QUIET_FUNCTIONS if wanted.fun is None else (),
        since="" if wanted.since is None else jid_at(wanted.since - TIME_MARGIN_SECONDS),
    )


async def _record(
    job_service: JobService,
    session: Session,
    wanted: JobFilter,
    jid: Jid,
    registered: Mapping[Jid, RegisteredJob],
    past: Mapping[Jid, Any],
) -> Record | None:
    """
    Return the entry of a job; None if it is not wanted, or none of this user's business.

    Raises:
        JobCacheUnavailable: It has to be read for that, and cannot be.
    """
    job, looked_at = registered.get(jid), True
    if job is None:
        job, looked_at = await _past(job_service, jid, past), False
    if job is None or not _fits(wanted, job) or not await job_service.may_see(session, job):
        return None
    if looked_at:
        await job_service.silence.recall(job)
    if wanted.minion is not None or wanted.state is not None:
        if not looked_at and wanted.state != JobState.UNKNOWN:
            try:
                job, looked_at = await job_service.get(session, jid, keep=False), True
            except JobCacheUnavailable:
                raise
            except SaltApiError:
                return None
        state = job.state if looked_at else JobState.UNKNOWN
        if wanted.state is not None and not _is_in(wanted.state, state, job):
            return None
        if wanted.minion is not None and not _any_fits(wanted.minion, list(job.minions)):
            return None
    return brief(job, looked_at=looked_at)


async def _past(job_service: JobService, jid: Jid, past: Mapping[Jid, Any]) -> RegisteredJob | None:
    """Return a job of the job cache, or a change that has ended; None if it is forgotten."""
    if jid in past:
        return job_service.past(jid, past[jid])
    with contextlib.suppress(StoreUnavailable):
        return await job_service.changes.past(jid)
    return None


def _fits(wanted: JobFilter, job: RegisteredJob) -> bool:
    """Return whether what every list says of a job is what is wanted."""
    if wanted.fun is None:
        if _any_fits(QUIET_FUNCTIONS, _texts(job.fun)):
            return False
    elif not _any_fits(wanted.fun, _texts(job.fun)):
        return False
    if wanted.user is not None and not _any_fits(wanted.user, [job.user]):
        return False
    if wanted.tgt is not None and not _any_fits(wanted.tgt, _texts(job.tgt)):
        return False
    if wanted.since is not None and job.started_at < wanted.since:
        return False
    return wanted.until is None or job.started_at <= wanted.until


def _is_in(wanted: str, state: JobState, job: RegisteredJob) -> bool:
    """Return whether a job in *state* is in the one that is wanted."""
    if wanted == FAILED:
        return state is JobState.INCOMPLETE or (state is JobState.COMPLETE and bool(job.failed))
    return state == wanted


def _texts(value: Any) -> list[str]:
    if value is None:  # it is not known any more
        return []
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _any_fits(patterns: str | tuple[str, ...], texts: list[str]) -> bool:
    several = (patterns,) if isinstance(patterns, str) else patterns
    return any(fnmatch.fnmatchcase(text, pattern) for text in texts for pattern in several)
