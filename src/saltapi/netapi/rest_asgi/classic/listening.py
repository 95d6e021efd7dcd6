"""`/events` and `/ws`: what happens, as it happens."""

from typing import Annotated, Any, NoReturn

from fastapi import Path, Query, Request, Response, WebSocket
from starlette.requests import HTTPConnection

from saltapi import errors
from saltapi.engine.events.encodings import CLASSIC, CLASSIC_IDS
from saltapi.engine.events.streams import EventStream, LiveViewStream
from saltapi.netapi._http.answers import listener_token
from saltapi.netapi.rest_asgi.classic import documents
from saltapi.netapi.rest_asgi.classic.route import Operation, parameters, raw
from saltapi.netapi.rest_asgi.protection import STREAMS, costs
from saltapi.netapi.rest_asgi.requests import engine_of, identify, token_of
from saltapi.netapi.rest_asgi.streams import stream_headers, stream_response
from saltapi.netapi.rest_asgi.websockets import converse

TokenInPath = Annotated[str, Path(description="The token, where a client can send no header.")]
TokenInQuery = Annotated[str, Query(description="The same as in the path.")]
Since = Annotated[
    str | None,
    Query(description="Events get ids, and those after this one are sent first, if it is one."),
]

LISTENER_PARAMETERS = frozenset({"token", "salt_token"})


@raw
async def listen(
    request: Request,
    since: Since = None,
    token: TokenInQuery = "",
    salt_token: TokenInQuery = "",
) -> Response:
    """
    Send every event that the user may see, from now on, as server-sent events.

    With `since`, or the header `Last-Event-ID`, each event has an id, and what came after that id
    is sent first; with an empty id they begin now.
    """
    return await _events(request, since, token, salt_token)


@raw
async def listen_below(request: Request, token: TokenInPath, since: Since = None) -> Response:
    """Send every event that the user may see; the same as without a token in the path."""
    return await _events(request, since, token)


async def _events(request: Request, since: str | None, *in_url: str) -> Response:
    _check_parameters(request, {"since"})
    token = _listener_token(request, *in_url)
    since = request.headers.get("Last-Event-ID", since)
    caller = await identify(request, token)
    if request.scope.get("saltapi.head"):
        return Response(b"", headers=stream_headers(CLASSIC))
    stream = await engine_of(request).api.listen(caller, since=since or None)
    return stream_response(stream, CLASSIC if since is None else CLASSIC_IDS, resumed=True)


@raw
async def open_websocket(request: Request) -> Response:
    """
    Open a WebSocket.

    The client says `websocket client ready`, and gets each event as a message. With
    `format_events` it gets jobs and minions as they change.
    """
    _refuse(request)


@raw
async def open_websocket_below(request: Request, token: TokenInPath) -> Response:
    """Open a WebSocket; the same as without a token in the path."""
    del token
    _refuse(request)


def _refuse(request: Request) -> NoReturn:
    """Answer what asks for a WebSocket without a handshake."""
    if request.scope.get("saltapi.head"):
        raise errors.MethodNotAllowed("A WebSocket is opened with GET.")
    raise errors.UpgradeRequired("This URL speaks WebSocket: connect with a WebSocket client.")


@costs(STREAMS)
async def websocket(connection: WebSocket) -> None:
    """Send events, or with `format_events` the view of jobs and minions."""
    given = _check_parameters(connection, {"format_events"})
    in_url = [connection.path_params.get("token"), given.get("token"), given.get("salt_token")]
    caller = await identify(connection, _listener_token(connection, *in_url))
    api = engine_of(connection).api
    stream: EventStream | LiveViewStream
    if "format_events" in given:
        stream = await api.view(caller)
    else:
        stream = await api.listen(caller)
    await converse(connection, stream)


def _check_parameters(connection: HTTPConnection, more: set[str]) -> dict[str, str]:
    """
    Return the parameters in the URL.

    Raises:
        BadRequest: There is one that is not known here.
    """
    given = parameters(connection)
    unknown = set(given) - LISTENER_PARAMETERS - more
    if unknown:
        raise errors.BadRequest(f"Unknown parameter {min(unknown)!r} in the URL.")
    return given


def _listener_token(connection: HTTPConnection, *in_url: str | None) -> str:
    return listener_token(engine_of(connection).section, token_of(connection), *in_url)


_EVENTS: dict[str, Any] = {
    "tag": "events",
    "session": True,
    "answer": "A stream that does not end.",
    "content": documents.EVENTS,
}
_OPENS: dict[str, Any] = {
    "tag": "events",
    "session": True,
    "status": 101,
    "answer": "The WebSocket is open.",
    "responses": {426: documents.NO_HANDSHAKE},
}

EVENTS = [
    Operation("GET", listen, STREAMS, **_EVENTS),
    Operation("GET", listen_below, STREAMS, "/{token:segment}", **_EVENTS),
]
WEBSOCKET = [
    Operation("GET", open_websocket, STREAMS, **_OPENS),
    Operation("GET", open_websocket_below, STREAMS, "/{token:segment}", **_OPENS),
]
