"""The audit log, read from its end: what was done last comes first."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from saltapi.config import KIB, MIB

BLOCK_BYTES = 64 * KIB
SCAN_LIMIT_BYTES = 8 * MIB
"""So much of the file is looked at for one page, whatever is searched for."""


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Lines of the audit log, the newest first."""

    entries: list[dict[str, Any]]
    before: int | None
    """Where the next page begins, in bytes of the file; None at its beginning."""


def read_page(path: str, *, search: str, limit: int, before: int | None) -> AuditPage:
    """
    Return the last lines that end at or before a place; blocks, so a thread calls it.

    The file is the one that is written now: what logrotate has moved away is not looked at.

    Args:
        path: The file; one that is not there has no lines.
        search: Text that is in each line, whatever its case; empty for any.
        limit: How many lines at most.
        before: The place in bytes; None for the end.

    Raises:
        OSError: The file cannot be read.
    """
    wanted = search.lower().encode()
    entries: list[dict[str, Any]] = []
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed by the block below
    except FileNotFoundError:
        return AuditPage([], None)
    with file:
        end = os.fstat(file.fileno()).st_size
        place = end if before is None else min(before, end)
        lowest = max(0, place - SCAN_LIMIT_BYTES)
        for start, line in _lines_backwards(file, place, lowest):
            if wanted in line.lower() and (entry := _entry(line)) is not None:
                entries.append(entry)
            place = start
            if len(entries) == limit:
                break
    return AuditPage(entries, place or None)


def _lines_backwards(file: BinaryIO, end: int, lowest: int) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that begin at *lowest* or behind it, the last first, each with its place."""
    rest, place = b"", end
    while place > lowest:
        start = max(lowest, place - BLOCK_BYTES)
        file.seek(start)
        block = file.read(place - start) + rest
        stop = len(block)
        while (newline := block.rfind(b"\n", 0, max(stop - 1, 0))) >= 0:
            yield start + newline + 1, block[newline + 1 : stop]
            stop = newline + 1
        rest, place = block[:stop], start
    if rest and lowest == 0:
        yield 0, rest


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None  # torn, or none of ours
    return value if isinstance(value, dict) else None
