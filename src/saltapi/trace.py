"""
What a request turns out to be about, for the log line that it ends with.

A module sets a `Trace` for each request; whoever learns the user or a jid on the way notes it.
"""

import secrets
from contextvars import ContextVar
from dataclasses import dataclass, field

from saltapi.types import Jid

JIDS_KEPT = 20
USER_LIMIT_CHARACTERS = 64


@dataclass(slots=True)
class Trace:
    """One request: its id, who sent it, and the jobs that it started."""

    request_id: str = field(default_factory=lambda: secrets.token_hex(8))
    user: str | None = None
    jids: list[Jid] = field(default_factory=list)

    def __str__(self) -> str:
        """Return the end of a log line; a name cannot look like more than a name in it."""
        name = (self.user or "-")[:USER_LIMIT_CHARACTERS]
        user = "".join(c if c.isprintable() and c != " " else "?" for c in name)
        return f"request={self.request_id} user={user} jid={','.join(self.jids) or '-'}"


current: ContextVar[Trace | None] = ContextVar("saltapi_trace", default=None)


def note_user(name: str) -> None:
    """Say that the current request is *name*'s."""
    trace = current.get()
    if trace is not None:
        trace.user = name


def note_jid(jid: Jid) -> None:
    """Say that the current request has started the job *jid*."""
    trace = current.get()
    if trace is not None and len(trace.jids) < JIDS_KEPT:
        trace.jids.append(jid)
