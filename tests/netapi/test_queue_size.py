"""How many connections may wait to be accepted is what the config says, in the kernel too."""

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager

import pytest

from saltapi.config import RestTornadoConfig
from saltapi.demo.master import free_ports
from saltapi.netapi._http.cheroot import Server
from saltapi.netapi.rest_tornado.server import bind

QUEUE = 17
TCP_INFO_BACKLOG = struct.Struct("28xI")
"""Of a socket that listens: `tcpi_sacked` is how many connections may wait."""


@contextmanager
def threaded() -> Iterator[socket.socket]:
    """The socket of rest_cherrypy's and rest_wsgi's server."""
    server = Server(("127.0.0.1", 0), lambda *_: [], numthreads=1, request_queue_size=QUEUE)
    server.prepare()
    try:
        yield server.socket
    finally:
        server.stop()


@contextmanager
def tornado() -> Iterator[socket.socket]:
    """The socket of rest_tornado."""
    options = {"port": free_ports(1)[0], "address": "127.0.0.1", "backlog": QUEUE}
    (made,) = bind(RestTornadoConfig.parse(options), "rest_tornado")
    with closing(made):
        yield made


@pytest.mark.parametrize("listening", [threaded, tornado])
def test_reaches_listen(listening: Callable[[], AbstractContextManager[socket.socket]]) -> None:
    """`socket_queue_size`, or `backlog`, reaches `listen`."""
    with listening() as found:
        info = found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)

    assert (QUEUE,) == TCP_INFO_BACKLOG.unpack_from(info)
