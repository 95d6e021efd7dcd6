"""What the job service has to know of changes in stages, which other processes may see to."""

from collections.abc import Collection
from typing import Protocol

from saltapi.bridge.jobs.registered import RegisteredJob
from saltapi.types import Jid, Session


class Changes(Protocol):
    """Knows what is kept of changes."""

    async def find(self, session: Session, jid: Jid) -> RegisteredJob | None:
        """Return the job of a change, which is none that the master knows; None if it is none."""

    async def learn(self, only: Jid | None = None) -> None:
        """
        Take note of how far the changes are that other processes see to.

        Args:
            only: One that is asked for; all without.

        Raises:
            StoreUnavailable
        """

    async def ended(self) -> Collection[Jid]:
        """
        Return the changes that have ended, also before this process began.

        Raises:
            StoreUnavailable
        """

    async def past(self, jid: Jid) -> RegisteredJob | None:
        """
        Return the job of a change without minions and returns; None if nothing is kept of it.

        Raises:
            StoreUnavailable
        """


class NoChanges:
    """There are none."""

    async def find(self, _session: Session, _jid: Jid) -> RegisteredJob | None:
        """Return None."""
        return None

    async def learn(self, only: Jid | None = None) -> None:
        """Do nothing."""

    async def ended(self) -> Collection[Jid]:
        """Return none."""
        return ()

    async def past(self, _jid: Jid) -> RegisteredJob | None:
        """Return None."""
        return None
