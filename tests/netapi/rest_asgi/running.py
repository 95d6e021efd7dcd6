"""rest_asgi in this process, without a master."""

import socket
from typing import Any

from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.netapi.rest_asgi.server import Server
from saltapi.process.listening import tcp_socket
from saltapi.types import Opts
from tests.netapi import running

NAME = "rest_asgi"


class RunningServer(running.RunningServer):
    """rest_asgi, running."""

    name = NAME

    def bind(self, options: dict[str, Any]) -> list[socket.socket]:
        """Return the sockets to listen on."""
        made = tcp_socket(options["host"], options["port"], 1024, NAME)
        made.setblocking(False)
        return [made]

    def make(self, opts: Opts, sockets: list[socket.socket]) -> Server:
        """Return the module's server."""
        return Server(opts, NAME, sockets)

    def client_of(self, server: Server) -> AsyncAPIClient:
        """Return the server's engine."""
        return server.application.engine.client
