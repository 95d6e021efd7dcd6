"""
Cheroot, strict about where a request begins and ends (RFC 9112, sections 2 to 7).

Cheroot believes the last of two lengths, takes blanks and underscores in names of headers, reads a
chunk of any size into memory, and takes trailers, or what is left of a broken body, for the next
request. Behind a proxy that reads the same bytes differently, one client could put a request into
another one's connection. Here such a request gets 400 and the connection ends.
"""

import http
import io
import logging
import math
import os
import re
import secrets
import signal
import socket
import time
from typing import Any

from cheroot import server, wsgi
from cheroot.makefile import StreamReader, StreamWriter

from saltapi import config, formats

log = logging.getLogger(__name__)

HEADER_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HEADER_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
CONTENT_LENGTH = re.compile(rb"[0-9]{1,18}")
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
CHUNK_LINE_LIMIT_BYTES = 4 * config.KIB
TRAILER_LIMIT_BYTES = 8 * config.KIB
HEADER_LIMIT_BYTES = 64 * config.KIB
REQUEST_SECONDS = 120.0
"""How long a request may take to come in: a client that dribbles must not keep a thread."""
KEPT_CONNECTIONS = 200
"""How many connections may wait for their next request; further ones end with their answer."""

ONCE = {b"Content-Length", b"Content-Type", b"Host", b"X-Auth-Token"}
"""Headers that have one value, or the request means different things to different readers."""


class HeaderReader(server.HeaderReader):
    """Reads the headers of a request."""

    def __call__(self, rfile: Any, hdict: dict[bytes, bytes] | None = None) -> dict[bytes, bytes]:
        """
        Return the headers in *rfile*, added to *hdict*.

        Names with an underscore are left out: in WSGI they look like those with a hyphen.

        Raises:
            ValueError: They are malformed, or do not say clearly how long the body is.
        """
        headers = {} if hdict is None else hdict
        while (line := rfile.readline()) != b"\r\n":
            name, colon, value = line.removesuffix(b"\r\n").partition(b":")
            value = value.strip(b" \t")
            if not (
                line.endswith(b"\r\n")
                and colon
                and HEADER_NAME.fullmatch(name)
                and HEADER_VALUE.fullmatch(value)
            ):
                raise ValueError("A header is malformed.")
            name = name.title()
            if b"_" in name:
                continue
            if name in headers and name in ONCE:
                raise ValueError(f"The header {name.decode()} is there twice.")
            if name in headers:
                separator = b"; " if name == b"Cookie" else b", "
                value = headers[name] + separator + value
            headers[name] = value
        length = headers.get(b"Content-Length")
        if length is not None and not CONTENT_LENGTH.fullmatch(length):
            raise ValueError("Content-Length is no number.")
        if length is not None and b"Transfer-Encoding" in headers:
            raise ValueError("Content-Length and Transfer-Encoding exclude each other.")
        return headers


class Request(server.HTTPRequest):
    """A request; what is wrong with its HTTP is answered in JSON, like any other error."""

    header_reader = HeaderReader()

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

    def simple_response(self, status: str, msg: str = "") -> None:
        """Answer with an error and let the connection end."""
        self.close_connection = True
        code = int(status[:3])
        request_id = secrets.token_hex(8)
        sentence = msg or f"{status[4:]}."
        log.info("%s: %d %s request=%s", self.conn.remote_addr, code, sentence, request_id)
        body = formats.dump_json({"status": code, "return": sentence})
        head = (
            f"{self.server.protocol} {code} {http.HTTPStatus(code).phrase}\r\n"
            f"Content-Type: {formats.JSON_TYPE}\r\nContent-Length: {len(body)}\r\n"
            f"X-Request-Id: {request_id}\r\nConnection: close\r\n\r\n"
        )
        try:
            self.conn.wfile.write(head.encode("latin-1") + body)
        except OSError:
            log.debug("The client did not wait for the answer.", exc_info=True)


class Gateway(wsgi.Gateway_10):
    """Hands a request on to the application, with a body that can be read safely."""

    def __init__(self, req: Any) -> None:
        """Take over *req*."""
        if req.chunked_read:
            req.rfile = io.BufferedReader(ChunkedBody(req.conn.rfile))
        super().__init__(req)


class ChunkedBody(io.RawIOBase):
    """The body of a request that comes in chunks; of a chunk it holds what is asked for."""

    def __init__(self, rfile: Any) -> None:
        """Read from *rfile*, which stands at the size of the first chunk."""
        self._rfile = rfile
        self._left_bytes = 0
        self._ended = False

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """
        Read into *buffer* and return how many bytes; 0 at the end.

        Raises:
            ValueError: It is malformed or ends too early.
        """
        if not self._left_bytes and not self._ended:
            self._left_bytes = self._chunk_size()
            if not self._left_bytes:
                self._ended = True
                self._skip_trailers()
        if self._ended:
            return 0
        data = self._rfile.read(min(len(buffer), self._left_bytes))
        if not data:
            raise ValueError("A chunk is cut short.")
        buffer[: len(data)] = data
        self._left_bytes -= len(data)
        if not self._left_bytes and self._rfile.read(2) != b"\r\n":
            raise ValueError("A chunk is longer than its size.")
        return len(data)

    def _chunk_size(self) -> int:
        line = CHUNK_SIZE.fullmatch(self._rfile.readline(CHUNK_LINE_LIMIT_BYTES))
        if line is None:
            raise ValueError("The size of a chunk is malformed.")
        return int(line[1], 16)

    def _skip_trailers(self) -> None:
        left_bytes = TRAILER_LIMIT_BYTES
        while (line := self._rfile.readline(left_bytes)) != b"\r\n":
            left_bytes -= len(line)
            if not line.endswith(b"\n") or left_bytes <= 0:
                raise ValueError("The end of the body is malformed.")


class _TimedSocket(socket.SocketIO):
    """Reads from a socket until a time that is set for each request."""

    deadline = math.inf

    def readinto(self, buffer: Any) -> int | None:
        """
        Read into *buffer* and return how many bytes.

        Raises:
            TimeoutError: The client pauses too long, or the request's time is over.
        """
        sock: socket.socket = self._sock  # type: ignore[attr-defined]
        pause_seconds = sock.gettimeout()
        left_seconds = self.deadline - time.monotonic()
        if pause_seconds is None or pause_seconds <= left_seconds:
            return super().readinto(buffer)
        if left_seconds <= 0:
            raise TimeoutError("timed out")
        sock.settimeout(left_seconds)
        try:
            return super().readinto(buffer)
        finally:
            sock.settimeout(pause_seconds)


class _Reader(StreamReader):
    """Cheroot's reader, on a `_TimedSocket`."""

    def __init__(self, sock: Any, size_bytes: int) -> None:
        super(StreamReader, self).__init__(_TimedSocket(sock, "rb"), size_bytes)
        self.bytes_read = 0


def _make_file(sock: Any, mode: str, size_bytes: int) -> Any:
    return _Reader(sock, size_bytes) if "r" in mode else StreamWriter(sock, mode, size_bytes)


class Connection(server.HTTPConnection):
    """A connection whose requests are strict, and come in time."""

    RequestHandlerClass = Request

    def __init__(self, owner: Any, sock: Any, _makefile: Any = None) -> None:
        """Take over *sock*, which *owner* has accepted."""
        super().__init__(owner, sock, _make_file)

    def communicate(self) -> bool:
        """Answer one request and return whether the connection stays open."""
        self.rfile.raw.deadline = time.monotonic() + REQUEST_SECONDS
        return bool(super().communicate())  # type: ignore[no-untyped-call]


class Server(wsgi.Server):
    """A server whose connections are strict and whose messages are in our log."""

    ConnectionClass = Connection

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take the arguments of `cheroot.wsgi.Server`."""
        super().__init__(*args, **options)
        self.gateway = Gateway
        self.max_request_header_size = HEADER_LIMIT_BYTES
        self.keep_alive_conn_limit = KEPT_CONNECTIONS
        self._bind_error: OSError | None = None

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

    def process_conn(self, conn: Any) -> None:
        """Hand a connection to a thread when there is something to read, not before."""
        if conn.last_used is None:  # it is new
            self.put_conn(conn)
        else:
            super().process_conn(conn)

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """Log what the server has to say."""
        log.log(level, "%s", msg.strip(), exc_info=traceback)
