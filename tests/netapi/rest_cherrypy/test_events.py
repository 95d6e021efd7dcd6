"""Server-sent events on sockets of their own."""

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from saltapi.engine.events.encodings import CLASSIC, Writer
from saltapi.engine.events.streams import EventStream
from saltapi.netapi._http import event_stream, sockets
from saltapi.netapi.rest_cherrypy import events
from saltapi.netapi.rest_cherrypy.events import EventIterator
from tests.netapi.rest_cherrypy.streaming import (
    HOST,
    MIB,
    THREADS,
    StreamServer,
    allow_many_files,
    certificate,
    read_all,
    read_exactly,
    read_until,
    request,
    session_of,
    unchunked,
)
from tests.waiting import eventually, scaled

LISTENERS = 1000
RATE = 100
SECONDS = 10
TOKEN = "b" * 64


@pytest.fixture
def server() -> Iterator[StreamServer]:
    with StreamServer() as server:
        yield server


def listening(server: StreamServer, path: str = "/events", **options: Any) -> socket.socket:
    """Return a connection on which a stream without chunks has begun."""
    connection = server.connect(path, version="1.0", **options)
    read_until(connection, b"\r\n\r\nretry: 400\n")
    return connection


class TestBytes:
    """The stream, byte for byte (behaviour of Salt's own module)."""

    def test_plain(self, server: StreamServer) -> None:
        """First `retry: 400`, at once; then each event with tag, data and an empty line."""
        with listening(server) as connection:
            server.fire("salt/job/1/new", {"jid": "1", "_stamp": "now"})
            server.fire("a", {"text": "é"})
            wanted = (
                b'tag: salt/job/1/new\ndata: {"data": {"jid": "1", "_stamp": "now"},'
                b' "tag": "salt/job/1/new"}\n\n'
                b'tag: a\ndata: {"data": {"text": "\xc3\xa9"}, "tag": "a"}\n\n'
            )
            assert wanted == read_exactly(connection, len(wanted))

    def test_chunked(self, server: StreamServer) -> None:
        """With HTTP/1.1 the same bytes come in chunks, closed by the last one."""
        with server.connect("/events") as connection:
            head = read_until(connection, b"\r\n\r\n")
            assert b"b\r\nretry: 400\n\r\n" == read_until(connection, b"400\n\r\n")
            server.fire("a", {})
            server.fire("b", {})
            server.end_session("a" * 64)
            body = unchunked(read_all(connection))
        assert b"\r\nContent-Type: text/event-stream;charset=utf-8\r\n" in head
        expected = (
            b'tag: a\ndata: {"data": {}, "tag": "a"}\n\ntag: b\ndata: {"data": {}, "tag": "b"}\n\n'
        )
        assert expected == body

    def test_heartbeat(self, server: StreamServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """When nothing happens a comment comes now and then."""
        monkeypatch.setattr(event_stream, "HEARTBEAT_SECONDS", 0.1)
        with listening(server) as connection:
            assert b":\n\n:\n\n" == read_exactly(connection, 6)

    def test_ids(self, server: StreamServer) -> None:
        """Who asked for it gets ids, and after coming back what was missed."""
        server.fire("first")
        server.fire("second")
        first = eventually(lambda: server.hub.events_total == 2) and f"{server.hub.epoch}-1"
        with listening(server, f"/events?since={first}") as connection:
            assert (
                f"id: {server.hub.epoch}-2\ntag: second\n"
                == read_until(connection, b"tag: second\n").decode()
            )

    def test_gap(self, server: StreamServer) -> None:
        """What cannot be replayed is told to who asked for ids, and to nobody else."""
        with listening(server) as plain, listening(server, "/events?since=elsewhere-1") as asking:
            server.fire("next")
            assert b"event: gap\n" in read_until(asking, b"tag: next\n")
            assert b"tag: next\n" == read_until(plain, b"\n")

    def test_much_at_once(self, server: StreamServer) -> None:
        """A listener that comes back after much has happened gets all of it, in order."""
        for number in range(100):
            server.fire(f"number/{number}", {"text": "x" * 10_000})
        eventually(lambda: server.hub.events_total == 100)
        with listening(server, f"/events?since={server.hub.epoch}-0") as connection:
            server.fire("last")
            server.end_session("a" * 64)
            body = read_all(connection).decode()
        tags = [line[5:] for line in body.splitlines() if line.startswith("tag: ")]
        assert [*(f"number/{number}" for number in range(100)), "last"] == tags

    def test_tls(self, tmp_path: Path) -> None:
        """Over TLS it is the same."""
        server_context, client_context, _ = certificate(tmp_path)
        with (
            StreamServer(tls=server_context) as server,
            client_context.wrap_socket(
                server.connect(), server_hostname=HOST, suppress_ragged_eofs=False
            ) as connection,
        ):
            connection.sendall(request("/events"))
            read_until(connection, b"retry: 400\n\r\n")
            server.fire("big", {"text": "x" * MIB})
            server.end_session("a" * 64)
            body = unchunked(read_all(connection))
        data = json.loads(body.partition(b"data: ")[2])
        assert {"data": {"text": "x" * MIB}, "tag": "big"} == data


class TestEnd:
    """How streams end."""

    def test_session(self, server: StreamServer) -> None:
        """When its session ends, a stream ends, also when nothing happens; others go on."""
        headers = f"X-Auth-Token: {TOKEN}\r\n"
        with listening(server, headers=headers) as connection, listening(server) as other:
            server.end_session(TOKEN)
            assert b"" == read_all(connection)
            server.fire("later")
            assert b"tag: later\n" == read_until(other, b"\n")
        assert eventually(lambda: server.hub.listeners == 0)

    def test_stop(self) -> None:
        """When the service stops, streams end cleanly."""
        with StreamServer() as server:
            connection = server.connect("/events")
            read_until(connection, b"retry: 400\n\r\n")
        assert b"0\r\n\r\n" == read_all(connection)
        connection.close()

    def test_leaving(self, server: StreamServer) -> None:
        """A listener that leaves is forgotten within seconds, also when nothing happens."""
        connections = [listening(server) for _ in range(5)]
        assert 5 == server.hub.listeners
        for connection in connections:
            connection.close()
        assert eventually(lambda: server.hub.listeners == 0, 5)

    def test_too_slow(self) -> None:
        """Who does not read is ended when too much waits for it; others notice nothing."""
        with (
            StreamServer(queue_bytes=2 * MIB) as server,
            listening(server) as stuck,
            listening(server) as reader,
        ):
            for number in range(200):
                server.fire(f"number/{number}", {"text": "x" * 100_000})
                tag = read_until(reader, b"\n")
                assert f"tag: number/{number}\n".encode() == tag
                rest = len(b'data: {"data": {"text": ""}, "tag": ""}\n\n') + 100_000
                read_exactly(reader, rest + len(tag) - len(b"tag: \n"))
            assert eventually(lambda: server.served == 1, 10)
            assert 1 == server.hub.listeners
            assert b"tag: number/199\n" not in read_all(stuck)

    def test_hanging(self, server: StreamServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who takes nothing for a while is dropped, however little waits for it."""
        monkeypatch.setattr(sockets, "WRITE_TIMEOUT_SECONDS", 0.5)
        with listening(server):
            for _ in range(7):
                server.fire("big", {"text": "x" * MIB})
            assert eventually(lambda: server.hub.listeners == 0)

    def test_revoked_while_hanging(self, server: StreamServer) -> None:
        """The end of the session ends also a stream that is waiting for its reader."""
        with listening(server):
            for _ in range(7):
                server.fire("big", {"text": "x" * MIB})
            server.end_session("a" * 64)
            assert eventually(lambda: server.served == 1, 5)


class TestIterator:
    """The same stream for servers that give no socket away."""

    @staticmethod
    def iterator(server: StreamServer) -> EventIterator:
        async def listen() -> EventStream:
            sessions: Any = server.sessions
            return EventStream(server.hub, sessions, session_of({}))

        return EventIterator(server.call(listen()), server.loop, Writer(CLASSIC))

    def test_bytes(self, server: StreamServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """It yields the preamble, events, and heartbeats."""
        monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.1)
        body = self.iterator(server)
        assert b"retry: 400\n" == next(body)
        assert b":\n\n" == next(body)
        server.fire("a", {})
        parts = iter(body)
        frame = b'tag: a\ndata: {"data": {}, "tag": "a"}\n\n'
        assert frame in {next(parts), next(parts)}
        body.close()

    def test_end(self, server: StreamServer) -> None:
        """It ends with the session."""
        body = self.iterator(server)
        server.end_session("a" * 64)
        assert [b"retry: 400\n"] == list(body)
        body.close()

    def test_close_before_the_start(self, server: StreamServer) -> None:
        """A server that never asks for a part lets go of the stream all the same."""
        body = self.iterator(server)
        assert 1 == server.hub.listeners
        body.close()
        assert eventually(lambda: server.hub.listeners == 0)

    def test_the_engine_stops(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A thread that waits for events ends when the engine does not run any more."""
        monkeypatch.setattr(events, "LOOP_CHECK_SECONDS", 0.1)
        server = StreamServer()
        loop_thread = threading.Thread(target=server.loop.run_forever)
        loop_thread.start()
        body = self.iterator(server)
        parts: list[bytes] = []
        reading = threading.Thread(target=lambda: parts.extend(body))
        reading.start()
        eventually(lambda: parts)
        server.loop.call_soon_threadsafe(server.loop.stop)
        loop_thread.join()
        reading.join(scaled(10))
        assert not reading.is_alive()
        body.close()
        for task in asyncio.all_tasks(server.loop):
            task.cancel()
        server.loop.run_until_complete(asyncio.sleep(0))
        server.loop.close()


@pytest.mark.long
def test_a_thousand_listeners() -> None:
    """1,000 listeners get 100 events a second for 10 s, all in order, on no thread of theirs."""
    allow_many_files()
    total = RATE * SECONDS
    with StreamServer() as server:
        before = threading.active_count()
        command = [sys.executable, "-m", "tests.netapi.rest_cherrypy.listeners"]
        arguments = [str(server.port), str(LISTENERS), str(total)]
        root = Path(__file__).parents[3]
        with subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, cwd=root, text=True
        ) as program:
            assert program.stdout is not None
            assert "connected\n" == program.stdout.readline()
            assert LISTENERS == server.hub.listeners
            assert eventually(lambda: server.server.requests.idle == THREADS)
            started = time.monotonic()
            for number in range(total):
                server.fire(f"salt/job/{number}/new", {"number": number})
                time.sleep(max(0.0, started + (number + 1) / RATE - time.monotonic()))
            during = threading.active_count()
            result = json.loads(program.stdout.readline())
        assert (LISTENERS, LISTENERS * total) == (result["complete"], result["events"])
        assert before == during
        assert eventually(lambda: server.hub.listeners == 0)
