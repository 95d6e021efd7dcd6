"""What of each turn of the event loop may go to listeners; the rest of it belongs to requests."""

import asyncio
import time
from collections import deque
from typing import Protocol

LISTENERS_SECONDS = 0.01
"""So much of one turn of the loop goes to the writes of listeners; one more write may begin."""


class Queue(Protocol):
    """What fills while its owner waits for a turn."""

    @property
    def is_half_full(self) -> bool:
        """Whether half of what may wait does."""


class LoopShare:
    """
    The turns of one loop: who wants to write waits where others have used up the share.

    Without a burst nobody waits.
    """

    def __init__(self, seconds: float = LISTENERS_SECONDS) -> None:
        self.is_behind = False
        """Whether the queue of somebody gets full that has waited for a turn just now."""
        self._seconds = seconds
        self._ends_at: float | None = None
        self._has_next = False
        self._first: deque[tuple[asyncio.Future[None], Queue]] = deque()
        """Who has waited for a turn before, and come too late in it."""
        self._others: deque[tuple[asyncio.Future[None], Queue]] = deque()

    async def wait(self, queue: Queue) -> None:
        """Return when a write may be made: in this turn of the loop, or in one of the next."""
        line = self._others
        while not self._is_left():
            waiter = asyncio.get_running_loop().create_future()
            line.append((waiter, queue))
            await waiter
            line = self._first

    def _is_left(self) -> bool:
        now = time.monotonic()
        if self._ends_at is None:
            self._ends_at = now + self._seconds
            self._look_at_next()
        return now < self._ends_at

    def _look_at_next(self) -> None:
        if not self._has_next:
            self._has_next = True
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._ends_at, self._has_next = None, False
        waiting, self._first, self._others = self._first + self._others, deque(), deque()
        self.is_behind = any(queue.is_half_full for _, queue in waiting)
        for waiter, _ in waiting:
            if not waiter.done():
                waiter.set_result(None)
        if waiting:
            self._look_at_next()
