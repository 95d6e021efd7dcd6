"""Starting a run for a request, once if it has an idempotency key."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request
from starlette.responses import Response

from saltapi.config import RestAsgiConfig
from saltapi.engine.engine import Engine
from saltapi.engine.operations.runs import Prepared
from saltapi.netapi.rest_asgi import keys
from saltapi.netapi.rest_asgi.record_streams import AS_EVER, Telling, run_answer
from saltapi.types import Session


async def run_once(
    request: Request,
    body: Any,
    session: Session,
    prepare: Callable[[], Awaitable[Prepared]],
    how: Telling = AS_EVER,
) -> Response:
    """
    Answer with the run that *prepare* makes ready, or the one that a request before has started.

    Args:
        request: The request.
        body: Its decoded body.
        session: Who asks.
        prepare: Checks what is to be run; called unless it has run before.
        how: What the client wants to be told.
    """
    engine: Engine[RestAsgiConfig] = request.app.state.engine
    key = keys.keyed(request, body)
    if key is None:
        return await run_answer(request, await engine.runs.start(await prepare()), how)
    run = await engine.replays.find(key, session)
    if run is None:
        run = await engine.replays.start(key, await prepare())
    return keys.mark(await run_answer(request, run, how), key)
