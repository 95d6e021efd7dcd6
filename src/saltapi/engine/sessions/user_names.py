"""
Names of users in options: `eauth:name`, since two eauth systems may each have a user of a name.

A name without a system is that of the only system in `external_auth`. Where there are several, it
could be anybody's who gets the name from the weakest of them, so it is refused.
"""

from collections.abc import Iterable
from typing import TypeAlias

from saltapi.errors import CannotStart
from saltapi.types import Opts, Session

User: TypeAlias = tuple[str, str]
"""The eauth system of a user, and the name."""


class UserNames:
    """Reads the names of users, as one master's `external_auth` makes them clear."""

    def __init__(self, opts: Opts) -> None:
        """
        Args:
            opts: The master's options; not changed.
        """
        systems = opts.get("external_auth")
        self.systems = sorted(map(str, systems)) if isinstance(systems, dict) else []
        """The eauth systems that there are."""

    @property
    def are_clear(self) -> bool:
        """Whether a name alone says who it is."""
        return len(self.systems) < 2

    def is_bound(self, text: str) -> bool:
        """Return whether *text* names an eauth system, too."""
        system, colon, name = text.partition(":")
        return bool(colon and name) and system in self.systems

    def user(self, text: str) -> User | None:
        """Return who *text* is; None if that is not clear."""
        if self.is_bound(text):
            system, _, name = text.partition(":")
            return system, name
        return (self.systems[0], text) if len(self.systems) == 1 else None

    def entries(self, eauth: str | None, name: str) -> list[str]:
        """Return what an entry for a user may be called in `api_acl`, where a name is enough."""
        bound = f"{eauth}:{name}"
        return [bound] if self.is_bound(name) else [bound, name]

    def unclear(self, texts: Iterable[str]) -> list[str]:
        """Return those of *texts* that could be more than one user."""
        if self.are_clear:
            return []
        return [text for text in texts if not self.is_bound(text)]

    def check(self, option: str, texts: Iterable[str]) -> None:
        """
        Return if it is clear whom the *texts* in an option name.

        Raises:
            CannotStart: It is not; the sentence names *option* and says what to write.
        """
        unclear = self.unclear(texts)
        if unclear:
            raise CannotStart(f"{option}: {self.advice(unclear)}")

    def advice(self, unclear: list[str]) -> str:
        """Return the sentence that says what to write in place of names that are not clear."""
        instead = " or ".join(f"{system}:{unclear[0]}" for system in self.systems)
        return (
            f"{', '.join(unclear)} could be a user of each of the eauth systems in external_auth;"
            f" write {instead}."
        )


def user_of(session: Session) -> User:
    """Return who has a session."""
    return session.eauth, session.name
