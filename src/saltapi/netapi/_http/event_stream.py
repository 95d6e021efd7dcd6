"""Streams of events: the bus as a response that does not end (0.8.4, "/events")."""

import asyncio
import logging
from typing import Any, Protocol

from saltapi.engine.events.encodings import Writer
from saltapi.engine.events.streams import (
    HEARTBEAT_SECONDS,
    EventStream,
    Stream,
    StreamEnded,
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
    stream: EventStream,
    connection: Connection,
    writer: Writer,
    *,
    resumed: bool = False,
    chunked: bool = False,
) -> None:
    """
    Send the events of *stream* until it ends or the client leaves; closes both.

    Args:
        stream: The events.
        connection: Where to; the response's headers have been sent.
        writer: Makes bytes of them.
        resumed: Whether the client goes on with a stream that it had before.
        chunked: Whether the body is sent in chunks (`Handover.chunked`).
    """
    async with stream:
        sending = asyncio.create_task(
            _send(stream, connection, writer, resumed=resumed, chunked=chunked)
        )
        leaving = asyncio.create_task(connection.drop_input())
        await until_over(stream, sending, leaving)
        if not sending.cancelled():
            sending.result()
    connection.close()


async def until_over(stream: Stream[Any], *tasks: asyncio.Future[Any]) -> None:
    """
    Return when one of *tasks* is done; all of them are then.

    When *stream* ends, which its client may not read, they have `FAREWELL_SECONDS` for that.
    """
    first = asyncio.FIRST_COMPLETED
    try:
        await asyncio.wait({*tasks, stream.ended}, return_when=first)
        if stream.ended.done():
            await asyncio.wait(tasks, timeout=FAREWELL_SECONDS, return_when=first)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _send(
    stream: EventStream, connection: Connection, writer: Writer, *, resumed: bool, chunked: bool
) -> None:
    frame = _chunk if chunked else bytes
    try:
        try:
            await connection.write(frame(writer.start(None if resumed else stream.cursor())))
            while True:
                records = await stream.take_or_heartbeat(HEARTBEAT_SECONDS)
                await stream.turn()
                for data in writer.records(records, stream.cursor()):
                    await connection.write(frame(data))
                    await stream.turn()
                await stream.gather()
        except StreamEnded as ended:
            log.info("A stream of %s has ended: %s", stream.session.name, ended)
            last = frame(writer.end(ended)) + (LAST_CHUNK if chunked else b"")
            if last:
                await connection.write(last)
    except OSError as error:
        log.info("A listener of %s is gone: %s", stream.session.name, error)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
