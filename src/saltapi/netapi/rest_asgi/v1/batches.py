"""`POST /v1/jobs/<jid>/pause`, `/resume` and `/stop`: changes in stages."""

from typing import Any

from fastapi import APIRouter, Request

from saltapi.engine.batches.kept import Order
from saltapi.engine.engine import Engine
from saltapi.engine.jobs import records as job_records
from saltapi.netapi.rest_asgi.protection import COMMANDS, costs
from saltapi.netapi.rest_asgi.record_streams import document
from saltapi.netapi.rest_asgi.requests import TheEngine, TheSession
from saltapi.netapi.rest_asgi.route import Route, described
from saltapi.netapi.rest_asgi.v1 import job_models as models
from saltapi.netapi.rest_asgi.v1.jobs import NO_JOB, Jid
from saltapi.types import Session

router = APIRouter(tags=["jobs"], route_class=Route)

RESPONSES: dict[int | str, dict[str, Any]] = {
    200: described(models.EXAMPLE_BATCH, model=models.Job),
    403: {"description": "The change is another user's."},
    **NO_JOB,
    409: {
        "description": "It does not run in stages, it has ended, or it can go on only with a"
        " session of its user."
    },
}


@router.post(
    "/jobs/{jid}/pause",
    operation_id="pause_job",
    summary="Let no stage of a change begin for now",
    response_model=None,
    responses=RESPONSES,
)
@costs(COMMANDS)
async def pause(request: Request, engine: TheEngine, session: TheSession, jid: Jid) -> Any:
    """Pause a change after the stage that runs; it waits for `resume` or `stop`, seven days."""
    return await _ordered(request, engine, session, jid, "pause")


@router.post(
    "/jobs/{jid}/resume",
    operation_id="resume_job",
    summary="Go on with a change",
    response_model=None,
    responses=RESPONSES,
)
@costs(COMMANDS)
async def resume(request: Request, engine: TheEngine, session: TheSession, jid: Jid) -> Any:
    """
    Let a paused change go on, with this session if it is of whoever has begun the change.

    So it also goes on where the session before has expired.
    """
    return await _ordered(request, engine, session, jid, "resume")


@router.post(
    "/jobs/{jid}/stop",
    operation_id="stop_job",
    summary="Let no stage of a change begin any more",
    response_model=None,
    responses=RESPONSES,
)
@costs(COMMANDS)
async def stop(request: Request, engine: TheEngine, session: TheSession, jid: Jid) -> Any:
    """Leave out the stages that have not begun; the one that runs goes on to its end."""
    return await _ordered(request, engine, session, jid, "stop")


async def _ordered(
    request: Request, engine: Engine[Any], session: Session, jid: str, order: Order
) -> Any:
    job = await engine.batches.order(session, jid, order)
    return await document(request, await job_records.document(engine.jobs, session, job))
