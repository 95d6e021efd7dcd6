"""
Cursors: ids of events, by which another process on the same bus knows how far a listener was.

    <time>-<check>-<epoch>-<offset>     an event
    <time>-<epoch>-<offset>             what is between two events
    <epoch>-<offset>                    an event that has no time

`epoch` is random text of the process and `offset` a number in its order: to the process itself they
say everything. All processes get the same frames from the master in the same order, so another one
finds the event by its `time` (microseconds since 1970, hexadecimal: the `_stamp` that the master
gave it) and `check` (the CRC-32 of its frame). Of an event that the reader may not see, a
cursor says no more than when it was.
"""

import datetime
import zlib
from dataclasses import dataclass

from saltapi.types import Tag

STAMP_KEY = b"\xa6_stamp"
SHORT_TEXT = 0xA0
TEXT_8 = 0xD9
SHORT_TEXT_BYTES = 32
MOST_PARTS = 4
NUMBER_CHARACTERS = 20
"""Longer numbers are nobody's: they are cut before they are read."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """What an id says."""

    epoch: str
    offset: int
    time_us: int | None = None
    """When the event was fired; of what is between events, all before it has been seen."""
    check: int | None = None


def event_id(tag: Tag, payload: bytes, time_us: int | None, epoch: str, offset: int) -> str:
    """Return the id of an event; *time_us* is what `time_of` found in it."""
    if time_us is None:
        return f"{epoch}-{offset}"
    check = zlib.crc32(payload, zlib.crc32(tag.encode("utf-8", "replace")))
    return f"{time_us:x}-{check:08x}-{epoch}-{offset}"


def cursor_id(time_us: int | None, epoch: str, offset: int) -> str:
    """Return the id of what is behind the number *offset*."""
    return f"{epoch}-{offset}" if time_us is None else f"{time_us:x}-{epoch}-{offset}"


def parse(text: str) -> Cursor | None:
    """Return what an id says; None if it is none."""
    parts = text.split("-", MOST_PARTS)
    if not 2 <= len(parts) <= MOST_PARTS:
        return None
    *rest, epoch, number = parts
    if not (number.isascii() and number.isdigit()):
        return None
    try:
        numbers = [int(part[:NUMBER_CHARACTERS], 16) for part in rest]
    except ValueError:
        return None
    return Cursor(epoch, int(number[:NUMBER_CHARACTERS]), *numbers)


def time_of(payload: bytes) -> int | None:
    """
    Return when an event was fired, in microseconds since 1970; None if it does not say so.

    The `_stamp` is found without decoding the rest, because every event passes here.
    """
    start = payload.rfind(STAMP_KEY) + len(STAMP_KEY)
    if start < len(STAMP_KEY) or start >= len(payload):
        return None
    kind, start = payload[start], start + 1
    if SHORT_TEXT <= kind < SHORT_TEXT + SHORT_TEXT_BYTES:
        size = kind - SHORT_TEXT
    elif kind == TEXT_8 and start < len(payload):
        size, start = payload[start], start + 1
    else:
        return None
    try:
        stamp = datetime.datetime.fromisoformat(payload[start : start + size].decode("ascii"))
        if stamp.tzinfo is None:  # Salt 3007 writes UTC without saying so
            stamp = stamp.replace(tzinfo=datetime.UTC)
        return max(0, int(stamp.timestamp() * 1_000_000))
    except (ValueError, OverflowError):
        return None
