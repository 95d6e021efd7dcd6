"""Server-sent events for WSGI servers that give no socket away (PEP 3333)."""

import asyncio
from collections import deque
from concurrent.futures import Future
from typing import Any, Self

from saltapi.engine.events.encodings import Writer
from saltapi.engine.events.streams import HEARTBEAT_SECONDS, EventStream, StreamEnded

LOOP_CHECK_SECONDS = 5.0
"""How often a thread that waits for events looks whether the engine still runs."""


class EventIterator:
    """
    The bytes that a stream on a socket sends (`saltapi.netapi._http.event_stream`), as an iterator.

    It waits in the server's thread, one for each stream, while the engine's loop collects.
    """

    def __init__(
        self, stream: EventStream, loop: asyncio.AbstractEventLoop, writer: Writer
    ) -> None:
        """
        Args:
            stream: The events; closed by `close`.
            loop: The engine's loop, which *stream* belongs to.
            writer: Makes bytes of them.
        """
        self._stream = stream
        self._loop = loop
        self._writer = writer
        self._ready = deque([writer.start(None)])
        self._taking: Future[list[Any]] | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        """Return the next part, a heartbeat if nothing comes for a while."""
        while not self._ready:
            if not self._loop.is_running():
                raise StopIteration
            if self._taking is None:
                coroutine = self._stream.take_or_heartbeat(HEARTBEAT_SECONDS)
                self._taking = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
            try:
                records = self._taking.result(LOOP_CHECK_SECONDS)
            except TimeoutError:
                continue
            except StreamEnded:
                raise StopIteration from None
            self._taking = None
            self._ready.extend(self._writer.records(records))
        return self._ready.popleft()

    def close(self) -> None:
        """End the stream; WSGI servers call it when the client has gone."""
        if self._loop.is_running():
            asyncio.run_coroutine_threadsafe(self._stream.aclose(), self._loop)
