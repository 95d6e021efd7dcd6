"""The server: cheroot with CherryPy's application on it, with TLS unless that is switched off."""

import logging

from saltapi.config import EngineConfig
from saltapi.netapi._http.cheroot import Server
from saltapi.netapi._http.logs import open_logs
from saltapi.netapi._http.serving import url_at
from saltapi.netapi.rest_cherrypy.app import get_app
from saltapi.netapi.rest_cherrypy.application import CherrypyApplication
from saltapi.netapi.rest_cherrypy.sockets import StreamGateway
from saltapi.process import tls
from saltapi.types import Opts

log = logging.getLogger(__name__)


def serve(opts: Opts, name: str) -> None:
    """
    Serve the section *name* of the master config until the process is told to stop.

    Raises:
        CannotStart: An option is wrong, a certificate cannot be read, or the address is taken.
    """
    application = get_app(opts, name)
    section = application.section
    open_logs(section)
    if section.session_store is not None:
        log.warning("%s.session_store has no effect: sessions are the master's tokens.", name)
    server = make_server(application, name, EngineConfig.of(opts))

    def reload() -> None:
        """Read certificates and secrets again; connections that are open keep the old ones."""
        application.engine.reload()
        if server.ssl_adapter is not None:
            server.ssl_adapter.context = tls.server_context(section, name)

    with_tls = not section.disable_ssl
    url = url_at(section.host, section.port, with_tls=with_tls, path=section.root_prefix)
    application.serve(server, url, reload)


def make_server(application: CherrypyApplication, name: str, engine: EngineConfig) -> Server:
    """
    Return a server that is bound and ready to `serve`.

    Raises:
        CannotStart: A certificate cannot be read, or the address cannot be bound.
    """
    server = application.listen(
        engine,
        threads=application.section.thread_pool,
        is_known=application.is_known,
        gateway=StreamGateway,
        context=tls.context_of(application.section, name),
    )
    server.stats["Enabled"] = application.section.collect_stats
    return server
