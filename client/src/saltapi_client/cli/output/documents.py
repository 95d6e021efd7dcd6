"""Lists and documents of the API as text."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Callable

from saltapi_client.cli.output import tables
from saltapi_client.cli.output.writing import show, write
from saltapi_client.cli.terminal import is_terminal, paint_of, size


def document(args: argparse.Namespace, value: Any) -> None:
    """Write one document: for people on a terminal, else as JSON, or as `--out` says."""
    layout = args.out or "auto"
    if layout in {"auto", "table", "highstate"}:
        layout = "nested" if is_terminal() or layout != "auto" else "json"
    if layout != "quiet":
        show(value, layout, paint_of(args))


BAD = frozenset({"incomplete", "failed", "rejected", "denied", "disconnected"})
WATCHED = frozenset({"running", "pending", "unknown", "paused"})
UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def listing(
    args: argparse.Namespace,
    names: Sequence[str],
    found: Iterable[Any],
    *,
    whole: Collection[str] = (),
    cells: Mapping[str, Callable[[Any], str]] | None = None,
) -> None:
    """
    Write a list of things with `raw`: a table on a terminal, else NDJSON, or as `--out` says.

    Args:
        args: The command line.
        names: The columns of the table.
        found: The things.
        whole: Columns that are never cut.
        cells: What a table shows in a column, if it is not the attribute of that name.
    """
    layout = args.out or ("table" if is_terminal() else "ndjson")
    layout = "table" if layout in {"auto", "highstate"} else layout
    if layout == "ndjson":
        for each in found:
            show(plain(each), "ndjson", paint_of(args))
    elif layout == "table":
        made = cells or {}
        rows = [[made[n](each) if n in made else cell(each, n) for n in names] for each in found]
        heads = [name.replace("_", " ") for name in names]
        width = size()[0] if is_terminal() else None
        write(tables.text(heads, rows, paint_of(args), width, colours=meaning, whole=set(whole)))
    elif layout != "quiet":
        show([plain(each) for each in found], layout, paint_of(args))


def meaning(name: str, text: str) -> str:
    """Return what a text in a column of a table means, as `Paint` has it."""
    if text in BAD or (name == "connected" and text == "no") or (name == "failed" and text):
        return "bad"
    return "would" if text in WATCHED else ""


def age(moment: Any) -> str:
    """Return how long ago a time of the server's is, "5 min"; the text itself if it is none."""
    from datetime import datetime, timezone

    try:
        found = datetime.fromisoformat(str(moment).replace("Z", "+00:00"))
        seconds = (datetime.now(timezone.utc) - found).total_seconds()
    except (ValueError, TypeError):
        return "" if moment is None else str(moment)
    size, unit = next((each for each in UNITS if seconds >= each[0]), UNITS[-1])
    return f"{max(int(seconds // size), 0)} {unit}"


def plain(each: Any) -> Any:
    """Return the document of a thing, as the server has sent it where it has."""
    from dataclasses import asdict

    if each.raw:
        return {**({"jid": each.jid} if hasattr(each, "jid") else {}), **each.raw}
    found = asdict(each)
    del found["raw"]
    return found


def cell(each: Any, name: str) -> str:
    """Return what a table shows of a value."""
    value = getattr(each, name)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return " ".join(str(part) for part in value.values() if isinstance(part, (str, int)))
    return str(value)
