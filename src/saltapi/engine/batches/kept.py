"""
Changes in stages as the processes of this machine keep them: facts, leases, orders and tokens.

Only whoever drives a change writes its facts, and each time only in place of what it wrote before:
a process that was thought dead, and is not, finds that out before it publishes anything.
"""

import contextlib
import json
import secrets
import time
from typing import Literal, NamedTuple, TypeAlias

from saltapi import formats
from saltapi.bridge.jobs.batches import Batch
from saltapi.engine.store.sqlite import SqliteStore
from saltapi.engine.store.store import ALL_ITEMS, ShareUsed
from saltapi.errors import Conflict, StoreUnavailable
from saltapi.types import Jid, Token

FACTS, ACTIVE, PAST, LEASE, ORDER, TOKEN = (
    "batch",
    "batch-active",
    "batch-past",
    "batch-lease",
    "batch-order",
    "batch-token",
)
LEASE_SECONDS = 10.0
"""A process that has not said for so long that it drives a change has died."""
LIFE_SECONDS = 7 * 86_400.0
"""How long a change may take, with all that it waits."""
MARGIN_SECONDS = 3_600.0
"""For so long after that what is kept of it stays, if nobody has noted its end."""
NEWS_SECONDS = 60.0
"""For so long other processes find a change among the news that has ended."""
ENDED = b" ended"

Order: TypeAlias = Literal["pause", "resume", "stop"]


class News(NamedTuple):
    """How far a change is: enough to know whether there is something to be read of it."""

    version: int
    """Of its facts."""
    ended: bool


class LeaseLost(Exception):
    """Another process has taken the change over."""


class KeptBatches:
    """Reads and writes what is kept; every method raises `StoreUnavailable`."""

    def __init__(self, store: SqliteStore, *, seconds: float) -> None:
        """
        Args:
            store: What all processes of the master's modules share.
            seconds: How long a change is known after its end.
        """
        self._store = store
        self._seconds = seconds
        self.me = secrets.token_hex(8)
        """What stands for this process."""

    async def exists(self) -> bool:
        """Return whether anything was ever kept."""
        return await self._store.exists()

    async def create(self, batch: Batch, token: Token) -> bytes:
        """
        Keep a new change, driven here, and return what was written of it.

        Raises:
            ShareUsed: Its user has as many as there is room for.
            Conflict: There is one of this id.
        """
        batch.driver = self.me
        expire, owner = batch.started_at + LIFE_SECONDS + MARGIN_SECONDS, _owner(batch)
        await self.lease(batch.jid)
        await self._store.put(TOKEN, batch.jid, token.encode(), expire=expire, owner=owner)
        await self._store.put(ACTIVE, batch.jid, b"0", expire=expire)
        written = formats.dump_json(batch.as_data())
        if await self._store.add(FACTS, batch.jid, written, expire=expire, owner=owner) is not None:
            raise Conflict("There is a change of this id.")
        return written

    async def find(self, jid: Jid) -> tuple[Batch, bytes] | None:
        """Return what is kept of a change, and how it is written; None if there is none."""
        found = await self._store.get(FACTS, jid)
        try:
            return None if found is None else (Batch.from_data(json.loads(found)), found)
        except (ValueError, TypeError, KeyError):  # of another version
            return None

    async def save(self, batch: Batch, before: bytes) -> bytes:
        """
        Write the facts of a change in place of *before*, and return what was written.

        Raises:
            LeaseLost: Somebody else has written since.
        """
        batch.version += 1
        written = formats.dump_json(batch.as_data())
        expire, owner = batch.started_at + LIFE_SECONDS + MARGIN_SECONDS, _owner(batch)
        if batch.ended:
            expire = time.time() + self._seconds
        found = await self._store.replace(
            FACTS, batch.jid, before, written, expire=expire, owner=owner
        )
        if found != before:
            raise LeaseLost
        # Whoever finds a change that has ended, and is not noted as such, does so later.
        with contextlib.suppress(StoreUnavailable, ShareUsed):
            if batch.ended:
                await self.clear(batch)
            else:
                await self._store.put(ACTIVE, batch.jid, b"%d" % batch.version, expire=expire)
        return written

    async def clear(self, batch: Batch) -> None:
        """Forget what is needed of a change until its end, and let others know of that."""
        await self._store.put(PAST, batch.jid, b"", expire=time.time() + self._seconds)
        news, expire = b"%d%s" % (batch.version, ENDED), time.time() + NEWS_SECONDS
        await self._store.put(ACTIVE, batch.jid, news, expire=expire)
        for kind in (TOKEN, LEASE, ORDER):
            await self._store.remove(kind, batch.jid)

    async def forget(self, jid: Jid) -> None:
        """Forget a change whose facts are gone."""
        for kind in (ACTIVE, TOKEN, LEASE, ORDER):
            await self._store.remove(kind, jid)

    async def news(self) -> dict[Jid, News]:
        """Return the changes that have not ended, and those that ended of late."""
        found = await self._store.items(ACTIVE)
        return {
            jid: News(int(value.removesuffix(ENDED)), value.endswith(ENDED))
            for jid, value in found.items()
        }

    async def active(self) -> list[Jid]:
        """Return the changes that have not ended."""
        return [jid for jid, news in (await self.news()).items() if not news.ended]

    async def past(self) -> frozenset[Jid]:
        """Return the changes that have ended, as long as anything is kept of them."""
        return frozenset(await self._store.items(PAST, limit=ALL_ITEMS))

    async def lease(self, jid: Jid) -> bool:
        """Take the lease of a change, or go on with it; return whether it is this process's."""
        me, expire = self.me.encode(), time.time() + LEASE_SECONDS
        found = await self._store.add(LEASE, jid, me, expire=expire)
        if found == me:
            found = await self._store.replace(LEASE, jid, me, me, expire=expire)
        return found in {None, me}

    async def is_leased(self, jid: Jid) -> bool:
        """Return whether a process drives a change."""
        return await self._store.get(LEASE, jid) is not None

    async def release(self, jid: Jid) -> None:
        """Give the lease of a change back, if it is this process's."""
        if await self._store.get(LEASE, jid) == self.me.encode():
            await self._store.remove(LEASE, jid)

    async def give_order(self, jid: Jid, order: Order) -> str:
        """Leave an order for whoever drives the change, and return its id."""
        name = secrets.token_hex(4)
        value = f"{name} {order}".encode()
        await self._store.put(ORDER, jid, value, expire=time.time() + LIFE_SECONDS)
        return name

    async def take_order(self, jid: Jid) -> tuple[str, str] | None:
        """Return id and word of the order that was left, once; None without one."""
        if await self._store.get(ORDER, jid) is None:
            return None
        name, _, order = (await self._store.take(ORDER, jid) or b"").decode().partition(" ")
        return (name, order) if order else None

    async def token(self, jid: Jid) -> Token:
        """Return the token that the change runs with; "" if there is none."""
        return (await self._store.get(TOKEN, jid) or b"").decode()

    async def set_token(self, batch: Batch, token: Token) -> None:
        """Let the change run with another token of its user's."""
        expire = batch.started_at + LIFE_SECONDS + MARGIN_SECONDS
        await self._store.put(TOKEN, batch.jid, token.encode(), expire=expire, owner=_owner(batch))


def _owner(batch: Batch) -> str:
    return json.dumps([batch.eauth, batch.user])
