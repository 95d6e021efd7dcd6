"""What comes in on a connection of Tornado's, and who takes it; refused where it is too much."""

import asyncio
import copy
import errno
import logging
import secrets
import socket
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Protocol

from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream, SSLIOStream

from saltapi import formats
from saltapi.errors import SaltApiError, TooManyRequests
from saltapi.netapi._http.intake import Intake
from saltapi.netapi._http.serving import KEEP_ALIVE_SECONDS, LAST_REQUEST_SECONDS
from saltapi.netapi._http.unfinished import Unfinished
from saltapi.process.descriptors import (
    ACCEPT_REST_SECONDS,
    OUT_OF_RESOURCES,
    ROOM_CONNECTIONS,
    Listening,
    listening_on,
    warn_of_descriptors,
)

log = logging.getLogger(__name__)

HEAD_SECONDS = 0.1
"""How long a head that has been read may take to be looked at."""
LINGER_SECONDS = 2.0
"""How long a client that still sends may read why it was refused."""


class Taker(Protocol):
    """What takes a request while its body comes."""

    def refuse_body(self, error: SaltApiError) -> None:
        """Answer with *error*, and take no more."""


class Reception:
    """One connection as far as requests come in on it."""

    def __init__(self, unfinished: Unfinished, stream: IOStream, peer: str) -> None:
        """
        Args:
            unfinished: What all connections of the process hold.
            stream: The connection.
            peer: The address of whoever is there.

        Raises:
            TooManyRequests: The address has as many connections as it may have.
        """
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self.taker: Taker | None = None
        """Who takes the body that comes; None while a head comes."""
        self.is_kept = False
        """Whether it waits for another request than its first."""
        self.waits_since: float | None = None
        """Since when it waits for one, by the loop's clock; None while there is one."""
        self._refusal: SaltApiError | None = None
        self.is_paused = False
        """Whether it is us who do not read at the moment."""
        self.intake = Intake(unfinished, peer, self._refuse_soon, is_paused=lambda: self.is_paused)
        self._read: Callable[[Any], int | None] = stream.read_from_fd
        stream.read_from_fd = self._count

    def begin_body(self, taker: Taker, client: str) -> None:
        """Note that a body follows, of a request of the address *client*."""
        self.taker = taker
        self.intake.begin_body(client)
        if self._refusal is not None:
            taker.refuse_body(self._refusal)

    def complete(self) -> None:
        """Note that a request has come to its end; what was read ahead belongs to the next."""
        self.taker = None
        self.intake.complete()
        ahead_bytes = self._stream._read_buffer_size
        if ahead_bytes:
            self.intake.take(ahead_bytes)

    def _count(self, buffer: Any) -> int | None:
        size_bytes = self._read(buffer)
        if size_bytes:
            self.waits_since = None
            self.intake.take(size_bytes)
        return size_bytes

    def _refuse_soon(self, error: SaltApiError) -> None:
        self._refusal = error
        self._loop.call_soon(self._refuse, error)  # not in the midst of a read

    def _refuse(self, error: SaltApiError) -> None:
        if self.taker is not None:
            self.taker.refuse_body(error)
        else:  # its head may be there, and in nobody's hands yet
            self._loop.call_later(HEAD_SECONDS, self._end)

    def _end(self) -> None:
        if self.taker is None:
            self._stream.close()


class Resting(Listening):
    """A socket that Tornado does not look at while it rests."""

    make_room: Callable[[], None]
    """Ends connections that wait for nothing; to be set before it listens."""

    def accept(self) -> tuple[socket.socket, Any]:
        """
        Return the next connection.

        Raises:
            BlockingIOError: There is none, or none is taken now.
        """
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in OUT_OF_RESOURCES:
                raise
            warn_of_descriptors()
            self.make_room()
            loop = IOLoop.current()
            loop.update_handler(self, 0)
            loop.call_later(ACCEPT_REST_SECONDS, self._look_again, loop)
            raise BlockingIOError(errno.EAGAIN, "At the limit of descriptors") from error

    def _look_again(self, loop: IOLoop) -> None:
        if self.fileno() >= 0:  # the server may have stopped meanwhile
            loop.update_handler(self, IOLoop.READ)


class BoundedServer(HTTPServer):  # type: ignore[misc]
    """Tornado's server, whose connections are counted."""

    unfinished: Unfinished
    """What they hold; to be set before it serves."""

    def initialize(self, *args: Any, **options: Any) -> None:
        """Take the arguments of `HTTPServer`."""
        super().initialize(*args, **options)
        self._kept_params = copy.copy(self.conn_params)
        self._kept_params.header_timeout = KEEP_ALIVE_SECONDS

    async def take_last_requests(self) -> None:
        """Let clients send one more request on connections that wait, when none are accepted."""
        self.conn_params.no_keep_alive = self._kept_params.no_keep_alive = True
        if self._connections:
            await asyncio.sleep(LAST_REQUEST_SECONDS)

    def start_request(self, server_conn: Any, request_conn: Any) -> Any:
        """Wait for a request; longer for one that is not the first of its connection."""
        reception = server_conn.stream.reception
        if reception.is_kept:
            request_conn.params = self._kept_params
            reception.waits_since = asyncio.get_running_loop().time()
        reception.is_kept = True
        return super().start_request(server_conn, request_conn)

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        """Take connections from *sockets*, which are of no more use to anybody else."""
        resting = [listening_on(plain, Resting) for plain in sockets]
        for one in resting:
            one.make_room = self._make_room
        super().add_sockets(resting)

    def _make_room(self) -> None:
        """End the connections that have waited longest for their next request."""
        kept = [
            (reception.waits_since, connection.stream)
            for connection in self._connections
            if (reception := connection.stream.reception).waits_since is not None
        ]
        kept.sort(key=lambda one: one[0])
        for _, stream in kept[:ROOM_CONNECTIONS]:
            stream.close()

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        """Take a connection, if its address may have one more."""
        is_local = stream.socket.family not in {socket.AF_INET, socket.AF_INET6}
        try:
            stream.reception = Reception(self.unfinished, stream, "" if is_local else address[0])
        except TooManyRequests as error:
            _turn_away(stream, error)
            return
        super().handle_stream(stream, address)

    def on_close(self, server_conn: Any) -> None:
        """Note that a connection has ended, or has become a stream."""
        server_conn.stream.reception.intake.close()
        super().on_close(server_conn)


def _turn_away(stream: IOStream, error: TooManyRequests) -> None:
    """Refuse a connection, with a sentence unless it would be TLS."""
    if isinstance(stream, SSLIOStream):
        stream.close()
        return
    request_id = secrets.token_hex(8)
    log.info("%d %s request=%s", error.status, error, request_id)
    body = formats.dump_json({"status": error.status, "return": str(error)})
    head = (
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n"
        f"Content-Type: {formats.JSON_TYPE}\r\nContent-Length: {len(body)}\r\n"
        f"Retry-After: {error.retry_after_seconds}\r\nX-Request-Id: {request_id}\r\n"
        "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    stream.write(head.encode() + body)
    asyncio.get_running_loop().call_later(LINGER_SECONDS, stream.close)
