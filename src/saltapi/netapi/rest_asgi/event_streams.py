"""Streams of events to clients of `/v1`: bodies that go on, and WebSockets."""

import asyncio
import contextlib
import logging
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from saltapi.engine.events.encodings import MESSAGES, Encoding, Writer
from saltapi.engine.events.streams import HEARTBEAT_SECONDS, EventStream, StreamEnded
from saltapi.netapi._http import answers
from saltapi.netapi._http.websockets import CLOSE_SECONDS, farewell, text_frame
from saltapi.netapi.rest_asgi.streams import Body, StreamResponse, abort
from saltapi.netapi.rest_asgi.websockets import send_frames

log = logging.getLogger(__name__)

FAREWELL_SECONDS = 2.0
"""How long the end of a stream may take when the client does not read."""
FRAMED = "message-frame"
GZIP_HEADERS = {"Content-Encoding": "gzip"}


def stream_response(
    stream: EventStream,
    form: Encoding,
    *,
    gzip: bool,
    resumed: bool,
) -> StreamResponse:
    """
    Return the response that sends the events of *stream*, and closes it.

    Args:
        stream: The events.
        form: How to write them.
        gzip: Whether the body is compressed.
        resumed: Whether the client goes on with a stream that it had before.
    """
    headers = {**answers.STREAM_HEADERS, "Content-Type": form.media_type}
    del headers["Connection"]

    async def serve(body: Body) -> None:
        writer = Writer(form, gzip=gzip)
        await serve_body(stream, body, writer, resumed=resumed)

    return StreamResponse(
        serve, headers={**headers, **(GZIP_HEADERS if gzip else {})}, let_go=stream.aclose
    )


async def serve_body(stream: EventStream, body: Body, writer: Writer, *, resumed: bool) -> None:
    """
    Send the events of *stream* until it ends or the client leaves; the stream is closed then.

    Args:
        stream: The events.
        body: Where to.
        writer: Makes bytes of them.
        resumed: Whether the client goes on with a stream that it had before.
    """
    async with stream:
        sending = asyncio.create_task(_send(stream, body, writer, resumed=resumed))
        leaving = asyncio.create_task(body.drop_input())
        await _until_over(stream, sending, leaving)


async def _send(stream: EventStream, body: Body, writer: Writer, *, resumed: bool) -> None:
    try:
        await body.write(writer.start(None if resumed else stream.position()))
        try:
            while True:
                records = await stream.take_or_heartbeat(HEARTBEAT_SECONDS)
                if not records:
                    await body.write(writer.heartbeat(stream.position()))
                for data in writer.records(records):
                    await body.write(data)
                await stream.gather()
        except StreamEnded as ended:
            log.info("A stream of %s has ended: %s", stream.session.name, ended)
            await body.write(writer.end(ended) + writer.last())
    except OSError as error:
        log.info("A listener of %s is gone: %s", stream.session.name, error)


async def _until_over(
    stream: EventStream, sending: asyncio.Task[None], leaving: asyncio.Task[None]
) -> None:
    """Return when the client has left, or the stream has ended and that has been sent."""
    both: set[asyncio.Future[None]] = {sending, leaving}
    watched: set[asyncio.Future[Any]] = {*both, stream.ended}
    try:
        first = asyncio.FIRST_COMPLETED
        await asyncio.wait(watched, return_when=first)
        if stream.ended.done():
            await asyncio.wait(both, timeout=FAREWELL_SECONDS, return_when=first)
    finally:
        for task in both:
            task.cancel()
        await asyncio.wait(both)
    for task in both:
        if not task.cancelled():
            task.result()


async def serve_websocket(stream: EventStream, socket: WebSocket, *, resumed: bool) -> None:
    """
    Send each record of *stream* as a message until it ends or the client leaves; closes both.

    Args:
        stream: The events.
        socket: The WebSocket, accepted. What the client sends is passed over.
        resumed: Whether the client goes on with a stream that it had before.
    """
    async with stream:
        sending = asyncio.create_task(_send_messages(stream, socket, resumed=resumed))
        leaving = asyncio.create_task(_drop_messages(socket))
        try:
            await _until_over(stream, sending, leaving)
        except (OSError, WebSocketDisconnect) as error:
            log.info("A listener of %s is gone: %s", stream.session.name, error)
        if not leaving.done() or leaving.cancelled():
            await _close(stream, socket)


async def _send_messages(stream: EventStream, socket: WebSocket, *, resumed: bool) -> None:
    position = None if resumed else stream.position()
    if position is not None:
        await send_frames(socket, [text_frame(MESSAGES.start(position))])
    with contextlib.suppress(StreamEnded):
        while True:
            records = await stream.take_or_heartbeat(HEARTBEAT_SECONDS)
            if not records:
                heartbeat = MESSAGES.heartbeat(stream.position())
                await send_frames(socket, [text_frame(heartbeat)])
            frames = (MESSAGES.wrapped(record, FRAMED, text_frame) for record in records)
            await send_frames(socket, frames)
            await stream.gather()


async def _drop_messages(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


async def _close(stream: EventStream, socket: WebSocket) -> None:
    """Tell the client that and why this is the end; cut off one that does not read."""
    code, reason = farewell(stream)
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await socket.close(code, reason)
    except TimeoutError:
        abort(socket.scope)
    except (OSError, WebSocketDisconnect, RuntimeError):
        log.debug("The client has gone before it could be told.", exc_info=True)
