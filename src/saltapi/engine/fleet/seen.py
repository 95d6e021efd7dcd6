"""
The minions that sessions see, in the order of their ids, until something of it changes.

Whether a minion may be seen takes a moment to find out, and there may be ten thousand: it is found
out once for all who may run the same, in turns with everybody else.
"""

import asyncio
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from saltapi.bridge.permissions.scopes import Scopes
from saltapi.engine.fleet.fleet import Fleet
from saltapi.engine.fleet.minion import Minion
from saltapi.engine.fleet.presence import AT_ONCE
from saltapi.engine.fleet.sight import Sight
from saltapi.types import MinionId


@dataclass(slots=True)
class _Known:
    """What was found out for those who may run the same."""

    version: Any
    """Of what it rests on."""
    minions: list[Minion] | None = None
    running: dict[str, frozenset[MinionId]] = field(default_factory=dict)


class SeenMinions:
    """Finds out, and keeps, who sees which minions."""

    def __init__(self, fleet: Fleet, is_seen: Callable[[Sight, Minion], bool]) -> None:
        """
        Args:
            fleet: All minions.
            is_seen: Whether one of them may be seen.
        """
        self._fleet = fleet
        self._is_seen = is_seen
        self._everybody: tuple[int, list[Minion]] = (-1, [])
        self._known: WeakKeyDictionary[Scopes, _Known] = WeakKeyDictionary()

    async def of(self, sight: Sight) -> list[Minion]:
        """Return the minions that may be seen, of what has been looked up for it; not changed."""
        everybody = self._all()
        scopes = sight.scopes
        if scopes is None:
            return everybody
        known = self._known_of(scopes)
        if known.minions is None:
            found = await those(everybody, lambda minion: self._is_seen(sight, minion))
            if not sight.is_settled:
                return found
            known.minions = found
        return known.minions

    async def running(self, sight: Sight, fun: str) -> Container[MinionId]:
        """Return on which of the minions that are seen *fun* may be run, without arguments."""
        scopes = sight.scopes
        if scopes is None:
            return self._fleet.registry.minions
        known = self._known_of(scopes)
        if fun not in known.running:
            minions = await self.of(sight)
            able = await those(minions, lambda minion: sight.may_run(fun, minion.id))
            found = frozenset(minion.id for minion in able)
            if not sight.is_settled:
                return found
            known.running[fun] = found
        return known.running[fun]

    def _all(self) -> list[Minion]:
        registry = self._fleet.registry
        if self._everybody[0] != registry.membership:
            minions = registry.minions
            self._everybody = registry.membership, [minions[name] for name in sorted(minions)]
        return self._everybody[1]

    def _known_of(self, scopes: Scopes) -> _Known:
        version = self._fleet.version, scopes.version
        known = self._known.get(scopes)
        if known is None or known.version != version:
            known = self._known[scopes] = _Known(version)
        return known


async def those(minions: list[Minion], fits: Callable[[Minion], bool]) -> list[Minion]:
    """Return those of *minions* that fit, in turns with whatever else there is to do."""
    found: list[Minion] = []
    for start in range(0, len(minions), AT_ONCE):
        if start:
            await asyncio.sleep(0)
        found += filter(fits, minions[start : start + AT_ONCE])
    return found
