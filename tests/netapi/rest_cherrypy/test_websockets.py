"""WebSocket on sockets of their own."""

import asyncio
import contextlib
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection, connect

from saltapi import errors
from saltapi.bridge.bus.hub import OVERFLOW
from saltapi.netapi._http import websockets
from saltapi.netapi._http.websockets import accept
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
)
from tests.waiting import eventually, scaled

READY = "websocket client ready"
ACKNOWLEDGEMENT = "server received message"
RECEIVE_SECONDS = 20.0
KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The example of RFC 6455, section 1.3."""
UPGRADE = (
    f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n"
    "Sec-WebSocket-Version: 13\r\n"
)
ENVIRON = {
    "REQUEST_METHOD": "GET",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "wsgi.url_scheme": "http",
    "HTTP_HOST": "salt.example:8000",
    "HTTP_UPGRADE": "websocket",
    "HTTP_CONNECTION": "keep-alive, Upgrade",
    "HTTP_SEC_WEBSOCKET_KEY": KEY,
    "HTTP_SEC_WEBSOCKET_VERSION": "13",
}


@pytest.fixture
def server() -> Iterator[StreamServer]:
    with StreamServer(connected={"m1": {"os": "Debian"}, "m2": {"os": "Arch"}}) as server:
        yield server


def client(server: StreamServer, path: str = "/ws", **options: Any) -> ClientConnection:
    """Return a connected client."""
    url = f"ws://{HOST}:{server.port}{path}"
    connection: ClientConnection = connect(url, max_size=None, **options)
    return connection


def receive(connection: ClientConnection) -> Any:
    return connection.recv(timeout=scaled(RECEIVE_SECONDS))


def end_of(connection: ClientConnection) -> tuple[int, str]:
    """Return code and reason of the server's close, after whatever comes before it."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            receive(connection)
    close = connection.protocol.close_rcvd
    assert close is not None
    return close.code, close.reason


def make_ready(connection: ClientConnection) -> None:
    connection.send(READY)
    assert ACKNOWLEDGEMENT == receive(connection)


def raw(server: StreamServer) -> socket.socket:
    """Return a connection on which a WebSocket has been opened."""
    connection = server.connect("/ws", headers=UPGRADE)
    read_until(connection, b"\r\n\r\n")
    return connection


def masked(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    """Return a frame as a client sends it."""
    return Frame(opcode, data, fin=fin).serialize(mask=True)


def close_of(connection: socket.socket) -> tuple[int, str]:
    """Return code and reason of the close frame, the last one that comes."""
    data = read_all(connection)
    while data:
        length = data[1]
        assert length < 126
        if data[0] == 0x88:
            assert b"" == data[2 + length :]
            return struct.unpack("!H", data[2:4])[0], data[4:].decode()
        data = data[2 + length :]
    raise AssertionError("no close frame came")


class TestHandshake:
    """Who may open a WebSocket."""

    def test_answer(self, server: StreamServer) -> None:
        """The answer is the one that 0.8.4 shows, for the client's key."""
        with server.connect("/ws", headers=UPGRADE) as connection:
            head = read_until(connection, b"\r\n\r\n").decode().split("\r\n")
        assert "HTTP/1.1 101 Switching Protocols" == head[0]
        wanted = {
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {ACCEPT}",
            "Sec-WebSocket-Version: 13",
        }
        assert wanted <= set(head)
        assert not any(line.lower().startswith(("content-", "transfer-")) for line in head)

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"HTTP_UPGRADE": None, "HTTP_CONNECTION": None}, errors.UpgradeRequired),
            ({"HTTP_UPGRADE": "h2c"}, errors.UpgradeRequired),
            ({"HTTP_SEC_WEBSOCKET_VERSION": "8"}, errors.UpgradeRequired),
            ({"HTTP_SEC_WEBSOCKET_VERSION": None}, errors.BadRequest),
            ({"HTTP_SEC_WEBSOCKET_KEY": None}, errors.BadRequest),
            ({"HTTP_SEC_WEBSOCKET_KEY": "short"}, errors.BadRequest),
            ({"SERVER_PROTOCOL": "HTTP/1.0"}, errors.BadRequest),
            ({"REQUEST_METHOD": "POST"}, errors.MethodNotAllowed),
            ({"HTTP_ORIGIN": "https://evil.example"}, errors.OriginRefused),
        ],
    )
    def test_refused(
        self, changes: dict[str, str | None], error: type[errors.SaltApiError]
    ) -> None:
        """What is no handshake, or a wrong one, gets an error that says so."""
        environ = {k: v for k, v in {**ENVIRON, **changes}.items() if v is not None}
        with pytest.raises(error):
            accept(environ)

    @pytest.mark.parametrize(
        ("origin", "listed", "allowed"),
        [
            (None, [], True),
            ("http://salt.example:8000", [], True),
            ("HTTP://Salt.Example:8000", [], True),
            ("https://salt.example:8000", [], True),
            ("http://salt.example", [], False),
            ("http://other.example:8000", [], False),
            ("http://salt.example:8000.evil.example", [], False),
            ("null", [], False),
            ("", [], False),
            ("file://", [], False),
            ("http://other.example", ["http://other.example"], True),
            ("http://other.example", ["http://third.example"], False),
            ("http://other.example", ["*"], True),
            ("null", ["*"], True),
        ],
    )
    def test_origin(self, origin: str | None, listed: list[str], allowed: bool) -> None:
        """Pages of our own origin and of those that are listed may connect, and no-browsers."""
        environ = ENVIRON if origin is None else {**ENVIRON, "HTTP_ORIGIN": origin}
        if allowed:
            accept(environ, cors_origins=listed)
        else:
            with pytest.raises(errors.OriginRefused):
                accept(environ, cors_origins=listed)

    @pytest.mark.parametrize(
        ("host", "origin", "allowed"),
        [
            ("salt.example", "https://salt.example", True),
            ("salt.example:443", "https://salt.example", True),
            ("salt.example", "http://salt.example", False),
        ],
    )
    def test_origin_with_tls(self, host: str, origin: str, allowed: bool) -> None:
        """The default port may be left out; with TLS a page without it is of another origin."""
        environ = {**ENVIRON, "wsgi.url_scheme": "https", "HTTP_HOST": host, "HTTP_ORIGIN": origin}
        if allowed:
            accept(environ)
        else:
            with pytest.raises(errors.OriginRefused):
                accept(environ)

    def test_plain_request(self, server: StreamServer) -> None:
        """A browser that opens the URL gets 426, and the connection goes on."""
        with server.connect("/ws") as connection:
            assert b"HTTP/1.1 426 " == read_until(connection, b"\r\n\r\n")[:13]
            connection.sendall(request("/ws"))
            assert b"HTTP/1.1 426 " == read_until(connection, b"\r\n\r\n")[:13]


class TestMessages:
    """What is said once it is open."""

    def test_ready(self, server: StreamServer) -> None:
        """Nothing comes before the client is ready; then each event, from then on."""
        with client(server) as connection:
            server.fire("before", {})
            with pytest.raises(TimeoutError):
                connection.recv(timeout=0.3)
            make_ready(connection)
            server.fire("after", {"é": 1})
            assert 'data: {"data": {"é": 1}, "tag": "after"}\n\n' == receive(connection)

    def test_every_message_is_acknowledged(self, server: StreamServer) -> None:
        """Texts, binary messages and messages in parts: each gets the same answer."""
        with client(server) as connection:
            for message in ("hello", b"\xff\x00", "", ["in ", "three ", "parts"], READY, READY):
                connection.send(message)
                assert ACKNOWLEDGEMENT == receive(connection)
            server.fire("a", {})
            assert receive(connection).startswith("data: ")

    def test_order(self, server: StreamServer) -> None:
        """All events come, in order, however many at once and however large."""
        with client(server) as connection:
            make_ready(connection)
            for number in range(200):
                server.fire(f"number/{number}", {"text": "x" * (number * 100)})
            got = [json.loads(receive(connection)[6:])["tag"] for _ in range(200)]
        assert [f"number/{number}" for number in range(200)] == got

    def test_early_messages(self, server: StreamServer) -> None:
        """A client that does not wait for the handshake is heard all the same."""
        with server.connect() as connection:
            ready = masked(Opcode.TEXT, READY.encode())
            connection.sendall(request("/ws", headers=UPGRADE) + ready)
            read_until(connection, b"\r\n\r\n")
            acknowledgement = Frame(Opcode.TEXT, ACKNOWLEDGEMENT.encode()).serialize(mask=False)
            assert acknowledgement == read_exactly(connection, len(acknowledgement))

    def test_ping(self, server: StreamServer) -> None:
        """A client's ping is answered."""
        with client(server) as connection:
            assert connection.ping().wait(scaled(RECEIVE_SECONDS))

    def test_formatted(self, server: StreamServer) -> None:
        """With `format_events` come the minions, then each job that changes, as bare JSON."""
        with client(server, "/ws?format_events") as connection:
            server.fire("salt/job/1/new", {"jid": "1", "minions": ["m1"]})
            make_ready(connection)
            minions: list[dict[str, Any]] = []
            while not all(minion["grains"] for minion in minions) or not minions:
                minions = json.loads(receive(connection))["minions"]
            assert {"id": "m1", "grains": {"os": "Debian"}} == minions[0]
            job = {"jid": "2", "fun": "test.ping", "tgt": "*", "tgt_type": "glob", "_stamp": "now"}
            server.fire("salt/job/2/new", {**job, "minions": ["m1"]})
            expected = {
                "jid": "2",
                "start_time": "now",
                "minions": {"m1": {"success": False}},
                "fun": "test.ping",
                "tgt": "*",
                "tgt_type": "glob",
                "state": "running",
            }
            assert {"jobs": {"2": expected}} == json.loads(receive(connection))


class TestEnd:
    """How it ends, and with which code."""

    def test_client_closes(self, server: StreamServer) -> None:
        """A client that closes gets its code back, and the connection ends."""
        with client(server) as connection:
            make_ready(connection)
            connection.close(1000, "bye")
        assert 1000 == connection.protocol.close_rcvd.code  # type: ignore[union-attr]
        assert eventually(lambda: server.served == 1, 5)
        assert 0 == server.hub.listeners

    def test_client_vanishes(self, server: StreamServer) -> None:
        """A client that is gone is forgotten within seconds, also when nothing happens."""
        raw(server).close()
        assert eventually(lambda: server.served == 1, 5)
        assert 0 == server.hub.listeners

    def test_session(self, server: StreamServer) -> None:
        """The end of the session is 4401 with the reason, whether the client is ready or not."""
        for path in ("/ws", "/ws?format_events"):
            for is_ready in (True, False):
                token = f"{path}{is_ready}".encode().hex()
                with client(server, path, additional_headers={"X-Auth-Token": token}) as connection:
                    if is_ready:
                        make_ready(connection)
                    server.end_session(token, "The token was revoked.")
                    assert (4401, "The token was revoked.") == end_of(connection)

    def test_stop(self) -> None:
        """When the service stops the client is told that it goes away."""
        with StreamServer() as server:
            connections = [raw(server), raw(server)]
            threads = [threading.Thread(target=_answer_close, args=(c,)) for c in connections]
            for thread in threads:
                thread.start()
        for thread in threads:
            thread.join()
        assert 2 == server.served

    @pytest.mark.parametrize(
        ("frames", "code"),
        [
            ([masked(Opcode.TEXT, b"\xc3\x28")], 1007),
            ([masked(Opcode.TEXT, b"\xc3", fin=False), masked(Opcode.CONT, b"(")], 1007),
            ([masked(Opcode.TEXT, b"x" * (64 * 1024 + 1))], 1009),
            (
                [
                    masked(Opcode.TEXT, b"x" * 40_000, fin=False),
                    masked(Opcode.CONT, b"x" * 40_000),
                ],
                1009,
            ),
            ([Frame(Opcode.TEXT, b"unmasked").serialize(mask=False)], 1002),
            ([masked(Opcode.CONT, b"of nothing")], 1002),
            ([b"\xf1\x80\x00\x00\x00\x00"], 1002),
        ],
    )
    def test_wrong_frames(self, server: StreamServer, frames: list[bytes], code: int) -> None:
        """Who breaks the protocol is told how, and the connection ends."""
        with raw(server) as connection:
            connection.sendall(b"".join(frames))
            assert code == close_of(connection)[0]
        assert eventually(lambda: server.served == 1, 5)

    def test_split_character(self, server: StreamServer) -> None:
        """A character may be split between two parts of a message."""
        with raw(server) as connection:
            connection.sendall(masked(Opcode.TEXT, b"\xc3", fin=False))
            connection.sendall(masked(Opcode.CONT, b"\xa9"))
            acknowledgement = Frame(Opcode.TEXT, ACKNOWLEDGEMENT.encode()).serialize(mask=False)
            assert acknowledgement == read_exactly(connection, len(acknowledgement))

    def test_no_pong(self, server: StreamServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """A client that does not answer pings is taken for gone; one that does is kept."""
        monkeypatch.setattr(websockets, "PING_SECONDS", 0.1)
        monkeypatch.setattr(websockets, "PONG_SECONDS", scaled(0.5))
        with raw(server) as silent, client(server) as answering:
            assert (1011, "No pong came.") == close_of(silent)
            make_ready(answering)
            assert 1 == server.hub.listeners

    def test_too_slow(self) -> None:
        """Who does not read is ended when too much waits for it; others notice nothing."""
        with StreamServer(queue_bytes=2 * MIB) as server, raw(server) as stuck:
            stuck.sendall(masked(Opcode.TEXT, READY.encode()))
            with client(server) as reader:
                make_ready(reader)
                for number in range(200):
                    server.fire(f"number/{number}", {"text": "x" * 100_000})
                    assert f"number/{number}" == json.loads(receive(reader)[6:])["tag"]
                assert eventually(lambda: server.served == 1, 20)
                assert 1 == server.hub.listeners

    def test_too_much_at_once(self) -> None:
        """Who reads, but has too much waiting for it, is told so: 1013."""
        with StreamServer(queue_bytes=MIB) as server, client(server) as connection:
            make_ready(connection)

            async def burst() -> None:
                for _ in range(3):
                    server.hub.dispatch(b"big\n\n" + b"\xc4\xff" + b"x" * (600 * 1024))

            server.call(burst())
            assert (1013, OVERFLOW) == end_of(connection)


def _answer_close(connection: socket.socket) -> None:
    """Answer the server's close frame as a client should."""
    assert b"\x88" == read_exactly(connection, 1)
    (length,) = read_exactly(connection, 1)
    code = read_exactly(connection, length)[:2]
    assert 1001 == struct.unpack("!H", code)[0]
    connection.sendall(masked(Opcode.CLOSE, code))
    assert b"" == read_all(connection)
    connection.close()


class TestTls:
    """The same over TLS."""

    def test_messages(self, tmp_path: Path) -> None:
        """Large events, acknowledgements and the close handshake go through TLS."""
        server_context, client_context, _ = certificate(tmp_path)
        with StreamServer(tls=server_context) as server:
            url = f"wss://{HOST}:{server.port}/ws"
            with connect(url, ssl=client_context, max_size=None) as connection:
                make_ready(connection)
                server.fire("big", {"text": "x" * 4 * MIB})
                assert 4 * MIB == len(json.loads(receive(connection)[6:])["data"]["text"])
                connection.send("x" * 60_000)
                assert ACKNOWLEDGEMENT == receive(connection)
            assert 1000 == connection.protocol.close_rcvd.code  # type: ignore[union-attr]
            assert eventually(lambda: server.served == 1, 5)

    def test_vanishing(self, tmp_path: Path) -> None:
        """A TLS client that is gone is forgotten."""
        server_context, client_context, _ = certificate(tmp_path)
        with StreamServer(tls=server_context) as server:
            plain = server.connect()
            connection = client_context.wrap_socket(plain, server_hostname=HOST)
            connection.sendall(request("/ws", headers=UPGRADE))
            read_until(connection, b"\r\n\r\n")
            assert isinstance(connection, ssl.SSLSocket)
            connection.close()
            assert eventually(lambda: server.served == 1, 5)


DOCUMENTED = """
    import sys
    # Note, you must be authenticated!
    from websocket import create_connection
    ws = create_connection(sys.argv[1])
    ws.send('websocket client ready')

    # Look at the page of websocket-client for more examples.
    listening_to_events = 3
    while listening_to_events:
        print(ws.recv(), flush=True)
        listening_to_events -= 1
    ws.close()
"""


def test_the_documented_script(server: StreamServer) -> None:
    """The script of the 0.8.4 text (with Python 3's `print`) prints the events."""
    program = [sys.executable, "-c", textwrap.dedent(DOCUMENTED)]
    url = f"ws://{HOST}:{server.port}/ws"
    with subprocess.Popen([*program, url], stdout=subprocess.PIPE, text=True) as script:
        assert script.stdout is not None
        assert f"{ACKNOWLEDGEMENT}\n" == script.stdout.readline()
        server.fire("one", {"a": 1})
        server.fire("two", {"b": 2})
        expected = (
            'data: {"data": {"a": 1}, "tag": "one"}\n\n\n'
            'data: {"data": {"b": 2}, "tag": "two"}\n\n\n'
        )
        assert expected == script.stdout.read()
    assert 0 == script.returncode


@pytest.mark.long
def test_two_hundred(server: StreamServer) -> None:
    """200 clients get every event in order, on no thread of theirs."""
    allow_many_files()
    before = threading.active_count()

    async def listen(started: asyncio.Barrier) -> list[str]:
        url = f"ws://{HOST}:{server.port}/ws"
        async with connect_async(url, open_timeout=scaled(60)) as connection:
            await connection.send(READY)
            assert ACKNOWLEDGEMENT == await connection.recv()
            await started.wait()
            return [json.loads((await connection.recv())[6:])["tag"] for _ in range(100)]

    async def everybody() -> list[list[str]]:
        started = asyncio.Barrier(201)
        listeners = [asyncio.create_task(listen(started)) for _ in range(200)]
        await started.wait()
        assert before == threading.active_count()
        assert THREADS == server.server.requests.idle
        for number in range(100):
            server.fire(str(number), {})
            await asyncio.sleep(0.01)
        return await asyncio.gather(*listeners)

    results = asyncio.run(everybody())
    assert [[str(number) for number in range(100)]] * 200 == results
    assert eventually(lambda: server.hub.listeners == 0)


def test_random_bytes(server: StreamServer) -> None:
    """Whatever bytes come, the connection ends in order and the server goes on."""
    for _ in range(50):
        with raw(server) as connection:
            connection.sendall(os.urandom(2000))
            connection.shutdown(socket.SHUT_WR)
            read_all(connection)
    assert eventually(lambda: server.served == 50)
    with client(server) as connection:
        make_ready(connection)
