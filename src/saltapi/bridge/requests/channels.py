"""
A pool of request channels to the master.

A channel carries one request at a time, so there are several, made when they are needed: ours for
ZeroMQ, Salt's `AsyncReqChannel` for other transports. A channel that failed in any way is thrown
away: nobody can tell what it still expects.
"""

import asyncio
import logging
import time
from typing import Any

import salt.channel.client
import salt.exceptions
import zmq
from tornado.ioloop import IOLoop

from saltapi.bridge.requests.turns import Bounds, FairSlots, caller
from saltapi.bridge.requests.zeromq import ZeromqChannel
from saltapi.errors import BadRequest, MasterBusy, MasterUnavailable, ServiceBusy
from saltapi.types import Opts

log = logging.getLogger(__name__)

PROBE_INTERVAL_SECONDS = 1.0
PROBE_TIMEOUT_SECONDS = 2.0
CLOSE_TIMEOUT_SECONDS = 2.0
STOPPING = "The service is stopping."


class Channels:
    """Sends loads to the master; at most `limit` at once, `queue_requests` more may wait."""

    def __init__(self, opts: Opts, *, limit: int, queue_requests: int) -> None:
        self._opts = opts
        self._idle: list[Any] = []
        # Fair: somebody who sends a thousand commands does not make others wait for all of them.
        self._slots = FairSlots("requests", Bounds(limit, 0, queue_requests, queue_requests, 0))
        self._limit = limit
        self._queue_requests = queue_requests
        self._pending = 0
        self._probe: asyncio.Task[bool] | None = None
        self._probed_at = 0.0
        self._generation = 0
        self._busy: dict[asyncio.Future[Any], Any] = {}
        self._closing: dict[Any, asyncio.Task[None]] = {}
        self._closed = False
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        if opts.get("transport", "zeromq") == "zeromq":
            self._context = zmq.Context()
        self.requests_total = 0
        """How many requests were sent to the master."""
        self.failures_total = 0
        """How many of them brought no answer."""

    @property
    def waiting(self) -> int:
        """How many requests wait for a connection."""
        return max(0, self._pending - len(self._busy))

    @property
    def in_use(self) -> int:
        """How many connections carry a request now."""
        return len(self._busy)

    @property
    def all_in_use(self) -> bool:
        """Whether a new request would have to wait."""
        return self._slots.running >= self._limit

    async def send(self, load: dict[str, Any], *, timeout_seconds: float) -> Any:
        """
        Return the master's answer to *load*, as it came.

        A request is sent once: only the caller knows whether asking twice does harm.

        Raises:
            MasterBusy: Too many requests wait, or none of them ended within the time.
            MasterUnavailable: Nobody listens at the master's port, no answer came in time, or the
                channels have been closed.
            BadRequest: *load* holds a text that is no Unicode.
        """
        if self._pending >= self._limit + self._queue_requests:
            raise MasterBusy("Too many requests are waiting for the Salt master; try again.")
        deadline = time.monotonic() + timeout_seconds
        self._pending += 1
        try:
            user = caller.get()
            try:
                await self._slots.acquire(user, queue_seconds=timeout_seconds)
            except ServiceBusy as error:
                raise MasterBusy(
                    "The Salt master is busy: the request waited in vain for its turn."
                ) from error
            try:
                if self._closed:
                    raise _not_sent(STOPPING)
                if self._just_found_away():
                    raise _not_sent("The Salt master is not available.")
                return await self._exchange(load, deadline)
            finally:
                self._slots.release(user)
        finally:
            self._pending -= 1

    async def reset(self) -> None:
        """Close the idle channels and let go of the others when they end (the master is new)."""
        self._generation += 1
        idle, self._idle = self._idle, []
        await asyncio.gather(*(self._let_go(channel) for _, channel in idle))

    async def close(self) -> None:
        """
        End the requests that are under way and close every channel; idempotent.

        On return none is open: one that the garbage collector finds open blocks the process
        for ever (Salt 3008 then waits for its socket, which nobody closes).
        """
        self._closed = True
        for task in self._busy:
            task.cancel()
        for channel in (*self._busy.values(), *(channel for _, channel in self._idle)):
            self._let_go(channel)
        self._idle = []
        await asyncio.gather(*self._closing.values())
        if self._context is not None:
            self._context.destroy(linger=0)

    def _let_go(self, channel: Any) -> asyncio.Task[None]:
        """Begin to close *channel*, which is never used again."""
        closing = self._closing.get(channel)
        if closing is None:
            closing = self._closing[channel] = asyncio.create_task(_close(channel))
            closing.add_done_callback(lambda _: self._closing.pop(channel, None))
        return closing

    async def _exchange(self, load: dict[str, Any], deadline: float) -> Any:
        # What waits in a new channel for somebody to listen has not been sent for certain.
        if not self._idle and not await self.master_listens():
            self.failures_total += 1
            raise _not_sent("The Salt master is not available.")
        self.requests_total += 1
        generation, channel = self._idle.pop() if self._idle else self._open()
        task = _sent(channel, load, deadline)
        self._busy[task] = channel
        try:
            answer = await self._wait(task, deadline)
        except BaseException as error:
            self.failures_total += isinstance(error, MasterUnavailable)
            task.cancel()
            await asyncio.shield(self._let_go(channel))
            raise
        finally:
            del self._busy[task]
        if generation == self._generation and not self._closed:
            self._idle.append((generation, channel))
        else:
            await asyncio.shield(self._let_go(channel))
        return answer

    def _open(self) -> tuple[int, Any]:
        if self._context is not None:
            return self._generation, ZeromqChannel(self._context, self._opts)
        # The factory writes into the options that it is given.
        channel = salt.channel.client.AsyncReqChannel.factory(
            dict(self._opts),
            crypt="clear",
            master_uri=self._opts["master_uri"],
            # Salt 3007 takes nothing but Tornado's view of the running loop, 3008 takes both.
            io_loop=IOLoop.current(),
        )
        return self._generation, channel

    async def _wait(self, task: asyncio.Future[Any], deadline: float) -> Any:
        """Wait for *task*, looking now and then whether the master is there at all."""
        while True:
            left = deadline - time.monotonic()
            done, _ = await asyncio.wait({task}, timeout=min(PROBE_INTERVAL_SECONDS, max(left, 0)))
            if task.cancelled():
                raise MasterUnavailable(STOPPING)
            if done:
                try:
                    return task.result()
                except UnicodeEncodeError as error:
                    raise BadRequest(
                        "The request holds a lone surrogate, which is no character."
                    ) from error
                except (salt.exceptions.SaltException, zmq.ZMQError, OSError) as error:
                    raise MasterUnavailable("The Salt master does not answer.") from error
                except Exception as error:
                    log.exception("A request to the master failed in an unexpected way.")
                    raise MasterUnavailable("The Salt master cannot be reached.") from error
            if left <= 0:
                raise MasterUnavailable("The Salt master did not answer in time.")
            if not await self.master_listens():
                raise MasterUnavailable("The Salt master is not available.")

    async def master_listens(self) -> bool:
        """Return whether something accepts connections at the master's request port."""
        if self._probe is None or (
            self._probe.done() and time.monotonic() - self._probed_at >= PROBE_INTERVAL_SECONDS
        ):
            self._probed_at = time.monotonic()
            self._probe = asyncio.create_task(self._connect_once())
        return await asyncio.shield(self._probe)

    def _just_found_away(self) -> bool:
        """Return whether another request has found nobody listening a moment ago."""
        return (
            self._probe is not None
            and self._probe.done()
            and not self._probe.result()
            and time.monotonic() - self._probed_at < PROBE_INTERVAL_SECONDS
        )

    async def _connect_once(self) -> bool:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                _, writer = await asyncio.open_connection(
                    self._opts["interface"], self._opts["ret_port"]
                )
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True


def _sent(channel: Any, load: dict[str, Any], deadline: float) -> asyncio.Future[Any]:
    """Send *load* and return the future of its answer."""
    if isinstance(channel, ZeromqChannel):
        return channel.send(load)
    timeout_seconds = max(1, round(deadline - time.monotonic()))
    sending: asyncio.Future[Any] = asyncio.ensure_future(
        channel.send(load, timeout=timeout_seconds, tries=1)
    )
    return sending


async def _close(channel: Any) -> None:
    """Close *channel* the way its line of Salt wants it; never raises."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
            if hasattr(channel, "close_async"):
                await channel.close_async()
            else:
                channel.close()
    except (Exception, asyncio.CancelledError):
        log.debug("A request channel did not close cleanly.", exc_info=True)


def _not_sent(message: str) -> MasterUnavailable:
    error = MasterUnavailable(message)
    error.sent = False
    return error
