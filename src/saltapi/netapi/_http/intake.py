"""
What one connection of an asyncio server sends before it is answered: how much, and how fast.

The counting is in `saltapi.netapi._http.unfinished`; this adds the clock of the event loop.
"""

import asyncio
from collections.abc import Callable

from saltapi.errors import SaltApiError, TooSlow
from saltapi.netapi._http.unfinished import TOO_SLOW, Pace, Share, Unfinished


class Intake:
    """The requests of one connection, on the loop that it was made on."""

    def __init__(
        self,
        unfinished: Unfinished,
        peer: str,
        refuse: Callable[[SaltApiError], None],
        *,
        is_paused: Callable[[], bool] = lambda: False,
    ) -> None:
        """
        Args:
            unfinished: What all connections of the process hold.
            peer: The address of whoever is there; "" for a unix socket.
            refuse: Ends the request that is coming in. Called once at the most.
            is_paused: Whether it is us who do not read at the moment.

        Raises:
            TooManyRequests: The address has as many connections as it may have.
        """
        self._unfinished = unfinished
        self._peer = peer
        self._refuse = refuse
        self._is_paused = is_paused
        self._loop = asyncio.get_running_loop()
        self._share: Share | None = unfinished.connect(peer, self._end)
        self._pace: Pace | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_dropped = False
        self.is_refused = False

    def take(self, size_bytes: int) -> bool:
        """Note that so many bytes of a request have come; return whether it may go on."""
        if self._pace is not None:
            self._pace.take(size_bytes, self._loop.time())
        if not self.is_refused and not self._is_dropped and self._share is not None:
            self._share.hold(size_bytes)
        return not self.is_refused

    def begin_body(self, client: str) -> None:
        """
        Note that a head is complete, and a body follows.

        Args:
            client: The address that the request is of; a trusted proxy may have another one.
        """
        if self._share is not None:
            self._share.move(client)
            self._share.hold(0)  # that address may have too much already
        self._is_dropped = False
        self._begin_pace()

    def drop(self) -> None:
        """Note that of the rest of this request nothing is kept."""
        self._is_dropped = True
        if self._share is not None and not self.is_refused:
            self._share.release()

    def complete(self, *, waits: bool = False) -> None:
        """
        Note that a request has come to its end, and is somebody else's to hold.

        Args:
            waits: Whether it is held until another one of the connection is answered.
        """
        self._pace = None
        self._is_dropped = False
        if self._share is not None and not self.is_refused and not waits:
            self._share.release()

    def leave(self) -> None:
        """Note that the connection is a stream's now, and none of those that are counted."""
        self._stop()
        if self._share is not None:
            self._share.close()
            self._share = None

    def come_back(self) -> None:
        """
        Note that the stream is over, and the connection takes requests again.

        Raises:
            TooManyRequests: The address has as many connections as it may have.
        """
        if self._share is None:
            self._share = self._unfinished.connect(self._peer, self._end)

    close = leave
    """Note that the connection has ended; again is nothing."""

    def _begin_pace(self) -> None:
        rate = self._unfinished.limits.body_bytes_per_second
        self._pace = Pace(rate, self._loop.time())
        if self._timer is None:
            self._timer = self._loop.call_at(self._pace.deadline, self._look)

    def _look(self) -> None:
        """End the request if its time is over."""
        self._timer = None
        if self._pace is None or self.is_refused:
            return
        if self._is_paused():
            self._begin_pace()
        elif self._loop.time() < self._pace.deadline:
            self._timer = self._loop.call_at(self._pace.deadline, self._look)
        else:
            self._end(TooSlow(TOO_SLOW))

    def _end(self, error: SaltApiError) -> None:
        if not self.is_refused:
            self.is_refused = True
            self._refuse(error)

    def _stop(self) -> None:
        self._pace = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
