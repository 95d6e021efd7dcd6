"""
A server with streams and nothing else: cheroot, a hub that the test fires on, no master.

`/events` and `/ws` (and `/ws?format_events`) are as in the module; other paths are what a test
gives in `StreamServer.apps`.
"""

import asyncio
import resource
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import trustme

from saltapi.bridge.bus.hub import Hub
from saltapi.bridge.jobs.live_view import LiveView
from saltapi.engine.events.encodings import CLASSIC, CLASSIC_IDS, Writer
from saltapi.engine.events.streams import SSE_TYPE, EventStream, LiveViewStream
from saltapi.errors import SaltApiError
from saltapi.netapi._http.cheroot import Server
from saltapi.netapi._http.event_stream import serve_events
from saltapi.netapi._http.sockets import DetachedSocket, wait_served
from saltapi.netapi._http.tls import use_tls
from saltapi.netapi._http.websockets import accept, serve_websocket
from saltapi.netapi.rest_cherrypy.sockets import HANDOVER, Handover, StreamGateway
from saltapi.types import Session
from tests.fake_master import frame_body
from tests.waiting import scaled

T = TypeVar("T")
HOST = "127.0.0.1"
THREADS = 4
STOP_SECONDS = 10.0
CLIENT_SECONDS = 20.0
MIB = 1024 * 1024
App = Callable[[dict[str, Any], Any], list[bytes]]


class FakeSessions:
    """Sessions that end when a test says so."""

    def __init__(self) -> None:
        self._ended: dict[str, asyncio.Future[str]] = {}

    async def ended(self, session: Session) -> str:
        """Answer as `Sessions.ended`."""
        return await asyncio.shield(self._future(session.token))

    def end(self, token: str, reason: str = "The token was revoked.") -> None:
        """End the sessions of *token*; on the loop."""
        self._future(token).set_result(reason)

    def _future(self, token: str) -> asyncio.Future[str]:
        loop = asyncio.get_running_loop()
        return self._ended.setdefault(token, loop.create_future())


class StreamServer:
    """
    A running server; `hub`, `view` and `sessions` belong to its loop (`call`, `fire`).

    Attributes:
        port: Where it listens, on loopback.
        apps: More WSGI applications, by path.
        served: How many streams have been served to their end.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        queue_bytes: int = 8 * MIB,
        connected: Mapping[str, Any] | None = None,
    ) -> None:
        """
        Args:
            tls: Serve TLS with this context.
            queue_bytes: How much may wait for one listener.
            connected: The minions that are there, with their grains.
        """
        self.apps: dict[str, App] = {"/events": self._events, "/ws": self._websocket}
        self.served = 0
        self.cors_origins: list[str] = []
        self.loop = asyncio.new_event_loop()
        self.hub = Hub(history_bytes=16 * MIB, queue_bytes=queue_bytes)
        self.sessions = FakeSessions()
        minions = connected or {}

        async def who_is_connected() -> list[str]:
            return list(minions)

        async def ask_grains(_token: str, wanted: list[str]) -> dict[str, Any]:
            return {minion: minions[minion] for minion in wanted or minions}

        self.view = LiveView(self.hub, connected=who_is_connected, ask_grains=ask_grains)
        self.server = Server(
            (HOST, 0),
            self._app,
            numthreads=THREADS,
            max=THREADS,
            timeout=30,
            request_queue_size=999,
        )
        self.server.gateway = StreamGateway
        self.server.expiration_interval = 0.05  # how long stopping takes
        if tls is not None:
            use_tls(self.server, tls)
        self._threads = [
            threading.Thread(target=self.loop.run_forever, name="test-loop"),
            threading.Thread(target=self.server.serve, name="test-server"),
        ]

    def __enter__(self) -> Self:
        self.server.prepare()
        self.port = self.server.bind_addr[1]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.server.stop()
        self.call(self._finish())
        self.loop.call_soon_threadsafe(self.loop.stop)
        for thread in self._threads:
            thread.join()
        self.loop.close()

    async def _finish(self) -> None:
        self.hub.close("The service is stopping.")
        await wait_served(scaled(STOP_SECONDS))

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return what *coroutine* returns on the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def fire(self, tag: str, data: Any = None) -> None:
        """Put an event on the bus."""
        body = frame_body(tag, {} if data is None else data)
        self.loop.call_soon_threadsafe(self.hub.dispatch, body)

    def end_session(self, token: str, reason: str = "The token was revoked.") -> None:
        """Let *token* expire."""
        self.loop.call_soon_threadsafe(self.sessions.end, token, reason)

    def connect(self, path: str = "", *, headers: str = "", version: str = "1.1") -> socket.socket:
        """Return a connection, on which *path* has been asked for if it is given."""
        connection = socket.create_connection((HOST, self.port), timeout=scaled(CLIENT_SECONDS))
        if path:
            connection.sendall(request(path, headers=headers, version=version))
        return connection

    def _app(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        return self.apps[environ["PATH_INFO"]](environ, start_response)

    def _events(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        query = environ["QUERY_STRING"]
        handover: Handover = environ[HANDOVER]

        async def listen() -> EventStream:
            since = query.removeprefix("since=") if query.startswith("since=") else None
            return EventStream(self.hub, self.sessions, session_of(environ), since=since)  # type: ignore[arg-type]

        stream = self.call(listen())
        writer = Writer(CLASSIC_IDS if query else CLASSIC)

        async def serve(detached: DetachedSocket) -> None:
            await serve_events(stream, detached, writer, chunked=handover.chunked)
            self.served += 1

        handover.take(serve, self.loop)
        headers = [
            ("Content-Type", f"{SSE_TYPE};charset=utf-8"),
            ("Cache-Control", "no-cache"),
            ("Connection", "keep-alive"),
            ("Content-Length", "0"),
        ]
        start_response("200 OK", headers)
        return []

    def _websocket(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        try:
            protocol, headers = accept(environ, cors_origins=self.cors_origins)
        except SaltApiError as error:
            start_response(f"{error.status} No", [("Content-Length", "0")])
            return []

        async def listen() -> EventStream | LiveViewStream:
            session = session_of(environ)
            sessions: Any = self.sessions
            if environ["QUERY_STRING"].startswith("format_events"):
                return LiveViewStream(self.view, sessions, session, minions="list")
            return EventStream(self.hub, sessions, session)

        stream = self.call(listen())

        async def serve(detached: DetachedSocket) -> None:
            await serve_websocket(stream, protocol, detached)
            self.served += 1

        environ[HANDOVER].take(serve, self.loop)
        start_response("101 Switching Protocols", headers)
        return []


def session_of(environ: Mapping[str, Any]) -> Session:
    """Return the session of a request; any token will do."""
    token = environ.get("HTTP_X_AUTH_TOKEN", "a" * 64)
    return Session(token=token, name="somebody", eauth="file", start=0, expire=time.time() + 1e6)


def request(path: str, *, headers: str = "", version: str = "1.1") -> bytes:
    """Return the bytes of a GET request."""
    return f"GET {path} HTTP/{version}\r\nHost: x\r\n{headers}\r\n".encode()


def read_until(connection: socket.socket, end: bytes) -> bytes:
    """Return what comes up to *end*, byte for byte; nothing behind it is read."""
    data = b""
    while not data.endswith(end):
        byte = connection.recv(1)
        assert byte, f"the connection ended after {data!r}"
        data += byte
    return data


def read_exactly(connection: socket.socket, size_bytes: int) -> bytes:
    """Return the next bytes, so many of them."""
    data = b""
    while len(data) < size_bytes:
        part = connection.recv(size_bytes - len(data))
        assert part, f"the connection ended after {len(data)} bytes"
        data += part
    return data


def read_all(connection: socket.socket) -> bytes:
    """Return everything until the server ends the connection."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def unchunked(data: bytes) -> bytes:
    """Return a body without its chunks; fail if it does not end with the last chunk."""
    body = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        assert b"\r\n" == data[length : length + 2]
        if not length:
            assert b"\r\n" == data
            return body
        body, data = body + data[:length], data[length + 2 :]


def certificate(directory: Path) -> tuple[ssl.SSLContext, ssl.SSLContext, Path]:
    """Return TLS contexts for a server and for its clients, and the CA's file."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST, "localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    path = directory / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return server, client, path


def allow_many_files() -> None:
    """Raise the soft limit of open files as far as it goes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
