"""
Cheroot, strict about where a request begins and ends (RFC 9112, sections 2 to 7).

Cheroot believes the last of two lengths, takes blanks and underscores in names of headers, reads a
chunk of any size into memory, and takes trailers, or what is left of a broken body, for the next
request. Behind a proxy that reads the same bytes differently, one client could put a request into
another one's connection. Here such a request gets 400 and the connection ends.
"""

import contextlib
import http
import io
import logging
import os
import secrets
import selectors
import signal
import socket
from collections.abc import Callable, Sequence
from typing import Any

from cheroot import server, wsgi

from saltapi import formats
from saltapi.config import MIB, EngineConfig
from saltapi.errors import SaltApiError
from saltapi.netapi._http.answering import Answering, Writers
from saltapi.netapi._http.bodies import STRANGERS, TOO_LARGE
from saltapi.netapi._http.front import READ_BYTES, Front
from saltapi.netapi._http.incoming import HEADER_LIMIT_BYTES, HeaderReader, Incoming, Stage
from saltapi.netapi._http.unfinished import Limits, Pace, Share, Unfinished

log = logging.getLogger(__name__)

KEPT_CONNECTIONS = 200
"""How many connections may wait for their next request; further ones end with their answer."""
BODY_BYTES = MIB


class _RequestHeaders(HeaderReader):
    """The headers of a request that was read by the front, which has sent its 100."""

    def __call__(self, rfile: Any, hdict: dict[bytes, bytes] | None = None) -> dict[bytes, bytes]:
        """Return the headers in *rfile*, added to *hdict*."""
        headers = super().__call__(rfile, hdict)
        headers.pop(b"Expect", None)
        return headers


class Request(server.HTTPRequest):
    """A request; what is wrong with its HTTP is answered in JSON, like any other error."""

    header_reader = _RequestHeaders()

    def __init__(self, server: Any, conn: Any) -> None:
        """Take also URLs with a scheme and a host (RFC 9112, section 3.2.2)."""
        super().__init__(server, conn, proxy_mode=True)

    def read_request_line(self) -> bool:
        """Return whether the first line is that of a request."""
        try:
            return bool(super().read_request_line())  # type: ignore[no-untyped-call]
        except ValueError:  # a host that is none, as in `GET //[`
            self.simple_response("400 Bad Request", "The URL is malformed.")
            return False

    def read_request_headers(self) -> bool:
        """Return whether the headers are such that the request can be answered."""
        if not super().read_request_headers():  # type: ignore[no-untyped-call]
            return False
        if self.method == b"CONNECT":
            self.simple_response("405 Method Not Allowed", "This is no proxy.")
            return False
        coding = self.inheaders.get(b"Transfer-Encoding")
        if coding is not None:
            if not self.chunked_read or coding.lower() != b"chunked":
                self.simple_response("400 Bad Request", "Transfer-Encoding can only be chunked.")
                return False
            self.close_connection = True  # no more doubt about what belongs to the next request
        return True

    def send_headers(self) -> None:
        """Write the head of the answer, to be sent with what comes behind it."""
        self.conn.answering.more_follows = True
        super().send_headers()
        self.conn.answering.more_follows = False

    def simple_response(self, status: str, msg: str = "") -> None:
        """Answer with an error and let the connection end."""
        self.close_connection = True
        try:
            self.conn.wfile.write(self.conn.refusal_of(int(status[:3]), msg))
        except OSError:
            log.debug("The client did not wait for the answer.", exc_info=True)


class Gateway(wsgi.Gateway_10):
    """Hands a request on to the application, with its body, which is there."""

    def __init__(self, req: Any) -> None:
        """Take over *req*."""
        req.rfile = req.conn.incoming.body
        if req.conn.incoming.problem is not None:
            req.close_connection = True  # who knows what comes behind it
        super().__init__(req)


class _Head(io.BytesIO):
    """The head of a request, as cheroot reads it."""

    bytes_read = 0
    """What has come on the connection, for cheroot's statistics."""


class Connection(server.HTTPConnection):
    """A connection whose requests are strict, and are answered when they are complete."""

    RequestHandlerClass = Request
    share: Share | None = None
    """What it holds; None before it is counted and after its end."""
    refusal: SaltApiError | None = None
    """Why its request is not to be answered."""
    pace: Pace | None = None
    """How fast its body comes."""
    deadline = 0.0
    """Until when the front waits for it, on the monotonic clock."""
    wants = selectors.EVENT_READ
    waits_for = 0
    """What the front's selector looks for; 0 while a thread has the connection."""
    is_kept = False
    """Whether it has had a request."""
    is_last = False
    """Whether it ends with what is being sent."""
    lingers = False
    """Whether nothing is sent any more, and what comes is dropped."""
    left_bytes = 0
    """How much more of that at the most."""

    def __init__(self, owner: "Server", sock: Any) -> None:
        """Take over *sock*, which *owner* has accepted."""
        super().__init__(owner, sock, lambda *_: _Head())
        rate_bytes = owner.unfinished.limits.body_bytes_per_second
        self.wfile = self.answering = Answering(sock, rate_bytes, owner.writers)
        self.buffer = bytearray()
        """What has come and is in no request yet."""
        self.incoming = Incoming(owner.first_body_bytes)

    # By the front, which waits for nobody

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a request, and nothing else."""
        begun = self.incoming.stage is not Stage.HEAD or self.buffer
        return not (begun or self.answering.left or self.lingers)

    @property
    def understands(self) -> bool:
        """Whether the client can be answered in HTTP by now."""
        return True

    def receive(self, limit_bytes: int) -> bytes | None:
        """
        Return what has come, at most so many bytes; `b""` at the end, None if nothing has yet.

        Raises:
            OSError: The connection is broken.
        """
        try:
            return bytes(self.socket.recv(limit_bytes))
        except BlockingIOError:
            return None

    def drop(self, limit_bytes: int) -> bool:
        """Read and drop what has come, below TLS; return whether more may come."""
        try:
            size = len(socket.socket.recv(self.socket, limit_bytes))
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.left_bytes -= size
        return size > 0 and self.left_bytes > 0

    def send_continue(self) -> bool:
        """Ask for the body, once; return whether that could be sent."""
        self.incoming.expects_continue = False
        return self._send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def send_refusal(self, status: int, sentence: str, retry_seconds: int | None = None) -> bool:
        """Send an error instead of an answer; return whether that could be done."""
        return self.understands and self._send(self.refusal_of(status, sentence, retry_seconds))

    def end_answers(self) -> None:
        """
        Say that nothing more will be sent.

        Raises:
            OSError: The client has gone.
        """
        socket.socket.shutdown(self.socket, socket.SHUT_WR)

    def hold(self, size_bytes: int) -> None:
        """Hold so many bytes; the front is told if those are too many."""
        if self.share is not None:
            self.share.release()
            self.share.hold(size_bytes)

    def decide(self, *, known: bool) -> None:
        """Set the limit of a body that is longer than those of strangers may be."""
        owner = self.server
        limit = owner.body_bytes if known else owner.first_body_bytes
        self.incoming.decide(limit, (TOO_LARGE if known else STRANGERS).format(limit))

    def _send(self, data: bytes) -> bool:
        try:
            return bool(self.socket.send(data) == len(data))
        except OSError:
            return False

    # By the thread that answers

    def communicate(self) -> bool:
        """Answer one request, or say how long its body may be; return whether it goes on."""
        if self.answering.left:  # the front has stopped before it was sent
            with contextlib.suppress(OSError):
                self.answering.wait(0)
            return False
        self.rfile = _Head(self.incoming.head)
        if self.incoming.stage is Stage.OVER_LIMIT:
            return self._find_limit()
        self.hold(len(self.buffer))
        stays = bool(super().communicate())  # type: ignore[no-untyped-call]
        if stays:
            self.incoming = Incoming(self.server.first_body_bytes)
            self.is_kept, self.pace = True, None
        return stays

    def _find_limit(self) -> bool:
        request = self.RequestHandlerClass(self.server, self)
        request.parse_request()
        if request.ready:
            self.decide(known=self.server.is_known(self.server.gateway(request).env))
        return bool(request.ready)

    def refusal_of(self, status: int, sentence: str, retry_seconds: int | None = None) -> bytes:
        """Return the answer that says an error, in JSON, after which the connection ends."""
        request_id = secrets.token_hex(8)
        phrase = http.HTTPStatus(status).phrase
        sentence = sentence or f"{phrase}."
        log.info("%s: %d %s request=%s", self.remote_addr, status, sentence, request_id)
        body = formats.dump_json({"status": status, "return": sentence})
        retry = "" if retry_seconds is None else f"Retry-After: {retry_seconds}\r\n"
        head = (
            f"{self.server.protocol} {status} {phrase}\r\n"
            f"Content-Type: {formats.JSON_TYPE}\r\nContent-Length: {len(body)}\r\n{retry}"
            f"X-Request-Id: {request_id}\r\nConnection: close\r\n\r\n"
        )
        return head.encode("latin-1") + body

    def close(self) -> None:
        """End with the last answer, unless somebody else has the socket."""
        if self.linger:
            self._leave()
        else:
            self.server.front.finish(self)

    @property
    def has_unread(self) -> bool:
        """Whether the client may still send what nobody will look at."""
        whole = self.incoming.stage is Stage.DONE and self.incoming.problem is None
        return bool(self.buffer) or not whole

    def close_now(self) -> None:
        """End at once."""
        self._leave()
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def _leave(self) -> None:
        self.rfile.close()
        if self.share is not None:
            self.share.close()
            self.share = None


class Server(wsgi.Server):
    """A server whose connections are strict and whose messages are in our log."""

    ConnectionClass = Connection
    front: Front
    """Set by `prepare`."""
    _connections: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take the arguments of `cheroot.wsgi.Server`."""
        super().__init__(*args, **options)
        self.gateway = Gateway
        self.max_request_header_size = HEADER_LIMIT_BYTES
        self.keep_alive_conn_limit = KEPT_CONNECTIONS
        self._bind_error: OSError | None = None
        self.writers = Writers(self.requests.min)
        self.bound(EngineConfig(), BODY_BYTES)

    def bound(
        self,
        engine: EngineConfig,
        body_bytes: int,
        is_known: Callable[[dict[str, Any]], bool] | None = None,
        trusted_proxies: Sequence[str] = (),
    ) -> None:
        """
        Set what clients may send before anything is done for them; before `prepare`.

        Args:
            engine: The limits of all modules.
            body_bytes: How long a body may be.
            is_known: Whether the client of a request, of which there is the WSGI environ without
                its body, may send so much; else `api_stranger_body_bytes` is the limit. Without
                it everybody may.
            trusted_proxies: Whose connections are of many clients.
        """
        self.body_bytes = self.first_body_bytes = body_bytes
        self.is_known = is_known
        if is_known is not None:
            self.first_body_bytes = min(body_bytes, engine.api_stranger_body_bytes)
        request_bytes = body_bytes + HEADER_LIMIT_BYTES + READ_BYTES
        self.unfinished = Unfinished(Limits.of(engine, request_bytes, trusted_proxies))

    def prepare(self) -> None:
        """
        Bind, listen and start the threads.

        Raises:
            OSError: The address cannot be bound; unlike cheroot's it has the reason's `errno`.
        """
        try:
            super().prepare()
        except OSError as error:
            raise self._bind_error or error from None
        self._connections.close()
        self._connections = self.front = Front(self)

    def bind(self, family: int, type: int, proto: int = 0) -> Any:  # noqa: A002 - cheroot's name
        """Return the bound socket."""
        try:
            return super().bind(family, type, proto)
        except OSError as error:
            self._bind_error = error
            raise

    def serve(self) -> None:
        """Serve until `stop`; should it end otherwise, end the process, to be started again."""
        try:
            super().serve()
        except BaseException:
            log.exception("The HTTP server has failed.")
            os.kill(os.getpid(), signal.SIGTERM)

    def stop(self) -> None:
        """Stop serving; what is being answered has `shutdown_timeout` seconds to end."""
        self.writers.stop(self.shutdown_timeout)
        super().stop()

    def put_conn(self, conn: Any) -> None:
        """Take back a connection, also while we stop: its client was not told that it ends."""
        if self.front.takes_requests:
            self.front.put(conn)
        else:
            conn.close()

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """Log what the server has to say."""
        log.log(level, "%s", msg.strip(), exc_info=traceback)
