"""
The module for any WSGI server (PEP 3333): gunicorn, mod_wsgi, uWSGI.

The master config is the one that the environment variable `SALT_MASTER_CONFIG` names. Port,
addresses and certificates are the server's affair there. It must be the server's process that
answers: the connection to the master is made with the first request, after any fork.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from saltapi.netapi.rest_cherrypy.app import get_app
from saltapi.process.module import Standalone

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_standalone = Standalone(get_app)


def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Answer one request."""
    return _standalone.get()(environ, start_response)
