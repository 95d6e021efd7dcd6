"""The operations of tokens for machines: who may make, see and revoke them."""

import time
from collections.abc import Callable
from typing import Any

from saltapi.engine.audit.activity import acting
from saltapi.engine.sessions.administrators import Administrators
from saltapi.engine.sessions.caller import Caller
from saltapi.engine.sessions.machine_tokens import MachineTokens, Record
from saltapi.engine.sessions.token_permissions import check_addresses, check_permissions
from saltapi.errors import AuthorizationFailed, InvalidField
from saltapi.types import Session, Token

DEFAULT_SECONDS = 30 * 86_400
LEAST_SECONDS = 60
NAME_CHARACTERS = 100


class MachineTokenOperations:
    """Makes, lists and revokes tokens for people; a token for machines can do none of it."""

    def __init__(
        self,
        tokens: MachineTokens,
        administrators: Administrators,
        *,
        max_seconds: float,
        lets_make: Callable[[Session], bool],
    ) -> None:
        """
        Args:
            tokens: Keeps them.
            administrators: Tells who sees and revokes everybody's.
            max_seconds: How long one may last.
            lets_make: Tells whether somebody may make any.
        """
        self._lets_make = lets_make
        self._tokens = tokens
        self._administrators = administrators
        self._max_seconds = max_seconds

    async def make(
        self,
        caller: Caller,
        *,
        name: str,
        expires_in: float | None,
        permissions: Any,
        addresses: Any,
    ) -> tuple[Record, Token]:
        """
        Return a new token of the caller's, and what is kept of it.

        Args:
            caller: Who makes it.
            name: What it is called.
            expires_in: How many seconds it lasts; `DEFAULT_SECONDS` if None.
            permissions: Entries as in `external_auth`, None for all that the caller may.
            addresses: Addresses and networks, None for all.

        Raises:
            AuthorizationFailed: The caller is such a token, or of an issuer that says no to it.
            InvalidField, NotSupported, TooManyRequests, StoreUnavailable
        """
        session = _person(caller)
        if not self._lets_make(session):
            raise AuthorizationFailed(
                "Users of this identity provider make no tokens (machine_tokens of saltapi_oidc)."
            )
        if not 0 < len(name) <= NAME_CHARACTERS or not name.isprintable():
            raise InvalidField(
                f"name must be a text of 1 to {NAME_CHARACTERS} characters.", key="name"
            )
        seconds = min(DEFAULT_SECONDS, self._max_seconds) if expires_in is None else expires_in
        if not LEAST_SECONDS <= seconds <= self._max_seconds:
            raise InvalidField(
                f"expires_in must be from {LEAST_SECONDS} to {self._max_seconds:g} seconds.",
                key="expires_in",
            )
        checked = None if permissions is None else check_permissions(permissions)
        where = None if addresses is None else check_addresses(addresses)
        async with acting("token.make", fun=name):
            return await self._tokens.make(
                session,
                name,
                expire=time.time() + seconds,
                permissions=checked,
                addresses=where,
            )

    async def list(self, caller: Caller) -> list[tuple[Record, dict[str, Any]]]:
        """Return the caller's tokens, for administrators everybody's, with their last use."""
        session = _person(caller)
        everybody = await self._administrators.includes(session)
        return await self._tokens.list(session, everybody=everybody)

    async def revoke(self, caller: Caller, token_id: str) -> None:
        """
        Revoke a token of the caller's; administrators revoke anybody's.

        Raises:
            AuthorizationFailed: The caller is such a token.
            NotFound
        """
        session = _person(caller)
        everybody = await self._administrators.includes(session)
        async with acting("token.revoke", fun=token_id[:100]):
            await self._tokens.revoke(session, token_id, everybody=everybody)


def _person(caller: Caller) -> Session:
    session = caller.known()
    if session.machine:
        raise AuthorizationFailed("A token for machines cannot manage tokens; log in.")
    return session
