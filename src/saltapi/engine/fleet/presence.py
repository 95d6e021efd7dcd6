"""
Whether a minion is connected, of all that is known without asking anybody.

Signs of life count first: who has just returned something is there, from whatever address it comes.
Beyond them the connections to the publish port tell, by the addresses that the minion's grains
name: none at all from them means that it is gone, unless there are connections from addresses that
no minion names (NAT); as many as minions that share the address, that all of them are there. A sign
of life counts for a while, and until a connection ends that may have been the minion's. Where
neither tells, it is not known.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable

from saltapi.bridge.fleet.connections import LOCAL, Connections, connections_to, own_addresses
from saltapi.engine.fleet.minion import Minion

LOOK_SECONDS = 5.0
"""How often the connections are counted, at most."""
RECENT_SECONDS = 600.0
"""How long a sign of life means that a minion is there, where connections do not tell."""


class Presences:
    """Counts connections, and says which minions they may be."""

    def __init__(self, port: int) -> None:
        """
        Args:
            port: The master's publish port.
        """
        self._port = port
        self._looked_at = float("-inf")
        self._lock = asyncio.Lock()
        self._from: Connections = Counter()
        self._own: frozenset[str] = frozenset()
        self._sharing: Counter[str] = Counter()
        self._fell: dict[str, float] = {}
        """When there were fewer connections from a place than before."""
        self._has_strangers = False

    async def look(self, minions: Iterable[Minion]) -> bool:
        """Count the connections, if that is long ago; return whether they have been counted."""
        async with self._lock:
            if time.monotonic() - self._looked_at < LOOK_SECONDS:
                return False
            before = self._from
            self._from, self._own = await asyncio.to_thread(self._count)
            self._looked_at, now = time.monotonic(), time.time()
            self._fell |= {p: now for p, count in before.items() if self._from[p] < count}
            self._sharing = Counter()
            named: set[str] = set()
            for minion in minions:
                places = self._places(minion)
                named |= places
                if not minion.is_silent:
                    self._sharing.update(places)
            self._has_strangers = not self._from.keys() <= named
            return True

    def connected(self, minion: Minion, now: float) -> bool | None:
        """Return whether *minion* is connected; None if that is not known."""
        places = self._places(minion)
        held = [place for place in places if self._from[place]]
        own = int(minion.is_silent)  # of those who share a place the silent ones do not count
        if any(self._from[place] >= self._sharing[place] + own for place in held):
            return True
        if minion.is_silent:
            return False
        # A sign of life counts until a connection has ended that may have been this one.
        fell = max((self._fell.get(place, 0.0) for place in places), default=0.0)
        if minion.seen_at is not None and minion.seen_at > max(fell, now - RECENT_SECONDS):
            return True
        if held or not places or not self._from or self._has_strangers:
            return None
        return False

    def _count(self) -> tuple[Connections, frozenset[str]]:
        return connections_to(self._port), own_addresses()

    def _places(self, minion: Minion) -> set[str]:
        """Return where the connection of *minion* may come from."""
        addresses = set(minion.summary.addresses)
        if not addresses:
            return set()
        others = addresses - {"127.0.0.1", "::1"}
        local = {LOCAL} if not others or others & self._own else set()
        return local | (others - self._own)
