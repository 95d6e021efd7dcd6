"""How streams of events are written."""

import json
import zlib
from typing import Any

import pytest

from saltapi.bridge.bus.events import Event, Gap, Record
from saltapi.engine.events.encodings import (
    CLASSIC,
    CLASSIC_IDS,
    MESSAGES,
    NDJSON,
    SSE,
    Encoding,
    Writer,
)
from saltapi.engine.events.streams import End, StreamEnded

ENDED = StreamEnded("The token has expired.", End.SESSION)
PAYLOAD = b"\x81\xa1a\xa2\xc3\xa4"  # {"a": "ä"}
JSON = '{"data": {"a": "ä"}, "tag": "my/tag"}'


def event(number: int = 1) -> Event:
    return Event(f"e-{number}", "my/tag", PAYLOAD)


def written(writer: Writer, *records: Record) -> bytes:
    """Return a whole stream."""
    parts = [
        writer.start("e-0"),
        *writer.records(records),
        *writer.records([], "e-9"),
        *writer.records([]),
        writer.end(ENDED),
    ]
    return b"".join(parts)


def test_server_sent_events() -> None:
    """Ids, events, gaps, heartbeats with ids, and the reason of the end."""
    expected = (
        "retry: 400\n\nid: e-0\n\n"
        f"id: e-1\ntag: my/tag\ndata: {JSON}\n\n"
        'id: e-2\nevent: gap\ndata: {"reason": "lost"}\n\n'
        "id: e-9\n\n:\n\n"
        'event: end\ndata: {"code": "session", "reason": "The token has expired."}\n\n'
    )
    assert expected == written(Writer(SSE), event(), Gap("e-2", "lost")).decode()


@pytest.mark.parametrize(
    ("form", "number", "gap"),
    [
        (CLASSIC, "", ""),
        (CLASSIC_IDS, "id: e-1\n", 'id: e-2\nevent: gap\ndata: {"reason": "lost"}\n\n'),
    ],
    ids=["bare", "ids"],
)
def test_classic(form: Encoding, number: str, gap: str) -> None:
    """Salt's own form; ids and gaps are for who asks for them, and the end is not told."""
    expected = f"retry: 400\n{number}tag: my/tag\ndata: {JSON}\n\n{gap}:\n\n:\n\n"
    assert expected == written(Writer(form), event(), Gap("e-2", "lost")).decode()


@pytest.mark.parametrize(("form", "behind"), [(NDJSON, "\n"), (MESSAGES, "")])
def test_json(form: Encoding, behind: str) -> None:
    """Each record is one JSON text that says what it is."""
    records: list[dict[str, Any]] = [
        {"type": "start", "id": "e-0"},
        {"type": "event", "id": "e-1", "data": {"a": "ä"}, "tag": "my/tag"},
        {"type": "gap", "id": "e-2", "reason": "lost"},
        {"type": "heartbeat", "id": "e-9"},
        {"type": "heartbeat"},
        {"type": "end", "code": "session", "reason": "The token has expired."},
    ]
    expected = "".join(json.dumps(record, ensure_ascii=False) + behind for record in records)
    assert expected == written(Writer(form), event(), Gap("e-2", "lost")).decode()


def test_a_stream_that_goes_on_has_no_start() -> None:
    """Who resumes has a place already."""
    assert (b"retry: 400\n\n", b"") == (Writer(SSE).start(None), Writer(NDJSON).start(None))


@pytest.mark.parametrize("form", [SSE, NDJSON])
def test_gzip(form: Encoding) -> None:
    """A compressed stream is one whole gzip file, and each piece can be read when it has come."""
    records = [event(number) for number in range(100)]
    plain = written(Writer(form), *records)
    packed = written(Writer(form, gzip=True), *records)
    unpacker = zlib.decompressobj(31)
    assert plain == unpacker.decompress(packed)
    assert unpacker.eof
    writer, unpacker = Writer(form, gzip=True), zlib.decompressobj(31)
    assert form.start("e-0") == unpacker.decompress(writer.start("e-0"))
    assert form.made(records[0]) == unpacker.decompress(b"".join(writer.records(records[:1])))
    assert form.heartbeat("e") == unpacker.decompress(b"".join(writer.records([], "e")))


@pytest.mark.parametrize("gzip", [False, True])
def test_an_event_is_written_once(gzip: bool) -> None:
    """However many listen, the same bytes are made of an event once, also compressed."""
    one = event()
    for form in (SSE, NDJSON, MESSAGES):
        for _ in range(3):
            list(Writer(form, gzip=gzip).records([one]))
        assert form.made(one) is form.made(one)
    assert {"json", "sse", "sse-id", "ndjson", "messages"} <= one._rendered.keys()
    assert gzip == ("sse-id-deflate" in one._rendered)
    assert len(one._rendered) == (8 if gzip else 5)


def test_large_streams_come_in_pieces() -> None:
    """What is waiting is joined to pieces of a bounded size."""
    pieces = list(Writer(SSE).records([event(number) for number in range(3_000)]))
    assert 1 < len(pieces) < 10
