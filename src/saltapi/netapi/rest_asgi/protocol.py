"""
HTTP/1.1 and WebSocket as uvicorn speaks them.

A request's head is limited, in size and time, and clear about where the request ends. A stream
can cut off a client that does not read (the ASGI extension `saltapi.abort`).
"""

import asyncio
import http
import logging
import secrets
from typing import Any, NoReturn

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from saltapi import formats
from saltapi.netapi._http.sockets import set_options
from saltapi.netapi.rest_asgi.answers import as_clients_know
from saltapi.netapi.rest_asgi.streams import ABORT, FRAMES
from saltapi.process import tls

log = logging.getLogger(__name__)

HEAD_TIMEOUT_SECONDS = 15.0
"""How long the head of a request may take to come, and a connection may wait for its next one."""
HEADERS_LIMIT = 100
ONCE = frozenset({b"content-length", b"content-type", b"host", b"x-auth-token"})
"""Headers that have one value, or the request means different things to different readers."""
REFUSAL_HEAD = (
    b"Content-Type: application/json\r\nContent-Length: %d\r\nX-Request-Id: %b\r\n"
    b"X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
)
MALFORMED = "The request is malformed."
TOO_LARGE = "The head of the request is larger than {} bytes."
TWICE = "The header {} is there twice."
TOO_MANY = f"The request has more than {HEADERS_LIMIT} headers."


class HeadRefused(Exception):
    """Ends the parsing of a request's head."""


class Protocol(HttpToolsProtocol):
    """One connection."""

    head_limit_bytes: int
    """Set by `limited`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._unparsed_bytes = 0
        self._in_head = False
        self._is_begun = False
        self._seen: set[bytes] = set()
        self._refusal = (400, MALFORMED)
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin; the head must come soon, also the first one."""
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        if connection is not None:
            set_options(connection)
        common_name = tls.common_name(transport.get_extra_info("peercert"))
        self.app_state = {**self.app_state, "client_common_name": common_name}
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come; a field that does not end is no reason to wait for its end."""
        self._unparsed_bytes += len(data)
        if self._head_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._expect_head()
        super().data_received(data)
        if not self._is_begun:
            self._unparsed_bytes = 0
        if self._unparsed_bytes > self.head_limit_bytes:
            self._refusal = (431, TOO_LARGE.format(self.head_limit_bytes))
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: {"abort": self.transport.abort}}
        self._head_bytes = 0
        self._seen.clear()
        self._in_head = self._is_begun = True
        if self._head_timer is None:
            self._expect_head()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the URL."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a field behind the body is dropped (RFC 9110, 6.5.1)."""
        self._count(len(name) + len(value) + 4)
        if not self._in_head:
            return
        super().on_header(name, value)
        name = name.lower()
        if name in self._seen and name in ONCE:
            self._refuse(400, TWICE.format(name.decode("latin-1").title()))
        if name == b"transfer-encoding" and value.lower() != b"chunked":
            self._refuse(501, "Transfer-Encoding can only be chunked.")
        self._seen.add(name)
        if len(self.headers) > HEADERS_LIMIT:
            self._refuse(431, TOO_MANY)

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        version = self.parser.get_http_version()
        if version not in {"1.0", "1.1"}:
            self._refuse(505 if version > "1.1" else 400, "This is not HTTP/1.1.")
        if version == "1.1" and b"host" not in self._seen:
            self._refuse(400, "The header Host is missing.")
        self._in_head = False
        self._unparsed_bytes = 0
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._unparsed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request."""
        self._unparsed_bytes = 0
        self._is_begun = False
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        super()._start_asgi_task(cycle, as_clients_know(cycle, app))

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words
        """Refuse what is no request, or has too large a head, in JSON."""
        self._stop_timer()
        if self.transport.is_closing():
            return
        status, sentence = self._refusal
        body = formats.dump_json({"status": status, "return": sentence})
        request_id = secrets.token_hex(8)
        log.info("%s: %d %s request=%s", self.client, status, sentence, request_id)
        if self.cycle is None or self.cycle.response_complete:
            head = REFUSAL_HEAD % (len(body), request_id.encode())
            self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self.head_limit_bytes:
            self._refuse(431, TOO_LARGE.format(self.head_limit_bytes))

    def _refuse(self, status: int, sentence: str) -> NoReturn:
        self._refusal = (status, sentence)
        raise HeadRefused

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_SECONDS, self._give_up)

    def _give_up(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def limited(head_limit_bytes: int) -> type[Protocol]:
    """Return the protocol with this limit on the head of a request."""
    return type("LimitedProtocol", (Protocol,), {"head_limit_bytes": head_limit_bytes})


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """One connection that has become a WebSocket."""

    def handle_connect(self, event: Any) -> None:
        """Begin; what is no handshake is told so in JSON."""
        super().handle_connect(event)
        if self.response.status_code == http.HTTPStatus.SWITCHING_PROTOCOLS:
            self.scope["extensions"][ABORT] = {"abort": self.transport.abort}
            self.scope["extensions"][FRAMES] = {}

    async def send(self, message: Any) -> None:
        """Send; a handshake that is refused is over with its answer, which uvicorn forgets."""
        if FRAMES in message:
            await self.writable.wait()
            if self.disconnected or self.close_sent:
                raise ClientDisconnected
            self.transport.write(message[FRAMES])
            return
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True
