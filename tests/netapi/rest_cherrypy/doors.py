"""The module without a daemon: called as a WSGI application, or served on a loopback port."""

import io
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import salt.config
from cheroot.server import HTTPServer

from saltapi.config import EngineConfig
from saltapi.netapi.rest_cherrypy.app import get_app
from saltapi.netapi.rest_cherrypy.server import make_server
from tests.daemons import free_port
from tests.waiting import eventually
from tests.wire import Answer

NAME = "rest_cherrypy"
MASTERLESS = {**salt.config.DEFAULT_MASTER_OPTS, "cachedir": "/none", "conf_file": "/none"}
"""Options of a master that there is not."""


class WsgiDoor:
    """The application for a section of a config that has no master."""

    def __init__(self, **section: Any) -> None:
        clients = ["local", "runner"]
        self.application = get_app({**MASTERLESS, "netapi_enable_clients": clients, NAME: section})

    def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        query: str = "",
        **environ: Any,
    ) -> Answer:
        """Return the answer to one request; *environ* adds to what the server tells."""
        given: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "localhost",
            "CONTENT_LENGTH": str(len(body)) if body else "",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in (headers or {}).items():
            key = name.upper().replace("-", "_")
            given[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
        given.update(environ)
        given = {name: value for name, value in given.items() if value is not None}
        started: list[Any] = []
        parts = self.application(given, lambda status, found, *_: started.append((status, found)))  # type: ignore[arg-type]
        try:
            content = b"".join(parts)
        finally:
            getattr(parts, "close", lambda: None)()
        status, found = started[-1]
        return Answer(int(status[:3]), tuple(found), content)


@contextmanager
def serving(**section: Any) -> Iterator[HTTPServer]:
    """Serve a section on loopback, without a master, until the end of the block."""
    options = {"host": "127.0.0.1", "port": free_port(), "disable_ssl": True, **section}
    door = get_app({**MASTERLESS, "netapi_enable_clients": ["local"], NAME: options})
    server = make_server(door, NAME, EngineConfig(api_shutdown_timeout=1))
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        eventually(lambda: server.ready)
        yield server
    finally:
        server.stop()
        thread.join()
        door.close()
