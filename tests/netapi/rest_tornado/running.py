"""rest_tornado in this process, without a master."""

import socket
from typing import Any

from saltapi.config import RestTornadoConfig
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.netapi.rest_tornado.server import Server, bind
from saltapi.types import Opts
from tests.netapi import running
from tests.netapi.running import HOST, TOKEN, read_all, read_until, request

__all__ = ["HOST", "NAME", "TOKEN", "RunningServer", "read_all", "read_until", "request"]

NAME = "rest_tornado"


class RunningServer(running.RunningServer):
    """rest_tornado, running."""

    name = NAME

    def bind(self, options: dict[str, Any]) -> list[socket.socket]:
        """Return the sockets to listen on."""
        return bind(RestTornadoConfig.parse(options), NAME)

    def make(self, opts: Opts, sockets: list[socket.socket]) -> Server:
        """Return the module's server."""
        return Server(opts, NAME, sockets)

    def client_of(self, server: Server) -> AsyncAPIClient:
        """Return the server's engine."""
        return server.application.engine.client
