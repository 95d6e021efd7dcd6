"""
Sessions: the session token is the Salt token, in every module.

Any process that shares the master's token store can serve any request; nothing is kept here
but a brief memory of what the store said.
"""

import asyncio
import hmac
import json
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias

from saltapi.bridge.permissions.tokens import TokenStore
from saltapi.bridge.requests.master import Master
from saltapi.bridge.requests.turns import call_as
from saltapi.engine.sessions.forms import is_token
from saltapi.engine.sessions.machine_tokens import MachineTokens
from saltapi.errors import (
    AuthenticationFailed,
    MalformedAnswer,
    SaltApiError,
    TokenStoreUnavailable,
)
from saltapi.trace import note_user
from saltapi.types import Credentials, Opts, Session, Token

log = logging.getLogger(__name__)

CACHED_SESSIONS = 10_000
LOGINS_AT_ONCE = 2
"""Of the master's workers (five by default), so many may be kept busy by wrong passwords."""
REVOCATION_CHECK_SECONDS = 1.0
SHARED_LOGIN_SECONDS = 60.0
"""How long new commands may join a login: a token, and a password, do not last for ever."""
Attempt: TypeAlias = Callable[[], AbstractAsyncContextManager[None]]
"""Lets a password be tried inside, or raises `TooManyRequests`; sees whether it was wrong."""
UNKNOWN_TOKEN = "The token is unknown or has expired; log in again."  # noqa: S105 - a sentence
NO_TOKEN = "There is no token: log in, and send the token that you get as X-Auth-Token."  # noqa: S105


class Provided(Protocol):
    """Knows of the sessions that are made of identity providers' tokens."""

    def until(self, load: Mapping[str, Any]) -> float | None:
        """Return when a session ends that is made now of *load*, a login; None if that is open."""

    async def made(self, session: Session, load: Mapping[str, Any]) -> None:
        """Note that *session* was made of *load*."""


class Takes(Protocol):
    """Takes tokens that are not the master's for sessions."""

    def takes(self, token: Any) -> bool:
        """Return whether *token* looks like one of them."""

    async def session(self, token: Token) -> Session:
        """Return the session that *token* stands for."""


@dataclass(slots=True)
class _Login:
    """A token made for requests that came with a name and a password."""

    ready: asyncio.Future[Session] = field(repr=False)
    made_at: float
    users: int = 0


class Sessions:
    """Makes, checks and revokes tokens."""

    def __init__(
        self, opts: Opts, master: Master, store: TokenStore, *, cache_seconds: float
    ) -> None:
        """
        Args:
            opts: The master's options; never changed.
            master: Makes tokens, and checks them where the store cannot be read.
            store: The token store.
            cache_seconds: How long an answer of the store may be repeated; also how long a
                token that another process revoked may still be accepted.
        """
        self._opts = opts
        self._master = master
        self._store = store
        self._cache_seconds = cache_seconds
        self._cache: OrderedDict[Token, tuple[float, Session]] = OrderedDict()
        self._logins: dict[bytes, _Login] = {}
        self._login_key = secrets.token_bytes(32)
        self._logins_at_once = asyncio.Semaphore(LOGINS_AT_ONCE)
        self._closing: set[asyncio.Task[None]] = set()
        self._others: list[Takes] = []
        self._machines: MachineTokens | None = None
        self._provided: Provided | None = None
        self.logins_total = 0
        """How many tokens were made."""
        self.failed_logins_total = 0
        """How many credentials the master did not accept."""

    def take(
        self,
        others: Sequence[Takes],
        machines: MachineTokens,
        provided: Provided | None = None,
    ) -> None:
        """
        Take the tokens of *others*, and those for *machines*, for sessions too.

        Args:
            others: Take tokens.
            machines: Takes those for machines.
            provided: Knows of sessions made of identity providers' tokens.
        """
        self._others = [*others, machines]
        self._machines = machines
        self._provided = provided

    def takes(self, token: Any) -> bool:
        """Return whether *token* looks like one that stands for somebody here."""
        return is_token(token) or self.is_foreign(token)

    def is_foreign(self, token: Any) -> bool:
        """Return whether *token* looks like one that is not the master's, and taken here."""
        return any(other.takes(token) for other in self._others)

    async def login(
        self,
        load: dict[str, Any],
        *,
        attempt: Attempt = nullcontext,
        expire: float | None = None,
    ) -> Session:
        """
        Return a new session.

        Args:
            load: `username`, `password`, `eauth`; `token_expire` in seconds if the master
                permits it to this user (`token_expire_user_override`).
            attempt: Called when it is this login's turn, and left before it is another's.
            expire: When the session ends at the latest, in seconds since the epoch.

        Raises:
            AuthenticationFailed, MasterUnavailable
        """
        note_user(str(load.get("username")), str(load.get("eauth")))
        call_as(str(load.get("username")), str(load.get("eauth")))
        async with self._logins_at_once, attempt():
            try:
                data = await self._master.mk_token(load)
            except AuthenticationFailed:
                self.failed_logins_total += 1
                raise
        self.logins_total += 1
        session = _session(data)
        if expire is None and self._provided is not None:
            expire = self._provided.until(load)
        if expire is not None and expire < session.expire:
            session = await self._shortened(data, session, expire)
        if self._machines is not None:
            await self._machines.logged_in(session)
        if self._provided is not None:
            await self._provided.made(session, load)
        return session

    async def _shortened(self, data: dict[str, Any], session: Session, expire: float) -> Session:
        """Return the session with a token that ends at *expire*; Salt makes none that do."""
        if not self._store.readable:
            return replace(session, expire=expire)
        made = await self._store.make(data, expire=expire)
        await self._store.remove(session.token)
        return _session(made)

    async def check(self, token: Any, *, fresh: bool = False) -> Session:
        """
        Return the session of *token*.

        Args:
            token: What the client sent; anything that is no token is refused unseen.
            fresh: Ask the store, whatever was said a moment ago.

        Raises:
            AuthenticationFailed: It is no token, unknown, revoked or expired.
            MasterUnavailable: The store cannot be read and the master does not answer.
            MalformedAnswer: What the store holds is no token.
        """
        for other in self._others:
            if other.takes(token):
                session = await other.session(token)
                _note(session)
                return session
        if not is_token(token):
            raise AuthenticationFailed(UNKNOWN_TOKEN if token else NO_TOKEN)
        cached = self._cache.get(token)
        if cached is not None and not fresh and time.monotonic() - cached[0] < self._cache_seconds:
            _note(cached[1])
            return self._unexpired(cached[1])
        self._cache.pop(token, None)
        if self._store.readable:
            data = await self._store.get(token)
            if not data:
                raise AuthenticationFailed(UNKNOWN_TOKEN)
        else:
            data = await self._master.get_token(token)
        session = self._unexpired(_session({**data, "token": token}))
        _note(session)
        if self._cache_seconds:
            self._cache[token] = (time.monotonic(), session)
            while len(self._cache) > CACHED_SESSIONS:
                self._cache.popitem(last=False)
        return session

    async def used(self, session: Session, peer: str) -> None:
        """Note that *session* is used from the address *peer*, if it is one for machines."""
        if session.machine and self._machines is not None:
            await self._machines.used(session, peer)

    async def for_master(self, credentials: Credentials) -> Credentials:
        """
        Return *credentials* as the master knows them: with a token of its own.

        Raises:
            AuthenticationFailed, MasterUnavailable, NotSupported
        """
        token, session = credentials.token, credentials.session
        if token is None or (not session.machine if session is not None else is_token(token)):
            return credentials
        # A batch may take hours, and the token may have been revoked since.
        session = await self.check(token if session is None else session.token)
        if session.machine and self._machines is not None:
            return Credentials(token=await self._machines.for_master(session), session=session)
        return Credentials(token=session.token, session=session)

    async def revoke(self, token: Token) -> bool:
        """
        Revoke *token*: from now on no process that shares the store accepts it.

        Returns False when this process may not change the store; the token then lives until
        it expires.
        """
        self._cache.pop(token, None)
        if not self._store.readable or not is_token(token):
            return False
        await self._store.remove(token)
        return True

    async def ended(self, session: Session) -> str:
        """Return when *session* expires or is revoked, and say which; for streams."""
        while (left := session.expire - time.time()) > 0:
            await asyncio.sleep(min(left, REVOCATION_CHECK_SECONDS))
            try:
                await self.check(session.token)
            except AuthenticationFailed:
                if session.expire > time.time():
                    return "The token was revoked."
            except SaltApiError as error:
                log.info("A stream's token could not be checked now: %s", error)
        return "The token has expired."

    @asynccontextmanager
    async def for_command(
        self, credentials: Credentials, *, attempt: Attempt = nullcontext
    ) -> AsyncIterator[Credentials]:
        """
        Yield credentials to send with commands: a token, also for a name with a password.

        A password that travels with a command ends up in the master's job cache, and on the
        event bus if the command is refused. So it is exchanged for a token, shared by all
        commands with the same credentials that run at the same time, and revoked after the
        last of them. Where this process cannot revoke, the credentials are sent as they are.

        Args:
            credentials: What came with the command.
            attempt: As for `login`.

        Raises:
            AuthenticationFailed, MasterUnavailable
            TokenStoreUnavailable: The master could not look up the token, and so refused it.
        """
        if credentials.token is not None:
            # What is known may have been looked up in another context: whose turn, says this one.
            if credentials.session is None:
                await self.check(credentials.token)
            else:
                _note(credentials.session)
            known = await self.for_master(credentials)
            async with self.looking_again(str(known.token)):
                yield known
            return
        call_as(str(credentials.username), str(credentials.eauth))
        if not self._store.readable:
            yield credentials
            return
        key, login = self._login_for(credentials, attempt)
        login.users += 1
        try:
            session = await asyncio.shield(login.ready)
            async with self.looking_again(session.token):
                yield Credentials(token=session.token, session=session)
        finally:
            login.users -= 1
            if not login.users:
                if self._logins.get(key) is login:
                    del self._logins[key]
                self._background(self._revoke_login(login))

    def is_lent(self, token: Token) -> bool:
        """Return whether *token* was made for commands with a name and a password."""
        made = [login.ready for login in self._logins.values() if login.ready.done()]
        return any(not ready.exception() and ready.result().token == token for ready in made)

    async def close(self) -> None:
        """Wait until the tokens made for commands are revoked; idempotent."""
        await asyncio.gather(*self._closing, return_exceptions=True)

    @asynccontextmanager
    async def looking_again(self, token: Token) -> AsyncIterator[None]:
        """
        Look again where the master refuses *token*, as it does while its store fails.

        Raises:
            TokenStoreUnavailable: The token is good.
        """
        try:
            yield
        except AuthenticationFailed as error:
            if error.with_command and await self._is_good(token):
                raise TokenStoreUnavailable(
                    "The Salt master could not look up the token, which is good. Try again."
                ) from None
            raise

    async def _is_good(self, token: Token) -> bool:
        try:
            session = await self.check(token, fresh=True)
        except AuthenticationFailed:
            return False
        return session.eauth in (self._opts.get("external_auth") or {})

    def _login_for(self, credentials: Credentials, attempt: Attempt) -> tuple[bytes, _Login]:
        load = credentials.as_load()
        parts = json.dumps(list(load.values()))
        key = hmac.digest(self._login_key, parts.encode("utf-8", "surrogatepass"), "sha256")
        login = self._logins.get(key)
        now = time.monotonic()
        if login is None or now - login.made_at > SHARED_LOGIN_SECONDS:
            ready = asyncio.ensure_future(self.login(load, attempt=attempt))
            login = self._logins[key] = _Login(ready, now)
        return key, login

    async def _revoke_login(self, login: _Login) -> None:
        await asyncio.wait({login.ready})
        if login.ready.cancelled() or login.ready.exception() is not None:
            return  # there is no token: whoever waited for it has been told
        try:
            await self.revoke(login.ready.result().token)
        except Exception:
            log.exception("A token made for a single command could not be revoked.")

    def _background(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _unexpired(self, session: Session) -> Session:
        if session.expire <= time.time():
            self._cache.pop(session.token, None)
            raise AuthenticationFailed(UNKNOWN_TOKEN)
        return session


def permissions(opts: Opts, session: Session) -> list[Any]:
    """
    Return what the user may run, as `/login` shows it: own, `*` and group entries, sorted.

    Strings come first, then mappings. The master decides by its own config when a command
    comes; this is for display. *opts* is not changed.
    """
    if session.auth_list is not None:
        entries: list[Any] = list(session.auth_list)
    else:
        systems = opts.get("external_auth")
        users = systems.get(session.eauth) if isinstance(systems, Mapping) else None
        names = [session.name, "*", *(f"{group}%" for group in session.groups)]
        granted = [users.get(name) for name in names] if isinstance(users, Mapping) else []
        # What is no list is malformed; Salt shows `{}` then, too.
        entries = [entry for rules in granted if isinstance(rules, list) for entry in rules]
    texts = sorted({entry for entry in entries if isinstance(entry, str)})
    others: list[Any] = []
    for entry in entries:
        if not isinstance(entry, str) and entry not in others:
            others.append(entry)
    return texts + sorted(others, key=repr)


def _note(session: Session) -> None:
    """Say whose the current request is: to its log line, and to the turns at the master."""
    note_user(session.name, session.eauth, session.machine)
    call_as(session.name, session.eauth)


def _session(data: dict[str, Any]) -> Session:
    auth_list = data.get("auth_list")
    try:
        return Session(
            token=str(data["token"]),
            name=str(data["name"]),
            eauth=str(data.get("eauth", "")),
            start=float(data.get("start") or 0),
            expire=float(data["expire"]),
            groups=tuple(data.get("groups") or ()),
            auth_list=None if auth_list is None else tuple(auth_list),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedAnswer("The data that Salt keeps of the token is malformed.") from error
