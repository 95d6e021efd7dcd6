"""
`AsyncClient`: the same for asyncio.

It is `Client` in threads, so that there is one implementation of what must not go wrong: repeats,
resuming, renewing. Each call and each open stream takes a thread while it waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Generic, TypeVar

from saltapi_client.chunks import Lowstate
from saltapi_client.client import Client
from saltapi_client.records import Event, Gap, Record
from saltapi_client.resources import Check, Job, Key, ListedJob, Minion, WhoAmI, Why
from saltapi_client.sessions import Session

T = TypeVar("T")
THREADS = 64
"""How many calls and streams wait at once; more wait for their turn."""
_END: Any = object()


class Stream(Generic[T], AsyncIterator[T]):
    """
    Records or events as they come; close it, or use it as an asynchronous context manager.

    Its other attributes are those of what `Client` returns: `jids` and `key`, or `cursor`.
    """

    def __init__(self, pool: ThreadPoolExecutor, make: Callable[[], Iterator[T]]) -> None:
        self._pool = pool
        self._make = make
        self._made: Iterator[T] | None = None
        self._closed = False

    def __aiter__(self) -> Stream[T]:
        return self

    async def __anext__(self) -> T:
        found: Any = await asyncio.get_running_loop().run_in_executor(self._pool, self._next)
        if found is _END:
            raise StopAsyncIteration
        result: T = found
        return result

    async def __aenter__(self) -> Stream[T]:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    def __getattr__(self, name: str) -> Any:
        if self.__dict__.get("_made") is None:
            raise AttributeError(name)
        return getattr(self._made, name)

    async def aclose(self) -> None:
        """Stop listening; jobs go on."""
        self._closed = True
        close = getattr(self._made, "close", None)
        if close is not None:
            await asyncio.get_running_loop().run_in_executor(None, close)

    def _next(self) -> Any:
        if self._made is None:
            self._made = self._make()
        return _END if self._closed else next(self._made, _END)


class AsyncClient:
    """As `Client`, with the same arguments; an asynchronous context manager."""

    def __init__(self, url: str, *args: Any, **options: Any) -> None:
        """Make it; nothing is sent before it is needed."""
        self.client = Client(url, *args, **options)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="saltapi-client")

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; a session that nobody keeps is ended."""
        await self._call(self.client.close)
        self._pool.shutdown(wait=False)

    async def _call(self, function: Callable[..., T], *args: Any, **options: Any) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: function(*args, **options))

    def _stream(self, function: Callable[..., Any], *args: Any, **options: Any) -> Stream[Any]:
        return Stream(self._pool, lambda: function(*args, **options))

    async def login(self) -> Session:
        """As `Client.login`."""
        return await self._call(self.client.login)

    async def logout(self) -> None:
        """As `Client.logout`."""
        await self._call(self.client.logout)

    async def has_v1(self) -> bool:
        """As `Client.has_v1`."""
        return await self._call(lambda: self.client.has_v1)

    async def whoami(self) -> WhoAmI:
        """As `Client.whoami`."""
        return await self._call(self.client.whoami)

    async def check(self, lowstate: Lowstate) -> list[Check]:
        """As `Client.check`."""
        return await self._call(self.client.check, lowstate)

    def run(
        self,
        tgt: str | Sequence[str],
        fun: str,
        arg: Sequence[Any] = (),
        kwarg: Mapping[str, Any] | None = None,
        **how: Any,
    ) -> Stream[Record]:
        """As `Client.run`."""
        return self._stream(self.client.run, tgt, fun, arg, kwarg, **how)

    def runner(self, fun: str, *args: Any, **how: Any) -> Stream[Record]:
        """As `Client.runner`."""
        return self._stream(self.client.runner, fun, *args, **how)

    def wheel(self, fun: str, *args: Any, **how: Any) -> Stream[Record]:
        """As `Client.wheel`."""
        return self._stream(self.client.wheel, fun, *args, **how)

    def run_lowstate(self, lowstate: Lowstate, **how: Any) -> Stream[Record]:
        """As `Client.run_lowstate`."""
        return self._stream(self.client.run_lowstate, lowstate, **how)

    def jobs(self, **filters: Any) -> Stream[ListedJob]:
        """As `Client.jobs`."""
        return self._stream(self.client.jobs, **filters)

    async def job(self, jid: str, *, wait: bool = False) -> Job:
        """As `Client.job`."""
        return await self._call(self.client.job, jid, wait=wait)

    def follow(self, jid: str, **how: Any) -> Stream[Record]:
        """As `Client.follow`."""
        return self._stream(self.client.follow, jid, **how)

    def rerun(self, jid: str, minions: str | Sequence[str] = "all", **how: Any) -> Stream[Record]:
        """As `Client.rerun`."""
        return self._stream(self.client.rerun, jid, minions, **how)

    async def stop(self, jid: str) -> dict[str, str]:
        """As `Client.stop`."""
        return await self._call(self.client.stop, jid)

    async def pause(self, jid: str) -> Job:
        """As `Client.pause`."""
        return await self._call(self.client.pause, jid)

    async def resume(self, jid: str) -> Job:
        """As `Client.resume`."""
        return await self._call(self.client.resume, jid)

    def events(self, tags: Sequence[str] = (), *, since: str | None = None) -> Stream[Event | Gap]:
        """As `Client.events`."""
        return self._stream(self.client.events, tags, since=since)

    async def hook(self, tag: str, data: Any = None) -> Any:
        """As `Client.hook`."""
        return await self._call(self.client.hook, tag, data)

    def minions(self, **filters: Any) -> Stream[Minion]:
        """As `Client.minions`."""
        return self._stream(self.client.minions, **filters)

    async def minion(self, minion: str) -> Minion:
        """As `Client.minion`."""
        return await self._call(self.client.minion, minion)

    async def why(self, minion: str, jid: str | None = None, *, ask: bool = False) -> Why:
        """As `Client.why`."""
        return await self._call(self.client.why, minion, jid, ask=ask)

    async def keys(self) -> list[Key]:
        """As `Client.keys`."""
        return await self._call(self.client.keys)

    async def change_key(self, minion: str, action: str, fingerprint: str | None = None) -> None:
        """As `Client.change_key`."""
        await self._call(self.client.change_key, minion, action, fingerprint)

    async def functions(self, **which: Any) -> dict[str, Any]:
        """As `Client.functions`."""
        return await self._call(self.client.functions, **which)

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        """As `Client.request`."""
        return await self._call(self.client.request, method, path, body)
