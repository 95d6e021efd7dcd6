"""The server below our WSGI modules: what a client may do to it without harm to another one."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from saltapi.errors import SaltApiError
from saltapi.netapi._http.cheroot import Server
from tests.waiting import scaled

ANSWER_SECONDS = 20.0
LAST = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
MIB = 1024 * 1024


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Say which path was asked for and what the body is; read it in small parts."""
    parts = []
    if environ.get("CONTENT_LENGTH") or environ["wsgi.input_terminated"]:
        try:
            while part := environ["wsgi.input"].read(1000):
                parts.append(part)
        except (ValueError, SaltApiError):
            parts = [b"broken"]
    body = environ["PATH_INFO"].encode("latin-1") + b" " + b"".join(parts)
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a server with two threads."""
    server = Server(("127.0.0.1", 0), application, numthreads=2, max=2, timeout=30)
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield server.bind_addr[1]
    server.stop()
    thread.join()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=scaled(ANSWER_SECONDS))


def raw(port: int, data: bytes) -> bytes:
    """Return everything that the server answers to *data* until it ends the connection."""
    with connect(port) as connection:
        connection.sendall(data)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def post(headers: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    return b"POST / HTTP/" + version + b"\r\nHost: x\r\n" + headers + b"\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        b"NONSENSE\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"get / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded: first\r\n\r\n",
        post(b"X: a\r\n folded\r\n"),
        post(b"X: a\0b\r\n"),
        post(b"X: a\rContent-Length: 5\r\n"),
        post(b"No colon\r\n"),
        post(b": no name\r\n"),
        post(b"Content-Length : 3\r\n", b"abc"),
        post(b"Content-Length: -1\r\n", b"abc"),
        post(b"Content-Length: +3\r\n", b"abc"),
        post(b"Content-Length: 3, 3\r\n", b"abc"),
        post(b"Content-Length: 0x3\r\n", b"abc"),
        post(b"Content-Length: \xb3\r\n", b"abc"),
        post(b"Content-Length:\r\n", b"abc"),
        post(b"Content-Length: " + b"9" * 30 + b"\r\n", b"abc"),
        post(b"Content-Length: 3\r\nContent-Length: 3\r\n", b"abc"),
        post(b"Content-Length: 3\r\nContent-Length: 0\r\n", b"abc"),
        post(b"Content-Length: 3\r\n" + CHUNKED, b"3\r\nabc\r\n0\r\n\r\n"),
        post(CHUNKED + CHUNKED, b"3\r\nabc\r\n0\r\n\r\n"),
        post(b"Connection: Keep-Alive\r\n" + CHUNKED, b"3\r\nabc\r\n0\r\n\r\n", b"1.0"),
    ],
)
def test_malformed_request(port: int, request_: bytes) -> None:
    """A request that is no HTTP, or of unclear length, gets 400 in JSON and ends the connection."""
    answer = raw(port, request_ + LAST)

    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert 1 == answer.count(b"HTTP/1.1 ")
    assert b"\r\nX-Request-Id: " in answer
    assert b"\r\nConnection: close\r\n" in answer
    assert b'{"status": 400, "return": "' in answer


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (post(b"Transfer-Encoding: gzip\r\n"), 501),
        (b"GET / HTTP/3.0\r\n\r\n", 505),
        (post(b"X: " + b"a" * 70_000 + b"\r\n"), 413),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"CONNECT x:1 HTTP/1.1\r\n\r\n", 405),
    ],
)
def test_refused_request(port: int, request_: bytes, status: int) -> None:
    """What the server does not do gets its status, in JSON as well."""
    answer = raw(port, request_)

    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert f'{{"status": {status}, "return": "'.encode() in answer


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\nabc\r\n0\r\n\r\n",
        b"-3\r\nabc\r\n0\r\n\r\n",
        b"+3\r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b" 3\r\nabc\r\n0\r\n\r\n",
        b"3_0\r\nabc\r\n0\r\n\r\n",
        b"3\nabc\r\n0\r\n\r\n",
        b"3\r\nabcdef\r\n0\r\n\r\n",
        b"3\r\nabc0\r\n\r\n",
        b"f" * 5000 + b"\r\n",
        b"3\r\nabc\r\n0\r\nX: " + b"a" * 10_000 + b"\r\n\r\n",
    ],
)
def test_malformed_chunks(port: int, body: bytes) -> None:
    """A body in malformed chunks ends with an error, and what follows is no second request."""
    answer = raw(port, post(CHUNKED, body) + LAST)

    assert answer.endswith(b"/ broken")
    assert 1 == answer.count(b"HTTP/1.1 ")


@pytest.mark.parametrize(
    "body",
    [
        b"6\r\nabcdef\r\n0\r\n\r\n",
        b"3\r\nabc\r\n3;name=value\r\ndef\r\n0\r\n\r\n",
        b"0006 \r\nabcdef\r\n000\r\n\r\n",
        b"6\r\nabcdef\r\n0\r\nX-Trailer: y\r\n\r\n",
        b"6\r\nabcdef\r\n0\r\nGET /smuggled HTTP/1.1\r\n\r\n",
    ],
)
def test_chunked_body(port: int, body: bytes) -> None:
    """A body in chunks is read, and its trailers are no second request."""
    answer = raw(port, post(CHUNKED, body) + LAST)

    assert answer.endswith(b"/ abcdef")
    assert 1 == answer.count(b"HTTP/1.1 ")


def test_chunk_without_end(port: int) -> None:
    """A chunk that is larger than a body may be is not waited for."""
    with connect(port) as connection:
        connection.sendall(post(CHUNKED, b"7fffffff\r\n" + b" " * (64 * 1024)))
        assert connection.recv(65536).startswith(b"HTTP/1.1 ")


def test_underscores(port: int) -> None:
    """A header whose name has an underscore cannot pose as the one with a hyphen."""
    answer = raw(
        port, post(b"Content-Length: 3\r\nContent_Length: 1\r\nConnection: close\r\n", b"abc")
    )

    assert answer.endswith(b"/ abc")


def test_body_left_unread(port: int) -> None:
    """A body that the application does not read is not taken for the next request."""

    def lazy(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "4")])
        return [b"lazy"]

    server = Server(("127.0.0.1", 0), lazy, numthreads=1)
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        length = f"Content-Length: {len(LAST)}\r\n".encode()
        answer = raw(server.bind_addr[1], post(length, LAST) + LAST)
        chunk = f"{len(LAST):x}\r\n".encode() + LAST + b"\r\n0\r\n\r\n"
        chunked = raw(server.bind_addr[1], post(CHUNKED, chunk) + LAST)
    finally:
        server.stop()
        thread.join()

    assert 2 == answer.count(b"HTTP/1.1 200")
    assert 1 == chunked.count(b"HTTP/1.1 200")


def test_idle_connections(port: int) -> None:
    """Connections that send nothing keep nobody waiting."""
    idle = [connect(port) for _ in range(20)]
    try:
        assert raw(port, LAST).endswith(b"/last ")
    finally:
        for connection in idle:
            connection.close()


def test_kept_connection(port: int) -> None:
    """One connection serves several requests, also when they come at once."""
    first = b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n"

    assert 3 == raw(port, first + first + LAST).count(b"HTTP/1.1 200")


def test_absolute_url(port: int) -> None:
    """A URL with a scheme and a host, as clients send it to proxies, is taken (RFC 9112, 3.2.2)."""
    request = b"GET http://x/path HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    assert raw(port, request).endswith(b"\r\n\r\n/path ")
