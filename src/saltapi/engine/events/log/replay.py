"""
A listener that comes back after long: first what the log has, then what happens.

It is asked for events like any listener, and reads a message of the log when those before it are
taken: so it needs the memory of one, however far it goes back. When it has come to the end it goes
on with the hub, behind the last event that it has read.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from saltapi.bridge.bus import cursors
from saltapi.bridge.bus.cursors import LOG_EPOCH, Cursor, Seen
from saltapi.bridge.bus.events import Event, Gap, Origin, Position, Record, TagFilter, any_of
from saltapi.bridge.bus.hub import Hub, Listener, ListenerClosed
from saltapi.bridge.nats.log_stream import Stored
from saltapi.engine.events.filters import EventFilter
from saltapi.engine.events.log.follower import EXPIRED
from saltapi.engine.events.log.lease import Lease
from saltapi.engine.events.log.locating import Begin, Locator
from saltapi.engine.events.log.messages import Logged, LoggedEvent, unpack
from saltapi.errors import StoreUnavailable

PATIENCE_SECONDS = 8.0
"""How long the log is waited for when it is away, or behind the bus."""
PAUSE_SECONDS = 0.05
FRESH_SECONDS = 1.0
"""So long after this process began to hear the bus, the log has what was fired before."""
SLICE_RECORDS = 200
LOG_AWAY = "The event log is away; events are missing."
LOG_BEHIND = "The event log is behind; events may be missing."


class Replay:
    """What a stream takes from; the same as a `Listener`."""

    hears_all_masters = False
    listeners = 1

    def __init__(
        self,
        hub: Hub,
        locator: Locator,
        lease: Lease,
        since: Cursor,
        *,
        text: str,
        tags: Sequence[TagFilter] = (),
        event_filter: EventFilter | None = None,
    ) -> None:
        """
        Args:
            hub: What happens.
            locator: Finds places in the log, and reads it.
            lease: Tells whether somebody writes what this master does.
            since: How far the listener was.
            text: The same as it has written it.
            tags: A tag must pass one of them, if there are some.
            event_filter: Decides what the listener may see; everything without it.
        """
        self.closed: str | None = None
        self.on_close: Callable[[str], None] | None = None
        self._hub = hub
        self._locator = locator
        self._lease = lease
        self._since = since
        self._text = text
        self._tags = tags
        self._passes = any_of(tags)
        self._filter = event_filter
        self._begin: Begin | None = None
        self._before = Position(0, 0)
        self._own: tuple[int, str] | None = None
        self._messages: list[Stored] = []
        self._pending: list[Record] = []
        """Records that are still looked at: whether they may be seen."""
        self._live: Listener | None = None
        self._impatient_at: float | None = None
        hub.attach(self)

    @property
    def queued_bytes(self) -> int:
        """How much waits to be taken."""
        return 0 if self._live is None else self._live.queued_bytes

    @property
    def is_half_full(self) -> bool:
        """Whether half of what may wait does; the log waits for whom it has to."""
        return self._live is not None and self._live.is_half_full

    def offer(self, record: Record) -> None:
        """Do nothing: it comes from the ring later."""

    async def take(self) -> list[Record]:
        """
        Return some records, at least one.

        Raises:
            ListenerClosed: The listener has ended.
        """
        while True:
            if self.closed is not None:
                raise ListenerClosed(self.closed)
            if self._live is not None:
                return await self._live.take()
            records = await self._some()
            if records:
                return records

    def cursor(self) -> str | None:
        """Return an id to resume from when all that was taken has been seen."""
        if self._live is not None:
            return self._live.cursor()
        if self._begin is None or self._pending:
            return None
        return cursors.log_id(None, "", self._seen())

    def close(self, reason: str = "closed") -> None:
        """End the listener; idempotent."""
        if self._live is not None:
            self._live.close(reason)
        self._note_end(reason)

    def _note_end(self, reason: str) -> None:
        if self.closed is None:
            self.closed = reason
            self._hub.detach(self)
            if self.on_close is not None:
                self.on_close(reason)

    # From the log

    async def _some(self) -> list[Record]:
        """Return what comes next, perhaps nothing."""
        try:
            if self._begin is None:
                return await self._locate()
            if not self._pending and not self._messages:
                self._messages = await self._locator.stream.read(self._before.number)
                if not self._messages:
                    return await self._end()
        except StoreUnavailable:
            return await self._wait(LOG_AWAY)
        self._impatient_at = None
        if not self._pending:
            self._pending = self._records(self._messages.pop(0))
        found = await self._visible(self._pending)
        self._pending = []
        return found

    async def _locate(self) -> list[Record]:
        begin = await self._locator.find(self._since)
        self._begin, self._before = begin, begin.first
        if begin.part == self._locator.own_part and begin.time_us is not None:
            self._own = begin.time_us, begin.check
        if begin.gap is None:
            return []
        return [Gap(cursors.log_id(None, "", self._seen()), begin.gap, begin.seconds)]

    def _records(self, message: Stored) -> list[Record]:
        """Return what of a message was not seen, and go on behind it."""
        found: list[Record] = []
        assert self._begin is not None  # noqa: S101 - it was located
        said, self._begin.gap = self._begin.gap, None
        if said is None and message.number > self._before.number:
            place = cursors.log_id(None, "", Seen(self._locator.log, Position(message.number, 0)))
            found.append(Gap(place, EXPIRED))
        part = cursors.part_of(message.part)
        for item, logged in enumerate(unpack(message.data)):
            position = Position(message.number, item)
            if self._is_new(part, position):
                self._pass(part, position, logged)
                found.append(self._record(message.part, position, logged))
            elif part == self._locator.own_part:
                self._note_own(logged)
        self._before = Position(message.number + 1, 0)
        return found

    def _is_new(self, part: str, position: Position) -> bool:
        assert self._begin is not None  # noqa: S101 - it was located
        first = self._begin.part_first if part == self._begin.part else self._begin.others_first
        return position >= first

    def _pass(self, part: str, position: Position, logged: Logged) -> None:
        self._before = Position(position.number, position.item + 1)
        if part == self._locator.own_part:
            self._note_own(logged)
        begin = self._begin
        if begin is not None and part == begin.part and isinstance(logged, LoggedEvent):
            begin.time_us, begin.check = logged.time_us, logged.check

    def _note_own(self, logged: Logged) -> None:
        if isinstance(logged, LoggedEvent) and logged.time_us is not None:
            self._own = logged.time_us, logged.check

    def _record(self, name: str, position: Position, logged: Logged) -> Record:
        seen = self._seen()
        if not isinstance(logged, LoggedEvent):
            return Gap(cursors.log_id(None, "", seen), logged.reason, logged.since, logged.until)
        event_id = cursors.log_id(logged.time_us, logged.check, seen)
        master = None if name == self._locator.name else name
        return Event(event_id, logged.tag, logged.payload, Origin(master, position, logged.start))

    def _seen(self) -> Seen:
        """Return how far the listener is in the log."""
        begin, before, log = self._begin, self._before, self._locator.log
        assert begin is not None  # noqa: S101 - it was located
        if before >= begin.both_first or begin.time_us is None:
            return Seen(log, before)
        # What of the one master was seen differs from what of the others.
        others = (
            max(begin.others_first, before) if begin.part_first > before else begin.others_first
        )
        return Seen(log, others, begin.part, begin.time_us, begin.check)

    async def _visible(self, records: list[Record]) -> list[Record]:
        passes = self._passes
        wanted = [r for r in records if isinstance(r, Gap) or passes is None or passes(r.tag)]
        if self._filter is None:
            return wanted
        return await self._filter.visible(wanted)

    # From the hub

    async def _end(self) -> list[Record]:
        """Go on with the hub, if what this has read and what is there meet; wait if not."""
        history = self._hub.history
        is_whole = await self._has_all()
        number, newest = await self._locator.newest_own()
        if number >= self._before.number:  # the server that was asked before is behind
            return await self._wait(LOG_BEHIND)
        self._own = self._own or newest
        cursor = self._place()
        if history.resumed(cursor, is_whole=is_whole) is None:
            return await self._wait(LOG_BEHIND)
        await self._go_on(lambda: history.resumed(cursor, is_whole=is_whole))
        return []

    async def _has_all(self) -> bool:
        """Return whether what was fired before this process heard the bus is in the log."""
        heard_since = self._hub.outages.heard_since
        if heard_since is None or time.time() - heard_since < FRESH_SECONDS:
            return False
        return await self._lease.has_writer()

    def _place(self) -> Cursor:
        time_us, check = self._own or (self._hub.history.whole_since_us() or 0, "")
        seen = Seen(self._locator.log, self._before, self._locator.own_part, time_us, check)
        return Cursor(LOG_EPOCH, 0, time_us, check or None, seen)

    async def _go_on(self, missed: Callable[[], list[Record] | None]) -> None:
        def records() -> list[Record]:
            found = missed()
            return self._hub.missed(self._text, all_masters=True) if found is None else found

        if self._filter is None:
            live = self._hub.listen(self._tags, all_masters=True, missed=records())
        else:
            live = await self._filter.resume(self._tags, records)
        self._hub.detach(self)
        if self.closed is not None:
            live.close(self.closed)
            return
        self._live = live
        live.on_close = self._note_end

    async def _wait(self, reason: str) -> list[Record]:
        """Let the log come, or give it up after a while."""
        now = time.monotonic()
        if self._impatient_at is None:
            self._impatient_at = now + PATIENCE_SECONDS
        if now < self._impatient_at:
            await asyncio.sleep(PAUSE_SECONDS)
            return []
        if self._begin is None:
            await self._go_on(lambda: None)
            return [Gap(self._text, reason)]
        gap = Gap(cursors.log_id(None, "", self._seen()), reason)
        cursor, history = self._place(), self._hub.history
        await self._go_on(lambda: history.resumed(cursor, is_whole=True) or [])
        return [gap]
