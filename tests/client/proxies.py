"""An HTTP proxy on loopback."""

import http.client
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.client.cutting import pass_on


class Proxy:
    """
    Passes requests on, and tunnels what is asked for with CONNECT.

    Attributes:
        url: Where it listens.
        asked: Of each request the method, what was asked for, and who has asked.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str | None]] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def note(self) -> None:
                who = self.headers.get("Proxy-Authorization")
                proxy.asked.append((self.command, self.path, who))

            def do_CONNECT(self) -> None:
                self.note()
                host, _, port = self.path.rpartition(":")
                server = socket.create_connection((host, int(port)))
                self.send_response(200)
                self.end_headers()
                self.wfile.flush()
                other = threading.Thread(
                    target=pass_on, args=(server, self.connection, None), daemon=True
                )
                other.start()
                pass_on(self.connection, server, None)

            def forward(self) -> None:
                self.note()
                parts = urlsplit(self.path)
                server = http.client.HTTPConnection(parts.netloc)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                server.request(self.command, parts.path, body, dict(self.headers))
                answer = server.getresponse()
                data = answer.read()
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
                server.close()

            do_GET = do_POST = forward  # noqa: N815 - as the library calls them

            def log_message(self, *_args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
