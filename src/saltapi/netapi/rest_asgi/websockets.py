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

from saltapi.engine.events.streams import (
    EventStream,
    LiveViewStream,
    StreamEnded,
    joined,
    render_each,
)
from saltapi.netapi._http import sockets, websockets
from saltapi.netapi._http.websockets import Dialect
from saltapi.netapi.rest_asgi.streams import FRAMES, abort

log = logging.getLogger(__name__)


async def converse(
    connection: WebSocket, stream: EventStream | LiveViewStream, dialect: Dialect | None = None
) -> None:
    """
    Send what *stream* has to a client that is ready, until one of both ends; closes all.

    Args:
        connection: Not accepted yet.
        stream: Events, or the view of jobs and minions.
        dialect: What the client gets; by default as at `/ws`.
    """
    async with stream:
        await connection.accept()
        usual = websockets.dialect_of(stream)
        await _Conversation(connection, stream, dialect or usual).run()


async def send_frames(connection: WebSocket, frames: Iterable[bytes]) -> None:
    """
    Send text frames: many with one write where the server takes them as they are.

    Raises:
        TimeoutError: The client took nothing for `WRITE_TIMEOUT_SECONDS`.
    """
    takes_frames = FRAMES in connection.scope.get("extensions", {})
    for data in joined(frames) if takes_frames else frames:
        message: dict[str, Any] = {"type": "websocket.send"}
        if takes_frames:
            message[FRAMES] = data
        else:
            message["text"] = websockets.text_of_frame(data)
        async with asyncio.timeout(sockets.WRITE_TIMEOUT_SECONDS):
            await connection.send(message)


class _Conversation:
    """One WebSocket connection."""

    def __init__(
        self, connection: WebSocket, stream: EventStream | LiveViewStream, dialect: Dialect
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._dialect = dialect
        self._ready = asyncio.Event()

    async def run(self) -> None:
        """Converse until one side ends it."""
        receiving = asyncio.create_task(self._receive())
        sending = asyncio.create_task(self._send())
        tasks: set[asyncio.Future[Any]] = {receiving, sending}
        first = asyncio.FIRST_COMPLETED
        try:
            await asyncio.wait({*tasks, self._stream.ended}, return_when=first)
            if self._stream.ended.done() and self._ready.is_set():
                await asyncio.wait(tasks, timeout=websockets.FAREWELL_SECONDS, return_when=first)
            sending.cancel()
            if not receiving.done():
                await self._close()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in tasks:
            error = None if task.cancelled() else task.exception()
            if isinstance(error, OSError | WebSocketDisconnect):
                log.info("A listener of %s is gone: %s", self._stream.session.name, error)
            elif error is not None:
                raise error

    async def _receive(self) -> None:
        """Take what the client sends; return when it has gone."""
        while (message := await self._connection.receive())["type"] == "websocket.receive":
            text = message.get("text")
            data = message.get("bytes") or b"" if text is None else text.encode()
            if self._dialect.acknowledges:
                await self._write_all([websockets.text_frame(websockets.ACKNOWLEDGEMENT)])
            if data == websockets.READY:
                self._ready.set()

    async def _send(self) -> None:
        """Send events; what happens before the client is ready is not for it."""
        stream, dialect = self._stream, self._dialect
        with contextlib.suppress(StreamEnded):
            if isinstance(stream, LiveViewStream):
                await self._ready.wait()
                while True:
                    await self._write_all(map(dialect.frame_of, await stream.take()))
            while True:
                records = await stream.take()
                if self._ready.is_set():
                    await self._write_all(render_each(records, dialect.name, dialect.frame_of))
                await stream.gather()

    async def _write_all(self, frames: Iterable[bytes]) -> None:
        try:
            await send_frames(self._connection, frames)
        except TimeoutError:
            abort(self._connection.scope)
            raise

    async def _close(self) -> None:
        """Tell the client that and why this is the end; cut off one that does not read."""
        code, reason = websockets.farewell(self._stream)
        try:
            async with asyncio.timeout(websockets.CLOSE_SECONDS):
                await self._connection.close(code, reason)
        except TimeoutError:
            abort(self._connection.scope)
        except (OSError, WebSocketDisconnect, RuntimeError):
            log.debug("The client has gone before it could be told.", exc_info=True)
