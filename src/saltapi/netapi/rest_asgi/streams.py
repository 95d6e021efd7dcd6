"""Responses that go on: a body that is sent part by part to a client that may not read it."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from saltapi.engine.events.encodings import Encoding, Writer
from saltapi.engine.events.streams import EventStream
from saltapi.netapi._http import answers, sockets
from saltapi.netapi._http.event_stream import serve_events

log = logging.getLogger(__name__)

ABORT = "saltapi.abort"
"""Our server's ASGI extension: ends the connection at once, whatever has not been read."""
FRAMES = "saltapi.frames"
"""Our server's ASGI extension: a message with bytes under this name sends them as they are. They
are frames of a WebSocket, made once for all listeners."""
STREAM_TYPES = ("text/event-stream", "application/x-ndjson")
LAST_SECONDS = 2.0
"""How long the end of a body may take when the client does not read."""


class Body:
    """The body of a response; what `saltapi.netapi._http.event_stream` needs of a connection."""

    def __init__(self, receive: Receive, send: Send) -> None:
        """
        Args:
            receive: Tells when the client leaves; the request's body has been read.
            send: Sends; the head of the response has been sent.
        """
        self._receive = receive
        self._send = send

    async def write(self, data: bytes) -> None:
        """
        Return when the server has taken *data*.

        Raises:
            TimeoutError: The client took nothing for `WRITE_TIMEOUT_SECONDS`.
        """
        async with asyncio.timeout(sockets.WRITE_TIMEOUT_SECONDS):
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def drop_input(self) -> None:
        """Return when the client has gone."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def close(self) -> None:
        """Do nothing: the connection is the server's."""


class StreamResponse(Response):
    """A response with a body that goes on until it ends or the client leaves."""

    def __init__(
        self,
        serve: Callable[[Body], Awaitable[None]],
        *,
        headers: Mapping[str, str],
        let_go: Callable[[], Awaitable[None]],
    ) -> None:
        """
        Args:
            serve: Sends the body; returns also when the client has gone.
            headers: The headers, with Content-Type.
            let_go: Called at the end in any case, also if *serve* could not begin; idempotent.
        """
        super().__init__(None, headers=dict(headers))
        del self.headers["Content-Length"]
        self._serve = serve
        self._let_go = let_go

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send head and body; a client that does not read the end of it is cut off."""
        head = {"type": "http.response.start", "status": self.status_code}
        try:
            await send({**head, "headers": self.raw_headers})
            await self._serve(Body(receive, send))
        finally:
            await self._let_go()
        try:
            async with asyncio.timeout(LAST_SECONDS):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            abort(scope)


def stream_response(
    stream: EventStream, encoding: Encoding, *, gzip: bool = False, resumed: bool
) -> StreamResponse:
    """
    Return the response that sends the events of *stream*, and closes it.

    Args:
        stream: The events.
        encoding: How to write them.
        gzip: Whether the body is compressed.
        resumed: Whether the client goes on with a stream that it had before.
    """
    headers = stream_headers(encoding) | ({"Content-Encoding": "gzip"} if gzip else {})
    writer = Writer(encoding, gzip=gzip)
    return StreamResponse(
        lambda body: serve_events(stream, body, writer, resumed=resumed),
        headers=headers,
        let_go=stream.aclose,
    )


def stream_headers(encoding: Encoding) -> dict[str, str]:
    """Return the headers of a stream in this encoding; `Connection` is the server's affair."""
    headers = {"Content-Type": encoding.media_type, **answers.STREAM_HEADERS}
    del headers["Connection"]
    return headers


def abort(scope: Scope) -> None:
    """End the connection of *scope* now, where the server lets us."""
    extension = (scope.get("extensions") or {}).get(ABORT)
    if extension is not None:
        with contextlib.suppress(OSError):
            extension["abort"]()
