"""The vocabulary: the words of docs and code, each with one meaning."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Opts: TypeAlias = dict[str, Any]
"""The options of a Salt master, as Salt's own loader makes them."""

Chunk: TypeAlias = dict[str, Any]
"""One command: a mapping with `client`, `fun` and what they need."""

Lowstate: TypeAlias = list[Chunk]
"""A list of chunks, run in order."""

Jid: TypeAlias = str
MinionId: TypeAlias = str
Tag: TypeAlias = str
Token: TypeAlias = str


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who asks: a token, or the eauth system with a name and a password (never both)."""

    token: Token | None = field(default=None, repr=False)
    eauth: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    session: "Session | None" = field(default=None, compare=False, repr=False)
    """That of the token, where it has been looked up for this request."""

    def as_load(self) -> dict[str, str | None]:
        """Return the keys that the master looks for in a load; a password may be null."""
        if self.token is not None:
            return {"token": self.token}
        return {
            "eauth": self.eauth or "",
            "username": self.username or "",
            "password": self.password,
        }


@dataclass(frozen=True, slots=True)
class Session:
    """
    A valid token and whom it speaks for.

    `start` and `expire` are seconds since the epoch; `auth_list` is set only when the master
    keeps the permissions in the token (`keep_acl_in_token`).
    """

    token: Token = field(repr=False)
    name: str
    eauth: str
    start: float
    expire: float
    groups: tuple[str, ...] = ()
    auth_list: tuple[Any, ...] | None = None
    machine: str = ""
    """The id of the token, if it is one for machines."""
    narrowed: tuple[Any, ...] | None = None
    """To which permissions a token for machines is narrowed; None if it is not."""
    addresses: tuple[str, ...] | None = None
    """From where a token for machines may come; None for anywhere."""
    only: tuple[Any, ...] | None = None
    """The permissions to go by, whatever `external_auth` says (`saltapi.bridge.permissions`)."""

    @property
    def owner(self) -> str:
        """
        The text that stands for whose it is: never that of another user.

        What is narrowed is somebody else than its maker: it sees nothing that the maker keeps.
        """
        own = [] if self.narrowed is None else [self.machine]
        return json.dumps([self.eauth, self.name, *own])


@dataclass(frozen=True, slots=True)
class Published:
    """What the master answered to a publish: the job and the minions it expects."""

    jid: Jid
    minions: tuple[MinionId, ...]
    missing: tuple[MinionId, ...] = ()


JsonValue: TypeAlias = Any
"""Anything that Salt can return."""

ReturnData: TypeAlias = Mapping[str, Any]
"""The data of a `salt/job/<jid>/ret/<minion>` event."""
