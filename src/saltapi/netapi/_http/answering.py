"""
What is sent on one connection: at once what the client takes, and later what is left.

A client that reads slowly, or not at all, keeps the thread that answers it for a moment only: what
is left of an answer is sent by the front. Only while more than `LEFT_BYTES` are left the thread
waits, and of all threads only half may do so.
"""

import errno
import select
import selectors
import socket
import ssl
import threading
import time

from saltapi.config import KIB, MIB
from saltapi.netapi._http.unfinished import Pace

LEFT_BYTES = MIB
"""So much of an answer waits without a thread."""
SEND_BYTES = 64 * KIB
TOO_SLOW = "timed out"
"""What cheroot knows a client by that is not there for it."""
LOOK_SECONDS = 0.5
"""How often a thread that waits looks whether the server stops."""


class Writers:
    """How many threads may wait for clients that read slowly, and for how long when all end."""

    def __init__(self, threads: int) -> None:
        self._places = threading.BoundedSemaphore(max(1, threads // 2))
        self._stop_at: float | None = None

    def __enter__(self) -> None:
        if not self._places.acquire(blocking=False):
            raise TimeoutError(TOO_SLOW)

    def __exit__(self, *_: object) -> None:
        self._places.release()

    def stop(self, timeout_seconds: float) -> None:
        """Let nobody wait for longer than that from now on."""
        self._stop_at = time.monotonic() + timeout_seconds

    @property
    def is_over(self) -> bool:
        """Whether nobody is to wait any more."""
        return self._stop_at is not None and time.monotonic() > self._stop_at


class Answering:
    """The file that a connection's answers are written to."""

    def __init__(self, connection: socket.socket, rate_bytes: int, writers: Writers) -> None:
        """
        Args:
            connection: The socket, which does not block.
            rate_bytes: How many bytes a second the client must read.
            writers: The other threads that wait.
        """
        self.bytes_written = 0
        """For cheroot's statistics."""
        self.left = bytearray()
        """What has been written and not been sent."""
        self.wants = selectors.EVENT_WRITE
        """What is waited for to send on."""
        self.more_follows = False
        """Whether what is written may wait for what will be written next."""
        self._socket = connection
        self._rate_bytes = rate_bytes
        self._writers = writers
        self._pace: Pace | None = None
        self._again_bytes = 0

    @property
    def deadline(self) -> float:
        """Until when the client must have read on, on the monotonic clock."""
        if self._pace is None:
            self._pace = Pace(self._rate_bytes, time.monotonic())
        return self._pace.deadline

    def write(self, data: bytes) -> int:
        """
        Send *data*, or keep what the client does not take.

        Raises:
            OSError: The client has gone, or reads too slowly (`TimeoutError`).
        """
        self.bytes_written += len(data)
        if self.more_follows:
            self.left += data
            return len(data)
        view = memoryview(data)
        while view:
            self.left += view[:LEFT_BYTES]
            view = view[LEFT_BYTES:]
            self.send()
            if len(self.left) > LEFT_BYTES or (view and self.left):
                self.wait(LEFT_BYTES // 2)
        return len(data)

    def send(self) -> None:
        """
        Send what the client takes now of what is left.

        Raises:
            OSError: The client has gone.
        """
        sent = 0
        try:
            while self.left:
                # TLS wants the same bytes again that it could not send.
                size = self._again_bytes or SEND_BYTES
                part = self.left[:size]
                self._again_bytes = len(part)
                count = self._socket.send(part)
                self._again_bytes = 0
                del self.left[:count]
                sent += count
        except (BlockingIOError, ssl.SSLWantWriteError):
            self.wants = selectors.EVENT_WRITE
        except ssl.SSLWantReadError:
            self.wants = selectors.EVENT_READ
        except ssl.SSLError as error:  # as if it were no TLS: cheroot knows who has just gone
            raise BrokenPipeError(errno.EPIPE, str(error)) from error
        if not self.left:
            self._pace = None
        elif sent and self._pace is not None:
            self._pace.take(sent, time.monotonic())

    def wait(self, left_bytes: int) -> None:
        """
        Wait until no more than so many bytes are left.

        Raises:
            OSError: The client has gone, or reads too slowly (`TimeoutError`).
        """
        self.send()
        if len(self.left) <= left_bytes:
            return
        with self._writers:
            while len(self.left) > left_bytes:
                left_seconds = self.deadline - time.monotonic()
                if left_seconds <= 0 or self._writers.is_over:
                    self.left.clear()
                    raise TimeoutError(TOO_SLOW)
                poll = select.poll()
                wanted = select.POLLIN if self.wants == selectors.EVENT_READ else select.POLLOUT
                poll.register(self._socket, wanted)
                poll.poll(int(min(left_seconds, LOOK_SECONDS) * 1000) + 1)
                self.send()
