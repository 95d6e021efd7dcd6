"""Rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from saltapi_client.cli.terminal import Paint, cut, width_of

NARROW_COLUMNS = 8


def text(
    names: Sequence[str], rows: Sequence[Sequence[Any]], paint: Paint, width: int | None
) -> str:
    """
    Return a table.

    Args:
        names: The names of the columns.
        rows: The values.
        paint: The colours.
        width: How wide it may be; None for as wide as it is.
    """
    filled = [place for place in range(len(names)) if place == 0 or any(row[place] for row in rows)]
    names = [names[place] for place in filled]
    rows = [[row[place] for place in filled] for row in rows]
    shown = [["" if cell is None else str(cell).replace("\n", " ") for cell in row] for row in rows]
    columns = [
        max([width_of(name), *(width_of(row[place]) for row in shown)])
        for place, name in enumerate(names)
    ]
    if width is not None:
        # The widest gives way, until all fit or none can.
        # The first does not: it is what is copied into the next command.
        while sum(columns) + 2 * len(columns) - 2 > width:
            widest = max(range(1, len(columns)), key=columns.__getitem__, default=0)
            if columns[widest] <= NARROW_COLUMNS:
                break
            columns[widest] -= 1

    def line(cells: Sequence[str]) -> str:
        parts = [cut(cell, size) for cell, size in zip(cells, columns)]
        padded = [p + " " * (size - width_of(p)) for p, size in zip(parts, columns)]
        return "  ".join(padded).rstrip()

    return "\n".join([paint("bold", line([name.upper() for name in names])), *map(line, shown)])
