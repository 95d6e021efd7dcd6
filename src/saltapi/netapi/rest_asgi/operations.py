"""Operations: `/livez`, `/readyz`, `/metrics`."""

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from saltapi.engine.monitoring import metrics
from saltapi.netapi._http import monitoring
from saltapi.netapi.rest_asgi.protection import costs
from saltapi.netapi.rest_asgi.requests import Peer, TheEngine, token_of
from saltapi.netapi.rest_asgi.route import described

router = APIRouter(tags=["operations"])


class Alive(BaseModel):
    """The process answers."""

    alive: bool = Field(description="Always true: the answer itself is what counts.")


class Checked(BaseModel):
    """One thing that was looked at."""

    ok: bool
    required: bool = Field(description="Whether the module is not ready without it.")
    details: dict[str, Any] = Field(description="Numbers that tell more.")


class Readiness(BaseModel):
    """Whether requests should come here."""

    ready: bool = Field(description="Whether everything that is required is well.")
    checks: dict[str, Checked]


CHECKS: dict[str, Any] = {
    "service": {"ok": True, "required": True, "details": {"stopping": False}},
    "master": {"ok": True, "required": True, "details": {}},
    "event_bus": {"ok": True, "required": True, "details": {"age_seconds": 3.127}},
    "function_workers": {"ok": True, "required": False, "details": {"workers": 1, "used": True}},
}
READY = {"ready": True, "checks": CHECKS}
MASTER_AWAY = {"ok": False, "required": True, "details": {}}
NOT_READY = {"ready": False, "checks": {**CHECKS, "master": MASTER_AWAY}}
METRICS_EXAMPLE = "# TYPE saltapi_listeners gauge\nsaltapi_listeners 2.0\n"


@router.get(
    "/livez",
    operation_id="livez",
    summary="Whether the process works",
    response_description="It does.",
    responses={200: described({"alive": True})},
)
@costs(None)
async def livez() -> Alive:
    """Answer, as long as the process's event loop turns. Needs no session."""
    return Alive(alive=True)


@router.get(
    "/readyz",
    operation_id="readyz",
    summary="Whether requests should come here",
    response_description="Everything that is required is well.",
    responses={
        200: described(READY),
        503: described(
            NOT_READY,
            model=Readiness,
            description="Something is not well, or the service stops.",
        ),
    },
)
@costs(None)
async def readyz(engine: TheEngine, response: Response) -> Readiness:
    """Look at the master, its event bus and the function workers. Needs no session."""
    response.status_code, value = await monitoring.readyz(engine)
    return Readiness.model_validate(value)


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Numbers for Prometheus",
    response_class=Response,
    response_description="The numbers of all processes of the module, in Prometheus' text format.",
    responses={200: described(METRICS_EXAMPLE, "text/plain", text=True)},
)
@costs(None)
async def read_metrics(request: Request, engine: TheEngine, peer: Peer) -> Response:
    """Return the numbers. Needs a session unless the config lets the address in without one."""
    text = await monitoring.metrics_text(engine, token_of(request), peer)
    return Response(text, headers={"Content-Type": metrics.CONTENT_TYPE})
