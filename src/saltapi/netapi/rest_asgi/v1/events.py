"""`/v1/events`: the master's event bus, as far as the user may see it."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, WebSocket
from pydantic import Field
from starlette.responses import Response

from saltapi import formats
from saltapi.engine.events.encodings import NDJSON, SSE
from saltapi.netapi.rest_asgi.protection import READS, STREAMS, costs
from saltapi.netapi.rest_asgi.record_streams import document
from saltapi.netapi.rest_asgi.requests import TheCaller, TheEngine, TheSession, caller_of
from saltapi.netapi.rest_asgi.route import Model, Route, described, stream_content, streams
from saltapi.netapi.rest_asgi.streams import stream_response
from saltapi.netapi.rest_asgi.websockets import send_records

router = APIRouter(tags=["events"], route_class=Route)

TAGS_LIMIT = 50
TAG_CHARACTERS = 256
ID_CHARACTERS = 255
ENCODINGS = {encoding.media_type: encoding for encoding in (SSE, NDJSON)}
EXAMPLE_TICKET = "9d5c" * 16
EXAMPLE_ID = "64447f6a41c3b-9e107d9d-1f2e3d4c-208"
EXAMPLE_TAG = "salt/minion/minion-1/start"
EXAMPLE_DATA = '{"id": "minion-1", "cmd": "_minion_event"}'
EXAMPLE_SSE = f"""\
retry: 400

id: 64447f6a0b2f1-1f2e3d4c-207

id: {EXAMPLE_ID}
tag: {EXAMPLE_TAG}
data: {{"data": {EXAMPLE_DATA}, "tag": "{EXAMPLE_TAG}"}}

"""
EXAMPLE_NDJSON = (
    f'{{"type": "event", "id": "{EXAMPLE_ID}", "data": {EXAMPLE_DATA}, "tag": "{EXAMPLE_TAG}"}}\n'
)

Tags = Annotated[
    list[Annotated[str, Field(max_length=TAG_CHARACTERS)]],
    Query(
        alias="tag",
        max_length=TAGS_LIMIT,
        description="Only events whose tag matches this shell pattern; several: any of them.",
        examples=[["salt/job/*/ret/*"]],
    ),
]
Since = Annotated[
    str | None,
    Query(
        max_length=ID_CHARACTERS,
        description="The `id` of the last record that you have; the header goes before it.",
    ),
]


CursorOfEvents = Annotated[
    str | None,
    Query(
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="A durable cursor: go on behind what was acknowledged last"
        " (`/v1/events/cursors/{name}/ack`); it is made if there is none.",
        examples=["inventory"],
    ),
]
AckWait = Annotated[
    float,
    Query(
        ge=1,
        le=3600,
        description="With a cursor: after how many seconds what was not acknowledged comes again.",
    ),
]


class Ticket(Model):
    """A way into one stream without a header."""

    ticket: str = Field(description="Send it as the query parameter `ticket`, once.")
    expires: float = Field(description="When it expires, in epoch seconds.")
    url: str = Field(description="The stream of events with the ticket, on this host.")


@router.get(
    "/events",
    operation_id="events",
    summary="What happens on the master",
    response_model=None,
    responses={
        200: {
            "description": "The events, for as long as the session lasts.",
            "content": stream_content(
                "BusRecord", {SSE.media_type: EXAMPLE_SSE, NDJSON.media_type: EXAMPLE_NDJSON}
            ),
        },
        404: {"description": "There is no event log, which a cursor needs."},
    },
)
@costs(STREAMS)
@streams
async def events(
    request: Request,
    engine: TheEngine,
    caller: TheCaller,
    tags: Tags = [],  # noqa: B006 - FastAPI copies it
    since: Since = None,
    last_event_id: Annotated[
        str | None,
        Header(max_length=ID_CHARACTERS, description="As `since`; browsers send it by themselves."),
    ] = None,
    cursor: CursorOfEvents = None,
    ack_wait: AckWait = 30,
    _ticket: Annotated[
        str | None,
        Query(alias="ticket", description="From `POST /v1/events/ticket`, in place of a token."),
    ] = None,
) -> Response:
    """
    Stream the events that you may see (`event_acl`).

    With the id of the last record that you have, what came since is sent first, from any worker;
    where it is gone there is a record `gap` in its place. A record `end` says why a stream ends.
    The same URL also speaks WebSocket: one JSON message for each record.
    """
    encoding = ENCODINGS[formats.negotiate(request.headers.get("Accept"), tuple(ENCODINGS))]
    gzip = formats.quality(request.headers.get("Accept-Encoding", ""), "gzip") > 0
    if request.scope.get("saltapi.head"):
        return Response(headers={"Content-Type": encoding.media_type})
    seen = last_event_id or since or None
    if cursor is None:
        stream = await engine.api.listen(caller, since=seen, tags=tags)
    else:
        stream = await engine.event_cursors.listen(
            caller, cursor, tags=tags, since=seen, ack_wait=ack_wait
        )
    resumed = seen is not None or cursor is not None
    return stream_response(stream, encoding, gzip=gzip, resumed=resumed)


@router.websocket("/events")
@costs(STREAMS)
async def events_websocket(
    socket: WebSocket,
    engine: TheEngine,
    tags: Tags = [],  # noqa: B006 - FastAPI copies it
    since: Since = None,
) -> None:
    """Send the events that the session may see, each record as one JSON message."""
    seen = socket.headers.get("Last-Event-ID") or since or None
    stream = await engine.api.listen(await caller_of(socket), since=seen, tags=tags)
    await send_records(socket, stream, resumed=seen is not None)


@router.post(
    "/events/ticket",
    operation_id="make_event_ticket",
    summary="A ticket for one stream, where headers cannot be sent",
    response_model=None,
    responses={
        200: described(
            {
                "ticket": EXAMPLE_TICKET,
                "expires": 1795457322.5,
                "url": f"/v1/events?ticket={EXAMPLE_TICKET}",
            },
            model=Ticket,
        )
    },
)
@costs(READS)
async def make_event_ticket(request: Request, engine: TheEngine, session: TheSession) -> Any:
    """
    Make a ticket: good once within 30 seconds, at any URL of the module that is a stream.

    A browser's `EventSource` and `WebSocket` cannot send the token in a header; a token in a URL
    would be in logs and histories for as long as it lives.
    """
    ticket, expire = await engine.tickets.make(session)
    root = request.scope.get("saltapi.base", "")
    found = {"ticket": ticket, "expires": expire, "url": f"{root}/v1/events?ticket={ticket}"}
    return await document(request, found, {"Cache-Control": "no-store"})
