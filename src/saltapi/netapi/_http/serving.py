"""Serving until the process is told to stop: on event loops, in one process or in several."""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, Self

from saltapi.config import EngineConfig, HttpSection
from saltapi.netapi._http.logs import open_logs
from saltapi.process import lifecycle, tls
from saltapi.process.descriptors import allow_many_connections
from saltapi.process.prefork import run_processes
from saltapi.types import Opts

FAREWELL_SECONDS = 3.0
"""How long streams may take to end when the service stops."""
KEEP_ALIVE_SECONDS = 75
"""
How long a connection may wait for its next request: longer than the usual clients and proxies let
it wait (nginx and load balancers 60 s, aiohttp 15). Who sends in the moment in which the server
ends the connection cannot know whether anything was done, so the client should be who ends it.
"""
KEEP_ALIVE_HINT = "timeout=60"
"""What clients that look for it are told, as `Keep-Alive`: less, so that they end it first."""
LAST_REQUEST_SECONDS = 1.0
"""How long connections that wait are kept when the service stops: what still comes on them is
answered, and the answer says that it is the last one."""


class Server(Protocol):
    """
    A module on sockets that listen; `async with` starts and stops it.

    Made of the master's options, the name of the section, and sockets that other processes may
    have too; `CannotStart` says that an option is wrong or a certificate cannot be read.
    """

    @property
    def url(self) -> str:
        """Where the module answers."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    def reload(self) -> None:
        """Read certificates and secrets again; connections that are open keep the old ones."""


def serve(
    opts: Opts,
    section: HttpSection,
    name: str,
    listening: AbstractContextManager[list[socket.socket]],
    make: Callable[[Opts, str, list[socket.socket]], Server],
) -> None:
    """
    Serve the section *name* of the master config until the process is told to stop.

    Args:
        opts: The master's options.
        section: The module's options.
        name: The name of the section.
        listening: The sockets, which listen from its beginning to its end.
        make: Returns the server for options, section and sockets; called in each process.

    Raises:
        CannotStart: An option is wrong, a certificate cannot be read, or the address is taken.
    """
    open_logs(section)
    allow_many_connections()
    tls.context_of(section, name)  # so that what is wrong is known before any fork
    count = section.processes if section.processes > 0 else os.cpu_count() or 1
    with listening as sockets:

        async def work() -> None:
            async with make(opts, name, sockets) as server:
                await lifecycle.run_until_stopped_async(ready=server.url, reload=server.reload)

        if count == 1:
            asyncio.run(work())
            return
        engine = EngineConfig.of(opts)
        run_processes(
            name,
            count,
            lambda: asyncio.run(work()),
            stop_timeout_seconds=engine.api_shutdown_timeout + FAREWELL_SECONDS,
            heartbeat_seconds=engine.api_heartbeat_seconds,
        )


def url_at(host: str, port: int, *, with_tls: bool = False, path: str = "") -> str:
    """Return the URL of a module that listens on *host* and *port*."""
    scheme = "https" if with_tls else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{path}"
