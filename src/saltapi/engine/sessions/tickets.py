"""
Tickets: a way into an event stream for those who cannot send a header, a browser's `EventSource`.

A ticket is good once, for half a minute, in every process of the module. What is kept of it says
neither the ticket nor the token: its hash, and the token hidden by a text that only the ticket
gives.
"""

import hashlib
import re
import secrets
import time

from saltapi.engine.store.store import Store
from saltapi.errors import AuthenticationFailed
from saltapi.types import Session, Token

LIFE_SECONDS = 30.0
TICKET_BYTES = 32
TICKET = re.compile(r"[0-9a-f]{64}")
KIND = "ticket"
REFUSED = "The ticket is unknown, used or has expired; get another one."


class Tickets:
    """Makes tickets and takes them back."""

    def __init__(self, store: Store) -> None:
        """
        Args:
            store: What all processes of the module share.
        """
        self._store = store

    async def make(self, session: Session) -> tuple[str, float]:
        """
        Return a ticket for *session* and when it expires, in seconds since the epoch.

        Raises:
            StoreUnavailable
            ShareUsed: The user has too many tickets.
        """
        ticket = secrets.token_hex(TICKET_BYTES)
        expire = min(time.time() + LIFE_SECONDS, session.expire)
        hidden = _hide(session.token.encode(), ticket)
        await self._store.put(KIND, _name(ticket), hidden, expire=expire, owner=session.owner)
        return ticket, expire

    async def redeem(self, ticket: str) -> Token:
        """
        Return the session token behind *ticket*, which is of no use from then on.

        Raises:
            AuthenticationFailed: It is no ticket, has expired, or was used before.
            StoreUnavailable
        """
        hidden = None
        # Looking first is cheap: somebody who guesses does not make us write.
        if TICKET.fullmatch(ticket) and await self._store.get(KIND, _name(ticket)):
            hidden = await self._store.take(KIND, _name(ticket))
        if hidden is None:
            raise AuthenticationFailed(REFUSED)
        return _hide(hidden, ticket).decode()


def _name(ticket: str) -> str:
    return hashlib.sha256(f"name {ticket}".encode()).hexdigest()


def _hide(value: bytes, ticket: str) -> bytes:
    """Return *value* hidden by *ticket*, or shown again: a pad as long as it, used once."""
    pad = hashlib.shake_256(f"pad {ticket}".encode()).digest(len(value))
    return bytes(a ^ b for a, b in zip(value, pad, strict=True))
