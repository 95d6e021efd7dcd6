"""
Hands the events of other masters to the hub as they come into the log; the same in each process.

Those of this master come from its bus, and are only counted here. Whoever appends something says
so; if that is not heard, the log is looked at all the same.
"""

import asyncio
import logging

from saltapi.bridge.bus import cursors
from saltapi.bridge.bus.events import Event, Gap, Origin, Position
from saltapi.bridge.bus.hub import Hub
from saltapi.bridge.bus.wake import Wake
from saltapi.bridge.nats.log_stream import LogStream, Stored, Tick
from saltapi.engine.events.log.ending import end
from saltapi.engine.events.log.messages import Logged, LoggedGap, unpack
from saltapi.errors import StoreUnavailable

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often the log is looked at when nobody says that there is something new."""
BEHIND_SECONDS = 0.02
"""The wait for a message of which the server that was asked does not know yet."""
RETRY_SECONDS = 0.25
SLICE_RECORDS = 200
"""So many events are handed on before others have their turn."""
LOG_LOST = "The event log begins anew; events of other masters may be missing."
EXPIRED = "The event log does not reach so far back; events are missing."


class LogFollower:
    """Reads what other masters write from now on."""

    def __init__(self, hub: Hub, stream: LogStream, name: str) -> None:
        """
        Args:
            hub: Where the events go.
            stream: Where they come from.
            name: What the log calls this master.
        """
        self._hub = hub
        self._stream = stream
        self._name = name
        self._next = 0
        """The number of the message that is read next."""
        self._known = 0
        """The newest number that was heard of."""
        self._wake = Wake()
        self._task: asyncio.Task[None] | None = None
        self.relayed_total = 0
        """How many events of other masters have come."""

    def start(self) -> None:
        """Begin to read."""
        self._task = asyncio.create_task(self._run(), name="saltapi-log-follower")

    async def close(self) -> None:
        """Stop reading; idempotent."""
        await end(self._task)
        self._task = None

    async def _run(self) -> None:
        while True:
            try:
                await self._open()
                while True:
                    await self._stream.listen(self._hear)
                    if not await self._read_some() and not self._is_behind:
                        await self._wake.wait(LOOK_SECONDS)
            except StoreUnavailable:
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:
                log.exception("The event log could not be read.")
                await asyncio.sleep(LOOK_SECONDS)

    async def _open(self) -> None:
        """Begin at the end of the log, or go on where this was."""
        before = self._stream.identity
        last = await self._stream.open()
        if self._next and before == self._stream.identity:
            return
        if self._next:
            self._hub.relay(Gap(self._hub.history.new_place(), LOG_LOST))
        self._next = last + 1
        part = cursors.part_of(self._name)
        self._hub.history.open_log(self._stream.identity, part, Position(self._next, 0))

    def _hear(self, tick: Tick) -> None:
        """Take note of a message; one of this master is as good as read if it is the next."""
        self._known = max(self._known, tick.number)
        if tick.number == self._next and tick.part == self._name:
            self._advance(tick.number)
        elif tick.number >= self._next:
            self._wake.set()

    @property
    def _is_behind(self) -> bool:
        return self._known >= self._next

    async def _read_some(self) -> bool:
        """Hand on some messages; return whether there were any."""
        first = self._next
        found = await self._stream.read(first)
        if not found and self._is_behind:
            await asyncio.sleep(BEHIND_SECONDS)
        for message in found:
            if message.number < self._next:  # it was heard meanwhile that it is ours
                continue
            if message.number > self._next and self._next == first:
                place = self._hub.history.new_place()
                self._hub.relay(Gap(place, EXPIRED))
            if message.part != self._name:
                await self._relay(message)
            self._advance(message.number)
        return bool(found)

    async def _relay(self, message: Stored) -> None:
        for item, record in enumerate(unpack(message.data)):
            self._hub.relay(self._relayed(record, message, item))
            if item % SLICE_RECORDS == SLICE_RECORDS - 1:
                await asyncio.sleep(0)

    def _relayed(self, record: Logged, message: Stored, item: int) -> Event | Gap:
        history, before = self._hub.history, Position(message.number, item + 1)
        if isinstance(record, LoggedGap):
            history.advance(before)
            return Gap(history.new_place(), record.reason, record.since, record.until)
        self.relayed_total += 1
        origin = Origin(message.part, Position(message.number, item), record.start)
        event_id = history.relayed_id(record.time_us, record.check, before)
        return Event(event_id, record.tag, record.payload, origin)

    def _advance(self, number: int) -> None:
        self._next = number + 1
        self._hub.history.advance(Position(self._next, 0))
