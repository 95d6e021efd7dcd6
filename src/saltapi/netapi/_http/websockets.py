"""
WebSocket (0.8.4, "/ws", "/all_events", "/formatted_events"; RFC 6455) on a detached socket.

The client says `websocket client ready`; from then on it gets each event as a text message. Nothing
is compressed, so that a frame is made once however many listen.

How the server ends a conversation:

    1000  the client has closed it
    1001  the service stops
    1002  the client broke the protocol             1007  a text was no UTF-8
    1009  a message was longer than 64 KiB          1011  no pong came, or an error of ours
    1013  the client reads too slowly: come back, later events go on
    4401  the token has expired or was revoked: log in before you come back
"""

import asyncio
import contextlib
import http
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from websockets.datastructures import Headers
from websockets.exceptions import InvalidHeaderValue, InvalidMethod, InvalidUpgrade
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from saltapi.config import KIB
from saltapi.engine.events.streams import (
    End,
    EventStream,
    LiveViewStream,
    StreamEnded,
    joined,
    render_each,
)
from saltapi.errors import BadRequest, MethodNotAllowed, SaltApiError, UpgradeRequired
from saltapi.netapi._http.answers import UPGRADE_HEADERS
from saltapi.netapi._http.origins import check_handshake
from saltapi.netapi._http.sockets import DetachedSocket

log = logging.getLogger(__name__)

READY = b"websocket client ready"
ACKNOWLEDGEMENT = b"server received message"
MESSAGE_LIMIT_BYTES = 64 * KIB
PING_SECONDS = 20.0
PONG_SECONDS = 20.0
"""A client whose pong takes longer is taken for gone."""
FAREWELL_SECONDS = 2.0
"""How long what is being sent may still take when the stream has ended."""
CLOSE_SECONDS = 5.0
"""How long the client may take to close after us."""
REASON_LIMIT_BYTES = 123


@dataclass(frozen=True, slots=True)
class Dialect:
    """
    What the client gets: how each message is framed, and whether its own are acknowledged.

    `name` is for the caches of the events; *before* and *behind* surround the JSON of
    each event, or of each message of the view.
    """

    name: str
    before: bytes = b""
    behind: bytes = b""
    acknowledges: bool = False

    def frame_of(self, json: bytes) -> bytes:
        """Return the text message around *json* as the bytes of a frame."""
        return text_frame(self.before + json + self.behind)


def text_of_frame(frame: bytes) -> str:
    """Return the message in a frame that `text_frame` has made."""
    length = frame[1]
    return frame[2 if length < 126 else 4 if length == 126 else 10 :].decode()


def text_frame(text: bytes) -> bytes:
    """Return the bytes of a frame with the message *text*, in UTF-8."""
    return Frame(Opcode.TEXT, text).serialize(mask=False)


EVENTS = Dialect("websocket-data", b"data: ", b"\n\n", acknowledges=True)
"""`/ws`: as in a stream of server-sent events."""
VIEW = Dialect("websocket-acknowledged", acknowledges=True)
"""`/ws?format_events`: bare JSON."""

CLOSE_CODES = {End.SESSION: 4401, End.SLOW: 1013, End.STOPPING: 1001}
HANDSHAKE_HEADERS = {
    "HTTP_CONNECTION": "Connection",
    "HTTP_UPGRADE": "Upgrade",
    "HTTP_SEC_WEBSOCKET_KEY": "Sec-WebSocket-Key",
    "HTTP_SEC_WEBSOCKET_VERSION": "Sec-WebSocket-Version",
}

# What the library logs of itself are frames: events, at the level DEBUG.
_quiet = logging.getLogger(f"{__name__}.frames")
_quiet.setLevel(logging.WARNING)


def accept(
    environ: Mapping[str, Any], *, cors_origins: Collection[str] = ()
) -> tuple[ServerProtocol, list[tuple[str, str]]]:
    """
    Return the protocol for a handshake, and the headers of the answer with status 101.

    Args:
        environ: The WSGI environ of the request.
        cors_origins: The origins whose pages may connect, beside our own; `*` for all that do not
            come with the cookie.

    Raises:
        UpgradeRequired: It is no handshake, or one of another version.
        OriginRefused: A page of another origin asks.
        MethodNotAllowed, BadRequest: The handshake is wrong (RFC 6455, section 4.2.1).
    """
    headers = Headers(
        {name: environ[key] for key, name in HANDSHAKE_HEADERS.items() if key in environ}
    )
    protocol = ServerProtocol(state=State.OPEN, max_size=MESSAGE_LIMIT_BYTES, logger=_quiet)
    request = Request("/", headers, environ["REQUEST_METHOD"], environ["SERVER_PROTOCOL"])
    response = protocol.accept(request)
    if response.status_code != http.HTTPStatus.SWITCHING_PROTOCOLS:
        raise _refusal(protocol.handshake_exc, headers)
    check_handshake(environ, cors_origins)
    accepted = {"Sec-WebSocket-Accept": response.headers["Sec-WebSocket-Accept"]}
    return protocol, list((UPGRADE_HEADERS | accepted).items())


def _refusal(error: Exception | None, headers: Headers) -> SaltApiError:
    version = headers.get("Sec-WebSocket-Version")
    if isinstance(error, InvalidMethod):
        return MethodNotAllowed("A WebSocket is opened with GET.")
    if isinstance(error, InvalidUpgrade):
        return UpgradeRequired("This URL speaks WebSocket: connect with a WebSocket client.")
    if isinstance(error, InvalidHeaderValue) and version not in {None, "13"}:
        return UpgradeRequired("This URL speaks version 13 of WebSocket.")
    return BadRequest(f"This is no handshake for a WebSocket: {error}.")


def dialect_of(stream: EventStream | LiveViewStream) -> Dialect:
    """Return what the client of *stream* gets at `/ws`."""
    return VIEW if isinstance(stream, LiveViewStream) else EVENTS


def farewell(stream: EventStream | LiveViewStream, *, no_pong: bool = False) -> tuple[int, str]:
    """Return code and reason with which the server ends the conversation about *stream*."""
    if stream.ended.done():
        ended = stream.ended.result()
        code, reason = CLOSE_CODES[ended.end], str(ended)
        log.info("A stream of %s has ended: %s", stream.session.name, reason)
    else:
        code = CloseCode.INTERNAL_ERROR
        reason = "No pong came." if no_pong else "An unexpected error occurred."
    return code, reason.encode()[:REASON_LIMIT_BYTES].decode(errors="ignore")


async def serve_websocket(
    stream: EventStream | LiveViewStream,
    protocol: ServerProtocol,
    socket: DetachedSocket,
    dialect: Dialect | None = None,
) -> None:
    """
    Send what *stream* has to a client that is ready, until one of both ends; closes all.

    Args:
        stream: Events, or the view of jobs and minions.
        protocol: What `accept` has returned.
        socket: Where to; the answer with status 101 has been sent.
        dialect: What the client gets; by default as at `/ws`, `EVENTS` or `VIEW`.
    """
    async with stream:
        await _OnSocket(stream, protocol, socket, dialect or dialect_of(stream)).run()


class Conversation:
    """One WebSocket connection; who speaks the protocol makes a class of its own of it."""

    gone: tuple[type[Exception], ...] = (OSError,)
    """What says that the client is not there any more."""

    def __init__(self, stream: EventStream | LiveViewStream, dialect: Dialect) -> None:
        """
        Args:
            stream: Events, or the view of jobs and minions.
            dialect: What the client gets.
        """
        self._stream = stream
        self._dialect = dialect
        self._ready = asyncio.Event()

    async def run(self) -> None:
        """Converse until one side ends it."""
        receiving = asyncio.create_task(self._receive())
        sending = asyncio.create_task(self._send())
        others = set(self._watch())
        tasks: set[asyncio.Future[Any]] = {receiving, sending, *others}
        first = asyncio.FIRST_COMPLETED
        try:
            await asyncio.wait({*tasks, self._stream.ended}, return_when=first)
            if self._stream.ended.done() and self._ready.is_set():
                await asyncio.wait(
                    {receiving, sending}, timeout=FAREWELL_SECONDS, return_when=first
                )
            for task in (sending, *others):
                task.cancel()
            if not receiving.done():
                await self._close(receiving)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        await self._finish()
        for task in tasks:
            error = None if task.cancelled() else task.exception()
            if isinstance(error, self.gone):
                log.info("A listener of %s is gone: %s", self._stream.session.name, error)
            elif error is not None:
                raise error

    async def _send(self) -> None:
        """Send events; what happens before the client is ready is not for it."""
        stream, dialect = self._stream, self._dialect
        with contextlib.suppress(StreamEnded):
            if isinstance(stream, LiveViewStream):
                await self._ready.wait()
                while True:
                    await self._write(map(dialect.frame_of, await stream.take()))
            while True:
                records = await stream.take()
                if self._ready.is_set():
                    await self._write(render_each(records, dialect.name, dialect.frame_of))
                await stream.gather()

    async def _receive(self) -> None:
        """Take what the client sends; return when the conversation is over."""
        raise NotImplementedError

    async def _write(self, frames: Iterable[bytes]) -> None:
        """Send *frames* with text messages."""
        raise NotImplementedError

    def _watch(self) -> Iterable[asyncio.Future[Any]]:
        """Return what else ends the conversation."""
        return ()

    async def _close(self, receiving: asyncio.Future[None]) -> None:
        """Tell the client that and why this is the end, as *receiving* still goes on."""
        raise NotImplementedError

    async def _finish(self) -> None:
        """Let go of the connection."""


class _OnSocket(Conversation):
    """A connection on a detached socket."""

    def __init__(
        self,
        stream: EventStream | LiveViewStream,
        protocol: ServerProtocol,
        socket: DetachedSocket,
        dialect: Dialect,
    ) -> None:
        super().__init__(stream, dialect)
        self._protocol = protocol
        self._socket = socket
        self._pong = asyncio.Event()
        self._message = bytearray()
        self._is_text = True

    def _watch(self) -> Iterable[asyncio.Future[Any]]:
        self._pinging = asyncio.create_task(self._ping())
        return [self._pinging]

    async def _receive(self) -> None:
        """Take what the client sends; return when the conversation is over."""
        while not self._protocol.eof_sent:
            data = await self._socket.read()
            if not data:
                self._protocol.receive_eof()
                return
            self._protocol.receive_data(data)
            for frame in self._protocol.events_received():
                if isinstance(frame, Frame):
                    self._take(frame)
            await self._flush()

    def _take(self, frame: Frame) -> None:
        if frame.opcode is Opcode.PONG:
            self._pong.set()
        if frame.opcode not in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}:
            return
        if frame.opcode is not Opcode.CONT:
            self._message.clear()
            self._is_text = frame.opcode is Opcode.TEXT
        self._message += frame.data
        if not frame.fin or self._protocol.state is not State.OPEN:
            return
        try:
            if self._is_text:
                self._message.decode()
        except UnicodeDecodeError:
            self._protocol.fail(CloseCode.INVALID_DATA, "A text message must be UTF-8.")
            return
        if self._dialect.acknowledges:
            self._protocol.send_text(ACKNOWLEDGEMENT)
        if self._message == READY:
            self._ready.set()

    async def _write(self, frames: Iterable[bytes]) -> None:
        await self._stream.turn()
        for data in joined(frames):
            if self._protocol.state is State.OPEN:
                await self._socket.write(data)
            await self._stream.turn()

    async def _ping(self) -> None:
        """Return when the client does not answer any more."""
        while True:
            await asyncio.sleep(PING_SECONDS)
            if self._protocol.state is not State.OPEN:
                return
            self._pong.clear()
            self._protocol.send_ping(b"")
            await self._flush()
            try:
                async with asyncio.timeout(PONG_SECONDS):
                    await self._pong.wait()
            except TimeoutError:
                return

    async def _flush(self) -> None:
        data = b"".join(self._protocol.data_to_send())
        if data:
            await self._socket.write(data)

    async def _close(self, receiving: asyncio.Future[None]) -> None:
        no_pong = self._pinging.done()
        code, reason = farewell(self._stream, no_pong=no_pong)
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._flush()
            except OSError:
                return
            if no_pong:
                return
        await asyncio.wait({receiving}, timeout=CLOSE_SECONDS)

    async def _finish(self) -> None:
        if self._protocol.eof_sent:
            await self._socket.finish(CLOSE_SECONDS)
        self._socket.close()
