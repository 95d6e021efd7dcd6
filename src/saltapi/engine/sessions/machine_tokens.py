"""
Tokens for machines: named, expiring, revocable, and perhaps narrowed to some permissions.

One acts for the user who has made it, by what the master lets that user do now. The master sees a
token of its own, made for an hour at most, that nobody else ever sees. What a token is narrowed to
is asked before anything reaches the master (`saltapi.bridge.permissions`), so both must allow a
command. Here is kept the hash of each token, and never the token.
"""

import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from weakref import WeakValueDictionary

from saltapi.bridge.permissions.tokens import TokenStore
from saltapi.engine.sessions.forms import MACHINE_PREFIX, is_machine_token
from saltapi.engine.store.store import ALL_ITEMS, Store
from saltapi.errors import (
    AuthenticationFailed,
    NotFound,
    NotSupported,
    SaltApiError,
    TooManyRequests,
)
from saltapi.types import Opts, Session, Token

log = logging.getLogger(__name__)

KIND = "machine-token"
USE_KIND = "machine-use"
GROUPS_KIND = "machine-groups"
ID = re.compile(r"[0-9a-f]{16}")
TOKENS_PER_USER = 100
SALT_TOKEN_SECONDS = 3600.0
"""How long a token of the master's lasts that stands for one of ours."""
USE_SECONDS = 60.0
"""How often it is noted that a token is used."""
REMEMBERED = 10_000
UNKNOWN = "The token is unknown, has expired, or was revoked."
READONLY = (
    "Tokens for machines need a process that may write the master's tokens: run saltapi as the"
    " master's user, and without keep_acl_in_token."
)


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept of a token."""

    id: str
    name: str
    user: str
    eauth: str
    digest: str
    made_at: float
    expire: float
    permissions: list[Any] | None
    addresses: list[str] | None

    @property
    def maker(self) -> str:
        """Whose it is, as `Session.owner` has it."""
        return json.dumps([self.eauth, self.user])


@dataclass(frozen=True, slots=True)
class _Standing:
    """The token of the master's that stands for one of ours."""

    token: Token
    expire: float
    groups: tuple[str, ...]


class MachineTokens:
    """Makes, lists, revokes and takes tokens for machines; for all who share the store."""

    def __init__(
        self, opts: Opts, store: Store, token_store: TokenStore, *, cache_seconds: float
    ) -> None:
        """
        Args:
            opts: The master's options.
            store: What all modules share, on this machine or on all.
            token_store: The master's tokens.
            cache_seconds: How long an answer of the store may be repeated.
        """
        self._store = store
        self._token_store = token_store
        self._cache_seconds = cache_seconds
        self.usable = token_store.readable and not opts.get("keep_acl_in_token")
        """Whether this process can make tokens of the master's."""
        self._known: OrderedDict[Token, tuple[float, Session]] = OrderedDict()
        self._standing: dict[str, _Standing] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._used: dict[tuple[str, str], float] = {}

    def takes(self, token: Any) -> bool:
        """Return whether *token* has the form of one of these."""
        return is_machine_token(token)

    async def make(
        self,
        session: Session,
        name: str,
        *,
        expire: float,
        permissions: list[Any] | None,
        addresses: list[str] | None,
    ) -> tuple[Record, Token]:
        """
        Return a new token of the user of *session*, and what is kept of it.

        Args:
            session: Who makes it; no token for machines.
            name: What it is called.
            expire: When it ends, in seconds since the epoch.
            permissions: To which it is narrowed (`token_permissions`); None for all of the user's.
            addresses: From which addresses and networks it may come; None for anywhere.

        Raises:
            NotSupported: This process cannot act for anybody.
            TooManyRequests: The user has too many.
            StoreUnavailable
        """
        if not self.usable:
            raise NotSupported(READONLY)
        if len(await self._records(session)) >= TOKENS_PER_USER:
            raise TooManyRequests(
                f"You have {TOKENS_PER_USER} tokens; revoke some.", retry_after_seconds=60
            )
        token_id = secrets.token_hex(8)
        token = f"{MACHINE_PREFIX}{token_id}_{secrets.token_hex(32)}"
        record = Record(
            id=token_id,
            name=name,
            user=session.name,
            eauth=session.eauth,
            digest=_digest(token),
            made_at=time.time(),
            expire=expire,
            permissions=permissions,
            addresses=addresses,
        )
        await self._note_groups(session, expire)
        value = json.dumps(asdict(record)).encode()
        await self._store.put(KIND, token_id, value, expire=expire, owner=session.owner)
        return record, token

    async def list(
        self, session: Session, *, everybody: bool
    ) -> list[tuple[Record, dict[str, Any]]]:
        """Return the user's tokens, or everybody's, each with when and from where it was used."""
        found = await self._records(None if everybody else session)
        uses = await self._store.items(USE_KIND, limit=ALL_ITEMS)
        return [
            (record, json.loads(uses[record.id]) if record.id in uses else {})
            for record in sorted(found, key=lambda record: record.made_at)
        ]

    async def revoke(self, session: Session, token_id: str, *, everybody: bool) -> None:
        """
        Revoke a token of the user's, or of anybody's.

        Raises:
            NotFound: There is no such token, or it is another user's.
        """
        value = await self._store.get(KIND, token_id) if ID.fullmatch(token_id) else None
        if value is None or not (everybody or _record(value).maker == session.owner):
            raise NotFound(f"There is no token {token_id[:100]} of yours.")
        await self._store.remove(KIND, token_id)
        await self._store.remove(USE_KIND, token_id)
        for token in [t for t, (_, known) in self._known.items() if known.machine == token_id]:
            del self._known[token]
        standing = self._standing.pop(token_id, None)
        if standing is not None:
            await self._token_store.remove(standing.token)

    async def session(self, token: Token) -> Session:
        """
        Return the session that *token* stands for, with the groups that its maker has now.

        Raises:
            AuthenticationFailed, StoreUnavailable
        """
        known = self._known.get(token)
        is_fresh = known is not None and time.monotonic() - known[0] < self._cache_seconds
        if known is not None and is_fresh and known[1].expire > time.time():
            return known[1]
        self._known.pop(token, None)
        token_id = token.removeprefix(MACHINE_PREFIX).partition("_")[0]
        value = await self._store.get(KIND, token_id)
        if value is None:
            raise AuthenticationFailed(UNKNOWN)
        record = _record(value)
        if not hmac.compare_digest(record.digest, _digest(token)) or record.expire <= time.time():
            raise AuthenticationFailed(UNKNOWN)
        session = Session(
            token=token,
            name=record.user,
            eauth=record.eauth,
            start=record.made_at,
            expire=record.expire,
            groups=await self._groups(record),
            machine=record.id,
            narrowed=None if record.permissions is None else tuple(record.permissions),
            addresses=None if record.addresses is None else tuple(record.addresses),
        )
        if self._cache_seconds:
            self._known[token] = (time.monotonic(), session)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return session

    async def for_master(self, session: Session) -> Token:
        """
        Return a token of the master's that stands for *session*, one of ours.

        Raises:
            NotSupported
        """
        if not self.usable:
            raise NotSupported(READONLY)
        async with self._locks.setdefault(session.machine, asyncio.Lock()):
            now, standing = time.time(), self._standing.get(session.machine)
            enough = min(now + SALT_TOKEN_SECONDS / 2, session.expire)
            if standing is not None:
                if standing.groups == session.groups and standing.expire >= enough:
                    return standing.token
                if standing.groups != session.groups:
                    await self._token_store.remove(standing.token)
            expire = min(now + SALT_TOKEN_SECONDS, session.expire)
            data = {
                "name": session.name,
                "eauth": session.eauth,
                "groups": list(session.groups),
            }
            made = await self._token_store.make(data, expire=expire)
            # Of those that have expired nothing needs to be known.
            self._standing = {key: one for key, one in self._standing.items() if one.expire > now}
            self._standing[session.machine] = _Standing(made["token"], expire, session.groups)
            return str(made["token"])

    async def logged_in(self, session: Session) -> None:
        """Note the groups of a user who has just logged in: by them the user's tokens go."""
        try:
            if not await self._store.exists():  # nobody has any
                return
            if await self._store.get(GROUPS_KIND, _digest(session.owner)) is not None:
                await self._note_groups(session, 0.0)
        except SaltApiError as error:
            log.warning("The groups of %s could not be noted: %s", session.name, error)

    async def used(self, session: Session, peer: str) -> None:
        """Note that a token is used from the address *peer*, now and then."""
        now, key = time.time(), (session.machine, peer)
        if now - self._used.get(key, 0.0) < USE_SECONDS:
            return
        if len(self._used) >= REMEMBERED:
            self._used.clear()
        self._used[key] = now
        value = json.dumps({"at": now, "from": peer}).encode()
        with contextlib.suppress(SaltApiError):
            await self._store.put(USE_KIND, session.machine, value, expire=session.expire)

    async def _records(self, session: Session | None) -> Sequence[Record]:
        """Return what is kept of the tokens of a session's user, or of everybody's."""
        values = (await self._store.items(KIND, limit=ALL_ITEMS)).values()
        found = map(_record, values)
        return [one for one in found if session is None or one.maker == session.owner]

    async def _groups(self, record: Record) -> tuple[str, ...]:
        """Return the groups of a token's maker, as the eauth system says now, or the last login."""
        groups = await self._token_store.groups_of(record.eauth, record.user)
        if groups is not None:
            return groups
        value = await self._store.get(GROUPS_KIND, _digest(record.maker))
        return () if value is None else tuple(json.loads(value)["groups"])

    async def _note_groups(self, session: Session, expire: float) -> None:
        """Keep the groups of a user as long as any of the user's tokens may last."""
        key = _digest(session.owner)
        old = await self._store.get(GROUPS_KIND, key)
        until = max(expire, json.loads(old)["until"] if old is not None else 0.0)
        value = json.dumps({"groups": list(session.groups), "until": until}).encode()
        await self._store.put(GROUPS_KIND, key, value, expire=until)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _record(value: bytes) -> Record:
    fields: Mapping[str, Any] = json.loads(value)
    return Record(**fields)
