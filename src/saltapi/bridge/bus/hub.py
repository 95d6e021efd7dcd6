"""
The hub: one bus reader in, many listeners out.

A slow listener never holds up another one or the bus: each has a queue of its own, bounded in
bytes, and is ended with a reason when it overflows. The last events stay in a ring, each with
an id, so that a listener that comes back gets what it missed or is told that it is gone.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Protocol, Self
from weakref import WeakSet

from saltapi.bridge.bus.events import Event, Gap, Record, TagFilter, any_of, split
from saltapi.bridge.bus.history import History, fired_at, is_relayed
from saltapi.bridge.bus.job_starts import JobStarts
from saltapi.bridge.bus.outages import Outages
from saltapi.bridge.bus.share import LoopShare
from saltapi.bridge.bus.wake import Wake
from saltapi.config import EngineConfig
from saltapi.types import Jid, Opts

JobCallback = Callable[[Event], None]


class ListenerClosed(Exception):
    """Raised by a listener that has ended; the text is the reason."""


OVERFLOW = "The listener reads too slowly: its queue is full."
BUS_LOST = "The connection to the master was lost; events may be missing."


class Receiver(Protocol):
    """What the hub hands records to."""

    @property
    def hears_all_masters(self) -> bool:
        """Whether it gets events of other masters, too."""

    @property
    def listeners(self) -> int:
        """How many listeners get them in the end."""

    def offer(self, record: Record) -> None:
        """Take a record; must be quick."""

    def close(self, reason: str = ...) -> None:
        """End it; idempotent."""


class Owner(Protocol):
    """Where a listener gets its records from: the hub, or an authorizer in front of it."""

    def forget(self, listener: "Listener") -> None:
        """Stop handing records to *listener*."""

    def cursor(self, seen_us: int | None = None) -> str | None:
        """
        Return the id behind everything handed on so far; None while some is held back.

        Args:
            seen_us: The time of the last event that the listener has got, if any.
        """


class Listener:
    """One listener's queue. Iterate over it, or take everything at once with `take`."""

    listeners = 1

    def __init__(
        self,
        owner: Owner,
        passes: TagFilter | None,
        queue_bytes: int,
        *,
        hears_all_masters: bool = False,
    ) -> None:
        """Use `Hub.listen`."""
        self.hears_all_masters = hears_all_masters
        self._owner = owner
        self._passes = passes
        self._limit_bytes = queue_bytes
        self._queue: list[Record] = []
        self._queued_bytes = 0
        self._seen_us: int | None = None
        self._wake = Wake()
        self.closed: str | None = None
        """The reason why the listener has ended; None while it has not."""
        self.on_close: Callable[[str], None] | None = None
        """Called with the reason when the listener ends."""
        self.on_overflow: Callable[[], None] | None = None
        """Called when it ends because the queue is full."""

    @property
    def queued_bytes(self) -> int:
        """How much waits to be taken."""
        return self._queued_bytes

    @property
    def is_half_full(self) -> bool:
        """Whether half of what may wait does."""
        return self._queued_bytes * 2 > self._limit_bytes

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
            await self._wake.wait()
        return self.drain()

    def drain(self) -> list[Record]:
        """Return what is queued now."""
        records, self._queue = self._queue, []
        self._queued_bytes = 0
        if records and not is_relayed(records[-1]):
            self._seen_us = fired_at(records[-1]) or self._seen_us
        return records

    def cursor(self) -> str | None:
        """
        Return an id to resume from when all that was taken has been seen.

        It also covers what the listener's filter did not pass. None if there is no such id now.
        """
        return None if self._queue else self._owner.cursor(self._seen_us)

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
            self._queued_bytes = 0
            if self.on_overflow is not None:
                self.on_overflow()
        self._owner.forget(self)
        self._wake.set()
        if self.on_close is not None:
            self.on_close(reason)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


class Hub:
    """Takes every event of the bus once and hands it to whoever waits for it."""

    def __init__(
        self,
        *,
        history_bytes: int,
        queue_bytes: int,
        starts: JobStarts | None = None,
        master: str = "",
        clustered: bool = False,
    ) -> None:
        """
        Args:
            history_bytes: How many bytes of events stay for listeners that come back.
            queue_bytes: How many bytes may wait for one listener.
            starts: Tells which `new` events of jobs are believed.
            master: The id of the master.
            clustered: Whether it gets the events of other masters too.
        """
        self.master = master
        self.clustered = clustered
        self.starts = starts or JobStarts()
        self.outages = Outages()
        self.history = History(history_bytes, master, clustered=clustered)
        self._queue_bytes = queue_bytes
        self._receivers: set[Receiver] = set()
        self._observers: list[Callable[[Event], None]] = []
        self._jobs: dict[Jid, list[JobCallback]] = {}
        self._all_jobs: list[JobCallback] = []
        self._made: WeakSet[Listener] = WeakSet()
        self.events_total = 0
        self.gaps_total = 0
        """How often the connection to the bus broke, so that events may have been missed."""
        self.overflows_total = 0
        """How many listeners were ended because they read too slowly."""
        self.streams = 0
        """How many connections are written to."""
        self.share = LoopShare()
        """When they may be, so that requests are answered meanwhile."""

    @classmethod
    def of(cls, opts: Opts, config: EngineConfig) -> Self:
        """Return the hub of the master that *opts* are of."""
        return cls(
            history_bytes=config.api_event_history_bytes,
            queue_bytes=config.api_listener_queue_bytes,
            master=str(opts.get("id") or ""),
            clustered=bool(opts.get("cluster_id")),
        )

    @property
    def heard_at(self) -> float | None:
        """When the newest event of this master was fired, in seconds since the epoch."""
        return self.history.newest_at

    @property
    def queued_bytes(self) -> int:
        """How much waits for all listeners together, also for those behind an authorizer."""
        return sum(listener.queued_bytes for listener in self._made)

    @property
    def history_bytes(self) -> int:
        """How much of the last events is kept."""
        return self.history.size_bytes

    @property
    def epoch(self) -> str:
        """What the ids of this process have in common."""
        return self.history.epoch

    @property
    def listeners(self) -> int:
        """How many listeners there are."""
        return sum(receiver.listeners for receiver in self._receivers)

    @property
    def watched_jobs(self) -> int:
        """How many jids somebody waits for."""
        return len(self._jobs)

    def dispatch(self, body: bytes) -> None:
        """Take one frame of the bus; called by the bus reader, in order."""
        tag, payload = split(body)
        event = Event(self.history.new_id(tag, payload), tag, payload)
        self.events_total += 1
        parts = event.parts
        jid = parts.followed
        if parts.is_new:
            self.starts.hear(str(jid), event.id)
        for observe in self._observers:
            observe(event)
        if jid is not None:
            for callback in (*self._all_jobs, *self._jobs.get(jid, ())):
                callback(event)
        self._publish(event)

    def relay(self, record: Record) -> None:
        """
        Hand *record* on that comes from another master, to those who want to hear of all.

        Nobody who waits for a job or a function of this master gets to see it.
        """
        self.history.keep(record)
        for receiver in tuple(self._receivers):
            if receiver.hears_all_masters:
                receiver.offer(record)

    def gap(self, reason: str = BUS_LOST) -> None:
        """Tell every listener, also those that come later, that events may be missing here."""
        self.gaps_total += 1
        self.outages.lost()
        self._publish(Gap(self.history.new_place(), reason, self.heard_at))

    def connected(self) -> None:
        """Note that events come in from now on."""
        self.history.connected()
        self.starts.connected()
        self.outages.back()

    def observe(self, callback: Callable[[Event], None]) -> None:
        """Call *callback* with every event of the bus, before anybody else; it must be quick."""
        self._observers.append(callback)

    def attach(self, receiver: Receiver) -> None:
        """Hand every record to *receiver* from now on."""
        self._receivers.add(receiver)

    def detach(self, receiver: Receiver) -> None:
        """Stop handing records to *receiver*."""
        self._receivers.discard(receiver)

    def listen(
        self,
        tags: Iterable[TagFilter] = (),
        *,
        since: str | None = None,
        queue_bytes: int | None = None,
        all_masters: bool = False,
        missed: Iterable[Record] = (),
    ) -> Listener:
        """
        Return a listener for events that any of *tags* passes (all without one).

        Args:
            tags: Filters made by `tag_prefix`, `tag_glob`, `tag_regex`.
            since: The id of the last record that was seen: what came after it is delivered
                first, or a `Gap` where it is gone.
            queue_bytes: How much may wait; the hub's default if None.
            all_masters: Whether it gets events of other masters, too (`relay`).
            missed: Records to deliver first, in place of those after *since*.
        """
        listener = self.new_listener(self, tags, queue_bytes, hears_all_masters=all_masters)
        self.attach(listener)
        if since is not None:
            missed = self.missed(since, all_masters=all_masters)
        listener.replay(missed)
        return listener

    def new_listener(
        self,
        owner: Owner,
        tags: Iterable[TagFilter] = (),
        queue_bytes: int | None = None,
        *,
        hears_all_masters: bool = False,
    ) -> Listener:
        """Return a listener that gets its records from *owner*, not from here."""
        listener = Listener(
            owner,
            any_of(tags),
            queue_bytes or self._queue_bytes,
            hears_all_masters=hears_all_masters,
        )
        listener.on_overflow = self._note_overflow
        self._made.add(listener)
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

    def watch_jobs(self, callback: JobCallback) -> Callable[[], None]:
        """Call *callback* with the events of all jobs until the returned function is called."""
        self._all_jobs.append(callback)

        def stop() -> None:
            if callback in self._all_jobs:
                self._all_jobs.remove(callback)

        return stop

    def watches(self, jid: Jid) -> bool:
        """Return whether somebody waits for events of *jid*."""
        return jid in self._jobs

    def forget(self, listener: Listener) -> None:
        """Stop handing events to *listener*; called by `Listener.close`."""
        self.detach(listener)

    def close(self, reason: str) -> None:
        """End every listener with *reason*."""
        for receiver in tuple(self._receivers):
            receiver.close(reason)

    def cursor(self, seen_us: int | None = None) -> str:
        """
        Return the id behind the newest record.

        Args:
            seen_us: The time of the last event that whoever gets the id has seen: another process
                is not to send that again.
        """
        return self.history.cursor(seen_us)

    async def catch_up(self, since: str) -> None:
        """Return as soon as what has the id *since* has come here too, or is not likely to come."""
        await self.history.catch_up(since)

    def missed(self, since: str, *, all_masters: bool = False) -> list[Record]:
        """Return the records after *since*, with a `Gap` in front where some may be gone."""
        found = self.history.missed(since)
        return found if all_masters else [record for record in found if not is_relayed(record)]

    def _note_overflow(self) -> None:
        self.overflows_total += 1

    def _publish(self, record: Record) -> None:
        self.history.keep(record)
        for receiver in tuple(self._receivers):
            receiver.offer(record)
