"""A server that answers what a test wants it to, and notes what it was asked."""

import json
import ssl
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.client.loopback import LoopbackServer, QuietHandler

LOGIN = {"return": [{"token": "a" * 40, "user": "u", "eauth": "pam", "expire": 4e9, "perms": []}]}
PATHS = [
    "/v1/run", "/v1/minions", "/v1/minions/{minion}/why", "/v1/keys", "/v1/functions", "/v1/jobs",
]  # fmt: skip


class Answers(LoopbackServer):
    """
    Answers on loopback: to `/login`, `/v1/whoami` and `/openapi.json` as a server does.

    Attributes:
        asked: Of each request its method, path and headers.
        bodies: What was sent to `/v1/run`.
        body: The answer to everything else: a value sent as JSON, or bytes.
        status: The status of that.
        headers: More of its headers.
        by_path: Answers to some paths, in place of `body`.
        held: Paths whose answers do not end.
    """

    def __init__(self, body: Any = None, status: int = 200, **headers: str) -> None:
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.held: set[str] = set()
        self._ended = threading.Event()
        self.bodies: list[bytes] = []
        self.body, self.status = body, status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.by_path: dict[str, Any] = {
            "/login": LOGIN,
            "/logout": {"return": "bye"},
            "/v1/whoami": {"user": "u"},
            "/openapi.json": {"paths": {path: {} for path in PATHS}},
        }
        answers = self

        class Handler(QuietHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet

            def answer(self) -> None:
                answers.answer(self)

            do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - as the library calls them

        super().__init__(Handler)

    def speak_tls(self, context: ssl.SSLContext) -> None:
        """Speak TLS from the beginning."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = self.url.replace("http://", "https://")

    def end(self) -> None:
        """Let answers end that are held."""
        self._ended.set()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        sent_body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        path = request.path.partition("?")[0]
        if path == "/v1/run":
            self.bodies.append(sent_body)
        self.asked.append((request.command, path, dict(request.headers)))
        known = self.by_path.get(path)
        body = self.body if known is None else known
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        more: Mapping[str, str] = self.headers if known is None else {}
        request.send_response(self.status if known is None else 200)
        length = {} if path in self.held else {"Content-Length": str(len(sent))}
        for name, value in {**more, **length}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(sent)
        if path in self.held:
            request.wfile.flush()
            request.close_connection = True
            self._ended.wait()
