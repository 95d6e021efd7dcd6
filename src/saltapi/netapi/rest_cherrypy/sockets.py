"""
Sockets that leave cheroot, so that a listener holds no thread.

A WSGI application that wants to stream takes the `Handover` out of the environ, answers with
status, headers and an empty body, and is done with the request. The gateway sends the headers,
takes the socket from cheroot, which forgets the connection, and lets the stream go on as a
coroutine on an event loop.
"""

import asyncio
import socket
from typing import Any, TypeAlias

from saltapi.netapi._http.cheroot import Gateway
from saltapi.netapi._http.sockets import DetachedSocket, Serve, start_serving

HANDOVER = "saltapi.handover"
"""Where the WSGI environ has the `Handover`."""

STREAM_STATUSES = ("200", "101")

Headers: TypeAlias = list[tuple[str, str]]


class Handover:
    """Lies in the WSGI environ under `HANDOVER`: lets an application take the socket."""

    def __init__(self, *, chunked: bool) -> None:
        self.chunked = chunked
        """Whether the body must be sent in chunks (RFC 9112, section 7.1); not after a 101."""
        self._serve: Serve | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def taken(self) -> bool:
        """Whether `take` has been called."""
        return self._serve is not None

    def take(self, serve: Serve, loop: asyncio.AbstractEventLoop) -> None:
        """
        Let *serve* go on with the socket on *loop* when the response's headers have been sent.

        To be called before `start_response`, which must get the status 200 or 101; the body
        must be empty. *serve* is called in any case, exactly once, so that it can let go of
        what it holds: with a socket that is closed already if the headers could not be sent or
        something else was answered. The socket is closed when *serve* returns.

        Raises:
            RuntimeError: It has been taken before.
        """
        if self.taken:
            raise RuntimeError("The socket of a request can be taken once.")
        self._serve, self._loop = serve, loop

    def begin(self, connection: socket.socket, early: bytes = b"") -> None:
        """Start what was given to `take`; called by the gateway."""
        assert self._serve is not None  # noqa: S101 - the gateway has looked
        assert self._loop is not None  # noqa: S101 - set with the other
        detached = DetachedSocket(connection, self._loop, early)
        try:
            self._loop.call_soon_threadsafe(start_serving, self._serve, detached)
        except RuntimeError:  # the loop is closed: the service has stopped
            detached.close()


class StreamGateway(Gateway):
    """Hands a request on to the application, and its socket away if the application takes it."""

    def __init__(self, req: Any) -> None:
        """Take over *req*."""
        super().__init__(req)
        self._handover = Handover(chunked=req.response_protocol == "HTTP/1.1")
        self._is_stream = False
        self.env[HANDOVER] = self._handover

    def start_response(self, status: str, headers: Headers, exc_info: Any = None) -> Any:
        """Same as cheroot's, but a stream has no length, and keeps no HTTP/1.0 connection."""
        self._is_stream = (
            self._handover.taken
            and status[:3] in STREAM_STATUSES
            and self.req.method == b"GET"
            and exc_info is None
        )
        if self._is_stream:
            dropped = {"content-length"} if self._handover.chunked else _LENGTH_AND_CONNECTION
            headers = [header for header in headers if header[0].lower() not in dropped]
        return super().start_response(status, headers, exc_info)

    def write(self, chunk: bytes) -> None:
        """Same as cheroot's; a body that is not empty keeps the socket here."""
        self._is_stream = False
        super().write(chunk)

    def respond(self) -> None:
        """Answer the request, then give the socket to whoever took it."""
        answered = False
        try:
            super().respond()
            answered = True
        finally:
            if self._handover.taken:
                self._hand_over(detach=answered and self._is_stream)

    def _hand_over(self, *, detach: bool) -> None:
        connection = self.req.conn
        try:
            connection.answering.wait(0)
        except OSError:
            detach = False
        if not detach:
            gone = socket.socket()
            gone.close()
            self._handover.begin(gone)
            return
        self.req.chunked_write = False  # the last chunk is not cheroot's to send any more
        self.req.close_connection = True  # cheroot is to forget the connection,
        connection.linger = True  # and to leave its socket open
        self._handover.begin(connection.socket, bytes(connection.buffer))


_LENGTH_AND_CONNECTION = {"content-length", "connection"}
