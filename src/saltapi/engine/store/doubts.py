"""
Jobs in doubt: their ids were given away, and nobody knows yet whether the master publishes them.

A request waits in the master's queue, also when its sender has long gone.
"""

import time
from collections.abc import Iterable

from saltapi.engine.store.store import ShareUsed, Store
from saltapi.types import Jid, Session

KIND = "job-doubt"
PUBLISHING_SECONDS = 10.0
"""How long the master may take from the check of a token to the publication."""
UNKNOWN_SECONDS = 7 * 86_400.0
"""How long a job is in doubt of which it is not known how long its request is good for."""


class Doubts:
    """Keeps which jobs may still be published, for all processes and restarts."""

    def __init__(self, store: Store) -> None:
        """
        Args:
            store: Where they are.
        """
        self._store = store

    async def note(
        self, session: Session, jids: Iterable[Jid | None], seconds: float | None
    ) -> None:
        """
        Note that jobs of *session* may be published for *seconds* from now; None if for ever.

        Raises:
            StoreUnavailable
        """
        lasts = UNKNOWN_SECONDS if seconds is None else seconds + PUBLISHING_SECONDS
        value, owner = session.owner.encode("utf-8", "surrogatepass"), session.owner
        for jid in filter(None, jids):
            try:
                await self._store.put(KIND, jid, value, expire=time.time() + lasts, owner=owner)
            except ShareUsed:
                return

    async def end(self, jids: Iterable[Jid | None]) -> None:
        """
        Note that it is known what has become of jobs.

        Raises:
            StoreUnavailable
        """
        for jid in filter(None, jids):
            await self._store.remove(KIND, jid)

    async def has(self, session: Session, jid: Jid) -> bool:
        """
        Return whether a job of *session* may still be published.

        Raises:
            StoreUnavailable
        """
        found = await self._store.get(KIND, jid)
        return found is not None and found == session.owner.encode("utf-8", "surrogatepass")
