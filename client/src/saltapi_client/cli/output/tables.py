"""Rows and columns."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Callable

from saltapi_client.cli.terminal import Paint, cut, width_of

NARROW_COLUMNS = 8
NARROWEST_COLUMNS = 3


def text(
    names: Sequence[str],
    rows: Sequence[Sequence[Any]],
    paint: Paint,
    width: int | None,
    *,
    colours: Callable[[str, str], str] = lambda _name, _text: "",
    whole: Collection[str] = (),
) -> str:
    """
    Return a table.

    Args:
        names: The names of the columns.
        rows: The values.
        paint: The colours.
        width: How wide it may be; None for as wide as it is.
        colours: The meaning of a text in a column, as `Paint` has it.
        whole: Columns that are not cut, as they are copied or compared.
    """
    filled = [place for place in range(len(names)) if place == 0 or any(row[place] for row in rows)]
    names = [names[place] for place in filled]
    rows = [[row[place] for place in filled] for row in rows]
    shown = [["" if cell is None else str(cell).replace("\n", " ") for cell in row] for row in rows]
    columns = [
        max([width_of(name), *(width_of(row[place]) for row in shown)])
        for place, name in enumerate(names)
    ]
    kept = {0} | {place for place, name in enumerate(names) if name in whole}
    if width is not None:
        _narrow(columns, width, kept)

    def line(cells: Sequence[str], meanings: Sequence[str]) -> str:
        parts = [cut(cell, size) for cell, size in zip(cells, columns)]
        spaces = [" " * (size - width_of(part)) for part, size in zip(parts, columns)]
        painted = [paint(meaning, part) for meaning, part in zip(meanings, parts)]
        return "  ".join(map("".join, zip(painted, spaces))).rstrip()

    heads = line([name.upper() for name in names], ["bold"] * len(names))
    lines = [line(row, [colours(*pair) for pair in zip(names, row)]) for row in shown]
    return "\n".join([heads, *lines])


def _narrow(columns: list[int], width: int, kept: Collection[int]) -> None:
    """Let the widest give way until all fit: first the wide ones, then all; if they can."""
    others = [place for place in range(len(columns)) if place not in kept]
    least_of = [min(c, NARROWEST_COLUMNS) if p in others else c for p, c in enumerate(columns)]
    if sum(least_of) + 2 * len(columns) - 2 > width:
        return
    for least in (NARROW_COLUMNS, NARROWEST_COLUMNS):
        while sum(columns) + 2 * len(columns) - 2 > width:
            widest = max(others, key=columns.__getitem__, default=0)
            if widest in kept or columns[widest] <= least:
                break
            columns[widest] -= 1
