"""
The last events of the bus, each with an id, for listeners that come back.

A listener comes back to the process that it left, to another one on the same bus, which has seen
the same events in the same order, or to one at another master of its cluster. There Salt has
forwarded the events, and those of different masters may stand in another order: what may be missing
is sent, and what of it was seen before has the time and check that it had.

With an event log, events of other masters that were read from it stand among those of the bus
(`saltapi.engine.events.log`).
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Iterable
from itertools import islice

from saltapi.bridge.bus import cursors
from saltapi.bridge.bus.cursors import Cursor, Seen
from saltapi.bridge.bus.events import Event, Gap, Position, Record

HISTORY_LOST = "Events before this point are no longer in the history."
UNKNOWN_ID = "The id to resume from is not of this process."
EPOCH_CHARACTERS = 8
"""So much of an epoch is random; the rest is the master, but in ids of before 0.9."""
DISORDER_SECONDS = 1.0
"""How far the order of events may be from that of their times: many processes fire them."""
DISORDER_US = int(DISORDER_SECONDS * 1_000_000)
BEHIND_SECONDS = 1.0
"""How far this process may be behind another one from which a listener comes."""
LOOK_AGAIN_SECONDS = 0.05
"""How often it is looked for an event that another master forwards."""


class History:
    """A ring of records, bounded in bytes, and the ids of this process."""

    def __init__(self, limit_bytes: int, master: str, *, clustered: bool) -> None:
        """
        Args:
            limit_bytes: How much is kept.
            master: The id of the master whose bus this is.
            clustered: Whether the events of other masters come here too.
        """
        self._master = cursors.part_of(master) if master else ""
        self._clustered = clustered
        self.epoch = f"{secrets.token_hex(EPOCH_CHARACTERS // 2)}{self._master}"
        self.size_bytes = 0
        self._limit_bytes = limit_bytes
        self._records: deque[Record] = deque()
        self._next_offset = 1
        self._newest_us: int | None = None
        self._whole_since_us: int | None = None
        self._moved = asyncio.Event()
        self._connected_us: int | None = None
        self._dropped = False
        self._newest_own = ""
        self._log = Seen("", Position(0, 0))
        self._log_floor = Position(0, 0)
        self._log_text = ""

    def connected(self) -> None:
        """Note that events come in from now on; what came before the first time is not here."""
        if self._connected_us is None:
            self._connected_us = int(time.time() * 1_000_000)

    def new_id(self, tag: str, payload: bytes) -> str:
        """Return the id of an event that comes now."""
        offset = self._next_offset
        self._next_offset += 1
        time_us = cursors.time_of(payload)
        if time_us is not None:
            if self._newest_us is None:
                self._whole_since_us = time_us
            self._newest_us = max(self._newest_us or 0, time_us)
            self._moved.set()
        found = cursors.event_id(tag, payload, time_us, self.epoch, offset)
        if time_us is not None:
            self._newest_own = found
        if not self._log.log:
            return found
        return f"{found}.{self._seen() if time_us is None else self._log_text}"

    def relayed_id(self, time_us: int | None, check: str, before: Position) -> str:
        """
        Return the id of an event of another master that comes now.

        Args:
            time_us: When it was fired.
            check: Its digest.
            before: The place behind it in the event log; all before that has come here.
        """
        self.advance(before)
        head = "" if time_us is None else f"{time_us:x}-{check}-"
        found = f"{head}{self.epoch}-{self._next_offset}.{self._seen()}"
        self._next_offset += 1
        return found

    def new_place(self) -> str:
        """Return the id of something that is no event and comes now."""
        self._next_offset += 1
        return self.cursor()

    def cursor(self, seen_us: int | None = None) -> str:
        """Return the id behind the newest record; *seen_us* as for `Hub.cursor`."""
        time_us = self._newest_us
        if time_us is not None:
            time_us = max(time_us - DISORDER_US, seen_us or 0)
        found = cursors.cursor_id(time_us, self.epoch, self._next_offset - 1)
        return f"{found}.{self._seen()}" if self._log.log else found

    def keep(self, record: Record) -> None:
        """Add *record*, the newest; the oldest ones go."""
        # A copy: what listeners make of an event must not stay as long as the event does.
        kept = record.bare() if isinstance(record, Event) else record
        self._records.append(kept)
        self.size_bytes += record.size_bytes
        while self.size_bytes > self._limit_bytes:
            oldest = self._records.popleft()
            self.size_bytes -= oldest.size_bytes
            self._dropped = True
            if isinstance(oldest, Event) and oldest.origin is not None:
                self._log_floor = _behind(oldest.origin.position)
                continue
            self._whole_since_us = max(self._whole_since_us or 0, fired_at(oldest) or 0) or None

    async def catch_up(self, since: str) -> None:
        """Return as soon as what has the id *since* has come here too, or is not likely to come."""
        cursor = cursors.parse(since)
        if cursor is None or cursor.epoch == self.epoch or cursor.time_us is None:
            return
        forwarded = self._clustered and self._is_foreign(cursor) and cursor.check is not None
        try:
            async with asyncio.timeout(BEHIND_SECONDS):
                while self._newest_us is None or self._newest_us < cursor.time_us:
                    self._moved.clear()
                    await self._moved.wait()
                # Not at each event: they may be thousands a second, and each is looked at.
                while forwarded and self._search(cursor)[0] is None:  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_AGAIN_SECONDS)
        except TimeoutError:
            return

    def missed(self, since: str) -> list[Record]:
        """
        Return the records after *since*, with a `Gap` in front where some may be gone.

        Those of other masters are among them; their place in the event log counts for nothing.
        """
        records = list(self._records)
        first = self._next_offset - len(records)
        start = cursors.cursor_id(None, self.epoch, first - 1)
        cursor = cursors.parse(since)
        if cursor is None:
            return [Gap(start, UNKNOWN_ID), *records]
        if cursor.epoch != self.epoch:
            return self._missed_elsewhere(cursor, records, start)
        wanted = cursor.offset + 1
        if wanted > self._next_offset:
            return [Gap(self.cursor(), UNKNOWN_ID)]
        if wanted < first:
            return [Gap(start, HISTORY_LOST), *records]
        return records[wanted - first :]

    def _missed_elsewhere(self, cursor: Cursor, records: list[Record], start: str) -> list[Record]:
        """Return the records after *cursor*, which is of another process."""
        since_us, whole_us = cursor.time_us, self._whole_since_us
        foreign = self._is_foreign(cursor)
        if since_us is None or whole_us is None or (foreign and not self._clustered):
            return [Gap(start, UNKNOWN_ID), *records]
        found, later = self._search(cursor)
        if found is not None and not foreign:
            return records[found + 1 :]
        if foreign:
            since_us -= DISORDER_US
        if since_us < whole_us:
            return [Gap(start, HISTORY_LOST), *records]
        if found is not None:
            del records[found]
        rest = [r for r in records[later:] if (fired_at(r) or since_us + 1) > since_us]
        if cursor.check is not None and found is None:
            return [Gap(start, UNKNOWN_ID), *rest]
        return rest

    def _is_foreign(self, cursor: Cursor) -> bool:
        """Return whether *cursor* is of a process at another master."""
        random, master = cursor.epoch[:EPOCH_CHARACTERS], cursor.epoch[EPOCH_CHARACTERS:]
        return len(random) == len(master) and master != self._master

    def _search(self, cursor: Cursor) -> tuple[int | None, int]:
        """Return the index of the event *cursor*, if it is here, and of what may be later."""
        found, later = None, len(self._records)
        for record in reversed(self._records):
            if is_relayed(record):
                later -= 1
                continue
            fired_us = fired_at(record)
            if fired_us is not None and fired_us < (cursor.time_us or 0) - DISORDER_US:
                break
            later -= 1
            if found is None and isinstance(record, Event) and cursors.is_of(cursor, record):
                found = later
        return found, later

    # With an event log

    def open_log(self, log: str, part: str, before: Position) -> None:
        """
        Note that all of the event log *log* that comes from now on, from *before* on, comes here.

        Args:
            log: Tells it from one that was there before.
            part: What ids call this master in it.
            before: What of it comes here begins there.
        """
        self._log = Seen(log, before, part)
        self._log_text = str(self._log)
        self._log_floor = before

    def advance(self, before: Position) -> None:
        """Note that all of the log that is before *before* has come here."""
        self._log = Seen(self._log.log, before, self._log.part)
        self._log_text = str(self._log)

    @property
    def newest_at(self) -> float | None:
        """When the newest event of this master was fired, in seconds since the epoch."""
        return None if self._newest_us is None else self._newest_us / 1_000_000

    @property
    def log_before(self) -> Position:
        """The place in the log before which everything has come here."""
        return self._log.before

    @property
    def newest_offset(self) -> int:
        """The number of the newest record."""
        return self._next_offset - 1

    def whole_since_us(self) -> int | None:
        """Return from when on the events of this master are here; None if none have come yet."""
        if self._connected_us is not None and not self._dropped:
            return self._connected_us
        return self._whole_since_us

    def after(self, offset: int, limit: int) -> tuple[list[Record], int]:
        """
        Return the *limit* records behind the number *offset*, and the number before the first.

        That is *offset*, or more if the records behind it are gone.
        """
        newest = self.newest_offset
        left = min(newest - offset, len(self._records))
        if left <= limit:
            return list(islice(reversed(self._records), left))[::-1], newest - left
        start = len(self._records) - left
        return list(islice(self._records, start, start + limit)), newest - left

    def offset_before(self, time_us: int) -> int:
        """Return a number behind which all events are that were fired at *time_us* or later."""
        offset = self._next_offset - 1
        for record in reversed(self._records):
            fired_us = None if is_relayed(record) else fired_at(record)
            if fired_us is not None and fired_us < time_us - DISORDER_US:
                break
            offset -= 1
        return offset

    def resumed(self, cursor: Cursor, *, is_whole: bool = False) -> list[Record] | None:
        """
        Return the records behind *cursor*, which says how far a reader was; None if some are gone.

        Those of the bus are told by their order, those of other masters by their places in the log.

        Args:
            cursor: What is before it in the log has been seen, and of this master all up to an
                event.
            is_whole: Whether nothing is between that event and the first that was heard here.
        """
        records = list(self._records)
        first = self._next_offset - len(records)
        if cursor.epoch == self.epoch:
            is_here = first <= cursor.offset + 1 <= self._next_offset
            return records[cursor.offset + 1 - first :] if is_here else None
        seen = cursor.seen
        if seen is None or (seen.log, seen.part) != (self._log.log, self._log.part):
            return None
        is_elsewhere = cursor.epoch != cursors.LOG_EPOCH and self._is_foreign(cursor)
        if seen.before < self._log_floor or seen.before > self._log.before or is_elsewhere:
            return None
        since_us = seen.time_us
        if since_us is None:
            return None
        found, _ = self._search(Cursor(self.epoch, 0, since_us, seen.check or None))
        covers = self._covers(since_us, seen.check) or (is_whole and not self._dropped)
        if found is None and not covers:
            return None
        return list(_later(records, found, since_us, seen.before))

    def _covers(self, since_us: int, check: str) -> bool:
        """Return whether all that was fired after *since_us* is here, or comes."""
        whole_us = self.whole_since_us()
        if whole_us is None or since_us < whole_us:
            return False
        return not check or since_us <= (self._newest_us or 0)

    def _seen(self) -> Seen:
        """Return how far whoever has got all that is here has got in the log."""
        log = self._log
        newest = cursors.parse(self._newest_own) if self._newest_own else None
        if newest is None or newest.time_us is None:
            since_us = max(0, (self._connected_us or 0) - DISORDER_US)
            return Seen(log.log, log.before, log.part, since_us, "")
        return Seen(log.log, log.before, log.part, newest.time_us, newest.check or "")


def _later(
    records: Iterable[Record], found: int | None, since_us: int, before: Position
) -> Iterable[Record]:
    """Yield those of the ring that were not seen."""
    for index, record in enumerate(records):
        if isinstance(record, Event) and record.origin is not None:
            if record.origin.position >= before:
                yield record
        elif found is not None:
            if index > found:
                yield record
        elif (fired_at(record) or since_us + 1) > since_us:
            yield record


def _behind(position: Position) -> Position:
    return Position(position.number, position.item + 1)


def is_relayed(record: Record) -> bool:
    """Return whether *record* is an event of another master."""
    return isinstance(record, Event) and record.origin is not None


def fired_at(record: Record) -> int | None:
    """Return when an event was fired, as its id says; None for a gap, and where it does not."""
    if isinstance(record, Gap):
        return None
    cursor = cursors.parse(record.id)
    return None if cursor is None else cursor.time_us
