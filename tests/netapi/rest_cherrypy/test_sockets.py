"""Sockets that leave cheroot: what the client sees, and that nobody else notices."""

import asyncio
import contextlib
import hashlib
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from saltapi.netapi._http import sockets
from saltapi.netapi._http.sockets import DetachedSocket, wait_served
from saltapi.netapi.rest_cherrypy.sockets import HANDOVER, Handover
from tests.netapi.rest_cherrypy.streaming import (
    CLIENT_SECONDS,
    HOST,
    THREADS,
    StreamServer,
    certificate,
    read_all,
    read_until,
    request,
)
from tests.waiting import POLL_SECONDS, eventually, scaled

MIB = 1024 * 1024
Serve = Callable[[DetachedSocket], Coroutine[Any, Any, None]]
Connect = Callable[..., socket.socket]


@pytest.fixture
def server() -> Iterator[StreamServer]:
    with StreamServer() as server:
        yield server


@pytest.fixture(params=["plain", "tls"])
def either(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[StreamServer, Connect]]:
    """A server without and with TLS, and a function that connects to it."""
    if request.param == "plain":
        with StreamServer() as server:
            yield server, server.connect
        return
    server_context, client_context, _ = certificate(tmp_path)

    def connect() -> socket.socket:
        return client_context.wrap_socket(
            server.connect(), server_hostname=HOST, suppress_ragged_eofs=False
        )

    with StreamServer(tls=server_context) as server:
        yield server, connect


def taking(server: StreamServer, serve: Serve, status: str = "200 OK", body: bytes = b"") -> Any:
    """Return an application that hands its socket to *serve*."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ[HANDOVER].take(serve, server.loop)
        start_response(status, [("Content-Length", str(len(body))), ("Connection", "keep-alive")])
        return [body] if body else []

    return app


async def echo(detached: DetachedSocket) -> None:
    """Send back what comes."""
    while data := await detached.read():
        await detached.write(data)


def head_of(connection: socket.socket) -> list[str]:
    """Return the lines of a response's head."""
    return read_until(connection, b"\r\n\r\n").decode().split("\r\n")[:-2]


def names(head: list[str]) -> set[str]:
    return {line.partition(":")[0].lower() for line in head[1:]}


def both_ways(connection: socket.socket, data: bytes) -> bytes:
    """
    Send *data* and receive as much at the same time; return the digest of what came.

    In one thread: two that use one TLS connection at once break it (OpenSSL, "threads").
    """
    connection.settimeout(0)
    deadline = time.monotonic() + scaled(CLIENT_SECONDS)
    unsent, missing, digest = memoryview(data), len(data), hashlib.sha256()
    while missing:
        assert time.monotonic() < deadline
        select.select([connection], [connection] if unsent else [], [], POLL_SECONDS)
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            unsent = unsent[connection.send(unsent[:MIB]) :] if unsent else unsent
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            came = connection.recv(MIB)
            assert came
            digest.update(came)
            missing -= len(came)
    return digest.digest()


class TestHead:
    """What the client gets before the stream begins."""

    def test_http_1_1(self, server: StreamServer) -> None:
        """HTTP/1.1 gets a chunked body, without a length."""
        server.apps["/x"] = taking(server, echo)
        with server.connect("/x") as connection:
            head = head_of(connection)
        assert "HTTP/1.1 200 OK" == head[0]
        assert "Transfer-Encoding: chunked" in head
        assert "Connection: keep-alive" in head
        assert "content-length" not in names(head)

    def test_http_1_0(self, server: StreamServer) -> None:
        """HTTP/1.0 gets a body that ends with the connection."""
        server.apps["/x"] = taking(server, echo)
        with server.connect("/x", version="1.0") as connection:
            head = head_of(connection)
        assert "HTTP/1.1 200 OK" == head[0]
        assert set() == names(head) & {"transfer-encoding", "content-length", "connection"}

    def test_101(self, server: StreamServer) -> None:
        """A protocol that takes over has no body and so no framing."""
        server.apps["/x"] = taking(server, echo, status="101 Switching Protocols")
        with server.connect("/x") as connection:
            head = head_of(connection)
        assert "HTTP/1.1 101 Switching Protocols" == head[0]
        assert set() == names(head) & {"transfer-encoding", "content-length"}


class TestBytes:
    """Nothing is lost, added or mixed up."""

    def test_early_bytes(self, either: tuple[StreamServer, Connect]) -> None:
        """What the client has sent together with its request reaches the stream."""
        server, connect = either
        server.apps["/x"] = taking(server, echo, status="101 Switching Protocols")
        early = b"early" * 1000
        with connect() as connection:
            connection.sendall(request("/x") + early)
            head_of(connection)
            connection.sendall(b"END")
            assert early + b"END" == read_until(connection, b"END")

    def test_much_data(self, either: tuple[StreamServer, Connect]) -> None:
        """Much data goes both ways at once, whole, when both sides are slow at times."""
        server, connect = either
        server.apps["/x"] = taking(server, echo, status="101 Switching Protocols")
        sent = os.urandom(8 * MIB)
        with connect() as connection:
            connection.sendall(request("/x"))
            head_of(connection)
            digest = both_ways(connection, sent)
        assert hashlib.sha256(sent).digest() == digest

    def test_writes_do_not_mix(self, either: tuple[StreamServer, Connect]) -> None:
        """Two writers that write at once write one after the other."""
        server, connect = either

        async def two(detached: DetachedSocket) -> None:
            await asyncio.gather(detached.write(b"a" * 4 * MIB), detached.write(b"b" * 4 * MIB))
            await detached.finish(10)

        server.apps["/x"] = taking(server, two, status="101 Switching Protocols")
        with connect() as connection:
            connection.sendall(request("/x"))
            head_of(connection)
            assert b"a" * 4 * MIB + b"b" * 4 * MIB == read_all(connection)

    def test_close_is_announced(self, either: tuple[StreamServer, Connect]) -> None:
        """The end of the connection is a clean one, in TLS as well."""
        server, connect = either

        async def close(detached: DetachedSocket) -> None:
            await detached.write(b"last words")
            detached.close()
            detached.close()

        server.apps["/x"] = taking(server, close, status="101 Switching Protocols")
        with connect() as connection:
            connection.sendall(request("/x"))
            head_of(connection)
            assert b"last words" == read_all(connection)

    def test_finish_keeps_the_last_bytes(self, either: tuple[StreamServer, Connect]) -> None:
        """A client that is still sending gets the last bytes before the connection ends."""
        server, connect = either

        async def finish(detached: DetachedSocket) -> None:
            await detached.read(1)
            await detached.write(b"enough")
            await detached.finish(10)

        server.apps["/x"] = taking(server, finish, status="101 Switching Protocols")
        with connect() as connection:
            connection.sendall(request("/x"))
            head_of(connection)
            connection.sendall(b"x" * MIB)
            assert b"enough" == read_all(connection)


class TestPeer:
    """Clients that leave, hang, or were never there."""

    def test_leaving_is_noticed(self, either: tuple[StreamServer, Connect]) -> None:
        """A stream that only writes learns that its client has left, without writing."""
        server, connect = either
        left = threading.Event()

        async def wait(detached: DetachedSocket) -> None:
            await detached.drop_input()
            left.set()

        server.apps["/x"] = taking(server, wait)
        with connect() as connection:
            connection.sendall(request("/x") + b"something")
            head_of(connection)
            assert not left.is_set()
        assert eventually(left.is_set, 5)

    def test_reset_is_noticed(self, server: StreamServer) -> None:
        """A connection that is reset has ended like any other."""
        left = threading.Event()

        async def wait(detached: DetachedSocket) -> None:
            await detached.drop_input()
            left.set()

        server.apps["/x"] = taking(server, wait)
        with server.connect("/x") as connection:
            head_of(connection)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        assert eventually(left.is_set, 5)

    def test_a_hanging_client_is_dropped(
        self, either: tuple[StreamServer, Connect], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A client that takes nothing ends its write after a while; later ones fail at once."""
        monkeypatch.setattr(sockets, "WRITE_TIMEOUT_SECONDS", 0.3)
        server, connect = either
        errors: list[type[OSError]] = []

        async def write(detached: DetachedSocket) -> None:
            for _ in range(2):
                try:
                    await detached.write(b"x" * 64 * MIB)
                except OSError as error:
                    errors.append(type(error))

        server.apps["/x"] = taking(server, write)
        with connect() as connection:
            connection.sendall(request("/x"))
            eventually(lambda: len(errors) == 2)
        assert [TimeoutError, ConnectionAbortedError] == errors

    def test_a_client_that_never_pauses(self, server: StreamServer) -> None:
        """A client that sends without end does not keep the loop from others."""

        async def swallow(detached: DetachedSocket) -> None:
            await detached.drop_input()

        server.apps["/flood"] = taking(server, swallow)
        server.apps["/echo"] = taking(server, echo, status="101 Switching Protocols")
        stop = threading.Event()
        with server.connect("/flood") as flood, server.connect("/echo") as other:

            def send() -> None:
                while not stop.is_set():
                    flood.sendall(b"x" * MIB)

            flooding = threading.Thread(target=send)
            flooding.start()
            try:
                head_of(other)
                for _ in range(20):
                    other.sendall(b"ping")
                    assert b"ping" == read_until(other, b"ping")
            finally:
                stop.set()
                flooding.join()


class TestNotDetached:
    """What was taken and then not given away."""

    @pytest.mark.parametrize(
        ("status", "body", "method"),
        [
            ("200 OK", b"an error page", "GET"),
            ("500 Internal Server Error", b"", "GET"),
            ("200 OK", b"", "HEAD"),
        ],
    )
    def test_another_answer(
        self, server: StreamServer, status: str, body: bytes, method: str
    ) -> None:
        """Something else was answered: it arrives, and what was to serve hears that it is over."""
        results: list[Any] = []

        async def serve(detached: DetachedSocket) -> None:
            results.append(await detached.read())
            try:
                await detached.write(b"x")
            except OSError as error:
                results.append(type(error))

        server.apps["/x"] = taking(server, serve, status, body)
        answer = b""
        with server.connect() as connection:
            connection.sendall(f"{method} /x HTTP/1.0\r\nHost: x\r\n\r\n".encode())
            answer = read_all(connection)
        assert f"HTTP/1.1 {status}".encode() == answer.partition(b"\r\n")[0]
        assert body == answer.partition(b"\r\n\r\n")[2]
        eventually(lambda: len(results) == 2)
        assert [b"", ConnectionAbortedError] == results

    def test_the_application_fails(self, server: StreamServer) -> None:
        """The application takes the socket and then fails: the client gets an error."""
        served = threading.Event()

        async def serve(_detached: DetachedSocket) -> None:
            served.set()

        def app(environ: dict[str, Any], _start_response: Any) -> list[bytes]:
            environ[HANDOVER].take(serve, server.loop)
            raise ValueError("a bug")

        server.apps["/x"] = app
        with server.connect("/x") as connection:
            assert b"HTTP/1.1 500 " == read_all(connection)[:13]
        assert eventually(served.is_set)

    def test_twice(self, server: StreamServer) -> None:
        """A socket can be taken once."""
        problems: list[str] = []

        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            environ[HANDOVER].take(echo, server.loop)
            try:
                environ[HANDOVER].take(echo, server.loop)
            except RuntimeError as error:
                problems.append(str(error))
            start_response("200 OK", [])
            return []

        server.apps["/x"] = app
        with server.connect("/x") as connection:
            head_of(connection)
        assert ["The socket of a request can be taken once."] == problems

    def test_a_serving_bug_closes(self, server: StreamServer) -> None:
        """A stream that fails closes its connection."""

        async def serve(_detached: DetachedSocket) -> None:
            raise ValueError("a bug")

        server.apps["/x"] = taking(server, serve)
        with server.connect("/x", version="1.0") as connection:
            head_of(connection)
            assert b"" == read_all(connection)


class TestServer:
    """Cheroot goes on as if nothing were."""

    def test_threads_are_free(self, server: StreamServer) -> None:
        """Many more streams than threads: none is taken, none is added, requests go on."""

        def plain(_environ: dict[str, Any], start_response: Any) -> list[bytes]:
            start_response("200 OK", [("Content-Length", "2")])
            return [b"ok"]

        server.apps["/plain"] = plain
        server.apps["/x"] = taking(server, echo)
        before = threading.active_count()
        connections = [server.connect("/x") for _ in range(10 * THREADS)]
        for connection in connections:
            head_of(connection)
        assert eventually(lambda: server.server.requests.idle == THREADS)
        with server.connect("/plain", version="1.0") as connection:
            assert b"ok" == read_all(connection).partition(b"\r\n\r\n")[2]
        assert before == threading.active_count()
        for connection in connections:
            connection.close()

    def test_accounting(self, server: StreamServer) -> None:
        """Streams do not count among the connections that are kept for their next request."""
        server.server.keep_alive_conn_limit = 2

        def plain(_environ: dict[str, Any], start_response: Any) -> list[bytes]:
            start_response("200 OK", [("Content-Length", "0")])
            return []

        server.apps["/plain"] = plain
        server.apps["/x"] = taking(server, echo)
        streams = [server.connect("/x") for _ in range(10)]
        for stream in streams:
            head_of(stream)
        with server.connect("/plain") as connection:
            assert "connection" not in names(head_of(connection))
            connection.sendall(request("/plain"))
            assert "HTTP/1.1 200 OK" == head_of(connection)[0]
        for stream in streams:
            stream.close()

    def test_stop(self) -> None:
        """The server stops while streams go on; they end when they are told to."""
        with StreamServer() as server:
            server.apps["/x"] = taking(server, echo, status="101 Switching Protocols")
            connection = server.connect("/x")
            head_of(connection)
            server.server.stop()
            connection.sendall(b"still there")
            assert b"still there" == read_until(connection, b"there")
            server.call(wait_served(0.1))
            assert b"" == read_all(connection)
            connection.close()

    def test_descriptors(self, either: tuple[StreamServer, Connect]) -> None:
        """No file descriptor stays open after a stream."""
        server, connect = either
        server.apps["/x"] = taking(server, echo, status="101 Switching Protocols")

        def once() -> None:
            with connect() as connection:
                connection.sendall(request("/x"))
                head_of(connection)

        once()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            once()
        assert eventually(lambda: len(os.listdir("/proc/self/fd")) <= before)

    def test_the_loop_is_closed(self) -> None:
        """A socket that is handed to a loop that is no more is closed."""
        loop = asyncio.new_event_loop()
        loop.close()
        ours, theirs = socket.socketpair()
        handover = Handover(chunked=False)
        handover.take(echo, loop)
        handover.begin(ours)
        assert b"" == theirs.recv(1)
        theirs.close()


def test_tls_is_required_to_be_whole(tmp_path: Path) -> None:
    """A TLS client that vanishes without a farewell has left all the same."""
    server_context, client_context, _ = certificate(tmp_path)
    left = threading.Event()

    async def wait(detached: DetachedSocket) -> None:
        await detached.drop_input()
        left.set()

    with StreamServer(tls=server_context) as server:
        server.apps["/x"] = taking(server, wait)
        connection = client_context.wrap_socket(server.connect(), server_hostname=HOST)
        connection.sendall(request("/x"))
        head_of(connection)
        socket.socket.shutdown(connection, socket.SHUT_WR)
        assert eventually(left.is_set, 5)
        assert isinstance(connection, ssl.SSLSocket)
        connection.close()
