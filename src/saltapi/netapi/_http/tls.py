"""
TLS on cheroot, with the handshake where it holds nobody up.

Cheroot shakes hands in the thread that accepts connections, and waits for the client: one that
connects and says nothing would keep all others out. Here it is a matter of the front, which waits
for nobody.
"""

import contextlib
import logging
import selectors
import socket
import ssl
from typing import Any

from cheroot.errors import FatalSSLAlert
from cheroot.server import HTTPServer
from cheroot.ssl import Adapter
from cheroot.ssl.builtin import BuiltinSSLAdapter

from saltapi.netapi._http.cheroot import Connection

log = logging.getLogger(__name__)

PLAIN_HTTP_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 43\r\n"
    b"Connection: close\r\n\r\nThis port speaks HTTPS; use https:// here.\n"
)


class TlsAdapter(BuiltinSSLAdapter):
    """Makes TLS connections with a context that can be exchanged at any time."""

    def __init__(self, context: ssl.SSLContext) -> None:
        """Use *context*, until `context` is set to another one."""
        Adapter.__init__(self, None, None)
        self.context = context
        self._server_env: dict[str, str] = {}

    def wrap(self, sock: socket.socket) -> tuple[ssl.SSLSocket, dict[str, Any]]:
        """Return the TLS socket that *sock* will be, before the handshake."""
        try:
            return self.context.wrap_socket(
                sock, server_side=True, do_handshake_on_connect=False
            ), {}
        except OSError as error:
            raise FatalSSLAlert(*error.args) from error


class TlsConnection(Connection):
    """A connection that is TLS if its server is, and plain otherwise."""

    @property
    def understands(self) -> bool:
        """Whether the client can be answered in HTTP by now: after the handshake."""
        return bool(self.ssl_env) or not isinstance(self.socket, ssl.SSLSocket)

    def receive(self, limit_bytes: int) -> bytes | None:
        """Same as `Connection.receive`, after the handshake, of which this is a part."""
        self.wants = selectors.EVENT_READ
        try:
            if not self.understands:
                self._shake_hands()
            data = super().receive(limit_bytes)
            pending = self.socket.pending() if data and self.ssl_env else 0
            return data + self.socket.recv(pending) if pending else data
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLWantWriteError:
            self.wants = selectors.EVENT_WRITE
            return None

    def end_answers(self) -> None:
        """Same as `Connection.end_answers`, with TLS's farewell."""
        if self.ssl_env:
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                self.socket.unwrap()
        super().end_answers()

    def _shake_hands(self) -> None:
        try:
            self.socket.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError as error:  # ssl.SSLError is one
            log.info("%s: no TLS: %s", self.remote_addr, error)
            if isinstance(error, ssl.SSLError) and error.reason == "HTTP_REQUEST":
                with contextlib.suppress(OSError):
                    socket.socket.send(self.socket, PLAIN_HTTP_ANSWER)
            raise
        self.ssl_env = self.server.ssl_adapter.get_environ(self.socket)


def use_tls(server: HTTPServer, context: ssl.SSLContext) -> None:
    """Let *server*, which is not running yet, speak TLS."""
    server.ssl_adapter = TlsAdapter(context)
    server.ConnectionClass = TlsConnection
