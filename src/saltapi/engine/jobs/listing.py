"""Pages of the list of jobs: from the registry and the job cache together, the newest first."""

import fnmatch
from dataclasses import dataclass
from typing import Any

from saltapi.bridge.jobs.registered import RegisteredJob
from saltapi.bridge.jobs.states import JobState
from saltapi.engine.jobs.records import Record, brief
from saltapi.engine.jobs.service import JobService
from saltapi.errors import SaltApiError
from saltapi.types import Jid, Session

LOOKS_LIMIT_JOBS = 200
"""So many past jobs are read for one page, where the filter asks for what a list does not say."""
QUIET_FUNCTIONS = ("saltutil.find_job", "runner.jobs.*")
"""Functions that only look at jobs; listed where the filter names them."""


@dataclass(frozen=True, slots=True)
class JobFilter:
    """What jobs are wanted; texts are shell patterns, times seconds since the epoch."""

    fun: str | None = None
    user: str | None = None
    tgt: str | None = None
    minion: str | None = None
    state: str | None = None
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some jobs, and where the next page begins; None if this was the last."""

    jobs: list[Record]
    cursor: str | None


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

    A page may hold fewer and yet not be the last: only so many past jobs are looked into for it.
    """
    past = await job_service.listing(session)
    registered = {job.jid: job for job in job_service.registry.jobs() if job.minions or job.fun}
    looks = LOOKS_LIMIT_JOBS
    last: Jid | None = None
    found: list[Record] = []
    for jid in sorted({*past, *registered}, reverse=True):
        if cursor is not None and jid >= cursor:
            continue
        if len(found) == limit or not looks:
            return JobPage(found, last)
        last = jid
        job, looked_at = registered.get(jid), True
        if job is None:
            job, looked_at = job_service.past(jid, past[jid]), False
        if not _fits(wanted, job) or not await job_service.may_see(session, job):
            continue
        if wanted.minion is not None or wanted.state is not None:
            if not looked_at and wanted.state != JobState.UNKNOWN:
                looks -= 1
                try:
                    job, looked_at = await job_service.get(session, jid), True
                except SaltApiError:
                    continue
            state = job.state if looked_at else JobState.UNKNOWN
            if wanted.state is not None and state != wanted.state:
                continue
            if wanted.minion is not None and not _any_fits(wanted.minion, list(job.minions)):
                continue
        found.append(brief(job, looked_at=looked_at))
    return JobPage(found, None)


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


def _texts(value: Any) -> list[str]:
    if value is None:  # it is not known any more
        return []
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _any_fits(patterns: str | tuple[str, ...], texts: list[str]) -> bool:
    several = (patterns,) if isinstance(patterns, str) else patterns
    return any(fnmatch.fnmatchcase(text, pattern) for text in texts for pattern in several)
