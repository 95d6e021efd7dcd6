"""An event loop in a thread of its own, for code that blocks: one thing lives on it."""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")


class Service(Protocol):
    """What lives on the loop."""

    async def start(self) -> None:
        """Begin; called once, on the loop."""

    async def close(self) -> None:
        """End; called once, on the loop."""


ServiceT = TypeVar("ServiceT", bound=Service)


class LoopThread(Generic[ServiceT]):
    """
    Lets any number of threads use one service that belongs to an event loop.

    The thread is started with the first call, so that this may be made before a fork.
    """

    def __init__(self, make: Callable[[], ServiceT]) -> None:
        """
        Args:
            make: Returns the service; called with the first call, and again after a `close`.
        """
        self._make = make
        self._lock = threading.Lock()
        self._running: tuple[asyncio.AbstractEventLoop, ServiceT, threading.Thread] | None = None

    def call(self, function: Callable[[ServiceT], Coroutine[Any, Any, T]]) -> T:
        """Return what the coroutine that *function* makes of the service returns."""
        loop, service, _ = self._started()
        return asyncio.run_coroutine_threadsafe(function(service), loop).result()

    @property
    def started(self) -> bool:
        """Whether the service has been used, and not been closed."""
        return self._running is not None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop, in its own thread."""
        return self._started()[0]

    def responds(self, timeout_seconds: float) -> bool:
        """Return whether the event loop turns, or there is none yet."""
        running = self._running
        if running is None:
            return True
        turned = threading.Event()
        running[0].call_soon_threadsafe(turned.set)
        return turned.wait(timeout_seconds)

    def close(self) -> None:
        """Close the service and end the thread; idempotent."""
        with self._lock:
            running, self._running = self._running, None
        if running is None:
            return
        loop, service, thread = running
        asyncio.run_coroutine_threadsafe(_close(service), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def _started(self) -> tuple[asyncio.AbstractEventLoop, ServiceT, threading.Thread]:
        with self._lock:
            if self._running is None:
                service = self._make()
                loop = asyncio.new_event_loop()
                thread = threading.Thread(
                    target=loop.run_forever, name="saltapi-client", daemon=True
                )
                thread.start()
                # What lives on must not belong to the request that happens to be the first.
                begin = contextvars.Context().run
                begin(asyncio.run_coroutine_threadsafe, service.start(), loop).result()
                self._running = loop, service, thread
            return self._running


async def _close(service: Service) -> None:
    """Close *service*, then end whatever else still runs on its loop."""
    await service.close()
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
