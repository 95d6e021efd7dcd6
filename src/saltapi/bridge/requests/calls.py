"""
Runner and wheel functions by way of the master.

The master gives a jid only with its answer, so what it fires before the answer reaches us is
kept until we know which jid to look for.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakValueDictionary

from saltapi.bridge.bus.events import Event, Gap, tag_glob
from saltapi.bridge.bus.hub import Hub, Listener, ListenerClosed
from saltapi.bridge.requests.master import Master
from saltapi.config import MIB
from saltapi.errors import CommandTimeout, MasterUnavailable, SaltApiError
from saltapi.types import Credentials, Jid, Tag

log = logging.getLogger(__name__)

KEPT_BYTES = 64 * MIB


class MasterCalls:
    """Runs runner and wheel functions in the master and finds their events."""

    def __init__(self, hub: Hub, master: Master) -> None:
        self._hub = hub
        self._master = master
        self._wheel_starts: WeakValueDictionary[tuple[str, str], asyncio.Lock] = (
            WeakValueDictionary()
        )
        self._running: set[asyncio.Task[dict[str, Any]]] = set()

    def close(self) -> None:
        """Stop waiting for wheel functions that were started; they go on in the master."""
        for task in tuple(self._running):
            task.cancel()

    async def runner(
        self,
        fun: str,
        args: list[Any],
        kwargs: dict[str, Any],
        credentials: Credentials,
        *,
        timeout_seconds: float,
        started: Callable[[Jid], None] = lambda _jid: None,
    ) -> dict[str, Any]:
        """
        Run a runner function and return the data of its `ret` event.

        *started* is called with its jid as soon as the master has accepted it.

        Raises:
            CommandTimeout: It did not end in time; it goes on in the master.
            MasterUnavailable: The master went away meanwhile.
            What else `Master.runner` raises.
        """
        async with self._hub.listen([tag_glob("salt/run/*/ret")], queue_bytes=KEPT_BYTES) as early:
            jid = await self._master.runner(fun, args, kwargs, credentials)
            started(jid)
            ended: asyncio.Future[Event] = asyncio.get_running_loop().create_future()

            def on_event(event: Event) -> None:
                if event.tag == f"salt/run/{jid}/ret" and not ended.done():
                    ended.set_result(event)

            stop = self._hub.watch_job(jid, on_event)
            for record in early.drain():
                if isinstance(record, Event):
                    on_event(record)
        async with self._hub.listen([_no_tag]) as gaps:
            lost = asyncio.create_task(gaps.take())
            either: set[asyncio.Future[Any]] = {ended, lost}
            try:
                await asyncio.wait(
                    either, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                stop()
                lost.cancel()
        if ended.done():
            return ended.result().data
        if lost.done():
            raise MasterUnavailable(
                f"The Salt master went away while RunnerClient job '{jid}' was running."
            )
        raise CommandTimeout(f"RunnerClient job '{jid}' timed out; it may still run on the master.")

    async def wheel(
        self, fun: str, kwargs: dict[str, Any], credentials: Credentials
    ) -> dict[str, Any]:
        """Same as `Master.wheel`."""
        return await self._master.wheel(fun, kwargs, credentials)

    async def start_wheel(
        self, fun: str, kwargs: dict[str, Any], credentials: Credentials, user: str
    ) -> Jid:
        """
        Start a wheel function and return its jid as soon as the master has begun with it.

        The jid is taken from the function's `new` event. One start at a time for each function
        and user keeps them apart.

        Raises:
            What `Master.wheel` raises; so wrong credentials are an error and not a jid.
        """
        async with (
            self._wheel_starts.setdefault((fun, user), asyncio.Lock()),
            self._hub.listen([tag_glob("salt/wheel/*/new")]) as started,
        ):
            task = asyncio.create_task(self._master.wheel(fun, kwargs, credentials))
            first = asyncio.create_task(_first_start(started, f"wheel.{fun}", user))
            try:
                await asyncio.wait({task, first}, return_when=asyncio.FIRST_COMPLETED)
            except BaseException:
                task.cancel()
                raise
            finally:
                first.cancel()
            if task.done():
                return str(task.result()["data"]["jid"])
            self._running.add(task)
            task.add_done_callback(self._ended)
            return first.result()

    def _ended(self, task: asyncio.Task[dict[str, Any]]) -> None:
        self._running.discard(task)
        if not task.cancelled() and isinstance(task.exception(), SaltApiError):
            log.warning("A wheel function that was started has failed: %s", task.exception())


def _no_tag(_tag: Tag) -> bool:
    """Pass no event: who listens so is told of gaps alone."""
    return False


async def _first_start(started: Listener, fun: str, user: str) -> Jid:
    """Return the jid of the first start of *fun* by *user* among the events of *started*."""
    with suppress(ListenerClosed):
        async for record in started:
            if isinstance(record, Gap):
                continue
            if record.data.get("fun") == fun and record.data.get("user") == user:
                jid = record.parts.jid
                if jid is not None:
                    return jid
    return await asyncio.Future()  # there will be no more events; the answer decides
