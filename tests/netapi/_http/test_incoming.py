"""A request as it comes in: where it ends, however its bytes are cut."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saltapi.errors import BadRequest, BodyTooLarge
from saltapi.netapi._http.incoming import (
    CHUNK_FRAMING_BYTES,
    HEADER_LIMIT_BYTES,
    HEADERS_LIMIT,
    Incoming,
    Stage,
)

LIMIT_BYTES = 1000
NEXT = b"GET /next HTTP/1.1\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def post(headers: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    return b"POST / HTTP/" + version + b"\r\nHost: x\r\n" + headers + b"\r\n" + body


REQUESTS = [
    (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b""),
    (b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", b""),
    (post(b"Content-Length: 6\r\n", b"abc\r\nd"), b"abc\r\nd"),
    (post(CHUNKED, b"3\r\nabc\r\n2;x=y\r\n\r\n\r\n0\r\nX: y\r\n\r\n"), b"abc\r\n"),
    (post(b"Content-Length: 0\r\n"), b""),
]


def take(parts: list[bytes], limit_bytes: int = LIMIT_BYTES) -> tuple[Incoming, bytearray]:
    """Return what *parts* make, and what they leave."""
    incoming, buffer = Incoming(limit_bytes), bytearray()
    for part in parts:
        buffer += part
        incoming.take(buffer)
    return incoming, buffer


@given(st.sampled_from(REQUESTS), st.lists(st.integers(0, 120), max_size=6))
def test_however_it_is_cut(request_: tuple[bytes, bytes], cuts: list[int]) -> None:
    """A request is found whole in any pieces, and what comes behind it is left alone."""
    data = request_[0] + NEXT
    edges = [0, *sorted(cuts), len(data)]
    incoming, buffer = take([data[a:b] for a, b in itertools.pairwise(edges)])
    assert Stage.DONE is incoming.stage
    assert request_[1] == incoming.body.read()
    assert NEXT == buffer
    assert incoming.head.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(("data", "body"), REQUESTS)
def test_nothing_is_done_before_it_is_whole(data: bytes, body: bytes) -> None:
    """Up to its last byte a request is not complete."""
    incoming, _ = take([data[:-1]])
    assert incoming.stage in {Stage.HEAD, Stage.BODY}


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/1.1\r\nX: a\n",
        b"GET /" + b"a" * HEADER_LIMIT_BYTES,
        b"GET / HTTP/1.1\r\n" + b"a:\r\n" * (HEADERS_LIMIT + 1) + b"\r\n",
        post(b"Content-Length: x\r\n"),
        post(b"Content-Length: 3\r\n" + CHUNKED),
        post(b"Transfer-Encoding: gzip\r\n"),
        post(CHUNKED, version=b"1.0"),
        post(CHUNKED, b"zz\r\n"),
        post(CHUNKED, b"1\r\nabc"),
        post(CHUNKED, b"1" * 5000),
        post(CHUNKED, b"0\r\n" + b"a: b\r\n" * 2000),
    ],
)
def test_what_is_wrong_is_not_waited_for(data: bytes) -> None:
    """What can only be refused is refused at once, and its body cannot be read."""
    incoming, _ = take([data])
    assert Stage.DONE is incoming.stage
    with pytest.raises(Exception):  # noqa: B017, PT011 - what it is says the parser
        incoming.body.read()


@pytest.mark.parametrize(
    "data",
    [
        post(b"Content-Length: 1001\r\n"),
        post(CHUNKED, b"3e9\r\n"),
        post(CHUNKED, b"1f4\r\n" + b"a" * 500 + b"\r\n1f5\r\n"),
    ],
)
def test_over_the_limit(data: bytes) -> None:
    """A body that will be longer than the limit is said to be before it comes."""
    for limit_bytes, stage in ((1001, Stage.BODY), (1000, Stage.DONE)):
        incoming, buffer = take([data])
        assert Stage.OVER_LIMIT is incoming.take(buffer)
        incoming.decide(limit_bytes, "too large")
        assert stage is incoming.take(buffer)
        if stage is Stage.DONE:
            with pytest.raises(BodyTooLarge, match="too large"):
                incoming.body.read(LIMIT_BYTES)


def test_goes_on_after_the_limit() -> None:
    """What had come of a body before its limit was raised is still there."""
    chunks = b"1f4\r\n" + b"a" * 500 + b"\r\n" + b"1f5\r\n" + b"b" * 501 + b"\r\n0\r\n\r\n"
    incoming, buffer = take([post(CHUNKED, chunks)])
    incoming.decide(2000, "too large")
    assert Stage.DONE is incoming.take(buffer)
    assert b"a" * 500 + b"b" * 501 == incoming.body.read()


def test_chunks_that_are_nothing_but_framing() -> None:
    """Extensions of chunks, and tiny chunks, do not come without end."""
    extended = b"1;" + b"x" * 4000 + b"\r\na\r\n"
    incoming, _ = take([post(CHUNKED), extended * (CHUNK_FRAMING_BYTES // 4000 + 2)])
    assert Stage.DONE is incoming.stage
    assert incoming.problem is not None
    tiny = b"1\r\na\r\n" * LIMIT_BYTES + b"0\r\n\r\n"
    incoming, _ = take([post(CHUNKED), tiny])
    assert b"a" * LIMIT_BYTES == incoming.body.read()


@pytest.mark.parametrize("data", [b"GET / HT", post(b"Content-Length: 5\r\n", b"abc")])
def test_cut_short(data: bytes) -> None:
    """A request whose client leaves is over, and its body cannot be read to its end."""
    incoming, buffer = take([data])
    incoming.end(buffer)
    assert Stage.DONE is incoming.stage
    with pytest.raises((ValueError, BadRequest), match="short"):
        incoming.body.read(1000)


@pytest.mark.parametrize(
    ("headers", "version", "expected"),
    [
        (b"Expect: 100-continue\r\n", b"1.1", True),
        (b"Expect: 100-Continue\r\n", b"1.1", True),
        (b"Expect: 100-continue\r\n", b"1.0", False),
        (b"Expect: 200-ok\r\n", b"1.1", False),
        (b"", b"1.1", False),
    ],
)
def test_expect(headers: bytes, version: bytes, expected: bool) -> None:
    """A 100 is for clients of HTTP/1.1 that wait for it."""
    incoming, _ = take([post(headers + b"Content-Length: 5\r\n", version=version)])
    assert expected is incoming.expects_continue
