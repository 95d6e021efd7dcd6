"""
Event streams: who may listen, until when, and the bytes that every module sends.

The plain form of an event is byte for byte what Salt's own netapi sends:

    tag: <tag>
    data: {"data": {…}, "tag": "<tag>"}

behind a first line `retry: 400`. Ids for resuming (`id:`) and notices of gaps (`event: gap`) are
sent only to a client that asked for them.
"""

import asyncio
import contextlib
import enum
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, Protocol, Self, TypeVar

from saltapi import formats
from saltapi.bridge.bus.events import Event, Gap, Record, tag_glob
from saltapi.bridge.bus.hub import OVERFLOW, Hub, ListenerClosed
from saltapi.bridge.jobs.live_view import LiveView, MinionsShape
from saltapi.config import KIB
from saltapi.engine.sessions.sessions import Sessions
from saltapi.types import Session

SSE_TYPE = "text/event-stream"
SSE_PREAMBLE = b"retry: 400\n"
SSE_HEARTBEAT = b":\n\n"
BATCH_BYTES = 64 * KIB
"""What is sent at once; a listener's whole backlog is never copied together."""
HEARTBEAT_SECONDS = 15.0
GATHER_SECONDS_PER_STREAM = 0.0001
GATHER_LIMIT_SECONDS = 0.25


T = TypeVar("T")


class End(enum.Enum):
    """Why a stream has ended."""

    SESSION = "session"
    """The token has expired or was revoked."""
    SLOW = "slow"
    """The reader took less than what came, until its queue was full."""
    STOPPING = "stopping"
    """The service stops."""


class StreamEnded(Exception):
    """Raised by a stream's `take` when nothing more will come; the text is the reason."""

    def __init__(self, reason: str, end: End) -> None:
        super().__init__(reason)
        self.end = end


class Source(Protocol[T]):
    """What a stream takes from: a listener of the hub or of the view."""

    on_close: Callable[[str], None] | None

    async def take(self) -> list[T]:
        """Return what has come, at least one element; raise `ListenerClosed` at the end."""

    def close(self, reason: str = ...) -> None:
        """End it; idempotent."""


class Queued(Source[Record], Protocol):
    """A listener of the hub, or what is like one."""

    @property
    def is_half_full(self) -> bool:
        """Whether half of what may wait does."""

    def cursor(self) -> str | None:
        """Return an id to resume from when all that was taken has been seen."""


class Stream(Generic[T]):
    """
    Something that one session listens to.

    It ends when the token expires or is revoked (within two seconds, also when nothing
    happens), when its reader is too slow, and when the service stops.
    """

    def __init__(self, source: Source[T], sessions: Sessions, session: Session) -> None:
        """
        Args:
            source: Where the elements come from; closed with the stream.
            sessions: Tells when *session* ends.
            session: Who listens.
        """
        self.session = session
        self.ended: asyncio.Future[StreamEnded] = asyncio.get_running_loop().create_future()
        """Done as soon as the stream has ended, also while nobody takes from it."""
        self._source = source
        self._session_over = False
        source.on_close = self._note_end
        self._watch = asyncio.create_task(self._close_with(sessions))

    async def take(self) -> list[T]:
        """
        Return what has come since the last call, at least one element.

        Raises:
            StreamEnded: The stream has ended.
        """
        try:
            return await self._source.take()
        except ListenerClosed as error:
            raise StreamEnded(str(error), self._why(str(error))) from None

    async def take_or_heartbeat(self, seconds: float = HEARTBEAT_SECONDS) -> list[T]:
        """Same as `take`, but returns an empty list when nothing comes for *seconds*."""
        try:
            async with asyncio.timeout(seconds):
                return await self.take()
        except TimeoutError:
            return []

    async def turn(self) -> None:
        """Return when the next write may be made: not all of the time belongs to listeners."""

    async def aclose(self) -> None:
        """End the stream; idempotent."""
        self._source.close()
        self._watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._watch

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _close_with(self, sessions: Sessions) -> None:
        reason = await sessions.ended(self.session)
        self._session_over = True
        self._source.close(reason)

    def _note_end(self, reason: str) -> None:
        self.ended.set_result(StreamEnded(reason, self._why(reason)))

    def _why(self, reason: str) -> End:
        if reason == OVERFLOW:
            return End.SLOW
        return End.SESSION if self._session_over else End.STOPPING


class EventStream(Stream[Record]):
    """The events that one session listens to."""

    def __init__(
        self,
        hub: Hub,
        sessions: Sessions,
        session: Session,
        *,
        since: str | None = None,
        tags: Iterable[str] = (),
        listener: Queued | None = None,
        masked: bool = True,
    ) -> None:
        """
        Args:
            hub: Where the events come from.
            sessions: Tells when *session* ends.
            session: Who listens.
            since: The id of the last record that was seen.
            tags: Shell patterns; a tag must match one of them. All tags without.
            listener: What to take the events from, where not everybody sees all
                (`saltapi.engine.events.acl`); *since* and *tags* are then the listener's matter.
            masked: Whether events come without what only administrators see (`saltapi.masking`).
        """
        if listener is None:
            filters = [tag_glob(tag) for tag in tags]
            listener = hub.listen(filters, since=since, all_masters=True)
        super().__init__(listener, sessions, session)
        self._listener = listener
        self._hub = hub
        self._is_masked = masked
        hub.streams += 1

    async def take(self) -> list[Record]:
        """Same as `Stream.take`."""
        records = await super().take()
        if not self._is_masked:
            return records
        return [record.masked if isinstance(record, Event) else record for record in records]

    async def turn(self) -> None:
        """Same as `Stream.turn`."""
        await self._hub.share.wait(self._listener)

    async def gather(self) -> None:
        """
        Return when enough may have come for another write.

        A write costs more than what it carries: the more streams there are in this process, the
        less often each is written to, and what comes in between goes out together.
        """
        seconds = self._hub.streams * GATHER_SECONDS_PER_STREAM
        await asyncio.sleep(min(seconds, GATHER_LIMIT_SECONDS))

    def cursor(self) -> str | None:
        """Return an id to resume from when all that was taken has been seen; None if none is."""
        return self._listener.cursor()

    def _note_end(self, reason: str) -> None:
        self._hub.streams -= 1
        super()._note_end(reason)


class LiveViewStream(Stream[bytes]):
    """
    The changes of jobs and minions that one session listens to, as JSON texts.

    The first `take` returns the minions as they are; jobs are told from then on.
    """

    def __init__(
        self, view: LiveView, sessions: Sessions, session: Session, *, minions: MinionsShape
    ) -> None:
        """
        Args:
            view: The process's view.
            sessions: Tells when *session* ends.
            session: Who listens; grains are shown as far as its token may read them.
            minions: Whether minions come as a `list` or as a `dict` by their ids.
        """
        super().__init__(view.listen(session.token, minions=minions), sessions, session)


def json_text(event: Event) -> bytes:
    """Return `{"data": {…}, "tag": "…"}`, made once however many listen; with another's master."""
    return event.render("json", lambda event: formats.dump_json(_shown(event)))


def _shown(event: Event) -> dict[str, Any]:
    shown: dict[str, Any] = {"data": event.data, "tag": event.tag}
    if event.master is not None:
        shown["master"] = event.master
    return shown


def gap_fields(gap: Gap) -> dict[str, Any]:
    """Return why events are missing, and when they were fired, as far as that is known."""
    times = {"from": gap.since, "to": gap.until}
    return {"reason": gap.reason, **{name: at for name, at in times.items() if at is not None}}


def sse_frame(record: Record, *, ids: bool = False) -> bytes:
    """
    Return the bytes of one record in a server-sent events stream.

    Args:
        record: An event, or a gap, which is told only to who asked for ids.
        ids: Whether the client asked to be able to resume.
    """
    if isinstance(record, Gap):
        if not ids:
            return b""
        reason = formats.dump_json(gap_fields(record))
        return b"id: %b\nevent: gap\ndata: %b\n\n" % (record.id.encode(), reason)
    frame = record.render("sse", _sse_event)
    return b"id: %b\n%b" % (record.id.encode(), frame) if ids else frame


def render_each(
    records: Sequence[Record], encoding: str, make: Callable[[bytes], bytes]
) -> Iterator[bytes]:
    """
    Yield what *make* makes of the JSON of each event; gaps are left out.

    Args:
        records: Events and gaps.
        encoding: A name for what *make* makes: it is made once for each event and name.
        make: Gets `{"data": {…}, "tag": "…"}`.
    """
    for record in records:
        if isinstance(record, Event):
            yield record.render(encoding, lambda event: make(json_text(event)))


def joined(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield *parts* joined to fewer ones of about `BATCH_BYTES`, none of them empty."""
    batch: list[bytes] = []
    size_bytes = 0
    for part in parts:
        batch.append(part)
        size_bytes += len(part)
        if size_bytes >= BATCH_BYTES:
            yield b"".join(batch)
            batch, size_bytes = [], 0
    if size_bytes:
        yield b"".join(batch)


def _sse_event(event: Event) -> bytes:
    # A tag is the work of whoever fired it: a line end in it must not begin a line of ours.
    tag = " ".join(event.tag.splitlines())
    return b"tag: %b\ndata: %b\n\n" % (tag.encode("utf-8", "replace"), json_text(event))
