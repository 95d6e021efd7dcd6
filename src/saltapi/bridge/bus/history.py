"""
The last events of the bus, each with an id, for listeners that come back.

A listener comes back to the process that it left, to another one on the same bus, which has seen
the same events in the same order, or to one at another master of its cluster. There Salt has
forwarded the events, and those of different masters may stand in another order: what may be missing
is sent, and what of it was seen before has the time and check that it had.
"""

import asyncio
import secrets
import zlib
from collections import deque

from saltapi.bridge.bus import cursors
from saltapi.bridge.bus.cursors import Cursor
from saltapi.bridge.bus.events import Event, Gap, Record

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
        self._master = f"{zlib.crc32(master.encode('utf-8', 'replace')):08x}" if master else ""
        self._clustered = clustered
        self.epoch = f"{secrets.token_hex(EPOCH_CHARACTERS // 2)}{self._master}"
        self.size_bytes = 0
        self._limit_bytes = limit_bytes
        self._records: deque[Record] = deque()
        self._next_offset = 1
        self._newest_us: int | None = None
        self._whole_since_us: int | None = None
        self._moved = asyncio.Event()

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
        return cursors.event_id(tag, payload, time_us, self.epoch, offset)

    def new_place(self) -> str:
        """Return the id of something that is no event and comes now."""
        self._next_offset += 1
        return self.cursor()

    def cursor(self, seen_us: int | None = None) -> str:
        """Return the id behind the newest record; *seen_us* as for `Hub.cursor`."""
        time_us = self._newest_us
        if time_us is not None:
            time_us = max(time_us - DISORDER_US, seen_us or 0)
        return cursors.cursor_id(time_us, self.epoch, self._next_offset - 1)

    def keep(self, record: Record) -> None:
        """Add *record*, the newest; the oldest ones go."""
        # A copy: what listeners make of an event must not stay as long as the event does.
        kept = Event(record.id, record.tag, record.payload) if isinstance(record, Event) else record
        self._records.append(kept)
        self.size_bytes += record.size_bytes
        while self.size_bytes > self._limit_bytes:
            oldest = self._records.popleft()
            self.size_bytes -= oldest.size_bytes
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
        """Return the records after *since*, with a `Gap` in front where some may be gone."""
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
            fired_us = fired_at(record)
            if fired_us is not None and fired_us < (cursor.time_us or 0) - DISORDER_US:
                break
            later -= 1
            if found is None and isinstance(record, Event) and cursors.is_of(cursor, record):
                found = later
        return found, later


def fired_at(record: Record) -> int | None:
    """Return when an event was fired, as its id says; None for a gap, and where it does not."""
    if isinstance(record, Gap):
        return None
    cursor = cursors.parse(record.id)
    return None if cursor is None else cursor.time_us
