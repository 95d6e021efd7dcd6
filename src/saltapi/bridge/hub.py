"""
The hub: one bus reader in, many listeners out.

A slow listener never holds up another one or the bus: each has a queue of its own, bounded in
bytes, and is ended with a reason when it overflows. The last events stay in a ring, each with
an id, so that a listener that comes back gets what it missed or is told that it is gone.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Self

from saltapi.bridge.events import Event, Gap, Record, TagFilter, any_of, split
from saltapi.types import Jid

JobCallback = Callable[[Event], None]


class ListenerClosed(Exception):
    """Raised by a listener that has ended; the text is the reason."""


OVERFLOW = "The listener reads too slowly: its queue is full."
HISTORY_LOST = "Events before this point are no longer in the history."
UNKNOWN_ID = "The id to resume from is not of this process."
BUS_LOST = "The connection to the master was lost; events may be missing."


class Listener:
    """One listener's queue. Iterate over it, or take everything at once with `take`."""

    def __init__(self, hub: "Hub", passes: TagFilter | None, queue_bytes: int) -> None:
        """Use `Hub.listen`."""
        self._hub = hub
        self._passes = passes
        self._limit_bytes = queue_bytes
        self._queue: deque[Record] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self.closed: str | None = None
        """The reason why the listener has ended; None while it has not."""
        self.on_close: Callable[[str], None] | None = None
        """Called with the reason when the listener ends."""

    def offer(self, record: Record) -> None:
        """Queue *record* if the filter passes it; end the listener if the queue is full."""
        if not self._wants(record):
            return
        self._queued_bytes += record.size_bytes
        if self._queued_bytes > self._limit_bytes and self._queue:
            self.close(OVERFLOW)
            return
        self._queue.append(record)
        self._wake.set()

    def replay(self, records: Iterable[Record]) -> None:
        """Queue *records* of the hub's history, which bounds them: they count for nothing here."""
        self._queue.extend(filter(self._wants, records))

    def _wants(self, record: Record) -> bool:
        return self._passes is None or isinstance(record, Gap) or self._passes(record.tag)

    async def take(self) -> list[Record]:
        """
        Return everything that is queued, waiting for at least one record.

        Raises:
            ListenerClosed: The listener has ended; what was queued is gone if it overflowed.
        """
        while not self._queue:
            if self.closed is not None:
                raise ListenerClosed(self.closed)
            self._wake.clear()
            await self._wake.wait()
        return self.drain()

    def drain(self) -> list[Record]:
        """Return what is queued now."""
        records = list(self._queue)
        self._queue.clear()
        self._queued_bytes = 0
        return records

    async def __aiter__(self) -> AsyncIterator[Record]:
        """Yield records until the listener ends; overflow raises `ListenerClosed`."""
        while True:
            try:
                records = await self.take()
            except ListenerClosed:
                if self.closed == OVERFLOW:
                    raise
                return
            for record in records:
                yield record

    def close(self, reason: str = "closed") -> None:
        """End the listener; idempotent. After an overflow nothing that was queued is delivered."""
        if self.closed is not None:
            return
        self.closed = reason
        if reason == OVERFLOW:
            self._queue.clear()
        self._hub.forget(self)
        self._wake.set()
        if self.on_close is not None:
            self.on_close(reason)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


class Hub:
    """Takes every event of the bus once and hands it to whoever waits for it."""

    def __init__(self, *, history_bytes: int, queue_bytes: int) -> None:
        """
        Args:
            history_bytes: How many bytes of events stay for listeners that come back.
            queue_bytes: How many bytes may wait for one listener.
        """
        self.epoch = secrets.token_hex(4)
        self._history: deque[Record] = deque()
        self._history_limit_bytes = history_bytes
        self._history_bytes = 0
        self._next_offset = 1
        self._queue_bytes = queue_bytes
        self._listeners: set[Listener] = set()
        self._jobs: dict[Jid, list[JobCallback]] = {}
        self.events_total = 0

    @property
    def listeners(self) -> int:
        """How many listeners there are."""
        return len(self._listeners)

    @property
    def watched_jobs(self) -> int:
        """How many jids somebody waits for."""
        return len(self._jobs)

    def dispatch(self, body: bytes) -> None:
        """Take one frame of the bus; called by the bus reader, in order."""
        tag, payload = split(body)
        event = Event(self._new_id(), tag, payload)
        self.events_total += 1
        jid = jid_of(tag)
        if jid is not None:
            for callback in tuple(self._jobs.get(jid, ())):
                callback(event)
        self._publish(event)

    def gap(self, reason: str = BUS_LOST) -> None:
        """Tell every listener, also those that come later, that events may be missing here."""
        self._publish(Gap(self._new_id(), reason))

    def listen(
        self,
        tags: Iterable[TagFilter] = (),
        *,
        since: str | None = None,
        queue_bytes: int | None = None,
    ) -> Listener:
        """
        Return a listener for events that any of *tags* passes (all without one).

        Args:
            tags: Filters made by `tag_prefix`, `tag_glob`, `tag_regex`.
            since: The id of the last record that was seen: what came after it is delivered
                first, or a `Gap` where it is gone.
            queue_bytes: How much may wait; the hub's default if None.
        """
        listener = Listener(self, any_of(tags), queue_bytes or self._queue_bytes)
        self._listeners.add(listener)
        if since is not None:
            listener.replay(self._missed(since))
        return listener

    def watch_job(self, jid: Jid, callback: JobCallback) -> Callable[[], None]:
        """Call *callback* with every event of job *jid* until the returned function is called."""
        self._jobs.setdefault(jid, []).append(callback)

        def stop() -> None:
            callbacks = self._jobs.get(jid)
            if callbacks is not None and callback in callbacks:
                callbacks.remove(callback)
                if not callbacks:
                    del self._jobs[jid]

        return stop

    def watches(self, jid: Jid) -> bool:
        """Return whether somebody waits for events of *jid*."""
        return jid in self._jobs

    def forget(self, listener: Listener) -> None:
        """Stop handing events to *listener*; called by `Listener.close`."""
        self._listeners.discard(listener)

    def close(self, reason: str) -> None:
        """End every listener with *reason*."""
        for listener in tuple(self._listeners):
            listener.close(reason)

    def _publish(self, record: Record) -> None:
        # A copy: what listeners make of an event must not stay as long as the event does.
        kept = Event(record.id, record.tag, record.payload) if isinstance(record, Event) else record
        self._history.append(kept)
        self._history_bytes += record.size_bytes
        while self._history_bytes > self._history_limit_bytes:
            self._history_bytes -= self._history.popleft().size_bytes
        for listener in tuple(self._listeners):
            listener.offer(record)

    def _new_id(self) -> str:
        offset = self._next_offset
        self._next_offset += 1
        return f"{self.epoch}-{offset}"

    def _missed(self, since: str) -> list[Record]:
        """Return the records after *since*, with a `Gap` in front where some are gone."""
        history = list(self._history)
        first = self._next_offset - len(history)
        epoch, _, number = since.rpartition("-")
        if epoch != self.epoch or not (number.isascii() and number.isdigit()):
            return [Gap(f"{self.epoch}-{first - 1}", UNKNOWN_ID), *history]
        wanted = int(number[:20]) + 1
        if wanted > self._next_offset:
            return [Gap(f"{self.epoch}-{self._next_offset - 1}", UNKNOWN_ID)]
        if wanted < first:
            return [Gap(f"{self.epoch}-{first - 1}", HISTORY_LOST), *history]
        return history[wanted - first :]


def jid_of(tag: str) -> Jid | None:
    """Return the jid in the tag of a job's, runner's or wheel function's event, else None."""
    if tag.startswith(("salt/job/", "salt/run/", "salt/wheel/")):
        parts = tag.split("/", 3)
        return parts[2] if len(parts) > 3 else None
    if tag.startswith("syndic/"):
        return tag.rsplit("/", 1)[-1]
    return None
