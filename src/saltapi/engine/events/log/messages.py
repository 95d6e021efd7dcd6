"""
What a message of the event log holds: some records of one master, in order.

Events are in it as everybody may see them: what only administrators see on the bus is not stored.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

from saltapi.bridge.bus import cursors
from saltapi.bridge.bus.events import Event, JobStart
from saltapi.config import MIB
from saltapi.types import Tag

VERSION = 1
PACKED_LIMIT_BYTES = 64 * MIB
"""What a message may hold at most."""
LEVEL = 1
"""How hard it is compressed: events are much alike."""


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event in the log."""

    time_us: int | None
    check: str
    tag: Tag
    payload: bytes
    start: JobStart | None = None

    @property
    def key(self) -> tuple[int | None, str]:
        """Tells it from other events of its master."""
        return self.time_us, self.check


@dataclass(frozen=True, slots=True)
class LoggedGap:
    """Events are missing in the log, which were fired in this time (seconds since the epoch)."""

    reason: str
    since: float | None
    until: float | None


Logged = LoggedEvent | LoggedGap


def logged(event: Event, start: Callable[[Event], JobStart | None]) -> LoggedEvent:
    """Return what is stored of *event*; *start* tells what is known of its job."""
    cursor = cursors.parse(event.id)
    time_us = None if cursor is None else cursor.time_us
    check = cursor.check if cursor is not None and cursor.check else ""
    if not check:
        check = cursors.check_of(event.tag, event.payload)
    return LoggedEvent(time_us, check, event.tag, event.public_payload, start(event))


def pack(records: Sequence[Logged]) -> bytes:
    """Return a message of *records*."""
    items = [_item(record) for record in records]
    return bytes([VERSION]) + zlib.compress(msgpack.packb(items, use_bin_type=True), LEVEL)


def unpack(data: bytes) -> list[Logged]:
    """Return the records of a message; a gap where it cannot be read."""
    try:
        if data[:1] != bytes([VERSION]):
            raise ValueError("another version")  # noqa: TRY301 - as the libraries say it
        unzip = zlib.decompressobj()
        packed = unzip.decompress(data[1:], PACKED_LIMIT_BYTES)
        items = msgpack.unpackb(packed, raw=False, unicode_errors="replace")
        return [_record(*item) for item in items]
    except (ValueError, TypeError, zlib.error, msgpack.UnpackException):
        return [LoggedGap("A message of the event log cannot be read.", None, None)]


def _item(record: Logged) -> list[Any]:
    if isinstance(record, LoggedGap):
        return [0, record.reason, record.since, record.until]
    tag = record.tag.encode("utf-8", "surrogatepass")
    start = None if record.start is None else [record.start.user, list(record.start.funs)]
    return [1, record.time_us, bytes.fromhex(record.check), tag, record.payload, start]


def _record(kind: int, *parts: Any) -> Logged:
    if kind == 0:
        return LoggedGap(*parts)
    time_us, check, tag, payload, start = parts
    known = None if start is None else JobStart(start[0], tuple(start[1]))
    return LoggedEvent(time_us, check.hex(), tag.decode("utf-8", "replace"), payload, known)
