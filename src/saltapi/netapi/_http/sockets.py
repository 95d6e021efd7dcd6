"""
Sockets that have left their HTTP server, for streams that go on as coroutines on an event loop.

The server has read a request and sent the headers of the answer; from then on the stream has the
connection for itself, holds no thread, and feels the backpressure of its client.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from saltapi.config import KIB

log = logging.getLogger(__name__)

WRITE_TIMEOUT_SECONDS = 60.0
"""A peer that takes nothing for so long is dropped."""
WRITE_BYTES = 64 * KIB
READ_BYTES = 64 * KIB
KEEPALIVE_IDLE_SECONDS = 60
KEEPALIVE_INTERVAL_SECONDS = 15
KEEPALIVE_PROBES = 4


class DetachedSocket:
    """A connected socket on an event loop; TLS or not makes no difference to who uses it."""

    def __init__(
        self, connection: socket.socket, loop: asyncio.AbstractEventLoop, early: bytes = b""
    ) -> None:
        """
        Args:
            connection: The socket, an `ssl.SSLSocket` whose handshake is done, or a plain one.
            loop: The loop that it is used on.
            early: What has been read from it already.
        """
        self._socket = connection
        self._loop = loop
        self._early = early
        self._waiting: dict[str, list[asyncio.Future[None]]] = {"read": [], "write": []}
        self._writing = asyncio.Lock()
        self._cut_off = False
        self._closed = False
        if connection.fileno() < 0:
            self._closed = True
        else:
            set_options(connection)

    async def read(self, limit_bytes: int = READ_BYTES) -> bytes:
        """Return what the peer has sent, at most so many bytes; `b""` when it has gone."""
        await asyncio.sleep(0)  # a peer that never pauses must not hold up the others
        if self._early:
            data, self._early = self._early[:limit_bytes], self._early[limit_bytes:]
            return data
        while not self._closed:
            try:
                return self._socket.recv(limit_bytes)
            except (BlockingIOError, ssl.SSLWantReadError):
                await self._ready("read")
            except ssl.SSLWantWriteError:
                await self._ready("write")
            except OSError:
                return b""
        return b""

    async def drop_input(self) -> None:
        """Read and drop whatever the peer sends; return when it has gone."""
        while await self.read():
            pass

    async def write(self, data: bytes) -> None:
        """
        Return when all of *data* has been handed to the kernel; writes never mix.

        Raises:
            OSError: The peer has gone, or took nothing for `WRITE_TIMEOUT_SECONDS`
                (`TimeoutError`), or an earlier write was not finished.
        """
        async with self._writing:
            if self._cut_off:
                raise ConnectionAbortedError("An earlier write was cut off.")
            left = memoryview(data)
            try:
                while left:
                    left = left[await self._send(left[:WRITE_BYTES]) :]
            except BaseException:
                self._cut_off = True
                raise

    async def _send(self, part: memoryview) -> int:
        while not self._closed:
            try:
                return self._socket.send(part)
            except (BlockingIOError, ssl.SSLWantWriteError):
                wanted = "write"
            except ssl.SSLWantReadError:
                wanted = "read"
            async with asyncio.timeout(WRITE_TIMEOUT_SECONDS):
                await self._ready(wanted)
        raise ConnectionAbortedError("The connection is closed.")

    async def finish(self, timeout_seconds: float) -> None:
        """
        Say that nothing more will come, then wait until the peer has gone, and close.

        Closing at once while the peer still sends would make its kernel throw away what it
        has not read yet.
        """
        if not self._closed:
            self._end_tls()
            with contextlib.suppress(OSError, TimeoutError):
                socket.socket.shutdown(self._socket, socket.SHUT_WR)
                async with asyncio.timeout(timeout_seconds):
                    while await self._receive_below_tls():
                        pass
        self.close()

    async def _receive_below_tls(self) -> bytes:
        await asyncio.sleep(0)
        while not self._closed:
            try:
                return socket.socket.recv(self._socket, READ_BYTES)
            except BlockingIOError:
                await self._ready("read")
        return b""

    def close(self) -> None:
        """Close the connection, with TLS's farewell, without waiting; idempotent."""
        if self._closed:
            return
        self._end_tls()
        self._closed = True
        for kind in self._waiting:
            self._wake(kind)
        self._socket.close()

    def _end_tls(self) -> None:
        if isinstance(self._socket, ssl.SSLSocket) and not self._cut_off:
            self._cut_off = True
            # It sends its part and then raises because the peer's part is not there yet.
            with contextlib.suppress(OSError, ValueError):
                self._socket.unwrap()

    def _ready(self, kind: str) -> asyncio.Future[None]:
        """Return a future that is done when the socket can be read or written, or is closed."""
        future: asyncio.Future[None] = self._loop.create_future()
        if not self._waiting[kind]:
            add = self._loop.add_reader if kind == "read" else self._loop.add_writer
            add(self._socket.fileno(), self._wake, kind)
        self._waiting[kind].append(future)
        return future

    def _wake(self, kind: str) -> None:
        waiting, self._waiting[kind] = self._waiting[kind], []
        if waiting:
            remove = self._loop.remove_reader if kind == "read" else self._loop.remove_writer
            remove(self._socket.fileno())
        for future in waiting:
            if not future.done():
                future.set_result(None)


Serve: TypeAlias = Callable[[DetachedSocket], Coroutine[Any, Any, None]]


_running: set[asyncio.Task[None]] = set()


async def wait_served(timeout_seconds: float) -> None:
    """
    Return when everything that sockets of this loop were handed to has ended.

    What has not ended after *timeout_seconds* is cancelled. To be called when the streams have
    been told to end, before the loop stops: the last bytes are on their way.
    """
    loop = asyncio.get_running_loop()
    tasks = {task for task in tuple(_running) if task.get_loop() is loop}
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=timeout_seconds)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)


def start_serving(serve: Serve, detached: DetachedSocket) -> None:
    """Let *serve* have *detached* from now on; to be called on the loop that it belongs to."""
    task = asyncio.get_running_loop().create_task(_served(serve, detached))
    _running.add(task)
    task.add_done_callback(_running.discard)


async def _served(serve: Serve, detached: DetachedSocket) -> None:
    try:
        await serve(detached)
    except Exception:
        log.exception("A stream ended in an unexpected error.")
    finally:
        detached.close()


def set_options(connection: socket.socket) -> None:
    """Let *connection* send at once, find out about peers that vanished, and never block."""
    connection.setblocking(False)
    if connection.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    milliseconds = int(WRITE_TIMEOUT_SECONDS * 1000)
    for option, value in (
        (socket.TCP_NODELAY, 1),
        (socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_SECONDS),
        (socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_SECONDS),
        (socket.TCP_KEEPCNT, KEEPALIVE_PROBES),
        (socket.TCP_USER_TIMEOUT, milliseconds),
    ):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
