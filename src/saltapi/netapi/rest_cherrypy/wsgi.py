"""
The module for any WSGI server (PEP 3333): gunicorn, mod_wsgi, uWSGI.

The master config is the one that the environment variable `SALT_MASTER_CONFIG` names. Port,
addresses and certificates are the server's affair there. It must be the server's process that
answers: the connection to the master is made with the first request, after any fork.
"""

import os
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from saltapi import config
from saltapi.netapi.rest_cherrypy.app import get_app
from saltapi.netapi.rest_cherrypy.door import Door

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_lock = threading.Lock()
_door: Door | None = None


def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Answer one request."""
    return _shared()(environ, start_response)


def _shared() -> Door:
    global _door
    with _lock:
        if _door is None:
            path = os.environ.get("SALT_MASTER_CONFIG", f"{config.DEFAULT_CONFIG_DIR}/master")
            opts = config.load(path)
            _door = get_app(opts)
        return _door
