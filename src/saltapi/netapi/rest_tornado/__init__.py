"""
A REST API for Salt with real-time views (0.8.4, "rest_tornado"): Tornado on the engine's loop.

`saltapi` runs `start`.
"""

from saltapi.process.module import virtual
from saltapi.types import Opts

__opts__: Opts = {}
"""The master's options, put here by the loader."""

NAME = __name__.rpartition(".")[2]


def __virtual__() -> str | tuple[bool, str]:
    """Run when the master config has a section of this module's name with a port in it."""
    return virtual(__opts__, NAME)


def start() -> None:
    """
    Serve until the process is told to stop.

    Raises:
        CannotStart: An option is wrong, a certificate cannot be read, or the address is taken.
    """
    from saltapi.netapi.rest_tornado import server

    server.serve(__opts__, NAME)
