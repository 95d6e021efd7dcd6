"""Lists and documents of the API as text."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

from saltapi_client.cli.output import tables
from saltapi_client.cli.output.printers import show, write
from saltapi_client.cli.terminal import is_terminal, paint_of, size


def document(args: argparse.Namespace, value: Any) -> None:
    """Write one document: for people on a terminal, else as JSON, or as `--out` says."""
    layout = args.out or "auto"
    if layout in {"auto", "table", "highstate"}:
        layout = "nested" if is_terminal() or layout != "auto" else "json"
    if layout != "quiet":
        show(value, layout, paint_of(args))


def listing(args: argparse.Namespace, names: Sequence[str], found: Iterable[Any]) -> None:
    """Write a list of things with `raw`: a table on a terminal, else NDJSON, or as `--out` says."""
    layout = args.out or ("table" if is_terminal() else "ndjson")
    layout = "table" if layout in {"auto", "highstate"} else layout
    if layout == "ndjson":
        for each in found:
            show(plain(each), "ndjson", paint_of(args))
    elif layout == "table":
        rows = [[cell(each, name) for name in names] for each in found]
        heads = [name.replace("_", " ") for name in names]
        write(tables.text(heads, rows, paint_of(args), size()[0] if is_terminal() else None))
    elif layout != "quiet":
        show([plain(each) for each in found], layout, paint_of(args))


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
