"""`/v1/events/cursors`: how far consumers of events have got."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import ConfigDict, Field

from saltapi.engine.events.durable import DurableCursor
from saltapi.engine.jobs.times import time_text
from saltapi.netapi.rest_asgi.protection import READS, costs
from saltapi.netapi.rest_asgi.requests import TheCaller, TheEngine
from saltapi.netapi.rest_asgi.route import Model, Route, described

router = APIRouter(tags=["events"], route_class=Route)

ID_CHARACTERS = 255
CursorName = Annotated[
    str,
    Path(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="The cursor.", examples=["inventory"]),
]
NOT_YOURS: dict[int | str, dict[str, Any]] = {
    404: {"description": "You have no such cursor, or there is no event log."},
}
EXAMPLE: dict[str, Any] = {
    "name": "inventory",
    "user": "ops",
    "eauth": "pam",
    "id": "64447f6a41c3b-9e107d9d372bb682-1f2e3d4c8c736521-208.1f2e3d4c-1a2-0-8c736521",
    "made": "2026-11-23T18:08:12.345Z",
    "used": "2026-11-23T19:08:12.345Z",
}


class EventCursor(Model):
    """A durable cursor."""

    name: str
    user: str
    eauth: str
    id: str = Field(description="The last event that was acknowledged, or where it began.")
    made: str | None
    used: str | None = Field(description="When something was acknowledged, or a stream began.")


class EventCursorList(Model):
    """Durable cursors."""

    cursors: list[EventCursor]


class Acknowledgement(Model):
    """How far a consumer has got."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"id": EXAMPLE["id"]}]})

    id: str = Field(
        max_length=ID_CHARACTERS,
        description="The `id` of a record: it and all before it have been dealt with.",
    )


class ForgottenCursor(Model):
    """What was forgotten."""

    name: str


def _shown(cursor: DurableCursor) -> EventCursor:
    return EventCursor(
        name=cursor.name,
        user=cursor.user,
        eauth=cursor.eauth,
        id=cursor.id,
        made=time_text(cursor.made),
        used=time_text(cursor.used),
    )


@router.get(
    "/events/cursors",
    operation_id="list_event_cursors",
    summary="Your durable cursors",
    response_model=EventCursorList,
    responses={
        200: described({"cursors": [EXAMPLE]}),
        404: {"description": "There is no event log."},
    },
)
@costs(READS)
async def list_event_cursors(engine: TheEngine, caller: TheCaller) -> EventCursorList:
    """List your cursors; administrators see everybody's."""
    found = await engine.event_cursors.list(caller)
    return EventCursorList(cursors=[_shown(cursor) for cursor in found])


@router.post(
    "/events/cursors/{name}/ack",
    operation_id="acknowledge_events",
    summary="Say how far you have got",
    response_model=EventCursor,
    responses={200: described(EXAMPLE), **NOT_YOURS},
)
@costs(READS)
async def acknowledge_events(
    engine: TheEngine, caller: TheCaller, name: CursorName, done: Acknowledgement
) -> EventCursor:
    """
    Acknowledge a record of the stream of `GET /v1/events?cursor=…`, and all before it.

    What is not acknowledged within `ack_wait` seconds is sent again, and all of it to whoever
    comes back with the cursor, at any door.
    """
    return _shown(await engine.event_cursors.acknowledge(caller, name, done.id))


@router.delete(
    "/events/cursors/{name}",
    operation_id="delete_event_cursor",
    summary="Forget a durable cursor",
    response_model=ForgottenCursor,
    responses={200: described({"name": "inventory"}), **NOT_YOURS},
)
@costs(READS)
async def delete_event_cursor(
    engine: TheEngine, caller: TheCaller, name: CursorName
) -> ForgottenCursor:
    """Forget a cursor of yours; whoever reads with it is ended."""
    await engine.event_cursors.remove(caller, name)
    return ForgottenCursor(name=name)
