"""What the job service has to know of changes in stages, which other processes may see to."""

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


class NoChanges:
    """There are none."""

    async def find(self, _session: Session, _jid: Jid) -> RegisteredJob | None:
        """Return None."""
        return None

    async def learn(self, only: Jid | None = None) -> None:
        """Do nothing."""
