"""`/minions`, `/jobs`, `/keys`: what there is."""

from typing import Annotated, Any

from fastapi import Path, Query, Request, Response

from saltapi.netapi._http.answers import key_archive, one_job, started_jobs
from saltapi.netapi.rest_asgi import keys
from saltapi.netapi.rest_asgi.classic import documents
from saltapi.netapi.rest_asgi.classic.route import Operation, answered, caller_alone
from saltapi.netapi.rest_asgi.elsewhere import from_elsewhere
from saltapi.netapi.rest_asgi.keys import KeyHeader
from saltapi.netapi.rest_asgi.protection import COMMANDS, READS
from saltapi.netapi.rest_asgi.requests import decoded_body, engine_of, stranger_of

MinionInPath = Annotated[str, Path(description="A minion id, or a glob.")]
MinionInQuery = Annotated[str | None, Query(description="The same as in the path.")]
JobInPath = Annotated[str, Path(description="The id of a job.")]
JobInQuery = Annotated[str | None, Query(description="The same as in the path.")]
NotUsed = Annotated[str, Query(description="Taken and not used, as in Salt's module.")]


async def list_minions(request: Request, mid: MinionInQuery = None) -> Response:
    """Show the grains of all minions."""
    return await _minions(request, mid)


async def show_minion(request: Request, mid: MinionInPath) -> Response:
    """Show the grains of a minion."""
    return await _minions(request, mid)


async def _minions(request: Request, mid: str | None) -> Response:
    api, caller = await caller_alone(request)
    found = await api.minions(mid, caller)
    return await answered(request, {"return": [found]})


async def start_jobs(request: Request, _key: KeyHeader = None) -> Response:
    """
    Start jobs and answer at once.

    Every chunk runs as `local_async`, whatever client it names.
    """
    return await _start(request)


async def start_jobs_below(request: Request, mid: MinionInPath, _key: KeyHeader = None) -> Response:
    """
    Start jobs and answer at once.

    The minion in the path is not looked at, as in Salt's module: chunks say who is meant.
    """
    del mid
    return await _start(request)


async def _start(request: Request) -> Response:
    api, caller = await caller_alone(request)
    body = await decoded_body(request)
    key = keys.keyed(request, body)
    jobs = await api.start(body, caller, keyed=key)
    found = started_jobs(jobs, request.scope["saltapi.base"])
    return keys.mark(await answered(request, found, 202), key)


async def list_cached_jobs(
    request: Request, jid: JobInQuery = None, timeout: NotUsed = ""
) -> Response:
    """List the jobs in the master's job cache."""
    del timeout
    api, caller = await caller_alone(request)
    if jid is not None:
        return await _job(request, jid)
    return await answered(request, {"return": [await api.jobs(caller)]})


async def show_cached_job(request: Request, jid: JobInPath, timeout: NotUsed = "") -> Response:
    """Show a job and what its minions returned."""
    del timeout
    return await _job(request, jid)


async def _job(request: Request, jid: str) -> Response:
    api, caller = await caller_alone(request)
    answer = await from_elsewhere(request, "show_cached_job", jid)
    if answer is not None:
        return answer
    return await answered(request, one_job(await api.job(jid, caller)))


async def list_keys(request: Request, mid: MinionInQuery = None) -> Response:
    """List the names of the minions' keys by their state."""
    if mid is not None:
        return await show_key(request, mid)
    api, caller = await caller_alone(request)
    return await answered(request, {"return": await api.keys(caller)})


async def show_key(request: Request, mid: MinionInPath) -> Response:
    """Show the fingerprints of a minion's keys."""
    api, caller = await caller_alone(request)
    return await answered(request, {"return": await api.key(mid, caller)})


async def make_key(request: Request) -> Response:
    """
    Make and accept a key pair for a minion.

    The body has `mid`, perhaps `keysize` and `force`, and a token or credentials beside them.
    """
    body = await decoded_body(request)
    pair = await engine_of(request).api.make_key(body, stranger_of(request))
    headers, archive = key_archive(*pair)
    return Response(archive, headers=headers)


_GRAINS: dict[str, Any] = {
    "session": True,
    "answer": "The grains by minion.",
    "content": documents.GRAINS,
}
_STARTED: dict[str, Any] = {
    "session": True,
    "status": 202,
    "body": documents.JOBS_BODY,
    "answer": "The jobs, and links to them.",
    "content": documents.STARTED,
    "responses": keys.KEY_RESPONSES,
}
_JOBS: dict[str, Any] = {"answer": "Jobs by id.", "content": documents.JOBS}
_JOB: dict[str, Any] = {
    "answer": "What the job cache has, and the returns alone.",
    "content": documents.JOB,
}
_NAMES: dict[str, Any] = {"answer": "Names by state.", "content": documents.KEYS}
_FINGERPRINTS: dict[str, Any] = {
    "answer": "Fingerprints by state and minion.",
    "content": documents.FINGERPRINTS,
}
_MADE: dict[str, Any] = {
    "body": documents.KEY_REQUEST,
    "answer": "A tar archive with the key pair.",
    "content": documents.ARCHIVE,
    "responses": {409: documents.KEY_EXISTS},
}

MINIONS = [
    Operation("GET", list_minions, COMMANDS, **_GRAINS),
    Operation("GET", show_minion, COMMANDS, "/{mid:segment}", **_GRAINS),
    Operation("POST", start_jobs, COMMANDS, **_STARTED),
    Operation("POST", start_jobs_below, COMMANDS, "/{mid:segment}", **_STARTED),
]
JOBS = [
    Operation("GET", list_cached_jobs, READS, session=True, **_JOBS),
    Operation("GET", show_cached_job, READS, "/{jid:segment}", session=True, **_JOB),
]
KEYS = [
    Operation("GET", list_keys, READS, session=True, **_NAMES),
    Operation("GET", show_key, READS, "/{mid:segment}", session=True, **_FINGERPRINTS),
    Operation("POST", make_key, COMMANDS, **_MADE),
]
