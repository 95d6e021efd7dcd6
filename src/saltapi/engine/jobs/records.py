"""
What is told of a job: documents, and the records of a stream, as plain values.

Records in the order in which they can come: `job` (it is published), `state` or `counts` (how far a
minion is with its states, for who asks for it), `return` (a minion has returned), `progress` (who
is silent), `summary`; `error` in place of what could not be.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from itertools import islice
from typing import Any

from saltapi.bridge.bus.job_starts import Source
from saltapi.bridge.jobs.registered import RegisteredJob
from saltapi.bridge.jobs.states import JobState
from saltapi.engine.jobs import cursors, parts, stage_records, step_records
from saltapi.engine.jobs.service import JobService
from saltapi.engine.jobs.state_records import Progress, StateTeller, running_states
from saltapi.engine.jobs.times import time_text
from saltapi.engine.jobs.values import Values
from saltapi.errors import SaltApiError, Stopping
from saltapi.interfaces import FUNCTION_KINDS
from saltapi.masking import mask_arguments
from saltapi.types import Jid, Session

log = logging.getLogger(__name__)

Record = dict[str, Any]

PROGRESS_SECONDS = 5.0
"""How often silent minions are told of."""
NEWS_SECONDS = 0.5
"""How soon it is told what they have said, at the earliest after the last progress."""
RECORDS_AT_ONCE = 100


def url_of(jid: Jid) -> str | None:
    """Return the path of a job, below the module's root; None for what has no id."""
    return f"/v1/jobs/{jid}" if jid else None


def head(job: RegisteredJob) -> Record:
    """Return what is known of a job when it starts."""
    return {
        "jid": job.jid or None,
        "url": url_of(job.jid),
        "client": job.kind,
        "fun": job.fun,
        "tgt": job.tgt,
        "tgt_type": job.tgt_type,
        "user": job.user,
        "start": time_text(job.started_at),
    }


def brief(job: RegisteredJob, *, looked_at: bool = True) -> Record:
    """Return a job as an entry of a list; *looked_at* if its returns are known."""
    counts = {
        "expected": len(job.minions),
        "returned": len(job.returns),
        "failed": len(job.failed),
    }
    return {
        **head(job),
        "state": str(job.state if looked_at else JobState.UNKNOWN),
        **(counts if looked_at else dict.fromkeys(counts)),
    }


def facts(job: RegisteredJob) -> Record:
    """Return who has returned, who has failed, and who is missing for which reason."""
    counts = job.progress.totals()
    return {
        "state": str(job.state),
        "complete": job.state is JobState.COMPLETE,
        "returned": list(job.returns),
        "failed": job.failed,
        "missing": {minion: str(why) for minion, why in job.missing.items()},
        "waiting": {minion: str(what) for minion, what in job.waiting.items()},
        "duration_seconds": duration_seconds(job),
        **({} if counts is None else {"states": counts.plain()}),
    }


def duration_seconds(job: RegisteredJob) -> float | None:
    """Return how long the job took, as far as it is known."""
    if job.ended_at is None or job.state is JobState.RUNNING:
        return None
    return round(max(job.ended_at - job.started_at, 0.0), 3)


async def document(
    job_service: JobService,
    session: Session,
    job: RegisteredJob,
    *,
    returns: bool = True,
    whole: bool = False,
    fold: bool = False,
    minion: str | None = None,
) -> Record:
    """
    Return all that is known of a job.

    Args:
        job_service: Finds what the registry has left out.
        session: Who asks.
        job: The job.
        returns: Whether with what each minion has returned.
        whole: Whether this answers the request that has started the job, so that nothing of its
            results is masked (`saltapi.masking`).
        fold: Whether equal returns are shown once, in place of those of each minion.
        minion: A shell pattern of the ids of the minions to be shown; all without.
    """
    values = await Values.of(job_service, session, job, whole=whole)
    arg = mask_arguments(job.fun, job.arg) if values.masked else job.arg
    found = {**head(job), "arg": arg, "expected": sorted(job.minions), **facts(job)}
    if job.kind in FUNCTION_KINDS:
        found["result"] = values.result()
    if parent := await _parent_of(job_service, job):
        found["parent"] = parent
    if job.batch is not None:
        found["batch"] = stage_records.shown(job.batch)
    if job.orchestration is not None:
        found["steps"] = await step_records.tree(job_service, session, job, values)
    if at := running_states(job, masked=values.masked):
        found["progress"] = at
    if minion is not None:
        found = parts.of_some(found, minion)
    if fold:
        found |= await parts.folded(values, job, minion)
    elif returns:
        chosen = parts.returns_of(job, minion)
        found["returns"] = {each.minion: await values.shown(each) for each in chosen}
    return found


async def _parent_of(job_service: JobService, job: RegisteredJob) -> Jid:
    """Return the job that has started *job*; "" where nobody knows of one."""
    if not job.parent and job.source is not Source.OURS and job.jid:
        with contextlib.suppress(SaltApiError):
            owned = await job_service.owners.find(job.jid)
            job.parent = "" if owned is None else owned.parent
    return job.parent


def is_told(job: RegisteredJob, seen: cursors.Cursor) -> bool:
    """Return whether there is nothing to tell to somebody who has seen that much of a job."""
    return job.state is not JobState.RUNNING and seen.minions >= job.returns.keys()


async def records(
    job_service: JobService,
    session: Session,
    job: RegisteredJob,
    *,
    seen: cursors.Cursor | None = None,
    whole: bool = False,
    progress: Progress = "none",
    fold: bool = False,
) -> AsyncIterator[list[Record]]:
    """
    Yield what has happened to *job* and goes on to happen, up to the summary; some at a time.

    The last record is a `summary`, or an `error` whose `error` is the exception.

    Args:
        job_service: Follows the job.
        session: Who listens; the stream ends with an `error` when it does.
        job: The job.
        seen: What the listener has already.
        whole: As for `document`.
        progress: What is told of the states that the minions run.
        fold: Whether the summary has equal returns once.
    """
    job.held += 1
    seen = seen or cursors.Cursor()
    values = await Values.of(job_service, session, job, whole=whole)
    teller = StateTeller(job, seen, values, progress)
    try:
        async for some in _records(job_service, session, job, seen, teller):
            if fold and some[-1]["type"] == "summary":
                some[-1] |= await parts.folded(values, job)
            yield some
    except Exception as error:  # noqa: BLE001 - it is handed to the listener
        yield [{"type": "error", "jid": job.jid or None, "error": as_error(error)}]
    finally:
        job.held -= 1


async def _records(
    job_service: JobService,
    session: Session,
    job: RegisteredJob,
    seen: cursors.Cursor,
    teller: StateTeller,
) -> AsyncIterator[list[Record]]:
    maker, values = teller.maker, teller.values
    job_service.follow(session, job)
    unknown = sorted(job.unknown)
    published = {"expected": sorted(job.minions), "unknown_minions": unknown}
    yield [{"type": "job", "id": maker.cursor(), **head(job), **published}]
    loop = asyncio.get_running_loop()
    told, told_at, questions = 0, loop.time(), job.questions
    stages = stage_records.StageTeller(job, seen.minions)
    steps = step_records.StepTeller(job_service, session, job, teller)
    while True:
        pulse = job.pulse()
        if some := await steps.news():
            yield some
        while some := teller.news():
            yield some
        arrived = list(islice(job.returns.values(), told, told + RECORDS_AT_ONCE))
        told += len(arrived)
        some = []
        for found in arrived:
            if found.minion in seen.minions:
                continue
            shown = await values.shown(found)
            some += [{"id": maker.cursor(), **each} for each in stages.before(found.minion)]
            some += teller.rest(found.minion, shown["return"])
            maker.saw(found.minion)
            named = {"jid": job.jid or None, "minion": found.minion}
            some.append({"type": "return", **teller.cursor(), **named, **shown})
            if len(some) > RECORDS_AT_ONCE:
                yield teller.identified(some)
                some = []
        if some:
            yield teller.identified(some)
        if told < len(job.returns):
            continue
        if some := stages.news():
            yield [{"id": maker.cursor(), **each} for each in some]
        if job.state is not JobState.RUNNING:
            break
        if job_service.stopping:
            raise Stopping("The service is stopping; go on at the job's URL.")
        due = told_at + (NEWS_SECONDS if job.questions != questions else PROGRESS_SECONDS)
        if loop.time() >= due:
            await job_service.client.sessions.check(session.token)
            yield [_progress(job, maker.cursor())]
            told_at, questions = loop.time(), job.questions
            continue
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(min(due, teller.due)):
                await pulse.wait()
    if job.error is not None:
        raise job.error
    if some := await steps.news():
        yield some
    yield [_summary(job, maker.cursor(ended=True), values)]


def _progress(job: RegisteredJob, cursor: str) -> Record:
    waiting = {minion: str(what) for minion, what in job.waiting.items()}
    counts = {"returned": len(job.returns), "expected": len(job.minions)}
    return {"type": "progress", "id": cursor, "jid": job.jid or None, **counts, "waiting": waiting}


def _summary(job: RegisteredJob, cursor: str, values: Values) -> Record:
    found = {"type": "summary", "id": cursor, "jid": job.jid or None, **facts(job)}
    del found["waiting"]
    if job.kind in FUNCTION_KINDS:
        found["result"] = values.result()
    if job.batch is not None:
        found["batch"] = stage_records.brief(job.batch)
    return found


def as_error(error: Exception) -> SaltApiError:
    """Return *error* if it is for users, else one that says no more than that."""
    return (
        error if isinstance(error, SaltApiError) else SaltApiError("An unexpected error occurred")
    )
