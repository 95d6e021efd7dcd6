"""The order of a list of minions, and where its pages begin."""

import pytest

from saltapi.engine.fleet.minion import Minion
from saltapi.engine.fleet.sorting import Place, part

NAMES = [f"web-{n:02}" for n in range(23)]
VALUES = [None if n % 5 == 0 else float(n % 4) for n in range(23)]


def in_order(values: list[float | None] | None) -> list[str]:
    """Return the ids as they should come: the unknown first, equal ones by their ids."""
    if values is None:
        return NAMES
    pairs = zip(values, NAMES, strict=True)
    return [name for *_, name in sorted((v is not None, v or 0.0, name) for v, name in pairs)]


def pages(minions: list[Minion], values: list[float | None] | None, *, falling: bool) -> list[str]:
    found: list[str] = []
    after: Place | None = None
    while True:
        some, after = part(minions, values, falling=falling, limit=4, after=after)
        assert len(some) <= 4
        found += [minion.id for minion in some]
        if after is None:
            return found


@pytest.mark.parametrize("values", [None, VALUES, [None] * 23, [1.0] * 23])
@pytest.mark.parametrize("falling", [False, True])
def test_pages(values: list[float | None] | None, *, falling: bool) -> None:
    """Pages have each minion once, in order, in both directions; the last one says so."""
    expected = in_order(values)
    found = pages([Minion(name) for name in NAMES], values, falling=falling)

    assert (expected[::-1] if falling else expected) == found


@pytest.mark.parametrize("falling", [False, True])
def test_come_and_gone(*, falling: bool) -> None:
    """The next page begins behind the last minion that was shown, though it may have gone."""
    some, after = part([Minion(n) for n in NAMES], VALUES, falling=falling, limit=7, after=None)
    shown = {minion.id for minion in some}
    gone = {some[-1].id, some[2].id}
    kept = [(n, v) for n, v in zip(NAMES, VALUES, strict=True) if n not in gone]
    names, values = [n for n, _ in kept], [v for _, v in kept]
    rest, _ = part([Minion(n) for n in names], values, falling=falling, limit=50, after=after)

    assert set(NAMES) - shown == {minion.id for minion in rest}


def test_none() -> None:
    """Of nothing there is one empty page."""
    assert ([], None) == part([], None, falling=False, limit=5, after=None)
    assert ([], None) == part([], [], falling=True, limit=5, after=((1, 2.0), "x"))
