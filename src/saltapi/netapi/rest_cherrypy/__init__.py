"""
A REST API for Salt (0.8.4, "rest_cherrypy"): CherryPy on cheroot.

`saltapi` runs `start`; another WSGI server takes `saltapi.netapi.rest_cherrypy.wsgi:application`.
"""

from saltapi.process.module import virtual
from saltapi.types import Opts

__opts__: Opts = {}
"""The master's options, put here by the loader."""

NAME = __name__.rpartition(".")[2]


def __virtual__() -> str | tuple[bool, str]:
    """Run when the master config has a section of this module's name with a port in it."""
    found = virtual(__opts__, NAME)
    if found == NAME:
        try:
            import cherrypy  # noqa: F401
        except ImportError as error:
            return False, f"CherryPy cannot be imported: {error}."
    return found


def start() -> None:
    """
    Serve until the process is told to stop.

    Raises:
        CannotStart: An option is wrong, a certificate cannot be read, or the address is taken.
    """
    from saltapi.netapi.rest_cherrypy import server

    server.serve(__opts__, NAME)
