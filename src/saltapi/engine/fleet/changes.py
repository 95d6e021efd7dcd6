"""
The changes of the fleet, for one session as they happen.

A record says how a minion is now, not what has happened to it: many changes in a row come as one.
The ids are those of the bus, so that a listener may come back to any process: what the bus has told
since is looked through, and each minion that it was about is told of once more.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable

from saltapi.bridge.bus.events import Event, Gap
from saltapi.bridge.bus.hub import Hub, ListenerClosed
from saltapi.bridge.bus.tags import Kind
from saltapi.bridge.jobs.job_events import names
from saltapi.engine.events.streams import HEARTBEAT_SECONDS, Stream, StreamEnded
from saltapi.engine.fleet.listing import Minions, Record
from saltapi.engine.fleet.registry import REFRESHED
from saltapi.engine.fleet.sight import Sight
from saltapi.engine.sessions.sessions import Sessions
from saltapi.types import MinionId, Session

GATHER_SECONDS = 0.5
"""How long changes are gathered before they are told together."""
RECORDS_AT_ONCE = 200


class FleetListener:
    """What a `Stream` takes from."""

    def __init__(
        self, minions: Minions, hub: Hub, session: Session, *, since: str | None = None
    ) -> None:
        """
        Args:
            minions: The fleet.
            hub: Where it is known from what has changed since.
            session: Who listens.
            since: The id of the last record that was seen.
        """
        self.closed: str | None = None
        self.on_close: Callable[[str], None] | None = None
        """Called with the reason when the listener ends."""
        self._minions = minions
        self._hub = hub
        self._session = session
        self._changes = minions.fleet.listen()
        self._gaps = hub.listen([lambda _tag: False])
        self._gaps.on_close = self.close
        self._began = False
        self._missed: list[Record] = []
        if since is not None:
            self._begin(since)

    async def take(self) -> list[Record]:
        """
        Return what has changed, or that nothing has; the first time where the stream begins.

        Raises:
            ListenerClosed: The listener has ended.
        """
        if self._began:
            await self._changes.wake.wait(HEARTBEAT_SECONDS)
            if self.closed is None and self._changes.minions:
                await asyncio.sleep(GATHER_SECONDS)
        if self.closed is not None:
            raise ListenerClosed(self.closed)
        self._began = True
        cursor = self._hub.cursor()
        found, self._missed = self._missed, []
        for gap in self._gaps.drain():
            if isinstance(gap, Gap):
                found.append({"type": "gap", "id": gap.id, "reason": gap.reason})
        changed = self._changes.take()
        for start in range(0, len(changed), RECORDS_AT_ONCE):
            found += await self._records(changed[start : start + RECORDS_AT_ONCE])
            await asyncio.sleep(0)
        for record in found:
            record.setdefault("id", None)
        return [*found, {"type": "heartbeat", "id": cursor}]

    def close(self, reason: str = "closed") -> None:
        """End the listener; idempotent."""
        if self.closed is not None:
            return
        self.closed = reason
        self._minions.fleet.forget(self._changes)
        self._gaps.close()
        self._changes.wake.set()
        if self.on_close is not None:
            self.on_close(reason)

    def _begin(self, since: str) -> None:
        for record in self._hub.missed(since):
            if isinstance(record, Gap):
                self._missed.append({"type": "gap", "id": record.id, "reason": record.reason})
            else:
                for minion in touched(record):
                    self._changes.note(minion)

    async def _records(self, changed: list[MinionId]) -> list[Record]:
        await self._minions.fleet.refresh()
        sight = await self._minions.sight(self._session, changed)
        found: list[Record] = []
        now = time.time()
        for name in changed:
            minion = self._minions.fleet.registry.minions.get(name)
            if minion is not None and self._minions.is_seen(sight, minion):
                shown = self._minions.record(sight, minion, now)
                found.append({"type": "minion", "minion": shown})
            elif sight.minion(name) and self._may_know(sight, name):
                found.append({"type": "gone", "minion": name})
        return found

    def _may_know(self, sight: Sight, minion: MinionId) -> bool:
        """Return whether somebody may know that *minion* was there: not of keys never accepted."""
        return sight.shows_keys or self._minions.fleet.has_left(minion)


async def records(
    minions: Minions, hub: Hub, sessions: Sessions, session: Session, *, since: str | None = None
) -> AsyncIterator[list[Record]]:
    """Yield what changes, until the session ends or the service stops; the last one says why."""
    if since is not None:
        await hub.catch_up(since)
    listener = FleetListener(minions, hub, session, since=since)
    async with Stream(listener, sessions, session) as stream:
        while True:
            try:
                yield await stream.take()
            except StreamEnded as end:
                yield [{"type": "end", "reason": str(end)}]
                return


def touched(event: Event) -> Iterable[MinionId]:
    """Return the minions that an event says something of."""
    tag = event.parts
    if tag.syndics:
        return []
    if tag.kind is Kind.JOB:
        return [tag.name] if tag.part == "ret" and tag.name else []
    if tag.kind is Kind.MINION:
        return [tag.name] if tag.name else []
    if tag.kind is Kind.PRESENCE:
        return [name for key in ("new", "lost") for name in names(event.data.get(key))]
    if tag.kind is Kind.KEY:
        minion = event.data.get("id")
        return [minion] if isinstance(minion, str) else []
    if event.tag.startswith(REFRESHED):
        return [event.tag.removeprefix(REFRESHED)]
    return []
