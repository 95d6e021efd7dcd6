"""
What a request turns out to be about, for the log line that it ends with.

A module sets a `Trace` for each request; whoever learns the user or a jid on the way notes it.
A trace may be a part of a larger one, which W3C Trace Context names: `traceparent` and
`tracestate`. saltapi reports no spans, so it hands on what it got as it is, and the tree of
spans stays whole: https://www.w3.org/TR/trace-context/
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Self

from saltapi.errors import SaltApiError
from saltapi.types import Jid

JIDS_KEPT = 20
SILENT_SHOWN = 20
"""How many names of silent minions a header holds; of more it says how many."""
USER_LIMIT_CHARACTERS = 64

MISSING_HEADER = "X-Salt-Missing"
TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
KNOWN_FLAGS = 0b11
"""Sampled, and (level 2) random trace id; others are not to be handed on."""
TRACESTATE_LIMIT_CHARACTERS = 512
TRACESTATE_MEMBERS = 32
_KEY = r"[a-z0-9][a-z0-9_\-*/]{0,240}(?:@[a-z][a-z0-9_\-*/]{0,13})?"
TRACESTATE_MEMBER = re.compile(rf"{_KEY}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x7e]")


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The place of a request in a trace of several programs."""

    traceparent: str
    tracestate: str = ""
    received: bool = False
    """Whether the client sent it; otherwise it began here, and nobody records it."""

    @classmethod
    def begin(cls) -> Self:
        """Return the root of a new trace."""
        return cls(f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00")

    @classmethod
    def read(cls, traceparent: Sequence[str], tracestate: Sequence[str] = ()) -> Self | None:
        """
        Return the context that a request's headers hold; None if they hold no valid one.

        Args:
            traceparent: Every value of the header of this name; more than one is not valid.
            tracestate: Every value of the other header; passed over if it is not valid.
        """
        found = TRACEPARENT.fullmatch(traceparent[0].strip()) if len(traceparent) == 1 else None
        if found is None:
            return None
        version, trace_id, parent_id, flags, more = found.groups()
        if version == "ff" or (version == "00" and more) or not int(trace_id, 16):
            return None
        if not int(parent_id, 16):
            return None
        # A later version may hold more: what is known of it goes on as version 00 (section 4.2.2).
        known = int(flags, 16) & KNOWN_FLAGS
        return cls(f"00-{trace_id}-{parent_id}-{known:02x}", _state(tracestate), True)

    @property
    def trace_id(self) -> str:
        """The id of the whole trace, 32 hexadecimal digits."""
        return self.traceparent[3:35]

    def as_mapping(self) -> dict[str, str]:
        """Return the headers, or keys of a load, that hand the context on."""
        carried = {"traceparent": self.traceparent}
        if self.tracestate:
            carried["tracestate"] = self.tracestate
        return carried


@dataclass(slots=True)
class Trace:
    """One request: its id, who sent it, the jobs that it started, and the trace it belongs to."""

    request_id: str = field(default_factory=lambda: secrets.token_hex(8))
    user: str | None = None
    jids: list[Jid] = field(default_factory=list)
    context: TraceContext | None = None
    eauth: str | None = None
    machine: str = ""
    """The id of the token for machines that it came with."""
    error: SaltApiError | None = None
    """What the request is answered with, if that is an error."""
    silent: list[str] = field(default_factory=list)
    """Minions that did not say in time that they are there, and that the command was not run on."""

    def missing_headers(self) -> dict[str, str]:
        """Return `X-Salt-Missing` for an answer that minions are left out of."""
        if not self.silent:
            return {}
        names = [name if name.isascii() and name.isprintable() else "?" for name in self.silent]
        more = [f"+{len(names) - SILENT_SHOWN}"] if len(names) > SILENT_SHOWN else []
        return {MISSING_HEADER: ", ".join([*names[:SILENT_SHOWN], *more])}

    def __str__(self) -> str:
        """Return the end of a log line; a name cannot look like more than a name in it."""
        name = (self.user or "-")[:USER_LIMIT_CHARACTERS]
        user = "".join(c if c.isprintable() and c != " " else "?" for c in name)
        line = f"request={self.request_id} user={user} jid={','.join(self.jids) or '-'}"
        return line if self.context is None else f"{line} trace={self.context.trace_id}"

    def as_mapping(self) -> dict[str, Any]:
        """Return the same facts by name, for a log of JSON lines."""
        facts: dict[str, Any] = {"request_id": self.request_id}
        if self.user is not None:
            facts["user"] = self.user[:USER_LIMIT_CHARACTERS]
        if self.jids:
            facts["jid"] = list(self.jids)
        if self.context is not None:
            facts["trace_id"] = self.context.trace_id
        return facts


current: ContextVar[Trace | None] = ContextVar("saltapi_trace", default=None)
act_jids: ContextVar[list[Jid] | None] = ContextVar("saltapi_act_jids", default=None)
"""The jobs of the act that is under way (`saltapi.engine.audit.activity`)."""


def note_user(name: str, eauth: str | None = None, machine: str = "") -> None:
    """Say that the current request is *name*'s, of *eauth*, perhaps by a token for a *machine*."""
    trace = current.get()
    if trace is not None:
        trace.user = name
        trace.eauth = eauth
        trace.machine = machine


def note_jid(jid: Jid) -> None:
    """Say that the current request has started the job *jid*."""
    trace = current.get()
    if trace is not None and len(trace.jids) < JIDS_KEPT:
        trace.jids.append(jid)
    jids = act_jids.get()
    if jids is not None and jid not in jids and len(jids) < JIDS_KEPT:
        jids.append(jid)


def note_silent(minions: Sequence[str]) -> None:
    """Say that *minions* were left out of the current request's command: they did not answer."""
    trace = current.get()
    if trace is not None:
        trace.silent.extend(minions)


def note_error(error: SaltApiError) -> None:
    """Say that the current request is answered with *error*."""
    trace = current.get()
    if trace is not None:
        trace.error = error


def carried(opts: Mapping[str, Any]) -> dict[str, str]:
    """
    Return what a load or an event takes along of the current request's trace context.

    Salt 3008 looks for the same keys (`salt.utils.tracing`) if `tracing: {enabled: True}` is in
    *opts*; without it there is nobody to take them, and nothing is added. A trace that began here
    stays here: whether Salt records one is up to its own sampler then.
    """
    trace, tracing = current.get(), opts.get("tracing")
    if trace is None or trace.context is None or not trace.context.received:
        return {}
    if not isinstance(tracing, Mapping) or not tracing.get("enabled"):
        return {}
    return trace.context.as_mapping()


def _state(values: Sequence[str]) -> str:
    """Return the list of a `tracestate` header, "" if it is not valid (section 3.3)."""
    members = [member.strip() for value in values for member in value.split(",")]
    members = [member for member in members if member]
    keys = {member.partition("=")[0] for member in members}
    text = ",".join(members)
    if (
        len(members) > TRACESTATE_MEMBERS
        or len(keys) < len(members)
        or len(text) > TRACESTATE_LIMIT_CHARACTERS
        or not all(map(TRACESTATE_MEMBER.fullmatch, members))
    ):
        return ""
    return text
