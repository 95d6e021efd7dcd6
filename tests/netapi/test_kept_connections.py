"""
Connections that wait for their next request: nobody who sends one reads that the remote end closed.

Where that cannot be had, because the server ends what has waited for too long, it is the client who
ends it first: it is told for how long it may wait, and the usual ones wait less anyway.
"""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from saltapi.netapi._http import serving
from saltapi.netapi.rest_asgi import protocol
from saltapi.netapi.rest_asgi import server as asgi_server
from saltapi.netapi.rest_tornado import reception
from saltapi.process import descriptors
from tests.netapi.rest_asgi.running import RunningServer as RunningAsgi
from tests.netapi.rest_tornado.running import RunningServer as RunningTornado
from tests.netapi.running import RunningServer, read_all, read_until, request
from tests.waiting import eventually, scaled

USUAL_SECONDS = 60
"""How long nginx keeps a connection to us, and load balancers; other clients do for less."""
GET = request("/")
EARLY = b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
"""The head of a request that is refused without its body."""


@pytest.fixture(params=[RunningAsgi, RunningTornado], ids=lambda kind: kind.name)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningServer]:
    """A module as it comes."""
    with request.param(tmp_path) as running:
        yield running


def answer(connection: socket.socket, data: bytes = GET) -> bytes:
    """Return the head of the answer to *data*, in lower case; its body is read too."""
    connection.sendall(data)
    head = read_until(connection, b"\r\n\r\n").lower()
    left = int(head.partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0])
    while left:
        part = connection.recv(left)
        assert part
        left -= len(part)
    return head


def test_longer_than_clients() -> None:
    """A connection is kept for longer than clients keep it, also those that are told how long."""
    hint = int(serving.KEEP_ALIVE_HINT.partition("=")[2])
    assert USUAL_SECONDS <= hint < serving.KEEP_ALIVE_SECONDS


def test_clients_are_told(tmp_path: Path) -> None:
    """rest_asgi says for how long, unless it is the last answer."""
    hint = b"\r\nkeep-alive: timeout=60\r\n"
    with RunningAsgi(tmp_path) as server:
        with server.connect() as connection:
            assert hint in answer(connection)
            last = answer(connection, request("/", {"Connection": "close"}))
        assert hint not in last
        assert b"\r\nconnection: close\r\n" in last


def test_longer_than_a_head(
    server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time that a head may take is not that for which the next one may be waited for."""
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_SECONDS", 0.2)
    if isinstance(server, RunningTornado):
        server.server._http.conn_params.header_timeout = 0.2
    with server.connect() as connection:
        answer(connection)
        with server.connect() as silent:
            assert b"" == read_all(silent)
        assert answer(connection).startswith(b"http/1.1 200 ")


def test_longer_than_a_head_after_a_late_body(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is where the answer came before the end of its request."""
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_SECONDS", 0.2)
    with RunningAsgi(tmp_path) as server, server.connect() as connection:
        assert answer(connection, EARLY).startswith(b"http/1.1 404 ")
        connection.sendall(b"late")
        with server.connect() as silent:
            assert b"" == read_all(silent)
        assert answer(connection).startswith(b"http/1.1 200 ")


def test_the_last_request(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the service stops, what is sent on a connection that waits has an answer: the last."""
    monkeypatch.setattr(protocol, "LAST_REQUEST_SECONDS", scaled(20))
    monkeypatch.setattr(reception, "LAST_REQUEST_SECONDS", 2)
    with server.connect() as connection, server.connect() as other:
        assert b"\r\nconnection: close\r\n" not in answer(connection)
        answer(other)
        stopping = asyncio.run_coroutine_threadsafe(
            server.server.__aexit__(None, None, None), server.loop
        )
        assert eventually(lambda: b"\r\nconnection: close\r\n" in answer(connection))
        assert b"" == connection.recv(1)
        assert b"\r\nconnection: close\r\n" in answer(other)
        assert b"" == other.recv(1)
    stopping.result(scaled(20))


def test_room_for_others(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where descriptors run out, who waits for nothing is ended before the time, oldest first."""
    for module in (asgi_server, reception):
        monkeypatch.setattr(module, "ROOM_CONNECTIONS", 1)
    with server.connect() as oldest, server.connect() as other, server.connect() as busy:
        for connection in (oldest, other):
            answer(connection)
        busy.sendall(GET[:-2])
        left = [False, True]
        monkeypatch.setattr(
            descriptors, "descriptors_are_left", lambda _: left.pop(0) if left else True
        )
        with server.connect() as new:
            assert answer(new).startswith(b"http/1.1 200 ")
        assert b"" == oldest.recv(1)
        assert answer(other).startswith(b"http/1.1 200 ")
        assert answer(busy, GET[-2:]).startswith(b"http/1.1 200 ")
