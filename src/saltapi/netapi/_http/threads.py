"""WSGI applications: an engine on a loop of its own, and cheroot's threads that ask it."""

import math
import ssl
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from saltapi.config import EngineConfig, RestCherrypyConfig, RestWsgiConfig
from saltapi.engine.engine import Engine
from saltapi.engine.loop_thread import LoopThread
from saltapi.engine.operations.api import Api
from saltapi.netapi._http.cheroot import Gateway, Server
from saltapi.netapi._http.serving import FAREWELL_SECONDS, KEEP_ALIVE_SECONDS
from saltapi.netapi._http.sockets import wait_served
from saltapi.netapi._http.tls import use_tls
from saltapi.process import lifecycle
from saltapi.process.descriptors import allow_many_connections
from saltapi.process.listening import cannot_listen
from saltapi.types import Opts

T = TypeVar("T")
SectionT = TypeVar("SectionT", RestCherrypyConfig, RestWsgiConfig)


class Application(Generic[SectionT]):
    """The module of one master config; a module's own class is a WSGI application."""

    def __init__(self, opts: Opts, section: SectionT, name: str) -> None:
        self.section: SectionT = section
        self.engine: Engine[SectionT] = Engine(opts, section, name)
        self.thread: LoopThread[Engine[SectionT]] = LoopThread(lambda: self.engine)
        """Where the engine runs."""

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """Answer one request."""
        raise NotImplementedError

    def call(self, operation: Callable[[Api], Coroutine[Any, Any, T]]) -> T:
        """Return what *operation* of the engine's `Api` returns."""
        return self.thread.call(lambda engine: operation(engine.api))

    def close(self) -> None:
        """End the streams and let go of the master."""
        if self.thread.started:
            self.thread.call(_end_streams)
        self.thread.close()

    def listen(
        self,
        engine: EngineConfig,
        *,
        threads: int,
        host: str | None = None,
        is_known: Callable[[dict[str, Any]], bool] | None = None,
        gateway: type[Gateway] = Gateway,
        context: ssl.SSLContext | None = None,
    ) -> Server:
        """
        Return a server that is bound and ready to `serve`.

        Args:
            engine: The options of all modules.
            threads: How many requests are answered at once.
            host: Where to listen, if not exactly where the section says.
            is_known: Whose bodies may be long (`Server.bound`).
            gateway: What hands requests on.
            context: For TLS.

        Raises:
            CannotStart: The address cannot be bound.
        """
        section = self.section
        server = Server(
            (host or section.host, section.port),
            self,
            numthreads=threads,
            max=threads,
            request_queue_size=section.socket_queue_size,
            timeout=KEEP_ALIVE_SECONDS,
            shutdown_timeout=math.ceil(engine.api_shutdown_timeout),
        )
        server.gateway = gateway
        server.bound(engine, section.max_request_body_size, is_known, section.trusted_proxies)
        if context is not None:
            use_tls(server, context)
        try:
            server.prepare()
        except OSError as error:
            raise cannot_listen(self.engine.name, section.host, section.port, error) from error
        return server

    def serve(self, server: Server, url: str, reload: Callable[[], None] | None = None) -> None:
        """
        Answer at *url* by *server* until the process is told to stop, then close all.

        Args:
            server: What `listen` has returned.
            url: Where it answers.
            reload: Reads certificates and files of the module again.
        """
        allow_many_connections()
        serving = threading.Thread(target=server.serve, name=self.engine.name)
        serving.start()
        try:
            lifecycle.run_until_stopped(
                ready=url,
                reload=reload,
                is_alive=lambda: (
                    serving.is_alive()
                    and self.thread.responds(lifecycle.beat_interval_seconds() or 0.0)
                ),
            )
        finally:
            server.stop()
            serving.join()
            self.close()


async def _end_streams(engine: Engine[Any]) -> None:
    engine.end_streams()
    await wait_served(FAREWELL_SECONDS)
