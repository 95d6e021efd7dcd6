"""The client interfaces for code that blocks (0.8.4, "Client interfaces")."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Self, TypeVar

from saltapi.config import EngineConfig
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.types import Chunk, Opts

T = TypeVar("T")


class APIClient:
    """
    The methods of `AsyncAPIClient` for code that blocks (0.8.4, "Client interfaces").

        >>> client = APIClient(__opts__)
        >>> lowstate = {'client': 'local', 'tgt': '*', 'fun': 'test.ping', 'arg': '', 'token': …}
        >>> client.run(lowstate)

    One client serves any number of threads; its event loop runs in one thread of its own, which
    is started with the first command, so that a client may be made before a fork.
    """

    def __init__(self, opts: Opts) -> None:
        """
        Args:
            opts: The master's options.

        Raises:
            CannotStart: An option of the engine has a value that it cannot have.
        """
        self.opts = opts
        self.config = EngineConfig.of(opts)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._client: AsyncAPIClient | None = None

    def run(self, chunk: Chunk) -> Any:
        """Same as `AsyncAPIClient.run`; `local_batch` gives an iterator that yields as it runs."""
        return self._finish(self.call(lambda client: client.run(chunk)))

    def local(self, tgt: Any, fun: Any, arg: Any = (), **low: Any) -> Any:
        """Same as `AsyncAPIClient.local`."""
        return self.call(lambda client: client.local(tgt, fun, arg, **low))

    def local_async(self, tgt: Any, fun: Any, arg: Any = (), **low: Any) -> Any:
        """Same as `AsyncAPIClient.local_async`."""
        return self.call(lambda client: client.local_async(tgt, fun, arg, **low))

    def local_subset(self, tgt: Any, fun: Any, arg: Any = (), **low: Any) -> Any:
        """Same as `AsyncAPIClient.local_subset`."""
        return self.call(lambda client: client.local_subset(tgt, fun, arg, **low))

    def local_batch(
        self, tgt: Any, fun: Any, arg: Any = (), **low: Any
    ) -> Iterator[dict[str, Any]]:
        """Same as `AsyncAPIClient.local_batch`, as an iterator that yields as it runs."""
        batch: Iterator[dict[str, Any]] = self._finish(
            self.call(lambda client: client.local_batch(tgt, fun, arg, **low))
        )
        return batch

    def runner(self, fun: str, **low: Any) -> Any:
        """Same as `AsyncAPIClient.runner`."""
        return self.call(lambda client: client.runner(fun, **low))

    def runner_async(self, fun: str, **low: Any) -> Any:
        """Same as `AsyncAPIClient.runner_async`."""
        return self.call(lambda client: client.runner_async(fun, **low))

    def wheel(self, fun: str, **low: Any) -> Any:
        """Same as `AsyncAPIClient.wheel`."""
        return self.call(lambda client: client.wheel(fun, **low))

    def wheel_async(self, fun: str, **low: Any) -> Any:
        """Same as `AsyncAPIClient.wheel_async`."""
        return self.call(lambda client: client.wheel_async(fun, **low))

    def ssh(self, tgt: Any, fun: Any, arg: Any = (), **low: Any) -> Any:
        """Same as `AsyncAPIClient.ssh`."""
        return self.call(lambda client: client.ssh(tgt, fun, arg, **low))

    def call(self, function: Callable[[AsyncAPIClient], Coroutine[Any, Any, T]]) -> T:
        """Return what the coroutine that *function* makes of the client returns."""
        loop, client = self._started()
        return asyncio.run_coroutine_threadsafe(function(client), loop).result()

    @property
    def started(self) -> bool:
        """Whether the client has been used, and not been closed."""
        return self._loop is not None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the client runs on, in its own thread."""
        return self._started()[0]

    def responds(self, timeout_seconds: float) -> bool:
        """Return whether the client's event loop turns, or there is none yet."""
        loop = self._loop
        if loop is None:
            return True
        turned = threading.Event()
        loop.call_soon_threadsafe(turned.set)
        return turned.wait(timeout_seconds)

    def close(self) -> None:
        """Close the client and end its thread; idempotent."""
        with self._lock:
            loop, client, thread = self._loop, self._client, self._thread
            self._loop = self._client = self._thread = None
        if loop is None or client is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(_close(client), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _started(self) -> tuple[asyncio.AbstractEventLoop, AsyncAPIClient]:
        with self._lock:
            if self._loop is None or self._client is None:
                client = AsyncAPIClient(self.opts)
                loop = asyncio.new_event_loop()
                thread = threading.Thread(
                    target=loop.run_forever, name="saltapi-client", daemon=True
                )
                thread.start()
                asyncio.run_coroutine_threadsafe(client.start(), loop).result()
                self._loop, self._client, self._thread = loop, client, thread
            return self._loop, self._client

    def _finish(self, result: Any) -> Any:
        """Return *result*, an async iterator as a blocking one."""
        return self._blocking(result) if isinstance(result, AsyncIterator) else result

    def _blocking(self, elements: AsyncIterator[T]) -> Iterator[T]:
        async def following(_: AsyncAPIClient) -> tuple[bool, T | None]:
            try:
                return True, await anext(elements)
            except StopAsyncIteration:
                return False, None

        while True:
            more, element = self.call(following)
            if not more:
                return
            yield element  # type: ignore[misc]  # it is None only after the last one


async def _close(client: AsyncAPIClient) -> None:
    """Close *client*, then end whatever else still runs on its loop."""
    await client.close()
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
