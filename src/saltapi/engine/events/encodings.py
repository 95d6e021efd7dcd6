"""
How a stream of events is written: as server-sent events, Salt's own or with ids, or as JSON texts.

Server-sent events are those of `saltapi.engine.events.streams`. As JSON each record is an
object whose `type` says what it is:

    {"type": "start", "id": …}                          from here on
    {"type": "event", "id": …, "data": {…}, "tag": …}
    {"type": "gap", "id": …, "reason": …}               events are missing here, `from` and `to`
    {"type": "heartbeat", "id": …}                      nothing to see for a while
    {"type": "end", "code": …, "reason": …}             nothing more will come

The id of a start or a heartbeat covers what the listener does not get to see. What is made of an
event is made once, however many listen, also compressed: a gzip stream may be put together of
pieces that were compressed each on its own.
"""

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from saltapi import formats
from saltapi.bridge.bus.events import Event, Gap, Record
from saltapi.engine.events.streams import (
    SSE_HEARTBEAT,
    SSE_PREAMBLE,
    SSE_TYPE,
    StreamEnded,
    gap_fields,
    joined,
    json_text,
    sse_frame,
)

NDJSON_TYPE = "application/x-ndjson"
SSE_RETRY = b"retry: 400\n\n"
GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
GZIP_LAST_BLOCK = b"\x03\x00"
GZIP_LEVEL = 6


class Encoding:
    """One way to write a stream; it holds nothing of the stream."""

    media_type: str
    name: str
    """Names the encoding in the caches of the events."""

    def start(self, cursor: str | None) -> bytes:
        """Return what comes first; *cursor* is where the stream begins, if it is new."""
        raise NotImplementedError

    def record(self, record: Record) -> bytes:
        """Return one record."""
        raise NotImplementedError

    def heartbeat(self, cursor: str | None) -> bytes:
        """Return the sign of life; *cursor* is what the listener has seen all before."""
        raise NotImplementedError

    def end(self, ended: StreamEnded) -> bytes:
        """Return the last record."""
        raise NotImplementedError

    def made(self, record: Record) -> bytes:
        """Same as `record`, made once for each event, whoever asks."""
        return _made(record, self.name, self.record)

    def wrapped(self, record: Record, name: str, wrap: Callable[[bytes], bytes]) -> bytes:
        """Return *wrap* of a record's bytes, made once for each event and *name*."""
        return _made(record, name, lambda found: wrap(self.made(found)))


class Sse(Encoding):
    """Server-sent events with ids; an id without data is remembered by a browser, too."""

    media_type = SSE_TYPE
    name = "sse-id"

    def start(self, cursor: str | None) -> bytes:
        """Return how soon to come back, and where the stream begins."""
        return SSE_RETRY + (b"" if cursor is None else self.heartbeat(cursor))

    def record(self, record: Record) -> bytes:
        """Return an event or a gap."""
        return sse_frame(record, ids=True)

    def heartbeat(self, cursor: str | None) -> bytes:
        """Return an id alone, or a comment."""
        return SSE_HEARTBEAT if cursor is None else b"id: %b\n\n" % cursor.encode()

    def end(self, ended: StreamEnded) -> bytes:
        """Return the event `end`."""
        return b"event: end\ndata: %b\n\n" % formats.dump_json(_why(ended))


class Classic(Encoding):
    """Server-sent events as Salt's own netapi sends them; with ids for who asks for them."""

    media_type = f"{SSE_TYPE};charset=utf-8"

    def __init__(self, *, ids: bool) -> None:
        """Write ids and gaps where *ids* says so."""
        self.name = Sse.name if ids else "sse"
        self._ids = ids

    def start(self, cursor: str | None) -> bytes:  # noqa: ARG002 - it is not told
        """Return how soon to come back."""
        return SSE_PREAMBLE

    def record(self, record: Record) -> bytes:
        """Return an event, or a gap."""
        return sse_frame(record, ids=self._ids)

    def heartbeat(self, cursor: str | None) -> bytes:  # noqa: ARG002 - it is not told
        """Return a comment."""
        return SSE_HEARTBEAT

    def end(self, ended: StreamEnded) -> bytes:  # noqa: ARG002 - it is not told
        """Return nothing."""
        return b""


class Json(Encoding):
    """JSON texts, each with *behind* behind it."""

    def __init__(self, media_type: str, name: str, behind: bytes) -> None:
        """
        Args:
            media_type: What a body of them is.
            name: Names the encoding in the caches of the events.
            behind: What ends each text.
        """
        self.media_type = media_type
        self.name = name
        self._behind = behind

    def start(self, cursor: str | None) -> bytes:
        """Return where the stream begins; nothing where it goes on."""
        return b"" if cursor is None else self._object({"type": "start", "id": cursor})

    def record(self, record: Record) -> bytes:
        """Return an event or a gap."""
        if isinstance(record, Gap):
            return self._object({"type": "gap", "id": record.id, **gap_fields(record)})
        head = b'{"type": "event", "id": "%b", ' % record.id.encode()
        return head + json_text(record)[1:] + self._behind

    def heartbeat(self, cursor: str | None) -> bytes:
        """Return the heartbeat."""
        return self._object({"type": "heartbeat", **({"id": cursor} if cursor else {})})

    def end(self, ended: StreamEnded) -> bytes:
        """Return the end."""
        return self._object({"type": "end", **_why(ended)})

    def _object(self, value: dict[str, Any]) -> bytes:
        return formats.dump_json(value) + self._behind


CLASSIC = Classic(ids=False)
CLASSIC_IDS = Classic(ids=True)
SSE = Sse()
NDJSON = Json(NDJSON_TYPE, "ndjson", b"\n")
MESSAGES = Json(formats.JSON_TYPE, "messages", b"")
"""For WebSockets: one message for each record."""


class Writer:
    """Writes one stream in an encoding, perhaps compressed."""

    def __init__(self, encoding: Encoding, *, gzip: bool = False) -> None:
        """
        Args:
            encoding: How the records look.
            gzip: Whether the whole is compressed (RFC 1952).
        """
        self._encoding = encoding
        self._gzip = gzip
        self._check = 0
        self._size_bytes = 0

    def start(self, cursor: str | None) -> bytes:
        """Return the first bytes; *cursor* is where a stream begins that does not go on."""
        first = self._encoding.start(cursor)
        return GZIP_HEAD + self._packed(first) if self._gzip else first

    def records(self, records: Sequence[Record], cursor: str | None = None) -> Iterator[bytes]:
        """
        Yield the bytes of *records* in pieces worth a write each; a sign of life if there are none.

        *cursor* is what the listener has seen all before.
        """
        encoding = self._encoding
        if not records:
            return iter([self._packed(encoding.heartbeat(cursor))])
        if not self._gzip:
            return joined(map(encoding.made, records))
        return joined(self._packed_record(record) for record in records)

    def end(self, ended: StreamEnded) -> bytes:
        """Return the last record, and what ends the stream, whatever came before."""
        last = self._packed(self._encoding.end(ended))
        if not self._gzip:
            return last
        check = struct.pack("<II", self._check, self._size_bytes & 0xFFFFFFFF)
        return last + GZIP_LAST_BLOCK + check

    def _packed_record(self, record: Record) -> bytes:
        encoding = self._encoding
        plain = encoding.made(record)
        self._count(plain)
        return _made(record, f"{encoding.name}-deflate", lambda _: deflated(plain))

    def _packed(self, plain: bytes) -> bytes:
        if not self._gzip:
            return plain
        self._count(plain)
        return deflated(plain)

    def _count(self, plain: bytes) -> None:
        self._check = zlib.crc32(plain, self._check)
        self._size_bytes += len(plain)


def deflated(plain: bytes) -> bytes:
    """Return *plain* as blocks of a deflate stream that refer to nothing before them."""
    if not plain:
        return b""
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(plain) + packer.flush(zlib.Z_FULL_FLUSH)


def _made(record: Record, name: str, make: Callable[[Record], bytes]) -> bytes:
    return record.render(name, make) if isinstance(record, Event) else make(record)


def _why(ended: StreamEnded) -> dict[str, str]:
    return {"code": ended.end.value, "reason": str(ended)}
