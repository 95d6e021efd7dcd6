"""The client interfaces for code that blocks (0.8.4, "Client interfaces")."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Self, TypeVar

from saltapi.config import EngineConfig
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.engine.loop_thread import LoopThread
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
        self._thread = LoopThread(lambda: AsyncAPIClient(opts))

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
        return self._thread.call(function)

    def close(self) -> None:
        """Close the client and end its thread; idempotent."""
        self._thread.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
