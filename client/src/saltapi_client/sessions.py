"""Sessions: a token, until when it is good, and what the server can do."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Protocol

from saltapi_client.shapes import fits, malformed

RENEW_SECONDS = 60.0
"""A token that is good for less is renewed before it is used."""


@dataclass(frozen=True)
class Session:
    """
    What a login has given.

    Attributes:
        token: The token; a credential.
        user: Whose it is.
        eauth: The system that knows the user.
        expire: When it ends, in epoch seconds.
        perms: The user's permissions as the login told them.
        v1: Whether the server has `/v1`; None while nobody has asked.
    """

    token: str = field(repr=False)
    user: str = ""
    eauth: str = ""
    expire: float = 0.0
    perms: Any = None
    v1: bool | None = None

    @property
    def good(self) -> bool:
        """Whether the token is good for a while."""
        return self.expire == 0.0 or self.expire - time.time() > RENEW_SECONDS

    def document(self) -> dict[str, Any]:
        """Return it as a document to keep; it has the token in it."""
        return asdict(self)


def session_from(found: Any) -> Session:
    """
    Return the session of a login's answer, or of a kept document.

    Raises:
        ServerError: There is no token in it.
    """
    if not isinstance(found, Mapping):
        raise malformed("has no session in it.")
    values = {
        each.name: found[each.name]
        for each in fields(Session)
        if found.get(each.name) is not None and fits(each.type, found[each.name])
    }
    token = values.get("token", "")
    if not (token and token.isascii() and token.isprintable()):
        raise malformed("has no token in it.")
    return Session(**values)


class Renewal(Protocol):
    """Gives a new password when a session has ended, where nobody has to type one."""

    def alone(self) -> AbstractContextManager[object]:
        """Return what keeps others of this machine from renewing meanwhile."""

    def password(self) -> str:
        """
        Return the new password.

        Raises:
            AuthenticationFailed: There is none any more.
            NotReachable: Whoever gives it does not answer.
        """


class TokenStore(Protocol):
    """Keeps sessions from one command to the next."""

    def get(self, name: str) -> Session | None:
        """Return the session that is kept under *name*."""

    def put(self, name: str, session: Session) -> None:
        """Keep *session* under *name*."""

    def delete(self, name: str) -> None:
        """Forget the session that is kept under *name*."""
