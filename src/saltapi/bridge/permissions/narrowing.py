"""What a session is allowed that is narrowed to less than its user is."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol

from saltapi.bridge.permissions.verdict import Verdict
from saltapi.errors import AuthorizationFailed
from saltapi.types import Session


class JudgesFunctions(Protocol):
    """Knows what a session may run: `saltapi.bridge.permissions.permissions.Permissions`."""

    async def runner(
        self, session: Session, fun: str, kwargs: Mapping[str, Any], args: Sequence[Any] = ()
    ) -> Verdict:
        """Return whether the session may run a runner function."""

    async def wheel(self, session: Session, fun: str, kwargs: Mapping[str, Any]) -> Verdict:
        """Return whether the session may run a wheel function."""


def parts_of(session: Session) -> tuple[Session, ...]:
    """Return the sessions that must all be allowed what *session* is: its user's, and its own."""
    if session.narrowed is None:
        return (session,)
    whole = replace(session, narrowed=None)
    return whole, replace(whole, only=session.narrowed)


def makes_tokens(fun: str) -> bool:
    """Return whether a runner or wheel function is about tokens, which no machine may make."""
    return fun.partition(".")[0] == "auth"


def check_whole(session: Session, what: str) -> Session:
    """
    Return *session*, if it may do all that its user may.

    Args:
        session: Whose request it is.
        what: What it is about to do, for the sentence.

    Raises:
        AuthorizationFailed: It is narrowed, and no permissions are for that.
    """
    if session.narrowed is not None:
        raise AuthorizationFailed(f"A token with permissions of its own cannot {what}.")
    return session


async def check_function(
    permissions: JudgesFunctions,
    session: Session | None,
    kind: Literal["runner", "wheel"],
    fun: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> None:
    """
    Return if a function of the master's may run; whatever is not narrowed the master checks.

    Raises:
        AuthorizationFailed: The session is narrowed to other functions, or one for machines, and
            the function is about tokens.
    """
    if session is None or not session.machine:
        return
    if session.narrowed is None and not makes_tokens(fun):
        return
    if kind == "runner":
        found = await permissions.runner(session, fun, kwargs, args)
    else:
        found = await permissions.wheel(session, fun, kwargs)
    if not found.allowed:
        raise AuthorizationFailed(found.reason)
