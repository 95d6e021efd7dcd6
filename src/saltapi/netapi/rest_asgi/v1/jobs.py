"""`/v1/jobs`: jobs as resources."""

import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request
from starlette.responses import Response

from saltapi import formats
from saltapi.engine.jobs import cursors, listing, parts, rerun, termination
from saltapi.engine.jobs import records as job_records
from saltapi.engine.jobs.listing import JobFilter
from saltapi.engine.jobs.values import Values, shown_returns
from saltapi.engine.operations.runs import Prepared
from saltapi.errors import InvalidField
from saltapi.netapi.rest_asgi.keys import KEY_RESPONSES, KeyHeader
from saltapi.netapi.rest_asgi.protection import COMMANDS, READS, STREAMS, costs
from saltapi.netapi.rest_asgi.record_streams import document, stream, streamed
from saltapi.netapi.rest_asgi.requests import TheCaller, TheEngine, TheSession
from saltapi.netapi.rest_asgi.route import Route, described, of_a_job, streams
from saltapi.netapi.rest_asgi.run_once import run_once
from saltapi.netapi.rest_asgi.streams import STREAM_TYPES
from saltapi.netapi.rest_asgi.v1 import job_models as models

router = APIRouter(tags=["jobs"], route_class=Route)

WAIT_LIMIT_SECONDS = 60
PAGE_LIMIT_JOBS = 500
PATTERN_CHARACTERS = 256
STREAMED_FROM_BYTES = 256 * 1024
"""Answers about jobs that hold more are sent minion by minion."""
NO_JOB: dict[int | str, dict[str, Any]] = {
    404: {"description": "There is no such job, or it is none that you may see."}
}

Jid = Annotated[
    str,
    Path(pattern=models.JID_PATTERN, description="The job's id.", examples=[models.EXAMPLE_JID]),
]


def _pattern(text: str) -> Any:
    return Query(max_length=PATTERN_CHARACTERS, description=f"{text}, as a shell pattern.")


@router.get(
    "/jobs",
    operation_id="list_jobs",
    summary="The jobs that you may see, the newest first",
    response_model=None,
    responses={200: described(models.EXAMPLE_LIST, model=models.JobList)},
)
@costs(READS)
async def list_jobs(
    request: Request,
    engine: TheEngine,
    session: TheSession,
    fun: Annotated[str | None, _pattern("The function")] = None,
    user: Annotated[str | None, _pattern("Who has started it")] = None,
    tgt: Annotated[str | None, _pattern("The target as it was published")] = None,
    minion: Annotated[str | None, _pattern("One of the minions that it is for")] = None,
    state: Annotated[
        models.WantedState | None,
        Query(
            description="How far it is; `failed`: it has ended, and failed on a minion or some are"
            " missing."
        ),
    ] = None,
    since: Annotated[
        datetime.datetime | None,
        Query(description="Started then or later; UTC without a zone, or epoch seconds."),
    ] = None,
    until: Annotated[datetime.datetime | None, Query(description="Started then or before.")] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_LIMIT_JOBS, description="Jobs in a page.")] = 50,
    cursor: Annotated[
        str | None,
        Query(pattern=models.JID_PATTERN, description="`cursor` of the page before this one."),
    ] = None,
) -> Any:
    """
    List running and past jobs: those that you have started, or all if you may list jobs.

    Questions about jobs (`saltutil.find_job`, the runner functions `jobs.*`) are listed only
    where `fun` names them. The state of a past job that nobody has looked at is `unknown`. A page
    may hold fewer jobs than asked for and yet have a `cursor`: go on from there. `partial` is true
    while past jobs may be missing: the server has not seen all of the job cache yet.
    """
    wanted = JobFilter(
        fun=fun,
        user=user,
        tgt=tgt,
        minion=minion,
        state=state,
        since=_seconds(since),
        until=_seconds(until),
    )
    found = await listing.page(engine.jobs, session, wanted, limit=limit, cursor=cursor)
    page = {"jobs": found.jobs, "cursor": found.cursor, "partial": found.partial}
    return await document(request, page)


@router.get(
    "/jobs/{jid}",
    operation_id="get_job",
    summary="One job",
    response_model=None,
    responses={
        200: described(
            models.EXAMPLE_JOB,
            model=models.JobParts,
            headers={
                "ETag": {
                    "description": "Of a job that has ended; for `If-None-Match`.",
                    "schema": {"type": "string"},
                }
            },
        ),
        304: {"description": "The job has ended, and nothing has come since."},
        **NO_JOB,
    },
)
@of_a_job
@costs(READS, waiting="wait")
async def get_job(
    request: Request,
    engine: TheEngine,
    session: TheSession,
    jid: Jid,
    wait: Annotated[
        float,
        Query(ge=0, le=WAIT_LIMIT_SECONDS, description="Seconds to wait until it has ended."),
    ] = 0,
    returns: Annotated[bool, Query(description="With what the minions returned.")] = True,
    fold: models.FoldQuery = False,
    diff: Annotated[
        str | None,
        Query(
            pattern=models.JID_PATTERN,
            description="Another job: what of the returns differs from it, in place of them.",
        ),
    ] = None,
    minion: Annotated[str | None, _pattern("Only minions with such ids")] = None,
    fields: Annotated[
        str | None,
        Query(
            max_length=PATTERN_CHARACTERS,
            description="Only these fields of the answer, with commas between them.",
            examples=["state,failed,missing"],
        ),
    ] = None,
    if_none_match: Annotated[
        str | None, Header(description="The `ETag` of the answer that you have.")
    ] = None,
) -> Any:
    """
    Return state, expected, returned and missing minions, and what they returned.

    With `wait` the answer comes when the job has ended, at the latest after so many seconds;
    silent minions are asked meanwhile whether they still run it. The answer about a job that has
    ended has an `ETag`, and is 304 to who has it.
    """
    names = _names(fields)
    job = await engine.jobs.get(session, jid)
    if wait:
        await engine.jobs.wait(session, job, wait)
    other = await engine.jobs.get(session, diff) if diff is not None else None
    sees_all = await engine.administrators.includes(session)
    asked = (request.url.query, request.state.media_type, sees_all)
    tag = parts.tag_of([job] if other is None else [job, other], *asked)
    headers = {} if tag is None else {"ETag": tag, "Cache-Control": "private, no-cache"}
    if parts.is_current(tag, if_none_match):
        return Response(status_code=304, headers=headers)
    whole = returns and other is None and (names is None or "returns" in names)
    shows_all = whole and not fold and names is None and job.size_bytes > STREAMED_FROM_BYTES
    if shows_all and request.state.media_type == formats.JSON_TYPE:
        found = await job_records.document(engine.jobs, session, job, returns=False, minion=minion)
        values = await Values.of(engine.jobs, session, job, whole=False)
        return streamed(found, shown_returns(values, job, minion), headers)
    found = await job_records.document(
        engine.jobs, session, job, returns=whole, fold=fold, minion=minion
    )
    if other is not None:
        pair = [(await Values.of(engine.jobs, session, j, whole=False), j) for j in (other, job)]
        found["diff"] = await parts.compared(pair[0], pair[1], minion)
    if names is not None:
        found = {name: value for name, value in found.items() if name in names}
    return await document(request, found, headers)


def _names(fields: str | None) -> set[str] | None:
    if fields is None:
        return None
    names = {name.strip() for name in fields.split(",") if name.strip()}
    known = {field.alias or name for name, field in models.Job.model_fields.items()}
    if unknown := sorted(names - known):
        raise InvalidField(
            f"{unknown[0]!r} is no field of a job; there are: {', '.join(sorted(known))}.",
            key="fields",
        )
    return names


@router.get(
    "/jobs/{jid}/events",
    operation_id="job_events",
    summary="What happens to one job",
    response_model=None,
    responses={
        200: {
            "description": "What has happened, and what goes on to happen until the summary.",
            "content": models.STREAM_CONTENT,
        },
        204: {"description": "There is nothing after the record of this id: the job has ended."},
        **NO_JOB,
    },
)
@of_a_job
@costs(STREAMS)
@streams
async def job_events(
    request: Request,
    engine: TheEngine,
    session: TheSession,
    jid: Jid,
    last_event_id: Annotated[
        str | None, Header(description="The `id` of the last record that you have.")
    ] = None,
    after: Annotated[
        str | None, Query(description="The same, where headers cannot be sent.")
    ] = None,
    progress: models.ProgressQuery = "none",
    fold: models.FoldQuery = False,
) -> Any:
    """
    Stream the records of a job: `job`, `return` for each minion, `progress`, `summary`.

    With `progress` also what comes of the states that minions run: of those that have not said so
    themselves, when they return.

    With the id of the last record, those returns come that were not sent before it: from any
    worker, and also after a restart.
    """
    media_type = formats.negotiate(request.headers.get("Accept"), STREAM_TYPES)
    job = await engine.jobs.get(session, jid)
    seen = cursors.read(last_event_id or after, job.base)
    if seen.ended and job_records.is_told(job, seen):
        return Response(status_code=204)
    records = job_records.records(
        engine.jobs, session, job, seen=seen, progress=progress, fold=fold
    )
    return stream(media_type, records)


@router.delete(
    "/jobs/{jid}",
    operation_id="end_job",
    summary="Terminate a job, then kill it",
    response_model=None,
    responses={
        200: described(models.EXAMPLE_ENDED, model=models.Ended),
        **NO_JOB,
        409: {"description": "The job runs in the master, which cannot end it."},
    },
)
@of_a_job
@costs(COMMANDS)
async def end_job(request: Request, engine: TheEngine, session: TheSession, jid: Jid) -> Any:
    """
    Let the minions that have not returned end the job.

    `saltutil.term_job` on all of them, and `saltutil.kill_job` where the job still runs after
    two seconds; you need permission for both. Of a change in stages no stage begins any more.
    """
    job = await engine.jobs.get(session, jid)
    if job.batch is not None:
        job, outcomes = await engine.batches.end(session, job)
    else:
        outcomes = await termination.end(engine.jobs, session, job)
    found = {"jid": jid, "state": str(job.state), "outcomes": outcomes}
    return await document(request, found)


@router.post(
    "/jobs/{jid}/rerun",
    operation_id="rerun_job",
    summary="Run a job again",
    response_model=None,
    responses={
        **models.RUN_RESPONSES,
        **NO_JOB,
        **KEY_RESPONSES,
        409: {
            "description": "What would run is shown, and has to be confirmed; no minion is chosen;"
            " it is no job of minions, or what it has run is not known; or the first request with"
            " this Idempotency-Key is not done or cannot be told of."
        },
    },
)
@of_a_job
@costs(COMMANDS)
@streams
async def rerun_job(
    request: Request,
    engine: TheEngine,
    caller: TheCaller,
    jid: Jid,
    body: models.Rerun,
    _key: KeyHeader = None,
) -> Any:
    """
    Run the same function with the same arguments again, as a new job; answers as `/v1/run`.

    Only what was recorded when the job was started here runs at once. What the event bus or the job
    cache alone says is shown first, with 409 and the code `confirmation_needed`: `command` is what
    would run, and with its `confirm` in the request's body it does.
    """

    async def prepare() -> Prepared:
        job = await engine.jobs.get(caller.known(), jid)
        recorded = await engine.jobs.is_recorded(job)
        chunk = rerun.chunk_for(job, body.minions)
        rerun.check_confirmed(job, body.minions, chunk, recorded=recorded, confirm=body.confirm)
        return await engine.runs.prepare(chunk, caller)

    return await run_once(request, body.model_dump(), caller.known(), prepare)


def _seconds(moment: datetime.datetime | None) -> float | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return moment.timestamp()
