"""
A REST API for Salt on ASGI: the URLs of rest_cherrypy, and below `/v1` what users asked for since.

`saltapi` runs `start`; any ASGI server takes `saltapi.netapi.rest_asgi:app`.
"""

from typing import Any

from saltapi.process.module import virtual
from saltapi.types import Opts

__opts__: Opts = {}
"""The master's options, put here by the loader."""

NAME = __name__.rpartition(".")[2]


def __virtual__() -> str | tuple[bool, str]:
    """Run when the master config has a section of this module's name that says where to listen."""
    return virtual(__opts__, NAME, ("port", "socket", "systemd_socket"))


def start() -> None:
    """
    Serve until the process is told to stop.

    Raises:
        CannotStart: An option is wrong, a certificate cannot be read, or the address is taken.
    """
    from saltapi.netapi.rest_asgi import server

    server.serve(__opts__, NAME)


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """
    Answer one connection: the module for any ASGI server.

    The master config is the one that the environment variable `SALT_MASTER_CONFIG` names. Port,
    addresses and certificates are the server's affair there.
    """
    from saltapi.netapi.rest_asgi.app import standalone

    await standalone.get()(scope, receive, send)
