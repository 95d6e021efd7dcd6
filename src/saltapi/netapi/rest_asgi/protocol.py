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
from saltapi.config import KIB
from saltapi.errors import SaltApiError, TooManyRequests
from saltapi.netapi._http.intake import Intake
from saltapi.netapi._http.serving import LAST_REQUEST_SECONDS
from saltapi.netapi._http.sockets import set_options
from saltapi.netapi._http.unfinished import Unfinished
from saltapi.netapi.rest_asgi.answers import as_clients_know
from saltapi.netapi.rest_asgi.environ import believed
from saltapi.netapi.rest_asgi.reception import RECEPTION, Reception, received, refuse
from saltapi.netapi.rest_asgi.streams import ABORT, FRAMES
from saltapi.process import tls

log = logging.getLogger(__name__)

HEAD_TIMEOUT_SECONDS = 15.0
"""How long the head of a request may take to come; the first one from the connection on."""
HEADERS_LIMIT = 100
LINGER_SECONDS = 2.0
"""How long a client that still sends may read why its connection was not taken."""
PIPELINED_BYTES = 4 * KIB
"""What a request counts for that waits for the answer to another one of its connection."""
ONCE = frozenset({b"content-length", b"content-type", b"host", b"x-auth-token"})
"""Headers that have one value, or the request means different things to different readers."""
BODY_HEADERS = frozenset({b"content-length", b"transfer-encoding"})
REFUSAL_HEAD = (
    b"Content-Type: application/json\r\nContent-Length: %d\r\nX-Request-Id: %b\r\n"
    b"X-Content-Type-Options: nosniff\r\nConnection: close\r\n%b\r\n"
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
    unfinished: Unfinished
    """Set by `limited`."""
    _intake: Intake | None = None
    """What comes in; None on a connection that is not taken."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._unparsed_bytes = 0
        self._in_head = False
        self._is_begun = False
        self._seen: set[bytes] = set()
        self._refusal = (400, MALFORMED)
        self._head_timer: asyncio.TimerHandle | None = None
        self._is_last = False

    def connection_made(self, transport: Any) -> None:
        """Begin; the head must come soon, also the first one."""
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        if connection is not None:
            set_options(connection)
        common_name = tls.common_name(transport.get_extra_info("peercert"))
        self.app_state = {**self.app_state, "client_common_name": common_name}
        peer = self.client[0] if self.client else ""
        try:
            self._intake = Intake(
                self.unfinished, peer, self._end_request, is_paused=lambda: self.flow.read_paused
            )
        except TooManyRequests as error:
            self._turn_away(error)
        else:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_timer()
        if self._intake is not None:
            self._intake.close()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come; a field that does not end is no reason to wait for its end."""
        if self._intake is None or self._intake.is_refused:
            return
        self._unparsed_bytes += len(data)
        if self._head_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._expect_head()
        super().data_received(data)
        if not self._is_begun:
            self._unparsed_bytes = 0
        if self._unparsed_bytes > self.head_limit_bytes:
            self._refusal = (431, TOO_LARGE.format(self.head_limit_bytes))
            self.send_400_response("")
        if self._is_begun or self.pipeline:
            self._intake.take(len(data))

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        assert self._intake is not None  # noqa: S101 - what comes otherwise is dropped
        reception = Reception(self._intake.drop)
        extensions = {ABORT: {"abort": self.transport.abort}, RECEPTION: reception}
        self.scope["extensions"] = extensions  # type: ignore[typeddict-item]
        self._head_bytes = 0
        self._seen.clear()
        self._in_head = self._is_begun = True
        self._unset_keepalive_if_required()
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
        assert self._intake is not None  # noqa: S101 - what comes otherwise is dropped
        if self._is_last:
            self.cycle.keep_alive = False
        if self.pipeline and not self._intake.take(PIPELINED_BYTES):
            raise HeadRefused
        scope: Any = self.scope
        if "path" in scope and not self._seen.isdisjoint(BODY_HEADERS):
            _, environ = believed(scope, self.unfinished.limits.trusted_proxies)
            self._intake.begin_body(environ["REMOTE_ADDR"])

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._unparsed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request."""
        self._unparsed_bytes = 0
        self._is_begun = False
        if self._intake is not None:
            self._intake.complete(waits=bool(self.pipeline))
        super().on_message_complete()
        if self._is_idle:  # it was answered before its end
            self._stop_timer()
            end, seconds = self.timeout_keep_alive_handler, self.timeout_keep_alive
            self.timeout_keep_alive_task = self.loop.call_later(seconds, end)

    def on_response_complete(self) -> None:
        """Go on; of a request that was answered before its end nothing more is kept."""
        if self._intake is not None:
            try:
                self._intake.come_back()
            except TooManyRequests:
                self.transport.close()
            if self._is_begun and not self._in_head and self.cycle.response_complete:
                self._intake.drop()
        super().on_response_complete()
        if self._intake is not None and not self._is_begun and not self.pipeline:
            self._intake.complete()

    @property
    def waits_until(self) -> float | None:
        """When the wait for the next request ends, by the loop's clock; None while there is one."""
        waiting = self.timeout_keep_alive_task
        return waiting.when() if waiting is not None and self._is_idle else None

    def shutdown(self) -> None:
        """Stop; what a client has sent meanwhile on a connection that waits is answered."""
        self._is_last = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        else:
            self.loop.call_later(LAST_REQUEST_SECONDS, self._leave)

    def handle_websocket_upgrade(self) -> None:
        """Become a WebSocket."""
        if self._intake is not None:
            self._intake.leave()
        super().handle_websocket_upgrade()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        assert self._intake is not None  # noqa: S101 - what comes otherwise is dropped
        app = received(cycle, app, self._intake.leave)
        super()._start_asgi_task(cycle, as_clients_know(cycle, app))

    def _end_request(self, error: SaltApiError) -> None:
        """Let the request that comes end with *error*, if there is one that can be answered."""
        log.info("%s: %d %s", self.client, error.status, error)
        in_body = self._is_begun and not self._in_head
        if in_body and not self.cycle.response_started:
            refuse(self.cycle, error)
        else:
            self._stop_timer()
            self.transport.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words
        """Refuse what is no request, or has too large a head, in JSON."""
        self._stop_timer()
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            self._write_refusal(*self._refusal)
        self.transport.close()

    def _write_refusal(self, status: int, sentence: str, fields: bytes = b"") -> None:
        body = formats.dump_json({"status": status, "return": sentence})
        request_id = secrets.token_hex(8)
        log.info("%s: %d %s request=%s", self.client, status, sentence, request_id)
        head = REFUSAL_HEAD % (len(body), request_id.encode(), fields)
        self.transport.write(STATUS_LINE[status] + head + body)

    def _turn_away(self, error: SaltApiError) -> None:
        """Refuse the connection; what comes on it is dropped."""
        retry = b"Retry-After: %d\r\n" % (error.retry_after_seconds or 0)
        self._write_refusal(error.status, str(error), retry)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self.head_limit_bytes:
            self._refuse(431, TOO_LARGE.format(self.head_limit_bytes))

    def _refuse(self, status: int, sentence: str) -> NoReturn:
        self._refusal = (status, sentence)
        raise HeadRefused

    @property
    def _is_idle(self) -> bool:
        return not self._is_begun and self.cycle is not None and self.cycle.response_complete

    def _leave(self) -> None:
        """Close, unless a request is being answered, which closes then."""
        if self.cycle is None or self.cycle.response_complete:
            self.timeout_keep_alive_handler()

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


def limited(head_limit_bytes: int, unfinished: Unfinished) -> type[Protocol]:
    """Return the protocol with this limit on the head of a request, counted in *unfinished*."""
    limits = {"head_limit_bytes": head_limit_bytes, "unfinished": unfinished}
    return type("LimitedProtocol", (Protocol,), limits)


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
