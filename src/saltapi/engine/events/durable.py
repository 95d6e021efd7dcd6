"""
Durable cursors: how far a consumer of events was, by a name, for whoever comes back with it.

A cursor is a value in the store: the id behind which everything is still to be acknowledged. What
is sent and not acknowledged in time is sent again, from there: each event at least once. So the
servers keep one small value for each, and none of their own consumers, which could neither apply
`event_acl` nor know the events that have not come into the log yet.
"""

import asyncio
import json
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace

from saltapi.bridge.bus import cursors
from saltapi.bridge.bus.events import Record
from saltapi.bridge.bus.hub import ListenerClosed
from saltapi.engine.events.streams import Queued
from saltapi.engine.store.store import Store
from saltapi.errors import Conflict, InvalidField, NotFound, TooManyRequests
from saltapi.types import Session

KIND = "event_cursor"
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
LIFE_SECONDS = 14 * 86_400.0
"""A cursor that nobody has used for so long is forgotten."""
CURSORS_OF_A_USER = 20
CURSORS = 1000
UNACKNOWLEDGED_RECORDS = 10_000
"""So many are sent before some are acknowledged."""
IDLE_SECONDS = 2.0
"""The same while nothing has to be."""
LOOK_SECONDS = 0.25
"""How often it is looked whether something was acknowledged, at whichever door."""
TRIES = 5
BUSY_SECONDS = 60
REPLACED = "Somebody else reads with this cursor."


@dataclass(frozen=True, slots=True)
class DurableCursor:
    """One cursor."""

    name: str
    user: str
    eauth: str
    id: str
    """The id of the last event that was acknowledged, or of where it began."""
    made: float
    used: float
    """When something was acknowledged last, or somebody began to read."""
    reader: str = ""
    """Who reads: one at a time."""

    def packed(self) -> bytes:
        """Return the value in the store."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def of(cls, value: bytes) -> "DurableCursor":
        """Return the cursor of a value."""
        return cls(**json.loads(value))


class DurableCursors:
    """The cursors of all users. Methods raise `StoreUnavailable` where the store is away."""

    def __init__(self, store: Store) -> None:
        """
        Args:
            store: What all doors share.
        """
        self._store = store

    async def of(self, session: Session, *, everybody: bool = False) -> list[DurableCursor]:
        """Return the cursors of *session*'s user, or everybody's."""
        found = [DurableCursor.of(value) for value in await self._all()]
        return [c for c in found if everybody or (c.eauth, c.user) == (session.eauth, session.name)]

    async def begin(self, session: Session, name: str, since: str) -> DurableCursor:
        """
        Return the cursor *name*, which only who has called this last reads with.

        Args:
            session: Whose it is.
            name: Its name, among the user's.
            since: Where it begins if there is none of this name.

        Raises:
            InvalidField: *name* is none.
            TooManyRequests: There are too many.
        """
        reader, now = secrets.token_hex(8), time.time()
        new = DurableCursor(_checked(name), session.name, session.eauth, since, now, now, reader)
        if await self._store.get(KIND, _key(session, name)) is None:
            await self._count(session)
            added = await self._store.add(
                KIND, _key(session, name), new.packed(), expire=_expire(), owner=session.owner
            )
            if added is None:
                return new
        return await self._change(session, name, lambda cursor: replace(cursor, reader=reader))

    async def acknowledge(self, session: Session, name: str, event_id: str) -> DurableCursor:
        """
        Note that everything up to the event *event_id* has been dealt with.

        Raises:
            InvalidField: It is no id.
            NotFound: There is no such cursor of the user's.
        """
        if cursors.parse(event_id) is None:
            raise InvalidField("id must be the id of a record of the stream.", key="id")
        return await self._change(session, name, lambda cursor: replace(cursor, id=event_id))

    async def get(self, session: Session, name: str) -> DurableCursor:
        """Return a cursor of the user's; raise `NotFound` if there is none."""
        value = await self._store.get(KIND, _key(session, name))
        if value is None:
            raise _missing(name)
        return DurableCursor.of(value)

    async def remove(self, session: Session, name: str) -> None:
        """Forget a cursor of the user's; raise `NotFound` if there is none."""
        if await self._store.take(KIND, _key(session, name)) is None:
            raise _missing(name)

    async def _change(
        self, session: Session, name: str, change: Callable[[DurableCursor], DurableCursor]
    ) -> DurableCursor:
        key = _key(session, name)
        for _ in range(TRIES):
            old = await self._store.get(KIND, key)
            if old is None:
                raise _missing(name)
            new = replace(change(DurableCursor.of(old)), used=time.time())
            found = await self._store.replace(
                KIND, key, old, new.packed(), expire=_expire(), owner=session.owner
            )
            if found == old:
                return new
        raise Conflict(f"The cursor {name} is being changed by others; try again.")

    async def _count(self, session: Session) -> None:
        found = [DurableCursor.of(value) for value in await self._all()]
        own = [c for c in found if (c.eauth, c.user) == (session.eauth, session.name)]
        if len(own) >= CURSORS_OF_A_USER or len(found) >= CURSORS:
            whose = "You have" if len(own) >= CURSORS_OF_A_USER else "All users together have"
            raise TooManyRequests(
                f"{whose} as many cursors as there may be; delete one.",
                retry_after_seconds=BUSY_SECONDS,
            )

    async def _all(self) -> list[bytes]:
        return list((await self._store.items(KIND, limit=2 * CURSORS)).values())


class DurableReader:
    """What a stream with a cursor takes from: the same as a `Listener`."""

    def __init__(
        self,
        kept: DurableCursors,
        session: Session,
        cursor: DurableCursor,
        listen: Callable[[str], Awaitable[Queued]],
        *,
        ack_wait_seconds: float,
    ) -> None:
        """
        Args:
            kept: Where the cursor is.
            session: Whose it is.
            cursor: What `begin` has returned.
            listen: Returns what comes behind an id.
            ack_wait_seconds: After how long what was not acknowledged is sent again.
        """
        self.on_close: Callable[[str], None] | None = None
        self._kept = kept
        self._session = session
        self._cursor = cursor
        self._listen = listen
        self._wait_seconds = ack_wait_seconds
        self._inner: Queued | None = None
        self._sent: dict[str, float] = {}
        """When each record was sent that is not acknowledged, in their order."""
        self._looked_at = 0.0
        self._taking: asyncio.Task[list[Record]] | None = None
        self._closed: str | None = None

    @property
    def is_half_full(self) -> bool:
        """Whether half of what may wait does."""
        return self._inner is not None and self._inner.is_half_full

    def cursor(self) -> str | None:
        """Return an id to acknowledge when all has been; None while something is not."""
        return None if self._inner is None or self._sent else self._inner.cursor()

    async def take(self) -> list[Record]:
        """
        Return some records, new ones or some again.

        Raises:
            ListenerClosed: The listener has ended.
        """
        while True:
            if self._closed is not None:
                raise ListenerClosed(self._closed)
            await self._look()
            if self._closed is None and self._inner is None:
                self._inner = await self._begin()
            if len(self._sent) >= UNACKNOWLEDGED_RECORDS:
                await asyncio.sleep(LOOK_SECONDS)
            elif self._inner is not None and (records := await self._some()):
                now = time.monotonic()
                self._sent.update((record.id, now) for record in records)
                return records

    def close(self, reason: str = "closed") -> None:
        """End the listener; idempotent."""
        if self._closed is None:
            self._closed = reason
            self._leave(reason)
            if self.on_close is not None:
                self.on_close(reason)

    async def _begin(self) -> Queued:
        inner = await self._listen(self._cursor.id)
        inner.on_close = self.close
        return inner

    async def _some(self) -> list[Record]:
        """Return what has come; nothing if nothing does for a while."""
        if self._taking is None:
            assert self._inner is not None  # noqa: S101 - it has begun
            self._taking = asyncio.create_task(self._inner.take())
        seconds = LOOK_SECONDS if self._sent else IDLE_SECONDS
        done, _ = await asyncio.wait({self._taking}, timeout=seconds)
        if not done:
            return []
        taking, self._taking = self._taking, None
        return taking.result()

    async def _look(self) -> None:
        """Take note of what was acknowledged; begin again where that took too long."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        try:
            found = await self._kept.get(self._session, self._cursor.name)
        except NotFound as error:
            self.close(str(error))
            return
        if found.reader != self._cursor.reader:
            self.close(REPLACED)
            return
        if found.id != self._cursor.id:
            self._cursor = found
            self._forget(found.id)
        elif self._sent and now - next(iter(self._sent.values())) > self._wait_seconds:
            self._again()

    def _forget(self, event_id: str) -> None:
        """Count what was sent up to *event_id* as acknowledged."""
        if event_id not in self._sent:
            return
        for sent in list(self._sent):
            del self._sent[sent]
            if sent == event_id:
                return

    def _again(self) -> None:
        """Send again what was not acknowledged."""
        self._sent.clear()
        self._leave("sent again")

    def _leave(self, reason: str) -> None:
        inner, self._inner = self._inner, None
        taking, self._taking = self._taking, None
        if taking is not None:
            taking.cancel()
        if inner is not None:
            inner.on_close = None
            inner.close(reason)


def _checked(name: str) -> str:
    if NAME.fullmatch(name) is None:
        raise InvalidField(
            "cursor must be 1 to 64 letters, digits, dots, hyphens or underscores.", key="cursor"
        )
    return name


def _key(session: Session, name: str) -> str:
    return json.dumps([session.eauth, session.name, name])


def _missing(name: str) -> NotFound:
    return NotFound(f"You have no cursor {name[:64]!r}.")


def _expire() -> float:
    return time.time() + LIFE_SECONDS
