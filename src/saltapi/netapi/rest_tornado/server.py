"""The server: Tornado's HTTP server on an asyncio loop, in one process or in several."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

from tornado.netutil import bind_sockets

from saltapi import seldom
from saltapi.config import KIB, EngineConfig, RestTornadoConfig
from saltapi.netapi._http import serving
from saltapi.netapi._http.serving import FAREWELL_SECONDS, url_at
from saltapi.netapi._http.sockets import wait_served
from saltapi.netapi._http.unfinished import Limits, Unfinished
from saltapi.netapi.rest_tornado.handler import Application
from saltapi.netapi.rest_tornado.reception import BoundedServer
from saltapi.netapi.rest_tornado.saltnado import get_application
from saltapi.process import tls
from saltapi.process.listening import cannot_listen
from saltapi.types import Opts

HEAD_TIMEOUT_SECONDS = 15
"""How long a TLS handshake and the head of the first request may take together."""
READ_AHEAD_BYTES = 256 * KIB
"""How much more than a body Tornado may have read: a head of 64 KiB, and twice what follows."""
NO_LIMIT_BYTES = 2**62
"""For Tornado, which would end the connection without a word; our handlers keep the limit."""


def serve(opts: Opts, name: str) -> None:
    """
    Serve the section *name* of the master config until the process is told to stop.

    Raises:
        CannotStart: An option is wrong, a certificate cannot be read, or the address is taken.
    """
    section = RestTornadoConfig.parse(opts.get(name) or {})
    serving.serve(opts, section, name, listening(section, name), Server)


class Server:
    """The module on sockets that listen; `async with` starts and stops it."""

    def __init__(self, opts: Opts, name: str, sockets: list[socket.socket]) -> None:
        """Take what `serving.serve` gives."""
        self.application: Application = get_application(opts, name)
        self._name = name
        self._section = self.application.section
        self._sockets = sockets
        self._stop_seconds = EngineConfig.of(opts).api_shutdown_timeout
        self._http = BoundedServer(
            self.application,
            ssl_options=tls.context_of(self._section, self._name),
            idle_connection_timeout=HEAD_TIMEOUT_SECONDS,
            max_body_size=NO_LIMIT_BYTES,
        )
        self.unfinished = self._http.unfinished = Unfinished(self._limits(opts))

    @property
    def url(self) -> str:
        """Where the module answers."""
        host, port = self._sockets[0].getsockname()[:2]
        return url_at(self._section.address or host, port, with_tls=not self._section.disable_ssl)

    async def __aenter__(self) -> "Server":
        await self.application.engine.start()
        seldom.quiet("tornado.general", "SSL Error on", "tls_handshake")
        # Copies, so that ours can be closed while another process still listens.
        self._http.add_sockets([listening.dup() for listening in self._sockets])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._http.stop()
        await self._http.take_last_requests()
        self.application.engine.end_streams()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._stop_seconds):
                await self.application.wait_idle()
        await wait_served(FAREWELL_SECONDS)
        await self._http.close_all_connections()
        await self.application.engine.close()

    def reload(self) -> None:
        """Read certificates and secrets again; connections that are open keep the old ones."""
        self.application.engine.reload()
        self._http.ssl_options = tls.context_of(self._section, self._name)

    def _limits(self, opts: Opts) -> Limits:
        section = self._section
        request_bytes = section.max_request_body_size + READ_AHEAD_BYTES
        return Limits.of(EngineConfig.of(opts), request_bytes, section.trusted_proxies)


@contextlib.contextmanager
def listening(section: RestTornadoConfig, name: str) -> Iterator[list[socket.socket]]:
    """
    Yield the sockets of `bind`; they are closed at the end.

    Raises:
        CannotStart: The address cannot be bound.
    """
    made = bind(section, name)
    try:
        yield made
    finally:
        for one in made:
            one.close()


def bind(section: RestTornadoConfig, name: str) -> list[socket.socket]:
    """
    Return sockets that listen on the address and port of *section*.

    Raises:
        CannotStart: The address cannot be bound.
    """
    try:
        found: list[socket.socket] = bind_sockets(
            section.port, address=section.address, backlog=section.backlog
        )
    except OSError as error:
        raise cannot_listen(name, section.address or "*", section.port, error) from error
    return found
