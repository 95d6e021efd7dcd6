"""
A module of asyncio in this process, on a loop in a thread of its own, without a master.

Every token of 64 characters is a session until the test ends it; events are what the test fires.
"""

import asyncio
import socket
import threading
import time
from collections.abc import Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml

from saltapi import config
from saltapi.config import MIB
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.engine.sessions.forms import is_token
from saltapi.errors import AuthenticationFailed
from saltapi.types import Opts, Session
from tests.daemons import free_port
from tests.fake_master import frame_body
from tests.waiting import scaled
from tests.wire import Answer, send

T = TypeVar("T")
HOST = "127.0.0.1"
TOKEN = "0123456789abcdef" * 4
CLIENT_SECONDS = 20.0


class FakeSessions:
    """Sessions that end when a test says so."""

    logins_total = 0
    failed_logins_total = 0

    def __init__(self) -> None:
        self._ended: dict[str, asyncio.Future[str]] = {}

    async def check(self, token: Any) -> Session:
        """Answer as `Sessions.check`."""
        if not isinstance(token, str) or len(token) != 64 or self._future(token).done():
            raise AuthenticationFailed("The token is unknown or has expired; log in again.")
        now = time.time()
        return Session(token=token, name="somebody", eauth="file", start=now, expire=now + 1e6)

    def takes(self, token: Any) -> bool:
        """Answer as `Sessions.takes`."""
        return is_token(token)

    def is_foreign(self, _token: Any) -> bool:
        """Answer as `Sessions.is_foreign`."""
        return False

    async def used(self, session: Session, peer: str) -> None:
        """Answer as `Sessions.used`."""

    async def ended(self, session: Session) -> str:
        """Answer as `Sessions.ended`."""
        return await asyncio.shield(self._future(session.token))

    async def close(self) -> None:
        """Answer as `Sessions.close`."""

    def end(self, token: str, reason: str = "The token was revoked.") -> None:
        """End the sessions of *token*; on the loop."""
        self._future(token).set_result(reason)

    def _future(self, token: str) -> asyncio.Future[str]:
        return self._ended.setdefault(token, asyncio.get_running_loop().create_future())


class RunningServer:
    """
    A running server; a module's own class says how it is made.

    Attributes:
        port: Where it listens, on loopback.
        server: The server, on `loop`.
        hub: What the events are fired on.
    """

    name: str
    """The name of the module and of its section."""

    def __init__(
        self,
        directory: Path,
        *,
        queue_bytes: int = 8 * MIB,
        engine: Any = None,
        **section: Any,
    ) -> None:
        """
        Args:
            directory: Where a config may be written.
            queue_bytes: How much may wait for one listener.
            engine: Options of all modules, by name.
            section: Options of the module.
        """
        self.port = free_port()
        options = {"port": self.port, "host": HOST, "disable_ssl": True, **section}
        values = {
            "root_dir": str(directory),
            "netapi_enable_clients": ["local", "runner"],
            "function_workers": 0,
            "api_shutdown_timeout": 2,
            "api_listener_queue_bytes": queue_bytes,
            self.name: options,
            **(engine or {}),
        }
        path = directory / "master"
        path.write_text(yaml.safe_dump(values))
        self.opts = config.load(path)
        self.sockets = self.bind(options)
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="test-loop")

    def __enter__(self) -> Self:
        self._thread.start()
        self.call(self._start())
        return self

    def __exit__(self, *_exc: object) -> None:
        self.call(self.server.__aexit__(None, None, None))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
        for listening in self.sockets:
            listening.close()

    def bind(self, options: dict[str, Any]) -> list[socket.socket]:
        """Return the sockets to listen on."""
        raise NotImplementedError

    def make(self, opts: Opts, sockets: list[socket.socket]) -> Any:
        """Return the module's server."""
        raise NotImplementedError

    def client_of(self, server: Any) -> AsyncAPIClient:
        """Return the server's engine."""
        raise NotImplementedError

    async def _start(self) -> None:
        self.server = self.make(self.opts, self.sockets)
        client = self.client_of(self.server)
        self.sessions = FakeSessions()
        client.sessions = self.sessions  # type: ignore[assignment]
        self.hub = client.hub
        await self.server.__aenter__()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return what *coroutine* returns on the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def fire(self, tag: str, data: Any = None) -> None:
        """Put an event on the bus."""
        self.fire_all([(tag, {} if data is None else data)])

    def fire_all(self, events: Iterable[tuple[str, Any]]) -> None:
        """Put events on the bus, all in one turn of the loop."""
        bodies = [frame_body(tag, data) for tag, data in events]

        def dispatch() -> None:
            for body in bodies:
                self.hub.dispatch(body)

        self.loop.call_soon_threadsafe(dispatch)

    def end_session(self, token: str = TOKEN) -> None:
        """Let *token* expire."""
        self.loop.call_soon_threadsafe(self.sessions.end, token)

    def connect(
        self, path: str = "", *, headers: Mapping[str, str] | None = None, version: str = "1.1"
    ) -> socket.socket:
        """Return a connection, on which *path* has been asked for if it is given."""
        connection = socket.create_connection((HOST, self.port), timeout=scaled(CLIENT_SECONDS))
        if path:
            connection.sendall(request(path, headers, version))
        return connection

    def send(self, method: str, path: str, **options: Any) -> Answer:
        """Send a request, as `tests.wire.send`."""
        return send(self.port, method, path, **options)


def request(path: str, headers: Mapping[str, str] | None = None, version: str = "1.1") -> bytes:
    """Return the bytes of a GET request with a session."""
    names = {"Host": f"{HOST}:1", "X-Auth-Token": TOKEN, **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in names.items())
    return f"GET {path} HTTP/{version}\r\n{lines}\r\n".encode()


def read_until(connection: socket.socket, end: bytes) -> bytes:
    """Return what comes up to *end*, byte for byte; nothing behind it is read."""
    data = b""
    while not data.endswith(end):
        byte = connection.recv(1)
        assert byte, f"the connection ended after {data!r}"
        data += byte
    return data


def read_all(connection: socket.socket) -> bytes:
    """Return everything until the server ends the connection."""
    return b"".join(iter(lambda: connection.recv(65536), b""))
