"""The server: cheroot with CherryPy's application on it, with TLS unless that is switched off."""

import math
import threading

from saltapi import errors
from saltapi.config import EngineConfig
from saltapi.netapi._http.cheroot import Server
from saltapi.netapi._http.logs import open_logs
from saltapi.netapi._http.tls import use_tls
from saltapi.netapi.rest_cherrypy.app import get_app
from saltapi.netapi.rest_cherrypy.door import Door
from saltapi.netapi.rest_cherrypy.sockets import StreamGateway
from saltapi.process import lifecycle, tls
from saltapi.types import Opts

SOCKET_TIMEOUT_SECONDS = 15
"""How long a connection may wait for its next request, and a client before it reads on."""


def serve(opts: Opts, name: str) -> None:
    """
    Serve the section *name* of the master config until the process is told to stop.

    Raises:
        CannotStart: An option is wrong, a certificate cannot be read, or the address is taken.
    """
    door = get_app(opts, name)
    section = door.section
    open_logs(section)
    server = make_server(door, name, EngineConfig.of(opts))
    serving = threading.Thread(target=server.serve, name=name)
    serving.start()
    scheme = "http" if section.disable_ssl else "https"
    host = f"[{section.host}]" if ":" in section.host else section.host
    url = f"{scheme}://{host}:{section.port}{section.root_prefix}"

    def reload() -> None:
        """Read certificates and secrets again; connections that are open keep the old ones."""
        door.engine.reload()
        if server.ssl_adapter is not None:
            server.ssl_adapter.context = tls.server_context(section, name)

    try:
        lifecycle.run_until_stopped(
            ready=url,
            reload=reload,
            is_alive=lambda: serving.is_alive() and door.responds(),
        )
    finally:
        server.stop()
        serving.join()
        door.close()


def make_server(door: Door, name: str, engine: EngineConfig) -> Server:
    """
    Return a server that is bound and ready to `serve`.

    Raises:
        CannotStart: A certificate cannot be read, or the address cannot be bound.
    """
    section = door.section
    server = Server(
        (section.host, section.port),
        door,
        numthreads=section.thread_pool,
        max=section.thread_pool,
        request_queue_size=section.socket_queue_size,
        timeout=SOCKET_TIMEOUT_SECONDS,
        shutdown_timeout=math.ceil(engine.api_shutdown_timeout),
    )
    server.gateway = StreamGateway
    server.bound(engine, section.max_request_body_size, door.is_known, section.trusted_proxies)
    server.stats["Enabled"] = section.collect_stats
    if not section.disable_ssl:
        use_tls(server, tls.server_context(section, name))
    try:
        server.prepare()
    except OSError as error:
        raise errors.CannotStart(
            f"{name} cannot listen on {section.host}:{section.port}: {error.strerror or error}."
            " Choose another port or end what uses it."
        ) from error
    return server
