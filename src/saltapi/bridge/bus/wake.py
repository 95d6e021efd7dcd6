"""A flag that one coroutine waits for."""

import asyncio


class Wake:
    """
    What `asyncio.Event` is for one waiter, without the kilobyte that its queue takes.

    There is one for each listener and each command that waits, thousands of them.
    """

    __slots__ = ("_set", "_waiter")

    def __init__(self) -> None:
        self._set = False
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        """Let whoever waits, or waits next, go on."""
        self._set = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, timeout_seconds: float | None = None) -> bool:
        """Return True when it is set, False after *timeout_seconds*; it is not set any more."""
        if not self._set:
            loop = asyncio.get_running_loop()
            self._waiter = waiter = loop.create_future()
            timer = None
            if timeout_seconds is not None:
                timer = loop.call_later(max(timeout_seconds, 0), _let_go, waiter)
            try:
                await waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
        was_set, self._set = self._set, False
        return was_set


def _let_go(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
