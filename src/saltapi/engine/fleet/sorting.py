"""
The order of a list of minions, and the pages of it.

Sorted by something that minions have, those of which it is not known come first, and those that
have the same are in the order of their ids. The place of a minion is written as a sort key and an
id, so that the next page begins behind it whatever has come or gone meanwhile.
"""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any

from saltapi.engine.fleet.fleet import Fleet
from saltapi.engine.fleet.minion import Minion
from saltapi.engine.fleet.presence import AT_ONCE
from saltapi.engine.fleet.sight import Sight
from saltapi.types import MinionId

SortKey = tuple[int, Any]
Place = tuple[SortKey, MinionId]


@dataclass(frozen=True, slots=True)
class Known:
    """What the minions are sorted by is known from."""

    fleet: Fleet
    sight: Sight
    shown: Container[MinionId]
    """Whose grains may be seen."""
    now: float


Values = Callable[[Known, list[Minion]], list[Any]]
"""Returns what each minion has, None where that is not known."""


async def values_of(sort: str, known: Known, minions: list[Minion]) -> list[Any] | None:
    """
    Return what each of *minions* is sorted by, in turns with whatever else there is to do.

    Args:
        sort: One of `VALUES`, perhaps with a minus in front.
        known: What it is known from.
        minions: In the order of their ids.

    Returns:
        None in place of what is not known; None alone where the order is that of the ids.
    """
    read = VALUES[sort.removeprefix("-")]
    if read is None:
        return None
    found: list[Any] = []
    for start in range(0, len(minions), AT_ONCE):
        if start:
            await asyncio.sleep(0)
        found += read(known, minions[start : start + AT_ONCE])
    return found


def part(
    minions: Sequence[Minion],
    values: Sequence[Any] | None,
    *,
    falling: bool,
    limit: int,
    after: Place | None,
) -> tuple[list[Minion], Place | None]:
    """
    Return some minions in order, and the place of the last one unless it is the end.

    Args:
        minions: In the order of their ids.
        values: What each is sorted by, None where that is not known; by their ids without.
        falling: Whether the order is the other way round.
        limit: So many at most.
        after: The place of the last one of the page before.
    """
    rising = range(len(minions)) if values is None else _rising(values)

    def place(index: int) -> Place:
        value = None if values is None else values[index]
        return (0, "") if value is None else (1, value), minions[index].id

    if falling:
        end = len(rising) if after is None else bisect_left(rising, after, key=place)
        start = max(end - limit, 0)
        chosen, is_end = rising[start:end][::-1], start == 0
    else:
        start = 0 if after is None else bisect_right(rising, after, key=place)
        chosen, is_end = rising[start : start + limit], start + limit >= len(rising)
    last = place(chosen[-1]) if chosen and not is_end else None
    return [minions[index] for index in chosen], last


def _rising(values: Sequence[Any]) -> Sequence[int]:
    unknown = [index for index, value in enumerate(values) if value is None]
    known = sorted((value, index) for index, value in enumerate(values) if value is not None)
    return [*unknown, *(index for _, index in known)]


def _by_key(known: Known, minions: list[Minion]) -> list[Any]:
    states = known.fleet.states()
    return [None if (s := states.get(m.id)) is None else str(s) for m in minions]


def _by_connection(known: Known, minions: list[Minion]) -> list[Any]:
    return [known.fleet.connection(minion, known.now) for minion in minions]


def _by_seen(_known: Known, minions: list[Minion]) -> list[Any]:
    return [minion.seen_at for minion in minions]


def _by_os(known: Known, minions: list[Minion]) -> list[Any]:
    return [minion.summary.os if minion.id in known.shown else None for minion in minions]


def _by_version(known: Known, minions: list[Minion]) -> list[Any]:
    return [minion.summary.salt_version if minion.id in known.shown else None for minion in minions]


def _by_highstate(known: Known, minions: list[Minion]) -> list[Any]:
    return [known.sight.highstate(minion) for minion in minions]


VALUES: dict[str, Values | None] = {
    "id": None,
    "key": _by_key,
    "connected": _by_connection,
    "last_seen": _by_seen,
    "os": _by_os,
    "salt_version": _by_version,
    "highstate": _by_highstate,
}
"""By what the list can be sorted."""
KEY_TYPES: dict[str, tuple[type, ...]] = {"connected": (bool,), "last_seen": (int, float)}
"""What values are sorted by which are no texts."""
