"""The server: uvicorn on an asyncio loop, in one process or in several that share the sockets."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn

from saltapi import seldom
from saltapi.config import KIB, EngineConfig, RestAsgiConfig
from saltapi.errors import CannotStart
from saltapi.netapi._http import serving, websockets
from saltapi.netapi._http.serving import FAREWELL_SECONDS, KEEP_ALIVE_SECONDS, url_at
from saltapi.netapi._http.unfinished import Limits, Unfinished
from saltapi.netapi.rest_asgi.app import create_app
from saltapi.netapi.rest_asgi.protocol import Protocol, WebSocketProtocol, limited
from saltapi.process import socket_activation, tls
from saltapi.process.descriptors import (
    ROOM_CONNECTIONS,
    Listening,
    is_out_of_resources,
    listening_on,
    quiet_about_descriptors,
)
from saltapi.process.listening import tcp_socket, unix_socket
from saltapi.types import Opts

READ_BYTES = 256 * KIB
"""What asyncio reads at once."""


def serve(opts: Opts, name: str) -> None:
    """
    Serve the section *name* of the master config until the process is told to stop.

    Raises:
        CannotStart: An option is wrong, a certificate cannot be read, or the address is taken.
    """
    section = RestAsgiConfig.parse(opts.get(name) or {})
    serving.serve(opts, section, name, listening(section, name), Server)


class Server:
    """The module on sockets that listen; `async with` starts and stops it."""

    def __init__(self, opts: Opts, name: str, sockets: list[socket.socket]) -> None:
        """Take what `serving.serve` gives."""
        self.application = create_app(opts, name)
        self._name = name
        self._section = self.application.engine.section
        self._sockets = sockets
        self._stop_seconds = EngineConfig.of(opts).api_shutdown_timeout
        context = tls.context_of(self._section, name)
        self.unfinished = Unfinished(self._limits(opts))
        self._config = uvicorn.Config(
            self.application,
            http=limited(self._section.max_request_head_size, self.unfinished),
            ws=WebSocketProtocol,
            backlog=self._section.socket_queue_size,
            lifespan="on",
            log_config=None,
            log_level=logging.WARNING,  # below it are whole requests, tokens included
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=int(KEEP_ALIVE_SECONDS),
            timeout_graceful_shutdown=int(self._stop_seconds),
            ws_max_size=websockets.MESSAGE_LIMIT_BYTES,
            ws_per_message_deflate=False,
            ws_ping_interval=websockets.PING_SECONDS,
            ws_ping_timeout=websockets.PONG_SECONDS,
            ssl_context_factory=None if context is None else lambda *_: context,
        )
        self._server = _Uvicorn(self._config)
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where the module answers."""
        first = self._sockets[0]
        if first.family == socket.AF_UNIX:
            return f"unix:{first.getsockname()}"
        host, port = first.getsockname()[:2]
        prefix = self._section.root_prefix.rstrip("/")
        return url_at(host, port, with_tls=not self._section.disable_ssl, path=prefix)

    async def __aenter__(self) -> "Server":
        # Copies, so that ours can be closed while another process still listens.
        sockets: list[socket.socket] = [
            listening_on(listening.dup(), Listening) for listening in self._sockets
        ]
        asyncio.get_running_loop().set_exception_handler(self._handle_error)
        seldom.quiet("uvicorn.error", "Invalid UTF-8 sequence received", "websocket_not_utf8")
        seldom.quiet("uvicorn.error", "Invalid HTTP request received", "malformed_http")
        self._serving = asyncio.create_task(self._server.serve(sockets))
        started = asyncio.create_task(self._server.has_started.wait())
        await asyncio.wait({self._serving, started}, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if self._serving.done():
            await self._serving
            raise CannotStart(f"{self._name} could not be started; the log says why.")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._serving is not None  # noqa: S101 - it was entered
        self.application.engine.end_streams()
        self._server.should_exit = True
        try:
            async with asyncio.timeout(self._stop_seconds + FAREWELL_SECONDS):
                await self._serving
        except TimeoutError:
            self._serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._serving

    def _handle_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Same as `quiet_about_descriptors`; who waits for nothing makes room for others."""
        if is_out_of_resources(context):
            kept = [
                (until, connection)
                for connection in self._server.server_state.connections
                if isinstance(connection, Protocol)
                and (until := connection.waits_until) is not None
            ]
            kept.sort(key=lambda one: one[0])
            for _, connection in kept[:ROOM_CONNECTIONS]:
                connection.timeout_keep_alive_handler()
        quiet_about_descriptors(loop, context)

    def reload(self) -> None:
        """Read certificates and secrets again; connections that are open keep the old ones."""
        self.application.engine.reload()
        if self._config.ssl is not None:
            tls.context_of(self._section, self._name)  # raises where the files cannot be used
            tls.load_pair(self._config.ssl, self._section, self._name)

    def _limits(self, opts: Opts) -> Limits:
        section = self._section
        request_bytes = section.max_request_body_size + section.max_request_head_size + READ_BYTES
        return Limits.of(EngineConfig.of(opts), request_bytes, section.trusted_proxies)


class _Uvicorn(uvicorn.Server):
    """uvicorn's server, which leaves the signals to us and says when it answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.has_started = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signal: the service's own handlers stop the server."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets=sockets)
        self.has_started.set()


@contextlib.contextmanager
def listening(section: RestAsgiConfig, name: str) -> Iterator[list[socket.socket]]:
    """
    Yield the sockets that *section* asks for, listening; they are closed at the end.

    Raises:
        CannotStart: An address cannot be bound, or systemd has handed on no such socket.
    """
    made: list[socket.socket] = []
    try:
        if section.systemd_socket:
            made += socket_activation.inherited(section.systemd_socket)
        if section.port is not None:
            made.append(tcp_socket(section.host, section.port, section.socket_queue_size, name))
        if section.socket is not None:
            made.append(unix_socket(section.socket, section.socket_queue_size, name))
        for one in made:
            one.setblocking(False)
        yield made
    finally:
        for one in made:
            one.close()
        if section.socket is not None and any(s.family == socket.AF_UNIX for s in made):
            Path(section.socket).unlink(missing_ok=True)
