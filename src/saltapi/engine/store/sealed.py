"""
A store whose values tell nothing to who reads it, and cannot be made by who writes to it.

It lies over another one and seals each value with the secret that the machines share, for its kind
and its key: a value that is moved to another place is not one.
"""

import logging

from saltapi import seldom
from saltapi.bridge.nats.sealing import Seal
from saltapi.engine.store.store import ITEMS_LIMIT, Store

log = logging.getLogger(__name__)


class SealedStore:
    """Same as `saltapi.engine.store.store.Store`; what others have written is not there."""

    def __init__(self, store: Store, seal: Seal) -> None:
        self._store = store
        self._seal = seal

    @property
    def lost_at(self) -> float | None:
        """When values were lost, in seconds since the epoch; None if none were."""
        return self._store.lost_at

    async def exists(self) -> bool:
        """Return whether anything may be kept."""
        return await self._store.exists()

    async def add(
        self, kind: str, key: str, value: bytes, *, expire: float, owner: str = ""
    ) -> bytes | None:
        """Put *value* unless there is one; None if it was put, else what was there."""
        sealed = self._sealed(kind, key, value)
        found = await self._store.add(kind, key, sealed, expire=expire, owner=owner)
        # What is no value of ours is in the way all the same.
        return None if found is None else self._opened(kind, key, found) or b""

    async def get(self, kind: str, key: str) -> bytes | None:
        """Return the value; None if there is none, or it has expired."""
        return self._opened(kind, key, await self._store.get(kind, key))

    async def put(
        self, kind: str, key: str, value: bytes, *, expire: float, owner: str = ""
    ) -> None:
        """Put *value*, whatever was there."""
        sealed = self._sealed(kind, key, value)
        await self._store.put(kind, key, sealed, expire=expire, owner=owner)

    async def replace(
        self, kind: str, key: str, old: bytes, new: bytes, *, expire: float, owner: str = ""
    ) -> bytes | None:
        """Put *new* if the value is *old*; return what was there before."""
        sealed = await self._store.get(kind, key)
        found = self._opened(kind, key, sealed)
        if sealed is None or found != old:
            return found
        before = await self._store.replace(
            kind, key, sealed, self._sealed(kind, key, new), expire=expire, owner=owner
        )
        return self._opened(kind, key, before)

    async def take(self, kind: str, key: str) -> bytes | None:
        """Return the value and remove it: only one caller ever gets it."""
        return self._opened(kind, key, await self._store.take(kind, key))

    async def remove(self, kind: str, key: str) -> None:
        """Remove the value, if there is one."""
        await self._store.remove(kind, key)

    async def items(self, kind: str, *, limit: int = ITEMS_LIMIT) -> dict[str, bytes]:
        """Return the values of a kind by their keys, in the order of these."""
        found = await self._store.items(kind, limit=limit)
        opened = {key: self._opened(kind, key, sealed) for key, sealed in found.items()}
        return {key: value for key, value in opened.items() if value is not None}

    async def look(self) -> None:
        """Return if the store can be used."""
        await self._store.look()

    async def close(self) -> None:
        """Let go of it; idempotent."""
        await self._store.close()

    def _sealed(self, kind: str, key: str, value: bytes) -> bytes:
        return self._seal.seal(_place(kind, key), value)

    def _opened(self, kind: str, key: str, sealed: bytes | None) -> bytes | None:
        value = None if sealed is None else self._seal.open(_place(kind, key), sealed)
        if sealed is not None and value is None:
            seldom.warning(
                log, "forged_value", "A value in the bucket was not sealed with our secret_file."
            )
        return value


def _place(kind: str, key: str) -> str:
    """Return what tells a place from all others, and from every token."""
    return f"{len(kind)} {kind} {key}"
