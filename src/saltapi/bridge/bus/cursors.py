"""
Cursors: ids of events, by which another process on the same bus knows how far a listener was.

    <time>-<check>-<epoch>-<offset>     an event
    <time>-<epoch>-<offset>             what is between two events
    <epoch>-<offset>                    an event that has no time

`epoch` is random text of the process, with its master, and `offset` a number in its order: to the
process itself they say everything. All processes get the same events from the master in the same
order, so another one finds the event by its `time` (microseconds since 1970, hexadecimal: the
`_stamp` that the master gave it) and `check` (a digest of what it says). Both are the same at all
masters of a cluster: what Salt adds to an event that it forwards does not count. Of an event that
the reader may not see, a cursor says no more than when it was.

With an event log (`saltapi_event_log`) there is more behind a dot: how far the reader was in the
log, in which the events of all masters are, and in the events of the master whose bus the process
reads, because those do not wait for the log.

    .<log>-<number>-<item>                           all that is before this place in the log
    .<log>-<number>-<item>-<part>                    but of this master all up to this event
    .<log>-<number>-<item>-<part>-<time>-<check>     but of this master all up to that one
"""

import datetime
import hashlib
import zlib
from dataclasses import dataclass

from saltapi.bridge.bus.events import TAG_END, Event, Position
from saltapi.types import Tag

STAMP_KEY = b"\xa6_stamp"
SHORT_TEXT = 0xA0
TEXT_8 = 0xD9
SHORT_TEXT_BYTES = 32
TEXT_8_HEADER_BYTES = 2
MOST_PARTS = 4
NUMBER_CHARACTERS = 20
"""Longer numbers are nobody's: they are cut before they are read."""


CHECK_BYTES = 8
OLD_CHECK_CHARACTERS = 8
"""Ids of before 0.9 have the CRC-32 of the frame; they are understood until 1.0."""
PEER_KEY = b"\xa9__peer_id"
"""What Salt appends to the data of an event that another master of the cluster has forwarded."""
PEER_BYTES = 300
"""So far from the end it is: names of hosts are shorter than 256 characters."""
SHORT_MAP, MAP_16, MAP_32 = 0x80, 0xDE, 0xDF
HEADER_BYTES = {MAP_16: 3, MAP_32: 5}


@dataclass(frozen=True, slots=True)
class Seen:
    """How far a reader was in the event log."""

    log: str
    """Tells the log from one that was there before."""
    before: Position
    """All before it has been seen, but for what is in `part`."""
    part: str | None = None
    """The master (`part_of` its name in the log) of which all up to an event has been seen."""
    time_us: int | None = None
    """The time of that event; None where that is the event that has the id."""
    check: str = ""
    """Its digest; without it all has been seen that was fired up to this time."""

    def __str__(self) -> str:
        text = f"{self.log}-{self.before.number:x}-{self.before.item:x}"
        if self.part is None:
            return text
        if self.time_us is None:
            return f"{text}-{self.part}"
        return f"{text}-{self.part}-{self.time_us:x}-{self.check}"


@dataclass(frozen=True, slots=True)
class Cursor:
    """What an id says."""

    epoch: str
    offset: int
    time_us: int | None = None
    """When the event was fired; of what is between events, all before it has been seen."""
    check: str | None = None
    seen: Seen | None = None
    """How far the reader was in the event log; None without one."""


LOG_EPOCH = "log"
"""The epoch in ids of what was read from the log: no process counts there."""
SEEN_PARTS = 5


def event_id(tag: Tag, payload: bytes, time_us: int | None, epoch: str, offset: int) -> str:
    """Return the id of an event; *time_us* is what `time_of` found in it."""
    if time_us is None:
        return f"{epoch}-{offset}"
    return f"{time_us:x}-{check_of(tag, payload)}-{epoch}-{offset}"


def log_id(time_us: int | None, check: str, seen: Seen) -> str:
    """Return the id of an event, or of what is none, that was read from the log."""
    head = "" if time_us is None else f"{time_us:x}-{check}-"
    return f"{head}{LOG_EPOCH}-0.{seen}"


def part_of(name: str) -> str:
    """Return what ids call a master of this name."""
    return f"{zlib.crc32(name.encode('utf-8', 'replace')):08x}"


def check_of(tag: Tag, payload: bytes) -> str:
    """
    Return a digest of what an event says, the same at each master of a cluster that it reaches.

    Salt decodes an event that it forwards, appends `__peer_id`, and packs it again: so the items
    of the map are the same bytes, behind a header that counts one more.
    """
    end = len(payload)
    peer = payload.rfind(PEER_KEY, max(0, end - PEER_BYTES))
    if peer > 0 and _is_short_text(payload, peer + len(PEER_KEY), end):
        end = peer
    kind = payload[0] if payload else 0
    start = HEADER_BYTES.get(kind, 1 if SHORT_MAP <= kind < SHORT_MAP + 16 else 0)
    digest = hashlib.blake2b(tag.encode("utf-8", "replace") + TAG_END, digest_size=CHECK_BYTES)
    digest.update(memoryview(payload)[start:end])
    return digest.hexdigest()


def _is_short_text(payload: bytes, start: int, end: int) -> bool:
    """Return whether from *start* to *end* there is one text, and nothing else."""
    size = end - start
    if size < 1:
        return False
    kind = payload[start]
    if kind == TEXT_8:
        return size > 1 and payload[start + 1] == size - TEXT_8_HEADER_BYTES
    return kind - SHORT_TEXT == size - 1 < SHORT_TEXT_BYTES


def is_of(cursor: Cursor, event: Event) -> bool:
    """Return whether *cursor* is an id of *event*, whoever gave it."""
    own = parse(event.id)
    if own is None or cursor.check is None or own.time_us != cursor.time_us:
        return False
    if len(cursor.check) > OLD_CHECK_CHARACTERS:
        return own.check == cursor.check
    tag = event.tag.encode("utf-8", "replace")
    return f"{zlib.crc32(event.payload, zlib.crc32(tag)):08x}" == cursor.check


def cursor_id(time_us: int | None, epoch: str, offset: int) -> str:
    """Return the id of what is behind the number *offset*."""
    return f"{epoch}-{offset}" if time_us is None else f"{time_us:x}-{epoch}-{offset}"


def parse(text: str) -> Cursor | None:
    """Return what an id says; None if it is none."""
    text, dot, behind = text.partition(".")
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
    time_us = numbers[0] if numbers else None
    check = rest[1] if len(rest) > 1 else None
    offset = int(number[:NUMBER_CHARACTERS])
    if not dot:
        return Cursor(epoch, offset, time_us, check)
    seen = _seen(behind, time_us, check)
    return None if seen is None else Cursor(epoch, offset, time_us, check, seen)


def _seen(text: str, time_us: int | None, check: str | None) -> Seen | None:
    """Return what stands behind the dot of an id; *time_us* and *check* are those of its event."""
    log, *parts = text.split("-", SEEN_PARTS)
    try:
        before = Position(*(int(part[:NUMBER_CHARACTERS], 16) for part in parts[:2]))
        if len(parts) == 2:
            return Seen(log, before)
        if len(parts) == 3:
            return None if time_us is None else Seen(log, before, parts[2], time_us, check or "")
        number = int(parts[3][:NUMBER_CHARACTERS], 16)
        return Seen(log, before, parts[2], number, parts[4])
    except (ValueError, TypeError, IndexError):
        return None


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
