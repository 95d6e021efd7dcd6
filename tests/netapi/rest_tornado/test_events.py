"""`/events`: server-sent events through Tornado."""

import re
import selectors
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from saltapi.config import MIB
from saltapi.process.descriptors import allow_many_connections
from tests.netapi.rest_tornado.running import TOKEN, RunningServer, read_all, read_until
from tests.waiting import eventually, scaled

EVENTS = 10_000
LISTENERS = 200
BURST_SECONDS = 100.0
IN_ONE_TURN = 500
"""So many events come with one read of the bus at most."""
RECEIVE_BYTES = 256 * 1024
HEAD_END = b"\r\n\r\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """A running server."""
    with RunningServer(tmp_path) as server:
        yield server


def listening(server: RunningServer, path: str = "/events", **options: Any) -> socket.socket:
    """Return a connection on which events come, after the first line of the stream."""
    connection = server.connect(path, **options)
    read_until(connection, HEAD_END)
    read_until(connection, b"retry: 400\n")
    return connection


def test_headers(server: RunningServer) -> None:
    """The answer's headers are those of a stream that nobody keeps back or stores."""
    with server.connect("/events") as connection:
        head = read_until(connection, HEAD_END).decode().split("\r\n")
        body = read_until(connection, b"\r\n") + read_until(connection, b"\r\n")
    assert "HTTP/1.1 200 OK" == head[0]
    wanted = {"Content-Type: text/event-stream", "Cache-Control: no-cache"}
    assert {*wanted, "Connection: keep-alive", "Transfer-Encoding: chunked"} <= set(head)
    assert b"b\r\nretry: 400\n\r\n" == body


def test_framing(server: RunningServer) -> None:
    """An event is a line with its tag and one with JSON, data first, as Salt writes it."""
    with listening(server, version="1.0") as connection:
        server.fire("some/tag", {"é": 1})
        assert (
            'tag: some/tag\ndata: {"data": {"é": 1}, "tag": "some/tag"}\n\n'
            == read_until(connection, b"\n\n").decode()
        )


def test_http_1_0(server: RunningServer) -> None:
    """A client of HTTP/1.0 gets no chunks, and no promise to keep the connection."""
    with server.connect("/events", version="1.0") as connection:
        head = read_until(connection, HEAD_END)
        assert b"retry: 400\n" == read_until(connection, b"\n")
    assert b"chunked" not in head
    assert b"keep-alive" not in head.lower()


def test_head(server: RunningServer) -> None:
    """HEAD tells the headers, and the connection goes on."""
    answer = server.send("HEAD", "/events", headers={"X-Auth-Token": TOKEN})
    assert (200, "text/event-stream", b"") == (answer.status, answer.media_type, answer.body)


@pytest.mark.parametrize("path", [f"/events/{TOKEN}", f"/events?token={TOKEN}"])
def test_token_in_the_url(server: RunningServer, path: str) -> None:
    """The token may stand in the URL, as 0.8.4 documents it."""
    with server.connect(path, headers={"X-Auth-Token": ""}) as connection:
        assert b" 200 OK\r\n" in read_until(connection, HEAD_END)


@pytest.mark.parametrize("token", ["", "x", "0" * 40])
def test_without_a_session(server: RunningServer, token: str) -> None:
    """Who has no session is sent to `/login`."""
    answer = server.send("GET", "/events", headers={"X-Auth-Token": token})
    assert (302, "/login") == (answer.status, answer.header("Location"))


def test_unknown_parameter(server: RunningServer) -> None:
    """A parameter that is not known is passed over, as in Salt's module."""
    assert 200 == server.send("GET", "/events?_=1", headers={"X-Auth-Token": TOKEN}).status


def test_resume(server: RunningServer) -> None:
    """A listener that comes back with the last id gets what it missed, in order."""
    with listening(server, "/events?since=", version="1.0") as connection:
        server.fire("one")
        first = read_until(connection, b"\n\n").decode()
    last_id = re.findall(r"^id: (.*)$", first, re.MULTILINE)[0]
    server.fire_all([("two", {}), ("three", {})])
    eventually(lambda: server.hub.events_total == 3)
    headers = {"Last-Event-ID": last_id}
    with listening(server, headers=headers, version="1.0") as connection:
        frames = read_until(connection, b"\n\n") + read_until(connection, b"\n\n")
    assert ["two", "three"] == re.findall(r"^tag: (.*)$", frames.decode(), re.MULTILINE)


def test_a_revoked_token_ends_its_streams(server: RunningServer) -> None:
    """A session that ends takes its streams along, with the last chunk of the body."""
    with listening(server) as connection:
        server.end_session()
        assert read_all(connection).endswith(b"0\r\n\r\n")


def test_the_end_of_the_service(tmp_path: Path) -> None:
    """When the service stops, streams end properly."""
    with RunningServer(tmp_path) as server:
        connection = listening(server)
    with connection:
        assert read_all(connection).endswith(b"0\r\n\r\n")


def test_a_client_that_leaves(server: RunningServer) -> None:
    """Of a client that has gone nothing is left."""
    with listening(server):
        eventually(lambda: server.hub.listeners == 1)
    assert eventually(lambda: server.hub.listeners == 0)


def test_who_does_not_read_is_ended(tmp_path: Path) -> None:
    """A listener that stops reading is ended when too much waits; others get everything."""
    events = 300
    with (
        RunningServer(tmp_path, queue_bytes=2 * MIB) as server,
        listening(server, version="1.0") as stuck,
        listening(server, version="1.0") as reader,
    ):
        # What a kernel takes for somebody who does not read is no part of the queue.
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        numbers: list[bytes] = []
        for number in range(events):
            server.fire(f"number/{number}", {"text": "x" * 100_000})
            frame = read_until_fast(reader, b"\n\n")
            numbers += re.findall(rb'"tag": "number/(\d+)"', frame)
        assert [b"%d" % number for number in range(events)] == numbers
        assert eventually(lambda: server.hub.listeners == 1)


def read_until_fast(connection: socket.socket, end: bytes) -> bytes:
    """Return what comes up to *end*, of a server that sends nothing behind it."""
    data = b""
    while not data.endswith(end):
        part = connection.recv(RECEIVE_BYTES)
        assert part
        data += part
    return data


@pytest.mark.timeout(200)
@pytest.mark.long
def test_burst(tmp_path: Path) -> None:
    """10,000 events at once reach 200 listeners, nothing is lost and the order is kept."""
    allow_many_connections()
    expected = [b"%d" % number for number in range(EVENTS)]
    with RunningServer(tmp_path) as server:
        connections = [listening(server, version="1.0") for _ in range(LISTENERS)]
        for start in range(0, EVENTS, IN_ONE_TURN):
            turn = range(start, start + IN_ONE_TURN)
            server.fire_all((f"burst/{number}", {"n": number}) for number in turn)
        got = collect(connections, EVENTS)
        for connection in connections:
            connection.close()
    assert LISTENERS == sum(numbers == expected for numbers in got)


def collect(connections: list[socket.socket], count: int) -> list[list[bytes]]:
    """Return the numbers that have come on each connection, as soon as each has *count*."""
    tag = re.compile(rb"^tag: burst/(\d+)$", re.MULTILINE)
    numbers: list[list[bytes]] = [[] for _ in connections]
    rests = [b""] * len(connections)
    open_ones = set(range(len(connections)))
    ended = threading.Event()
    timer = threading.Timer(scaled(BURST_SECONDS), ended.set)
    timer.start()
    with selectors.DefaultSelector() as selector:
        for index, connection in enumerate(connections):
            selector.register(connection, selectors.EVENT_READ, index)
        while open_ones and not ended.is_set():
            for key, _ in selector.select(1):
                index = key.data
                data = connections[index].recv(RECEIVE_BYTES)
                whole, end, rests[index] = (rests[index] + data).rpartition(b"\n\n")
                numbers[index] += tag.findall(whole + end)
                if not data or len(numbers[index]) >= count:
                    selector.unregister(connections[index])
                    open_ones.discard(index)
    timer.cancel()
    return numbers
