"""
Writes the events of this master's bus into the log, while this process holds the lease.

What is to be written is not kept here: it is in the ring of the hub, and this only knows how far it
has got. So nothing waits for the servers, and what is gone from the ring before it was written is
said to be missing. Whoever takes over goes on behind the newest event that is stored; who would
have to leave something out lets others go first.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from saltapi.bridge.bus.events import Event, Gap, JobStart, Record
from saltapi.bridge.bus.history import fired_at, is_relayed
from saltapi.bridge.bus.hub import Hub
from saltapi.bridge.bus.wake import Wake
from saltapi.bridge.nats.log_stream import LogStream
from saltapi.config import KIB
from saltapi.engine.events.log.ending import end
from saltapi.engine.events.log.lease import Lease
from saltapi.engine.events.log.messages import Logged, LoggedEvent, LoggedGap, logged, pack, unpack
from saltapi.errors import StoreUnavailable

log = logging.getLogger(__name__)

MESSAGE_BYTES = 256 * KIB
"""So much is put into one message, if one event alone has no more."""
MESSAGE_RECORDS = 1000
WAITING_RECORDS = 100
"""Among so many the oldest event that waits is looked for."""
LINGER_SECONDS = 0.02
"""The least from one message to the next: what comes meanwhile goes together."""
HEADER_BYTES = 1 * KIB
"""What a message has beside its data."""
RENEW_SECONDS = 0.8
LOOK_SECONDS = 0.5
"""How often it is looked whether the lease is free."""
GIVE_WAY_SECONDS = 1.0
"""How long others may go first, when this process would leave something out."""
RETRY_SECONDS = 0.25
IN_THREAD_FROM_BYTES = 64 * KIB
CLOSE_SECONDS = 2.0
AGAIN_US = 3_000_000
"""What was stored of so long before the newest event is looked through before going on."""

NOT_WRITTEN = "Nobody wrote the event log then; events are missing."
TOO_SLOW = "The event log could not be written for too long; events are missing."
TOO_LARGE = "An event was too large for the event log: {size} bytes."


@dataclass(slots=True)
class _Start:
    """Where to go on."""

    number: int
    """The newest message of this master."""
    offset: int
    """What is behind this number in the ring may have to be written."""
    known: set[tuple[int | None, str]] = field(default_factory=set)
    """What of it is stored already."""
    filled: int = 0
    """Up to this number in the ring somebody else has stored what was missed here."""
    hole: LoggedGap | None = None
    """What is missing before it."""
    newest_us: int | None = None


class _Overtaken(Exception):
    """Somebody else has written."""


class _Bell:
    """Rings when something comes from the bus."""

    hears_all_masters = False
    listeners = 0

    def __init__(self, wake: Wake) -> None:
        self._wake = wake

    def offer(self, record: Record) -> None:
        """Ring."""
        del record
        self._wake.set()

    def close(self, reason: str = "closed") -> None:
        """Do nothing: what has come is still to be written."""


class LogWriter:
    """Competes for the lease and writes; the same in each process."""

    def __init__(
        self,
        hub: Hub,
        stream: LogStream,
        lease: Lease,
        name: str,
        start_of: Callable[[Event], JobStart | None],
    ) -> None:
        """
        Args:
            hub: Where the events come from.
            stream: Where they go.
            lease: Says who writes.
            name: What the log calls this master.
            start_of: Tells what is known of an event's job.
        """
        self._hub = hub
        self._stream = stream
        self._lease = lease
        self._name = name
        self._start_of = start_of
        self._wake = Wake()
        self._bell = _Bell(self._wake)
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._offset = 0
        self._number = 0
        self._newest_us: int | None = None
        self._idle_since: float | None = None
        self.writes = False
        """Whether this process holds the lease."""
        self.stored_total = 0
        """How many events it has stored."""
        self.gaps_total = 0
        """How many gaps."""

    @property
    def lag_seconds(self) -> float:
        """How old the oldest event is that waits, or for how long nobody has written; 0 if none."""
        if self._idle_since is not None:
            return time.monotonic() - self._idle_since
        if not self.writes:
            return 0.0
        first = self._first_time(self._hub.history.after(self._offset, WAITING_RECORDS)[0])
        return 0.0 if first is None else max(0.0, time.time() - first)

    def start(self) -> None:
        """Begin to compete."""
        self._hub.attach(self._bell)
        self._task = asyncio.create_task(self._run(), name="saltapi-log-writer")

    async def close(self) -> None:
        """Write what is left, if that is soon done, and let others go on; idempotent."""
        task, self._task = self._task, None
        if task is None:
            return
        self._closing = True
        self._wake.set()
        if self.writes:
            await asyncio.wait({task}, timeout=CLOSE_SECONDS)
        await end(task)
        self._hub.detach(self._bell)

    async def _run(self) -> None:
        said = False
        while not self._closing:
            try:
                await self._stream.open()
                start = await self._win()
                said = False
                await self._lead(start)
            except (StoreUnavailable, _Overtaken) as error:
                self._note_idle()
                if not said and isinstance(error, StoreUnavailable):
                    said = True
                    log.warning("The event log cannot be written now: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:
                self._note_idle()
                log.exception("The event log could not be written.")
                await asyncio.sleep(1.0)

    # Who writes

    async def _win(self) -> _Start:
        """Return where to go on, as soon as it is this process that has to."""
        gave_way = False
        while True:
            if self._hub.outages.heard_since is None:
                await self._wake.wait(LOOK_SECONDS)
                continue
            if not await self._lease.is_free():
                gave_way, self._idle_since = False, None
            else:
                self._note_idle()
                start = await self._start()
                is_whole = start.hole is None and not self._gaps_behind(start)
                if gave_way or is_whole:
                    if await self._lease.take():
                        return await self._start()
                else:
                    gave_way = True
                    await asyncio.sleep(GIVE_WAY_SECONDS)
                    continue
            await asyncio.sleep(LOOK_SECONDS)

    async def _start(self) -> _Start:
        history = self._hub.history
        last = await self._stream.last(self._name)
        if last is None:
            return _Start(0, history.after(0, 1)[1])
        stored = unpack(last.data)
        newest_us = _newest_us(stored)
        if newest_us is None:
            gap = LoggedGap(NOT_WRITTEN, None, time.time())
            return _Start(last.number, history.newest_offset, hole=gap)
        start = _Start(last.number, history.offset_before(newest_us), newest_us=newest_us)
        start.known = await self._known(newest_us, last.number)
        start.filled = self._filled(start)
        whole_us = history.whole_since_us()
        if whole_us is None or whole_us > newest_us:
            until = time.time() if whole_us is None else whole_us / 1_000_000
            start.hole = LoggedGap(NOT_WRITTEN, newest_us / 1_000_000, until)
        return start

    async def _known(self, newest_us: int, last: int) -> set[tuple[int | None, str]]:
        known: set[tuple[int | None, str]] = set()
        found = await self._stream.read_since((newest_us - AGAIN_US) / 1e6, part=self._name)
        while found:
            for message in found:
                known.update(r.key for r in unpack(message.data) if isinstance(r, LoggedEvent))
            if found[-1].number >= last:
                break
            found = await self._stream.read(found[-1].number + 1, part=self._name)
        return known

    def _filled(self, start: _Start) -> int:
        """Return the number in the ring of the last event that is stored."""
        filled = start.offset
        for offset, record in enumerate(self._behind(start.offset), start.offset + 1):
            if isinstance(record, Event) and logged(record, self._start_of).key in start.known:
                filled = offset
        return filled

    def _gaps_behind(self, start: _Start) -> bool:
        offset = max(start.offset, start.filled)
        return any(isinstance(record, Gap) for record in self._behind(offset))

    def _behind(self, offset: int) -> list[Record]:
        return self._hub.history.after(offset, self._hub.history.newest_offset)[0]

    # Writing

    async def _lead(self, start: _Start) -> None:
        """Write until somebody else does, or the bus was lost and somebody else may know more."""
        self._number, self._offset, self._newest_us = start.number, start.offset, start.newest_us
        accepted = self._hub.history.newest_offset
        self.writes = True
        renewing: asyncio.Task[None] | None = None
        try:
            if start.hole is not None:
                await self._append([start.hole])
            if not await self._lease.renew(writes=True):
                raise _Overtaken
            renewing = asyncio.create_task(self._renew())
            while not renewing.done():
                if await self._write_some(start, accepted):
                    await asyncio.sleep(LINGER_SECONDS)
                elif self._closing or self._gap_is_next(accepted):
                    break
                else:
                    await self._wake.wait(RENEW_SECONDS)
        finally:
            self.writes = False
            await end(renewing)
            await self._release()

    async def _renew(self) -> None:
        """Keep the lease; return when it is somebody else's."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                if not await self._lease.renew(writes=True):
                    return
            except StoreUnavailable:
                continue

    async def _release(self) -> None:
        try:
            await self._lease.release()
        except StoreUnavailable:
            log.debug("The lease of the event log expires.")

    def _gap_is_next(self, accepted: int) -> bool:
        """Return whether the bus was lost: another process may have heard what was missed."""
        records, start = self._hub.history.after(self._offset, 1)
        is_new = start + 1 > accepted
        return bool(records) and isinstance(records[0], Gap) and is_new and self._is_connected

    @property
    def _is_connected(self) -> bool:
        outages = self._hub.outages.since(0)
        return not outages or outages[-1].end is not None

    async def _write_some(self, start: _Start, accepted: int) -> bool:
        """Write one message; return whether there was something to write."""
        records, before = self._hub.history.after(self._offset, MESSAGE_RECORDS)
        chosen: list[Logged] = []
        if before > self._offset:
            chosen.append(LoggedGap(TOO_SLOW, _seconds(self._newest_us), self._first_time(records)))
        offset, size_bytes = before, 0
        for record in records:
            if isinstance(record, Gap):
                if offset + 1 > accepted or not self._is_connected:
                    break
                if offset + 1 > start.filled:
                    outages = self._hub.outages.since(0)
                    chosen.append(LoggedGap(record.reason, record.since, outages[-1].end))
            elif not is_relayed(record):
                size_bytes += record.size_bytes
                if size_bytes > MESSAGE_BYTES and chosen:
                    break
                found = logged(record, self._start_of)
                if found.key not in start.known:
                    chosen.append(found)
            offset += 1
        if chosen:
            await self._append(chosen)
        self._offset = offset
        self._idle_since = None
        if offset == self._hub.history.newest_offset:
            start.known.clear()
        return bool(chosen) or bool(records and offset > before)

    async def _append(self, records: list[Logged]) -> None:
        """
        Append a message, or more if that is too large.

        Raises:
            _Overtaken: Somebody else has appended one.
        """
        size_bytes = sum(len(r.payload) for r in records if isinstance(r, LoggedEvent))
        if size_bytes < IN_THREAD_FROM_BYTES:
            data = pack(records)
        else:
            data = await asyncio.to_thread(pack, records)
        if len(data) > await self._stream.most_bytes() - HEADER_BYTES:
            if len(records) == 1:
                reason = TOO_LARGE.format(size=size_bytes)
                moment = _seconds(_newest_us(records))
                await self._append([LoggedGap(reason, moment, moment)])
                return
            half = len(records) // 2
            await self._append(records[:half])
            await self._append(records[half:])
            return
        self._number = await self._stored(data)
        self._newest_us = _newest_us(records) or self._newest_us
        gaps = sum(isinstance(record, LoggedGap) for record in records)
        self.gaps_total += gaps
        self.stored_total += len(records) - gaps

    async def _stored(self, data: bytes) -> int:
        """Return the number of the message with *data*; an answer that was lost is looked for."""
        while True:
            try:
                number = await self._stream.append(self._name, data, self._number)
                if number is not None:
                    return number
            except StoreUnavailable:
                self._note_idle()
                await asyncio.sleep(RETRY_SECONDS)
            try:
                last = await self._stream.last(self._name)
            except StoreUnavailable:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if last is not None and last.number > self._number:
                if last.data != data:
                    raise _Overtaken
                return last.number
            if last is None:  # all messages of this master have expired
                self._number = 0

    def _note_idle(self) -> None:
        if self._idle_since is None:
            self._idle_since = time.monotonic()

    @staticmethod
    def _first_time(records: list[Record]) -> float | None:
        for record in records:
            if not is_relayed(record) and (time_us := fired_at(record)) is not None:
                return _seconds(time_us)
        return None


def _newest_us(records: list[Logged]) -> int | None:
    times = [
        int(r.until * 1_000_000)
        if isinstance(r, LoggedGap) and r.until is not None
        else getattr(r, "time_us", None)
        for r in records
    ]
    return max((found for found in times if found is not None), default=None)


def _seconds(time_us: int | None) -> float | None:
    return None if time_us is None else time_us / 1_000_000
