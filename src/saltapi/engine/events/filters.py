"""
Screens: what stands between the hub and listeners who may not see everything.

All listeners who may see the same have one filter, which decides once for each event. An event
about which it cannot be decided yet, because the minions of a permission must be looked up, is held
back, and what comes after it too: the order stays.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import TypeAlias

from saltapi.bridge.bus.events import Event, Gap, Record, TagFilter, any_of
from saltapi.bridge.bus.hub import Hub, Listener
from saltapi.bridge.jobs.live_view import LiveView
from saltapi.config import MIB
from saltapi.engine.events.subjects import Subject, Subjects
from saltapi.types import MinionId

HELD_LIMIT_BYTES = 8 * MIB
"""So much is held back while the minions of permissions are looked up."""
REMEMBERED_VERDICTS = 50_000
SLICE_RECORDS = 500
"""So many records of the history are judged before others get their turn."""
HELD_TOO_LONG = "It took too long to find out who may see what; events are missing."

Decide: TypeAlias = Callable[[Subject], bool | None]
"""Returns whether the event may be seen; None while the minions of permissions are not known."""


class EventFilter:
    """Hands its listeners those records that they may see, in order. One for all who may see it."""

    hears_all_masters = True

    def __init__(
        self,
        hub: Hub,
        subjects: Subjects,
        decide: Decide,
        look: Callable[[], Awaitable[None]],
        sees: Callable[[MinionId], bool | None],
    ) -> None:
        """
        Args:
            hub: Where the records come from.
            subjects: Tells what events are about.
            decide: Decides about one event.
            look: Finds out what *decide* and *sees* did not know.
            sees: Decides about one minion.
        """
        self._hub = hub
        self._subjects = subjects
        self._decide = decide
        self._look = look
        self._sees = sees
        self._view: LiveView | None = None
        self._listeners: set[Listener] = set()
        self._held: deque[Record] = deque()
        self._held_bytes = 0
        self._settling: asyncio.Task[None] | None = None
        self._verdicts: dict[str, bool] = {}

    @property
    def listeners(self) -> int:
        """How many listeners there are."""
        return len(self._listeners)

    def offer(self, record: Record) -> None:
        """Hand on *record*, if it may be seen, behind those that are held back."""
        if not self._held:
            verdict = self._verdict(record)
            if verdict is not None:
                if verdict:
                    self._hand_on(record)
                return
        self._held.append(record)
        self._held_bytes += record.size_bytes
        if self._held_bytes > HELD_LIMIT_BYTES:
            self._held = deque([Gap(record.id, HELD_TOO_LONG)])
            self._held_bytes = 0
        if self._settling is None:
            self._settling = asyncio.create_task(self._settle())

    def close(self, reason: str = "closed") -> None:
        """End all listeners."""
        for listener in tuple(self._listeners):
            listener.close(reason)

    def forget(self, listener: Listener) -> None:
        """Stop handing records to *listener*."""
        self._listeners.discard(listener)
        if not self._listeners:
            self._hub.detach(self)
            if self._settling is not None:
                self._settling.cancel()
                self._settling = None
            self._held.clear()

    def cursor(self, seen_us: int | None = None) -> str | None:
        """Return the id behind everything handed on so far; None while some is held back."""
        return None if self._held else self._hub.cursor(seen_us)

    def listen(self, tags: Iterable[TagFilter] = ()) -> Listener:
        """Return a listener for events that any of *tags* passes (all without), from now on."""
        listener = self._hub.new_listener(self, tags)
        self._listeners.add(listener)
        self._hub.attach(self)
        return listener

    async def resume(
        self, tags: Sequence[TagFilter], missed: Callable[[], list[Record]]
    ) -> Listener:
        """
        Same as `listen`, but what was missed comes first.

        Args:
            tags: As for `listen`.
            missed: Returns all that was missed by now.
        """
        passes = any_of(tags)
        while True:
            if not self._held:
                found = [
                    record
                    for record in missed()
                    if isinstance(record, Gap) or passes is None or passes(record.tag)
                ]
                if await self._judged(found):
                    break
            await self._look()
            if self._settling is not None:
                await asyncio.wait({self._settling})
        listener = self.listen(tags)
        listener.replay(r for r in found if isinstance(r, Gap) or self._verdicts[r.id])
        return listener

    async def visible(self, records: Sequence[Record]) -> list[Record]:
        """Return those of *records*, which need not be of the hub, that may be seen."""
        found: list[Record] = []
        for count, record in enumerate(records, 1):
            while (verdict := self._verdict(record)) is None:
                await self._look()
            if verdict:
                found.append(record)
            if count % SLICE_RECORDS == 0:
                await asyncio.sleep(0)
        return found

    def may_see(self, subject: Subject) -> bool | None:
        """Return whether what is about *subject* may be seen; None until `look` has found out."""
        return self._decide(subject)

    async def look(self) -> None:
        """Find out what `may_see` did not know."""
        await self._look()

    def view(self, whole: LiveView) -> LiveView:
        """Return the view of those jobs and minions of *whole* that may be seen."""
        if self._view is None:
            self._view = whole.narrowed(self, self._seen)
        return self._view

    async def _seen(self, minions: Collection[MinionId]) -> list[MinionId]:
        if any(self._sees(minion) is None for minion in minions):
            await self._look()
        return [minion for minion in minions if self._sees(minion)]

    async def _judged(self, records: list[Record]) -> bool:
        """
        Return whether it is known of all *records* whether they may be seen.

        The loop serves others after every few of those that were not judged before, and then
        this has to be asked again: records have come meanwhile.
        """
        new = [r for r in records if isinstance(r, Event) and r.id not in self._verdicts]
        if len(self._verdicts) + len(new) > REMEMBERED_VERDICTS:
            wanted = {record.id for record in records}
            self._verdicts = {key: seen for key, seen in self._verdicts.items() if key in wanted}
        for count, record in enumerate(new, 1):
            verdict = self._verdict(record)
            if verdict is None:
                return False
            self._verdicts[record.id] = verdict
            if count % SLICE_RECORDS == 0:
                await asyncio.sleep(0)
        return len(new) < SLICE_RECORDS

    def _verdict(self, record: Record) -> bool | None:
        return isinstance(record, Gap) or self._decide(self._subjects.of(record))

    def _hand_on(self, record: Record) -> None:
        for listener in tuple(self._listeners):
            listener.offer(record)

    async def _settle(self) -> None:
        """Find out what was not known, and hand on what is held back."""
        while self._held:
            await self._look()
            while self._held:
                verdict = self._verdict(self._held[0])
                if verdict is None:
                    break
                record = self._held.popleft()
                self._held_bytes -= min(self._held_bytes, record.size_bytes)
                if verdict:
                    self._hand_on(record)
        self._settling = None
