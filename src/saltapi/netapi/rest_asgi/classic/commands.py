"""`/`, `/run`: commands."""

from typing import Any

from fastapi import Request, Response

from saltapi.engine.sessions.caller import Caller
from saltapi.netapi._http.answers import flattened, welcome
from saltapi.netapi.rest_asgi import keys
from saltapi.netapi.rest_asgi.classic import documents
from saltapi.netapi.rest_asgi.classic.route import Operation, answered, caller_alone
from saltapi.netapi.rest_asgi.keys import KeyHeader
from saltapi.netapi.rest_asgi.protection import COMMANDS, READS
from saltapi.netapi.rest_asgi.requests import decoded_body, engine_of, stranger_of


async def show_welcome(request: Request) -> Response:
    """Say which clients are enabled."""
    return await answered(request, welcome(engine_of(request).config.netapi_enable_clients))


async def run_with_session(request: Request, _key: KeyHeader = None) -> Response:
    """
    Run a lowstate.

    Commands run as the session's user, whatever credentials they carry. The answer has one result
    for each chunk, in order, and one for each minion of a `local_batch`.
    """
    _, caller = await caller_alone(request)
    return await _run(request, caller)


async def run_with_credentials(request: Request, _key: KeyHeader = None) -> Response:
    """
    Run a lowstate with credentials in each chunk.

    A chunk has `username`, `password` and `eauth`, or `token`; for one that has nothing of it the
    token of the header `Authorization: Bearer` counts. The cookie is not looked at.
    """
    return await _run(request, stranger_of(request))


async def show_run(request: Request) -> Response:
    """Say which clients are enabled."""
    return await show_welcome(request)


async def _run(request: Request, caller: Caller) -> Response:
    body = await decoded_body(request)
    key = keys.keyed(request, body)
    results = await engine_of(request).api.run(body, caller, keyed=key)
    return keys.mark(await answered(request, {"return": flattened(body, results)}), key)


_RUNS: dict[str, Any] = {
    "answer": "One result for each chunk.",
    "content": documents.RESULTS,
    "responses": keys.KEY_RESPONSES,
}

ROOT = [
    Operation("GET", show_welcome, READS, content=documents.WELCOME, answer="Welcome."),
    Operation("POST", run_with_session, COMMANDS, session=True, body=documents.LOWSTATE, **_RUNS),
]
RUN = [
    Operation("GET", show_run, READS, content=documents.WELCOME, answer="Welcome."),
    Operation(
        "POST", run_with_credentials, COMMANDS, body=documents.LOWSTATE_WITH_CREDENTIALS, **_RUNS
    ),
]
