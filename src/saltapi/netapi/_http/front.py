"""
The loop in front of the threads: it reads requests, and hands on those that are complete.

A connection that is silent, that sends a request byte by byte, or that does not finish its TLS
handshake holds a file descriptor and what it has sent, and no thread. What it may hold, and how
slow it may be, is in `saltapi.netapi._http.unfinished`.

A connection belongs to the loop while it is registered, and to the thread that answers it
otherwise; it is handed over whole, so that nothing of it needs a lock.
"""

import contextlib
import logging
import selectors
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from cheroot.connections import prevent_socket_inheritance
from cheroot.errors import FatalSSLAlert

from saltapi import seldom
from saltapi.config import KIB
from saltapi.errors import SaltApiError, TooManyRequests
from saltapi.netapi._http.bodies import DRAINED_BYTES
from saltapi.netapi._http.incoming import Stage
from saltapi.netapi._http.serving import LAST_REQUEST_SECONDS
from saltapi.netapi._http.unfinished import TOO_SLOW, Pace
from saltapi.process.descriptors import (
    OUT_OF_RESOURCES,
    ROOM_CONNECTIONS,
    descriptors_are_left,
)

if TYPE_CHECKING:
    from saltapi.netapi._http.cheroot import Connection, Server

log = logging.getLogger(__name__)

READ_BYTES = 16 * KIB
"""How much is read of one connection before the others have their turn."""
HEAD_SECONDS = 15.0
"""How long a TLS handshake and the head of a request may take together."""
ACCEPTED_AT_ONCE = 64
"""So many new connections are taken before the loop looks at the others again."""
LINGER_SECONDS = 5.0
LINGERING_CONNECTIONS = 100
"""So many connections may be waited for to have read that they were refused."""


class Front:
    """The connections of one server that nobody answers at the moment."""

    def __init__(self, server: "Server") -> None:
        """Take connections from the socket of *server*, which listens."""
        self._server = server
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._refused: deque[Connection] = deque()
        self._lingering = 0
        self._serving = False
        self._stop_requested = False
        self._is_closed = False
        self._accepts = False
        server.socket.setblocking(False)
        self._accept_again()

    # What cheroot asks of its connection manager

    @property
    def can_add_keepalive_connection(self) -> bool:
        """Whether a connection may wait here for its next request."""
        return len(self._selector.get_map() or {}) <= self._server.keep_alive_conn_limit

    @property
    def takes_requests(self) -> bool:
        """Whether what comes on connections is read."""
        return not self._stop_requested

    @property
    def _num_connections(self) -> int:
        return len(self._selector.get_map() or {}) - 1

    def put(self, connection: "Connection") -> None:
        """Take back a connection whose request was answered, from the thread that did it."""
        self._answered(connection)

    def finish(self, connection: "Connection") -> None:
        """Same as `put`, for a connection that is to end."""
        connection.is_last = True
        if self._stop_requested:
            with contextlib.suppress(OSError):
                connection.answering.wait(0)
            connection.close_now()
        else:
            self._answered(connection)

    def run(self, interval_seconds: float) -> None:
        """Serve until `stop`; look for connections whose time is over every so often."""
        self._serving = True
        looked = time.monotonic()
        try:
            while not self._stop_requested:
                for key, _ in self._selector.select(interval_seconds):
                    if key.data is None:
                        self._accept()
                    else:
                        self._serve(key.data)
                while self._refused:
                    self._refuse_one(self._refused.popleft())
                if time.monotonic() - looked > interval_seconds:
                    self._expire()
                    looked = time.monotonic()
        finally:
            self._serving = False

    def stop(self) -> None:
        """Return when `run` has ended; what still comes on connections that wait is answered."""
        until = time.monotonic() + LAST_REQUEST_SECONDS
        while self._serving and self._connections() and time.monotonic() < until:
            time.sleep(0.01)
        self._stop_requested = True
        while self._serving:
            time.sleep(0.01)

    def close(self) -> None:
        """Close all connections that are here, but for those that wait for an answer's rest."""
        for connection in self._connections():
            if connection.answering.left:
                self._hand_on(connection)
            else:
                self._end(connection)
        with self._lock:
            self._selector.close()
            self._is_closed = True

    # New connections

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                if not descriptors_are_left(self._server.socket.fileno()):
                    self._make_room()
                    return
                sock, address = self._server.socket.accept()
            except OSError as error:
                if error.errno in OUT_OF_RESOURCES:
                    self._make_room()
                return
            self._begin(sock, address)

    def _begin(self, sock: Any, address: Any) -> None:
        server = self._server
        prevent_socket_inheritance(sock)
        sock.setblocking(False)
        if server.stats["Enabled"]:
            server.stats["Accepts"] += 1
        peer, port = address[:2] if isinstance(address, tuple) else ("", None)
        if server.ssl_adapter is not None:
            try:
                sock, _ = server.ssl_adapter.wrap(sock)
            except FatalSSLAlert:
                sock.close()
                return
        connection = server.ConnectionClass(server, sock)
        connection.remote_addr, connection.remote_port = peer, port
        connection.deadline = time.monotonic() + HEAD_SECONDS
        try:
            connection.share = server.unfinished.connect(
                peer, lambda error: self._refuse_later(connection, error)
            )
        except TooManyRequests as error:
            connection.refusal = error
            self._refuse(connection)
            return
        self._wait(connection)

    def _accept_again(self) -> None:
        if not self._accepts:
            self._accepts = True
            with self._lock:
                self._selector.register(self._server.socket, selectors.EVENT_READ)

    def _make_room(self) -> None:
        """End connections that only wait, and take no new one until `_expire`."""
        idle = [one for one in self._connections() if one.is_idle]
        idle.sort(key=lambda one: one.deadline)
        seldom.warning(
            log,
            "out_of_descriptors",
            "Idle connections are ended, and new ones wait: the process is at its limit of open"
            " files (LimitNOFILE in the unit, or ulimit -n).",
        )
        for connection in idle[:ROOM_CONNECTIONS]:
            self._end(connection)
        self._accepts = False
        with self._lock:
            self._selector.unregister(self._server.socket)

    # Connections on which something comes

    def _serve(self, connection: "Connection") -> None:
        """Do what there is to do; no connection may end the loop."""
        try:
            self._come(connection)
        except Exception:
            log.exception("A connection ended in an unexpected error.")
            self._end(connection)

    def _come(self, connection: "Connection") -> None:
        """Read what has come, and go on."""
        if connection.lingers:
            if not connection.drop(READ_BYTES):
                self._end(connection)
            return
        try:
            if connection.answering.left:
                self._answered(connection)
                return
            data = connection.receive(READ_BYTES)
        except OSError as error:
            log.debug("%s: %s", connection.remote_addr, error)
            self._end(connection)
            return
        if data is None:
            self._wait(connection)
            return
        if connection.is_idle and connection.is_kept:
            connection.deadline = time.monotonic() + HEAD_SECONDS
        if data:
            connection.buffer += data
            if connection.share is not None:
                connection.share.hold(len(data))
            if connection.pace is not None:
                connection.pace.take(len(data), time.monotonic())
        elif connection.is_idle:
            self._end(connection)
            return
        else:
            connection.incoming.end(connection.buffer)
        self._go_on(connection)

    def _go_on(self, connection: "Connection") -> None:
        """Wait for more, or hand on what is complete; also called by threads (`put`)."""
        if connection.refusal is not None:
            self._refuse(connection)
            return
        incoming = connection.incoming
        stage = incoming.take(connection.buffer)
        if stage is Stage.OVER_LIMIT and self._server.is_known is None:
            connection.decide(known=True)
            stage = incoming.take(connection.buffer)
        if stage in {Stage.DONE, Stage.OVER_LIMIT}:
            self._hand_on(connection)
            return
        if stage is Stage.BODY:
            if connection.pace is None:
                rate = self._server.unfinished.limits.body_bytes_per_second
                connection.pace = Pace(rate, time.monotonic())
            connection.deadline = connection.pace.deadline
            if incoming.expects_continue and not connection.send_continue():
                self._end(connection)
                return
        self._wait(connection)

    def _hand_on(self, connection: "Connection") -> None:
        self._forget(connection)
        self._server.requests.put(connection)

    def _answered(self, connection: "Connection") -> None:
        """Send what is left of an answer, then go on or end."""
        try:
            connection.answering.send()
        except OSError:
            self._end(connection)
            return
        connection.hold(len(connection.buffer) + len(connection.answering.left))
        if connection.answering.left and connection.refusal is None:
            connection.wants = connection.answering.wants
            connection.deadline = connection.answering.deadline
            self._wait(connection)
        elif connection.answering.left:
            self._end(connection)
        elif connection.is_last and connection.has_unread:
            self.linger(connection)
        elif connection.is_last:
            self._end(connection)
        else:
            connection.wants = selectors.EVENT_READ
            connection.deadline = time.monotonic() + self._server.timeout
            self._go_on(connection)

    def _wait(self, connection: "Connection") -> None:
        """Wait for what *connection* wants next."""
        with self._lock:
            if not self._is_closed:
                if not connection.waits_for:
                    self._selector.register(connection.socket, connection.wants, connection)
                elif connection.waits_for != connection.wants:
                    self._selector.modify(connection.socket, connection.wants, connection)
                connection.waits_for = connection.wants
                return
        connection.close_now()

    def _forget(self, connection: "Connection") -> None:
        with self._lock:
            if connection.waits_for:
                connection.waits_for = 0
                self._selector.unregister(connection.socket)

    # Connections that end

    def linger(self, connection: "Connection") -> None:
        """
        Close *connection* when its client has had time to read the last answer.

        To close while it still sends would make its kernel throw the answer away.
        """
        if self._stop_requested or self._lingering >= LINGERING_CONNECTIONS:
            self._end(connection)
            return
        try:
            connection.end_answers()
        except OSError:
            self._end(connection)
            return
        with self._lock:
            self._lingering += 1
        connection.lingers = True
        connection.left_bytes = DRAINED_BYTES
        connection.buffer.clear()
        connection.wants = selectors.EVENT_READ
        connection.deadline = time.monotonic() + LINGER_SECONDS
        self._wait(connection)

    def _refuse_later(self, connection: "Connection", error: SaltApiError) -> None:
        connection.refusal = error
        self._refused.append(connection)

    def _refuse_one(self, connection: "Connection") -> None:
        """Refuse a connection if it is here; a thread that has it will bring it."""
        if connection.waits_for and not connection.lingers:
            self._refuse(connection)

    def _refuse(self, connection: "Connection") -> None:
        error = connection.refusal
        assert error is not None  # noqa: S101 - the caller has looked
        if connection.answering.left:
            self._end(connection)
        elif connection.send_refusal(error.status, str(error), error.retry_after_seconds):
            self.linger(connection)
        else:
            self._end(connection)

    def _expire(self) -> None:
        """End the connections whose time is over."""
        now = time.monotonic()
        for connection in self._connections():
            if connection.deadline >= now:
                continue
            comes = not (connection.is_idle or connection.lingers or connection.answering.left)
            if comes and connection.send_refusal(408, TOO_SLOW):
                self.linger(connection)
            else:
                self._end(connection)
        self._accept_again()

    def _end(self, connection: "Connection") -> None:
        self._forget(connection)
        if connection.lingers:
            with self._lock:
                self._lingering -= 1
        connection.close_now()

    def _connections(self) -> list["Connection"]:
        with self._lock:
            keys = (self._selector.get_map() or {}).values()
            return [key.data for key in keys if key.data is not None]
