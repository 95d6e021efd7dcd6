"""An HTTP proxy on loopback."""

import http.client
import socket
import threading
from urllib.parse import urlsplit

from tests.client.cutting import pass_on
from tests.client.loopback import LoopbackServer, QuietHandler


class Proxy(LoopbackServer):
    """
    Passes requests on, and tunnels what is asked for with CONNECT.

    Attributes:
        asked: Of each request the method, what was asked for, and who has asked.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str | None]] = []
        proxy = self

        class Handler(QuietHandler):
            def note(self) -> None:
                who = self.headers.get("Proxy-Authorization")
                proxy.asked.append((self.command, self.path, who))

            def tunnel(self) -> None:
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
            do_CONNECT = tunnel  # noqa: N815

        super().__init__(Handler)
