"""
Calls into what Salt keeps things in, which may hang: redis, a database, a network file system.

Such a call cannot be ended. So each has a deadline, a thread that hangs is left to itself, and only
so many may. While something hangs, one call at a time finds out whether it goes on.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from saltapi.errors import SaltApiError

log = logging.getLogger(__name__)
T = TypeVar("T")
S = TypeVar("S")

DEADLINE_SECONDS = 10.0
"""How long a call may take, the wait for its turn included."""
HANGING_THREADS = 8
"""So many threads may hang at once; more calls are refused until one of them ends."""
RETRY_SECONDS = 2.0
"""How often it is looked whether calls still hang."""


class _Thread(Generic[S]):
    """A thread that makes one call at a time, with what it has made for itself."""

    def __init__(self, name: str, make: Callable[[], S]) -> None:
        self._make = make
        self._made: S | None = None
        self.calls: queue.SimpleQueue[Callable[[S], None] | None] = queue.SimpleQueue()
        # The interpreter does not wait for a daemon: one that hangs must not keep the service.
        self.thread = threading.Thread(target=self._work, name=name, daemon=True)
        self.thread.start()

    def _work(self) -> None:
        while (call := self.calls.get()) is not None:
            call(self)  # type: ignore[arg-type]

    def made(self) -> S:
        """Return what calls are made with; it stays in this thread."""
        if self._made is None:
            self._made = self._make()
        return self._made


class Deadlines(Generic[S]):
    """Makes calls with something that is not made for threads, each within a deadline."""

    def __init__(
        self,
        name: str,
        make: Callable[[], S],
        unavailable: Callable[[], SaltApiError],
        *,
        seconds: float = DEADLINE_SECONDS,
    ) -> None:
        """
        Args:
            name: Of the threads.
            make: Makes what calls are made with, in the thread that makes them.
            unavailable: Returns the error of a call that does not end, or fails.
            seconds: How long a call may take.
        """
        self._name = name
        self._make = make
        self._unavailable = unavailable
        self._seconds = seconds
        self._thread: _Thread[S] | None = None
        self._hanging: set[_Thread[S]] = set()
        self._looked_at = 0.0
        self.failed_total = 0
        """How many calls did not end in time, or failed."""
        self.ok = True
        """Whether the last call went well."""

    @property
    def hanging(self) -> int:
        """How many threads hang."""
        return len(self._hanging)

    async def call(self, function: Callable[[S], T]) -> T:
        """
        Return what *function* returns.

        Raises:
            SaltApiError: What `unavailable` returns: it failed, or did not end in time.
        """
        if self._hanging:
            now = time.monotonic()
            full = len(self._hanging) >= HANGING_THREADS
            if full or (not self.ok and now - self._looked_at < RETRY_SECONDS):
                raise self._failed()
            self._looked_at = now
        if self._thread is None:
            self._thread = _Thread(self._name, self._make)
        thread, loop = self._thread, asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def settle(result: Any, error: BaseException | None) -> None:
            self._hanging.discard(thread)
            if done.done():
                return
            if error is None:
                done.set_result(result)
            else:
                done.set_exception(error)

        def in_thread(_: Any) -> None:
            result, error = None, None
            if not done.cancelled():  # nobody waits for it any more
                try:
                    result = function(thread.made())
                except Exception as failure:  # noqa: BLE001 - handed to whoever waits
                    error = failure
            try:
                loop.call_soon_threadsafe(settle, result, error)
            except RuntimeError:  # the loop has ended
                return

        thread.calls.put(in_thread)
        try:
            async with asyncio.timeout(self._seconds):
                found = await done
        except TimeoutError:
            if self._thread is thread:
                log.error("%s: a call has not ended within %g s.", self._name, self._seconds)  # noqa: TRY400
                self._leave(thread)
                self._hanging.add(thread)
            raise self._failed() from None
        except SaltApiError:
            raise
        except Exception as error:
            log.log(
                logging.ERROR if self.ok else logging.DEBUG,
                "%s: a call has failed: %s: %s",
                self._name,
                type(error).__name__,
                error,
            )
            if self._thread is thread:
                self._leave(thread)  # what it holds may be a connection that is gone
            raise self._failed() from error
        self.ok = True
        return found

    def close(self) -> None:
        """Let the threads end; idempotent."""
        if self._thread is not None:
            self._leave(self._thread)

    def _leave(self, thread: _Thread[S]) -> None:
        thread.calls.put(None)  # it ends, should the call before ever do so
        self._thread = None

    def _failed(self) -> SaltApiError:
        self.ok = False
        self.failed_total += 1
        return self._unavailable()
