"""
Who is an administrator: sees all jobs and all events, and what is masked for everybody else.

That is decided here and nowhere else: a user whom the option `administrators` names, and one who
may run every function, on all minions and on the master.
"""

import time
from collections.abc import Iterable
from typing import Protocol

from saltapi.engine.sessions.user_names import User, UserNames, user_of
from saltapi.types import Opts, Session, Token

REMEMBERED_SECONDS = 5.0
REMEMBERED_SESSIONS = 1_000


class Rules(Protocol):
    """Knows what a session may run: `saltapi.bridge.permissions.permissions.Permissions`."""

    async def is_administrator(self, session: Session) -> bool:
        """Return whether the session may run every function, on all minions and the master."""


class Administrators:
    """Tells who is one, for one module."""

    def __init__(self, opts: Opts, rules: Rules, names: Iterable[str] = ()) -> None:
        """
        Args:
            opts: The master's options; not changed.
            rules: Knows what a session may run.
            names: The option `administrators`: `eauth:name`, or `name` where there is one system.

        Raises:
            CannotStart: It is not clear whom a name means.
        """
        names = list(names)
        known = UserNames(opts)
        known.check("administrators", names)
        self._named = {known.user(name) for name in names}
        self._rules = rules
        self._remembered: dict[tuple[Token, User], tuple[float, bool]] = {}

    async def includes(self, session: Session) -> bool:
        """Return whether the user of *session* is an administrator; what is narrowed is none."""
        if session.narrowed is not None:
            return False
        user = user_of(session)
        if user in self._named:
            return True
        now, key = time.monotonic(), (session.token, user)
        known = self._remembered.get(key)
        if known is None or now - known[0] > REMEMBERED_SECONDS:
            if len(self._remembered) >= REMEMBERED_SESSIONS:
                self._remembered.clear()
            known = now, await self._rules.is_administrator(session)
            self._remembered[key] = known
        return known[1]
