"""
The store of several machines: a bucket of NATS JetStream.

Values of modules of one name meet, on whatever machine: so a command with a key runs once, however
many doors it comes through.
"""

import asyncio
import logging
from pathlib import Path

from saltapi.bridge.nats.bucket import Bucket
from saltapi.config.shared_store import StoreSection
from saltapi.engine.store import files, identity
from saltapi.engine.store.shares import Shares
from saltapi.engine.store.store import ITEMS_LIMIT
from saltapi.errors import StoreUnavailable

log = logging.getLogger(__name__)


class NatsStore:
    """Same as `saltapi.engine.store.store.Store`, in a bucket."""

    def __init__(self, section: StoreSection, name: str, directory: Path) -> None:
        """
        Args:
            section: The servers, and the bucket.
            name: The name of the module.
            directory: Where it is noted which bucket it was.

        Raises:
            CannotStart: A file that the section names cannot be used.
        """
        self._bucket = Bucket(section, f"saltapi {name}")
        self._bucket.on_open = self._recognise
        self._name = name
        self._shares = Shares()
        self._note = directory / f"{name}-{section.bucket}.nats"
        self._id: str | None = None
        self.lost_at: float | None = None
        """When a bucket before this one was lost, in seconds since the epoch; None if none was."""

    async def exists(self) -> bool:
        """Return whether anything may be kept: nobody is asked."""
        return True

    async def add(
        self, kind: str, key: str, value: bytes, *, expire: float, owner: str = ""
    ) -> bytes | None:
        """Put *value* unless there is one; None if it was put, else what was there."""
        self._shares.count(kind, key, value, expire, owner)
        found: bytes | None = b""
        try:
            found = await self._bucket.create(self._name, kind, key, value=value, expire=expire)
        finally:
            if found is not None:
                self._shares.forget(kind, key)
        return found

    async def get(self, kind: str, key: str) -> bytes | None:
        """Return the value; None if there is none, or it has expired."""
        return await self._bucket.get(self._name, kind, key)

    async def put(
        self, kind: str, key: str, value: bytes, *, expire: float, owner: str = ""
    ) -> None:
        """Put *value*, whatever was there."""
        self._shares.count(kind, key, value, expire, owner)
        await self._bucket.put(self._name, kind, key, value=value, expire=expire)

    async def replace(
        self, kind: str, key: str, old: bytes, new: bytes, *, expire: float, owner: str = ""
    ) -> bytes | None:
        """Put *new* if the value is *old*; return what was there before."""
        self._shares.count(kind, key, new, expire, owner)
        return await self._bucket.replace(self._name, kind, key, old=old, new=new, expire=expire)

    async def take(self, kind: str, key: str) -> bytes | None:
        """Return the value and remove it: only one caller ever gets it."""
        found = await self._bucket.take(self._name, kind, key)
        self._shares.forget(kind, key)
        return found

    async def remove(self, kind: str, key: str) -> None:
        """Remove the value, if there is one."""
        await self.take(kind, key)

    async def items(self, kind: str, *, limit: int = ITEMS_LIMIT) -> dict[str, bytes]:
        """Return the values of a kind by their keys, in the order of these."""
        return await self._bucket.items(self._name, kind, limit=limit)

    async def look(self) -> None:
        """Return if the servers answer."""
        await self._bucket.look()
        if self.lost_at is not None:
            self.lost_at = await asyncio.to_thread(identity.noted_lost_at, self._note)

    async def close(self) -> None:
        """End the connection; idempotent."""
        await self._bucket.close()

    async def _recognise(self, found: str) -> None:
        """Find out whether this is the bucket that was there before."""
        before = self.lost_at
        try:
            self.lost_at = await asyncio.to_thread(self._lost_at, found)
        except OSError as error:
            raise StoreUnavailable(f"{self._note.parent} cannot be written.") from error
        if self.lost_at is None:
            self._id = found
        elif before is None:
            log.error(
                "The bucket of saltapi_store is not the one that it was: it was deleted, or its"
                " servers have lost it. Commands with an idempotency key are refused, because it is"
                " not known which of them have run, until all keys would have expired, the bucket"
                " is back, or somebody says `saltapi store --reset` on each machine."
            )

    def _lost_at(self, found: str) -> float | None:
        files.make_directory(self._note.parent)
        with files.locked(self._note):
            return identity.lost_at(self._note, found, self._id)
