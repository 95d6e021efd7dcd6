"""
The master's event bus: one reader for the process, and a way to fire events.

The frames are those of `salt.transport.tcp` on Salt 3007 and 3008: a subscriber receives a
stream of MessagePack maps `{"head": …, "body": …}`, a publisher sends the same map behind its
length in four bytes. We read them ourselves because Salt's own subscriber makes a task for each
event and, on 3007, loses events whenever a timed wait ends.
"""

import asyncio
import datetime
import logging
import time
from collections.abc import Callable
from typing import Any

import msgpack
import salt.transport.frame
import salt.utils.event

from saltapi.bridge.bus.endpoints import tcp_end, unix_end
from saltapi.bridge.salt_line import SALT_LINE
from saltapi.config import MIB
from saltapi.errors import BadRequest, MasterUnavailable
from saltapi.trace import carried
from saltapi.types import Opts, Tag

log = logging.getLogger(__name__)

FRAME_LIMIT_BYTES = 512 * MIB
RECONNECT_MIN_SECONDS = 0.1
RECONNECT_MAX_SECONDS = 2.0
FIRE_TIMEOUT_SECONDS = 5.0
SLICE_SECONDS = 0.005
"""For so long events are handed on before others have their turn."""
HELD_UP_SECONDS = 0.1
"""For so long at most events wait until those before them are written to listeners."""
WAITING_LIMIT_BYTES = 64 * MIB
"""So much may wait for that; more is left to the master, which ends readers that lag too far."""


class Bus:
    """The connection to the bus; it comes back by itself when the master was away."""

    def __init__(
        self,
        opts: Opts,
        *,
        on_event: Callable[[bytes], None],
        on_lost: Callable[[], None],
        on_connected: Callable[[], None] = lambda: None,
        is_behind: Callable[[], bool] = lambda: False,
    ) -> None:
        """
        Args:
            opts: The master's options; `sock_dir`, `ipc_mode` and the bus ports are used.
            on_event: Called with each frame's body, in order; must be quick.
            on_lost: Called each time an established connection breaks.
            on_connected: Called each time events come in from now on.
            is_behind: Whether queues of listeners get full because there is not the time to write
                what is in them: the events of a burst are handed on later then.
        """
        self._opts = opts
        self._on_event = on_event
        self._on_lost = on_lost
        self._on_connected = on_connected
        self._is_behind = is_behind
        self._task: asyncio.Task[None] | None = None
        self._first_attempt = asyncio.Event()
        self._connected = asyncio.Event()
        self._pusher: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._push_lock = asyncio.Lock()
        self._heard_at = time.monotonic()
        self.fired_total = 0
        """How many events were handed to the master."""

    @property
    def connected(self) -> bool:
        """Whether events are coming in."""
        return self._connected.is_set()

    @property
    def age_seconds(self) -> float:
        """How long ago the last event came, or the connection began or broke."""
        return time.monotonic() - self._heard_at

    async def start(self) -> None:
        """Begin to read; returns after the first attempt, whether the master is there or not."""
        self._task = asyncio.create_task(self._run(), name="saltapi-bus")
        await self._first_attempt.wait()

    async def close(self) -> None:
        """Stop reading and close the connections; idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._drop_pusher()

    async def wait_connected(self, timeout_seconds: float) -> bool:
        """Return True as soon as the bus is connected, False after *timeout_seconds*."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._connected.wait()
        except TimeoutError:
            return False
        return True

    async def fire(self, tag: Tag, data: dict[str, Any]) -> None:
        """
        Fire one event; *data* gets the `_stamp` that Salt's own `fire_event` adds.

        Raises:
            MasterUnavailable: The bus does not take it.
            BadRequest: *tag* or *data* holds something that an event cannot carry.
        """
        if "\n" in tag:  # an empty line ends the tag: what follows would pass for the data
            raise BadRequest("The tag of an event cannot hold a line break.")
        stamped = {**data, "_stamp": stamp(), **carried(self._opts)}
        try:
            body = salt.utils.event.SaltEvent.pack(
                tag, stamped, max_size=self._opts.get("max_event_size")
            )
        except (TypeError, ValueError, OverflowError) as error:
            raise BadRequest(f"An event cannot carry this: {error}.") from error
        frame = salt.transport.frame.frame_msg_ipc(body)
        try:
            async with asyncio.timeout(FIRE_TIMEOUT_SECONDS), self._push_lock:
                await self._push(frame)
            self.fired_total += 1
        except (OSError, TimeoutError) as error:
            self._drop_pusher()
            raise MasterUnavailable(
                "The Salt master does not take events; the event was not fired."
            ) from error

    async def _push(self, frame: bytes) -> None:
        if self._pusher is not None and self._pusher[0].at_eof():
            self._drop_pusher()
        if self._pusher is None:
            self._pusher = await self._open("pull")
        _, writer = self._pusher
        writer.write(frame)
        await writer.drain()

    def _drop_pusher(self) -> None:
        if self._pusher is not None:
            self._pusher[1].close()
            self._pusher = None

    async def _open(self, kind: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the bus's `pull` (fire) end."""
        if self._opts.get("ipc_mode") == "tcp":
            return await asyncio.open_connection(*tcp_end(self._opts, kind))
        return await asyncio.open_unix_connection(unix_end(self._opts, kind))

    async def _run(self) -> None:
        delay_seconds = 0.0
        while True:
            started = time.monotonic()
            try:
                await self._follow()
            except OSError as error:
                log.debug("The master's event bus is not there yet: %s", error)
            finally:
                self._first_attempt.set()
            if time.monotonic() - started > RECONNECT_MAX_SECONDS:
                delay_seconds = 0.0  # it was a connection that worked
            await asyncio.sleep(delay_seconds)
            delay_seconds = min(
                max(delay_seconds * 2, RECONNECT_MIN_SECONDS), RECONNECT_MAX_SECONDS
            )

    async def _follow(self) -> None:
        """Connect, and return when the connection is lost again."""
        reader = await self._subscribe()
        log.info("Connected to the master's event bus.")
        self._heard_at = time.monotonic()
        self._on_connected()
        self._connected.set()
        self._first_attempt.set()
        try:
            await reader.closed
            await reader.drained()
        finally:
            self._heard_at = time.monotonic()
            self._connected.clear()
            reader.abort()
        log.warning("Lost the connection to the master's event bus; reconnecting.")
        self._drop_pusher()
        self._on_lost()

    async def _subscribe(self) -> "_Reader":
        loop = asyncio.get_running_loop()
        if self._opts.get("ipc_mode") == "tcp":
            host, port = tcp_end(self._opts, "pub")
            _, reader = await loop.create_connection(self._reader, host, port)
        else:
            path = unix_end(self._opts, "pub")
            _, reader = await loop.create_unix_connection(self._reader, path)
        return reader

    def _reader(self) -> "_Reader":
        return _Reader(self._take, self._is_behind)

    def _take(self, body: bytes) -> None:
        self._heard_at = time.monotonic()
        self._on_event(body)


class _Reader(asyncio.Protocol):
    """Cuts the stream into frames; reads on whatever the listeners do, and whatever waits."""

    def __init__(
        self, on_event: Callable[[bytes], None], is_behind: Callable[[], bool] = lambda: False
    ) -> None:
        self._on_event = on_event
        self._is_behind = is_behind
        self._unpacker = msgpack.Unpacker(raw=True, max_buffer_size=FRAME_LIMIT_BYTES)
        self._transport: asyncio.Transport | None = None
        self._fed_bytes = 0
        self._goes_on = False
        self._handed_on_at = 0.0
        self._next: asyncio.Handle | None = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what asyncio promises
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._unpacker.feed(data)
        except (ValueError, msgpack.UnpackException):
            self._break_off()
            return
        self._fed_bytes += len(data)
        if not self._goes_on:
            self._goes_on = True
            self._go_on()
        elif self._fed_bytes - self._unpacker.tell() > WAITING_LIMIT_BYTES and self._transport:
            self._transport.pause_reading()

    async def drained(self) -> None:
        """Return when all that has come is handed on."""
        while self._goes_on:  # noqa: ASYNC110 - one slice is handed on in each turn
            await asyncio.sleep(0)

    def _go_on(self) -> None:
        """Hand events on if those before them are written, or have been waited for long enough."""
        if self._is_behind() and time.monotonic() - self._handed_on_at < HELD_UP_SECONDS:
            self._next = asyncio.get_running_loop().call_soon(self._go_on)
        else:
            self._hand_on()

    def _hand_on(self) -> None:
        """Hand events on for a moment, and go on in another turn of the loop."""
        self._handed_on_at = time.monotonic()
        ends_at = self._handed_on_at + SLICE_SECONDS
        self._goes_on = False
        try:
            for frame in self._unpacker:
                if not isinstance(frame, dict):
                    raise ValueError("no frame")  # noqa: TRY301, TRY004 - as msgpack says it
                self._deliver(frame)
                if time.monotonic() > ends_at:
                    self._goes_on = True
                    break
        except (ValueError, msgpack.UnpackException):
            self._break_off()
            return
        if self._goes_on:
            self._next = asyncio.get_running_loop().call_soon(self._go_on)
        elif self._transport is not None:
            self._transport.resume_reading()

    def _break_off(self) -> None:
        log.exception("The event bus sent something that is no frame; reconnecting.")
        self.abort()

    def _deliver(self, frame: dict[bytes, Any]) -> None:
        body = frame.get(b"body")
        if not isinstance(body, bytes):
            log.warning("The event bus sent a frame without a body; it is passed over.")
            return
        try:
            self._on_event(body)
        except Exception:
            log.exception("An event could not be dispatched.")

    def connection_lost(self, _exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def abort(self) -> None:
        self._goes_on = False
        if self._next is not None:
            self._next.cancel()
        if self._transport is not None:
            self._transport.abort()


def stamp() -> str:
    """Return the time now as the installed Salt writes it into `_stamp`."""
    now = datetime.datetime.now(datetime.UTC)
    if SALT_LINE < 3008:
        now = now.replace(tzinfo=None)
    return now.isoformat()
