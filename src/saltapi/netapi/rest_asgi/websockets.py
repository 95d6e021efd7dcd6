"""
The WebSockets of `saltapi.netapi._http.websockets` where the server speaks the protocol (ASGI).

Handshake, pings, fragments and the limit of messages are the server's affair. What is said, and
how a conversation ends, is the same.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from saltapi.engine.events.encodings import MESSAGES
from saltapi.engine.events.streams import (
    HEARTBEAT_SECONDS,
    EventStream,
    LiveViewStream,
    StreamEnded,
    joined,
)
from saltapi.netapi._http import sockets, websockets
from saltapi.netapi._http.websockets import Dialect, text_frame
from saltapi.netapi.rest_asgi.streams import FRAMES, abort

log = logging.getLogger(__name__)

FRAMED = "message-frame"
RECORDS = Dialect(MESSAGES.name)
"""`/v1/events`: one message for each record. What the client sends is passed over."""


async def converse(connection: WebSocket, stream: EventStream | LiveViewStream) -> None:
    """
    Send what *stream* has to a client that is ready, until one of both ends; closes all.

    Args:
        connection: Not accepted yet.
        stream: Events, or the view of jobs and minions.
    """
    async with stream:
        await connection.accept()
        await _Conversation(connection, stream, websockets.dialect_of(stream)).run()


async def send_records(connection: WebSocket, stream: EventStream, *, resumed: bool) -> None:
    """
    Send each record of *stream* as a message until it ends or the client leaves; closes both.

    Args:
        connection: Not accepted yet.
        stream: The events.
        resumed: Whether the client goes on with a stream that it had before.
    """
    async with stream:
        await connection.accept()
        await _Records(connection, stream, resumed=resumed).run()


class _Conversation(websockets.Conversation):
    """One WebSocket connection."""

    gone = (OSError, WebSocketDisconnect)

    def __init__(
        self, connection: WebSocket, stream: EventStream | LiveViewStream, dialect: Dialect
    ) -> None:
        super().__init__(stream, dialect)
        self._connection = connection

    async def _receive(self) -> None:
        while (message := await self._connection.receive())["type"] == "websocket.receive":
            text = message.get("text")
            data = message.get("bytes") or b"" if text is None else text.encode()
            if self._dialect.acknowledges:
                await self._write([text_frame(websockets.ACKNOWLEDGEMENT)])
            if data == websockets.READY:
                self._ready.set()

    async def _write(self, frames: Iterable[bytes]) -> None:
        """Send frames: many with one write where the server takes them as they are."""
        connection = self._connection
        takes_frames = FRAMES in connection.scope.get("extensions", {})
        await self._stream.turn()
        for data in joined(frames) if takes_frames else frames:
            message: dict[str, Any] = {"type": "websocket.send"}
            if takes_frames:
                message[FRAMES] = data
            else:
                message["text"] = websockets.text_of_frame(data)
            try:
                async with asyncio.timeout(sockets.WRITE_TIMEOUT_SECONDS):
                    await connection.send(message)
            except TimeoutError:
                abort(connection.scope)
                raise
            await self._stream.turn()

    async def _close(self, receiving: asyncio.Future[None]) -> None:  # noqa: ARG002 - uvicorn waits
        """Cut off one that does not read."""
        code, reason = websockets.farewell(self._stream)
        try:
            async with asyncio.timeout(websockets.CLOSE_SECONDS):
                await self._connection.close(code, reason)
        except TimeoutError:
            abort(self._connection.scope)
        except (OSError, WebSocketDisconnect, RuntimeError):
            log.debug("The client has gone before it could be told.", exc_info=True)


class _Records(_Conversation):
    """One WebSocket of `/v1/events`."""

    def __init__(self, connection: WebSocket, stream: EventStream, *, resumed: bool) -> None:
        super().__init__(connection, stream, RECORDS)
        self._events = stream
        self._resumed = resumed
        self._ready.set()

    async def _send(self) -> None:
        stream = self._events
        if not self._resumed and (cursor := stream.cursor()) is not None:
            await self._write([text_frame(MESSAGES.start(cursor))])
        with contextlib.suppress(StreamEnded):
            while True:
                records = await stream.take_or_heartbeat(HEARTBEAT_SECONDS)
                if not records:
                    await self._write([text_frame(MESSAGES.heartbeat(stream.cursor()))])
                await self._write(MESSAGES.wrapped(one, FRAMED, text_frame) for one in records)
                await stream.gather()
