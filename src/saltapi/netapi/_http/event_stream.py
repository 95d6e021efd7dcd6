"""Server-sent events: the bus as a response that does not end (0.8.4, "/events")."""

import asyncio
import logging
from typing import Any, Protocol

from saltapi.engine.events.streams import (
    HEARTBEAT_SECONDS,
    SSE_PREAMBLE,
    EventStream,
    StreamEnded,
    sse_batches,
)

log = logging.getLogger(__name__)

FAREWELL_SECONDS = 2.0
"""How long the end of a stream may take when the client does not read."""
LAST_CHUNK = b"0\r\n\r\n"


class Connection(Protocol):
    """Where a stream goes: a `DetachedSocket`, or the body of a response."""

    async def write(self, data: bytes) -> None:
        """Return when *data* is on its way; raise OSError when that is no use."""

    async def drop_input(self) -> None:
        """Return when the client has gone."""

    def close(self) -> None:
        """Close it; idempotent."""


async def serve_events(
    stream: EventStream, socket: Connection, *, ids: bool, chunked: bool
) -> None:
    """
    Send the events of *stream* until it ends or the client leaves; closes both.

    Args:
        stream: The events.
        socket: Where to; the response's headers have been sent.
        ids: Whether the client asked to be able to resume.
        chunked: Whether the body is sent in chunks (`Handover.chunked`).
    """
    async with stream:
        sending = asyncio.create_task(_send(stream, socket, ids=ids, chunked=chunked))
        leaving = asyncio.create_task(socket.drop_input())
        both: set[asyncio.Future[Any]] = {sending, leaving}
        try:
            first = asyncio.FIRST_COMPLETED
            await asyncio.wait({*both, stream.ended}, return_when=first)
            if stream.ended.done():
                await asyncio.wait(both, timeout=FAREWELL_SECONDS, return_when=first)
        finally:
            for task in both:
                task.cancel()
            await asyncio.wait(both)
        if not sending.cancelled():
            sending.result()
    socket.close()


async def _send(stream: EventStream, socket: Connection, *, ids: bool, chunked: bool) -> None:
    try:
        try:
            await socket.write(_chunk(SSE_PREAMBLE) if chunked else SSE_PREAMBLE)
            while True:
                for data in sse_batches(await stream.take_or_heartbeat(HEARTBEAT_SECONDS), ids=ids):
                    await socket.write(_chunk(data) if chunked else data)
                await stream.gather()
        except StreamEnded as end:
            log.info("A stream of %s has ended: %s", stream.session.name, end)
            if chunked:
                await socket.write(LAST_CHUNK)
    except OSError as error:
        log.info("A listener of %s is gone: %s", stream.session.name, error)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
