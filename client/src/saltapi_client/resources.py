"""What can be looked at: jobs, minions, keys, permissions; `raw` is the server's document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from saltapi_client.shapes import Told, made, malformed

T = TypeVar("T")


@dataclass(eq=False, repr=False)
class ListedJob(Told):
    """A job in a list; counts are None where nobody has looked at its returns."""

    jid: str
    fun: Any = None
    tgt: Any = None
    tgt_type: str | None = None
    client: str = "local"
    user: str | None = None
    start: str | None = None
    state: str = "unknown"
    expected: int | None = None
    returned: int | None = None
    failed: int | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(eq=False, repr=False)
class Job(Told):
    """All that is known of a job; `returns` has what each minion returned, as the API has it."""

    jid: str
    fun: Any = None
    arg: Any = None
    tgt: Any = None
    tgt_type: str | None = None
    client: str = "local"
    user: str | None = None
    start: str | None = None
    state: str = "unknown"
    complete: bool = False
    expected: list[str] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)
    duration_seconds: float | None = None
    result: Any = None
    returns: dict[str, Any] = field(default_factory=dict)
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(eq=False, repr=False)
class Minion(Told):
    """A minion that the master knows of, by key, by cached data or by presence."""

    id: str
    key: str | None = None
    connected: bool | None = None
    last_seen: Any = None
    salt_version: str | None = None
    os: str | None = None
    last_job: Any = None
    last_highstate: Any = None
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(eq=False, repr=False)
class Key(Told):
    """A minion's key: its state is accepted, pending, rejected or denied."""

    id: str
    state: str
    fingerprint: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(eq=False, repr=False)
class WhoAmI(Told):
    """A session, and what it may do."""

    user: str
    eauth: str = ""
    groups: list[str] = field(default_factory=list)
    start: str | None = None
    expire: str | None = None
    expires_in_seconds: float | None = None
    permissions: Any = None
    administrator: bool | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(eq=False, repr=False)
class Check(Told):
    """What the master would say to one command."""

    allowed: bool
    unknown: bool = False
    client: str = "local"
    fun: Any = None
    tgt: Any = None
    minions: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    rule: Any = None
    reason: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(eq=False, repr=False)
class Why(Told):
    """Why a minion is silent: a code, a sentence, the facts in order, and what to do next."""

    code: str
    sentence: str
    facts: list[Any] = field(default_factory=list)
    next: Any = None
    raw: Mapping[str, Any] = field(default_factory=dict)


def made_from(kind: type[T], raw: Any) -> T:
    """
    Return what the server has sent; what is unknown in it, or of another type, is only in `raw`.

    Raises:
        ServerError: It is something else.
    """
    if not isinstance(raw, Mapping):
        raise malformed(f"has no {kind.__name__} where one is expected.")
    return made(kind, {k: v for k, v in raw.items() if v is not None}, raw)
