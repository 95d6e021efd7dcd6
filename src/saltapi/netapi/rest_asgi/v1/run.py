"""`POST /v1/run`: commands, with results as they come."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from saltapi.engine.operations.dry_runs import as_dry_run
from saltapi.engine.operations.runs import Prepared
from saltapi.netapi.rest_asgi.keys import KEY_RESPONSES, KeyHeader
from saltapi.netapi.rest_asgi.protection import COMMANDS, costs
from saltapi.netapi.rest_asgi.record_streams import Telling
from saltapi.netapi.rest_asgi.requests import TheCaller, TheEngine
from saltapi.netapi.rest_asgi.route import Route, streams
from saltapi.netapi.rest_asgi.run_once import run_once
from saltapi.netapi.rest_asgi.v1 import job_models as models
from saltapi.netapi.rest_asgi.v1.lowstates import LowstateBody

router = APIRouter(tags=["run"], route_class=Route)


@router.post(
    "/run",
    operation_id="run",
    summary="Run commands",
    response_model=None,
    responses={**models.RUN_RESPONSES, **KEY_RESPONSES},
)
@costs(COMMANDS)
@streams
async def run(
    request: Request,
    engine: TheEngine,
    caller: TheCaller,
    lowstate: LowstateBody,
    dry_run: Annotated[
        bool,
        Query(description="Only say what states would change; chunks that cannot are refused."),
    ] = False,
    progress: models.ProgressQuery = "none",
    fold: models.FoldQuery = False,
    _key: KeyHeader = None,
) -> Any:
    """
    Run a lowstate: every chunk is checked before the first one runs.

    As `text/event-stream` or `application/x-ndjson` the answer is one record for each thing that
    happens: `job`, `return`, `progress`, `summary`, `error`. Else it is one document, when all
    is done. The jobs go on if the client goes away; they are at the URL in `Location`.

    With `progress` a stream also tells of the states that minions run: minions are asked to say
    when each is done (`state_events`), and there is a record `state` for each, or now and then
    `counts`.
    """

    async def prepare() -> Prepared:
        wanted = as_dry_run(lowstate) if dry_run else lowstate
        return await engine.runs.prepare(wanted, caller, progress=progress)

    return await run_once(request, lowstate, caller.known(), prepare, Telling(progress, fold))
