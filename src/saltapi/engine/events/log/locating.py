"""Finds where in the log a listener was."""

import asyncio
import time
from dataclasses import dataclass

from saltapi.bridge.bus import cursors
from saltapi.bridge.bus.cursors import Cursor
from saltapi.bridge.bus.events import Position
from saltapi.bridge.bus.history import DISORDER_US, EPOCH_CHARACTERS, HISTORY_LOST, UNKNOWN_ID
from saltapi.bridge.nats.log_stream import FIRST, LogStream
from saltapi.engine.events.log.messages import Logged, LoggedEvent, unpack

SKEW_SECONDS = 2.0
"""How far the clocks of servers and masters may be apart."""
WRITTEN_SECONDS = 2.0
"""How long it may take until an event is in the log that somebody has seen."""
PAUSE_SECONDS = 0.1
FROM_THE_FIRST = Position(0, 0)


@dataclass(slots=True)
class Begin:
    """Where to go on reading."""

    others_first: Position
    """What was not seen of all masters but one begins here."""
    part: str | None = None
    """That one (`part_of` its name), if there is one."""
    part_first: Position = FROM_THE_FIRST
    """What was not seen of it begins here."""
    time_us: int | None = None
    """The newest event of it that was seen; it changes while the log is read."""
    check: str = ""
    gap: str | None = None
    """Why something may be missing before all that."""

    @property
    def first(self) -> Position:
        """Where the first of all that was not seen may be."""
        return self.others_first if self.part is None else min(self.others_first, self.part_first)

    @property
    def both_first(self) -> Position:
        """From here on nothing of any master was seen."""
        return self.others_first if self.part is None else max(self.others_first, self.part_first)

    @property
    def seconds(self) -> float | None:
        """The time of the newest event that was seen."""
        return None if self.time_us is None else self.time_us / 1_000_000


@dataclass(slots=True)
class _Place:
    """What was found of an event in the log."""

    found: bool = False
    """Whether it is there."""
    behind: Position | None = None
    """The place behind it, or behind what was fired before it."""
    later: Position | None = None
    """The place of the first that was fired later."""
    newest_us: int = 0


class Locator:
    """Finds places; every method raises `StoreUnavailable` if the servers are away."""

    def __init__(self, stream: LogStream, name: str, *, clustered: bool, master: str) -> None:
        """
        Args:
            stream: The log.
            name: What it calls this master.
            clustered: Whether other masters have this name, too, and other orders of events.
            master: The id of this master.
        """
        self.stream = stream
        self.name = name
        self.own_part = cursors.part_of(name)
        self._own_id = cursors.part_of(master)
        self._clustered = clustered

    @property
    def log(self) -> str:
        """What ids call the log."""
        return self.stream.identity

    async def find(self, since: Cursor) -> Begin:
        """Return where a listener goes on that was at *since*."""
        end = await self._end()
        seen = since.seen
        if seen is None or seen.log != self.stream.identity:
            return await self._by_time(since, end)
        first, gap = min(seen.before, end), UNKNOWN_ID if seen.before > end else None
        if seen.part is None:
            return Begin(first, gap=gap)
        begin = Begin(first, seen.part, first, seen.time_us, seen.check)
        if seen.time_us is not None:
            check, time_us = seen.check, seen.time_us
            if self._clustered and self._is_of_another(since):
                check, time_us = "", time_us - DISORDER_US
            begin.part_first, begin.gap = await self._behind(seen.part, time_us, check)
        return begin

    async def newest_own(self) -> tuple[int, tuple[int, str] | None]:
        """
        Return the number of the newest message of this master, and its newest event.

        That is time and digest; the number is 0 if there is no message.
        """
        last = await self.stream.last(self.name)
        if last is None:
            return 0, None
        for record in reversed(unpack(last.data)):
            if isinstance(record, LoggedEvent) and record.time_us is not None:
                return last.number, (record.time_us, record.check)
        return last.number, None

    async def _by_time(self, since: Cursor, end: Position) -> Begin:
        """Return where a listener goes on that knows nothing of this log: by the time it was."""
        if since.time_us is None:
            return Begin(end, gap=UNKNOWN_ID)
        part = self.own_part
        if since.seen is not None and since.seen.part is not None:
            part = since.seen.part
        elif not self._is_own(since):
            part = since.epoch[EPOCH_CHARACTERS:]
        first, gap = await self._behind(part, since.time_us, since.check or "")
        others = await self._since(since.time_us)
        known = since.seen is None and gap is None
        return Begin(
            others, part, first, since.time_us, since.check or "", None if known else UNKNOWN_ID
        )

    async def _since(self, time_us: int) -> Position:
        """Return where what was stored since then begins."""
        found = await self.stream.read_since(time_us / 1_000_000 - SKEW_SECONDS)
        if found:
            return Position(found[0].number, 0)
        return await self._end()

    async def _behind(self, part: str, time_us: int, check: str) -> tuple[Position, str | None]:
        """Return where what is behind an event of *part* begins, and why some of it may be gone."""
        name = {cursors.part_of(name): name for name in await self.stream.parts()}.get(part)
        if name is None:
            return await self._end(), None
        deadline = time.monotonic() + WRITTEN_SECONDS
        while True:
            place = await self._search(name, time_us, check)
            if place.found or place.newest_us >= time_us or time.monotonic() > deadline:
                break
            await asyncio.sleep(PAUSE_SECONDS)
        reaches = place.behind is not None or await self._reaches(name, time_us)
        position = place.behind or place.later or await self._end()
        return position, None if reaches else HISTORY_LOST

    async def _search(self, name: str, time_us: int, check: str) -> _Place:
        """Look for an event, or for the time; the log is read until it would have come."""
        place = _Place()
        found = await self.stream.read_since(time_us / 1_000_000 - SKEW_SECONDS, part=name)
        while found:
            for message in found:
                for item, record in enumerate(unpack(message.data)):
                    if not isinstance(record, LoggedEvent) or record.time_us is None:
                        continue
                    place.newest_us = max(place.newest_us, record.time_us)
                    if record.time_us > time_us:
                        place.later = place.later or Position(message.number, item)
                    else:
                        place.behind = Position(message.number, item + 1)
                        place.found = bool(check) and record.key == (time_us, check)
                    if place.found or (place.later and not check):
                        return place
                    if record.time_us > time_us + DISORDER_US:
                        return place
            found = await self.stream.read(found[-1].number + 1, part=name)
        return place

    async def _reaches(self, name: str, time_us: int) -> bool:
        """Return whether the log has something of a master that was fired before *time_us*."""
        if self.stream.first <= FIRST:
            return True
        found = await self.stream.read(FIRST, part=name)
        times = [_time_of(record) for message in found[:1] for record in unpack(message.data)]
        known = [moment for moment in times if moment is not None]
        return not known or min(known) <= time_us

    async def _end(self) -> Position:
        return Position(await self.stream.open() + 1, 0)

    def _is_own(self, since: Cursor) -> bool:
        part = since.epoch[EPOCH_CHARACTERS:]
        return not part or part == self._own_id

    def _is_of_another(self, since: Cursor) -> bool:
        return since.epoch != cursors.LOG_EPOCH and not self._is_own(since)


def _time_of(record: Logged) -> int | None:
    return record.time_us if isinstance(record, LoggedEvent) else None
