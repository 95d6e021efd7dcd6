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
from collections.abc import Iterable, Mapping

from saltapi.bridge.fleet.connections import LOCAL, connections_to, own_addresses
from saltapi.engine.fleet.minion import Minion

LOOK_SECONDS = 5.0
"""How often the connections are counted, at most."""
RECENT_SECONDS = 600.0
"""How long a sign of life means that a minion is there, where connections do not tell."""
LOOPBACK = frozenset({"127.0.0.1", "::1"})
AT_ONCE = 1_000
"""So many minions are looked at before others have their turn."""


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
        self._from: Mapping[str, int] = {}
        self._own: frozenset[str] = frozenset()
        self._sharing: Mapping[str, int] = {}
        self._fell: dict[str, float] = {}
        """When there were fewer connections from a place than before."""
        self._has_strangers = False

    async def look(self, minions: Iterable[Minion]) -> bool:
        """Count the connections, if that is long ago; return whether they have been counted."""
        async with self._lock:
            if time.monotonic() - self._looked_at < LOOK_SECONDS:
                return False
            found, own = await asyncio.to_thread(self._count)
            now = time.time()
            moved, self._own = own != self._own, own
            sharing, named = await self._shared(list(minions), moved=moved)
            self._fell |= {p: now for p, n in self._from.items() if found.get(p, 0) < n}
            self._from, self._sharing = found, sharing
            self._has_strangers = not found.keys() <= named
            self._looked_at = time.monotonic()
            return True

    def connected(self, minion: Minion, now: float) -> bool | None:
        """Return whether *minion* is connected; None if that is not known."""
        places = minion.places
        if places is None:
            places = self._places(minion)
        silent = minion.is_silent
        held = False
        for place in places:
            if count := self._from.get(place, 0):
                held = True
                # Of those who share a place the silent ones do not count.
                if count >= self._sharing.get(place, 0) + silent:
                    return True
        if silent:
            return False
        seen_at = minion.seen_at
        # A sign of life counts until a connection has ended that may have been this one.
        if seen_at is not None and seen_at > now - RECENT_SECONDS:
            fell = self._fell
            if not fell or all(seen_at > fell.get(place, 0.0) for place in places):
                return True
        if held or not places or not self._from or self._has_strangers:
            return None
        return False

    async def _shared(
        self, minions: list[Minion], *, moved: bool
    ) -> tuple[dict[str, int], set[str]]:
        """Return how many who are not silent share each place, and all places of all minions."""
        sharing: dict[str, int] = {}
        named: set[str] = set()
        for number, minion in enumerate(minions, 1):
            if moved:  # this machine has other addresses than before
                minion.places = None
            places = self._places(minion)
            named.update(places)
            if not minion.is_silent:
                for place in places:
                    sharing[place] = sharing.get(place, 0) + 1
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
        return sharing, named

    def _count(self) -> tuple[Mapping[str, int], frozenset[str]]:
        return connections_to(self._port), own_addresses()

    def _places(self, minion: Minion) -> tuple[str, ...]:
        """Return where the connection of *minion* may come from, worked out once."""
        if minion.places is None:
            minion.places = _places(minion.summary.addresses, self._own)
        return minion.places


def _places(addresses: Iterable[str], own: frozenset[str]) -> tuple[str, ...]:
    known = set(addresses)
    others = known - LOOPBACK
    local = {LOCAL} if known and (not others or others & own) else set()
    return tuple(sorted(local | (others - own)))
