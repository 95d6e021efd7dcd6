"""
Tokens of identity providers as sessions: each is exchanged once for a token of the master's.

The token is checked here first, so that what is forged reaches no worker of the master's; then the
master checks it, as any eauth system's password. What comes of it is kept by the token's hash, for
all processes of this machine, until one of them ends, or the issuer has withdrawn the key.
"""

import asyncio
import hashlib
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from saltapi import seldom
from saltapi.bridge.oidc.claims import Identity
from saltapi.bridge.oidc.fetching import Unreachable
from saltapi.bridge.oidc.tokens import Untrusted
from saltapi.bridge.oidc.verifier import SYSTEM, Verifier
from saltapi.config.oidc import VOUCHED_SESSION_SECONDS, IssuerSection
from saltapi.engine.sessions.login_proxies import LoginProxy
from saltapi.engine.sessions.sessions import Sessions
from saltapi.engine.store.store import ALL_ITEMS, Store
from saltapi.errors import AuthenticationFailed, ProviderUnavailable, SaltApiError
from saltapi.types import Session, Token

log = logging.getLogger(__name__)

KIND = "bearer"
SESSION_KIND = "issuer-session"
KNOWN_LIMIT = 10_000
"""So many tokens one process remembers; the store has the others."""
WAIT_SECONDS = 15.0
"""How long a request waits for an issuer, whatever that does."""
CHECKS_AT_ONCE = 2
"""So many tokens of one issuer are checked at once, each in a thread: it may be slow."""
CHECKS_WAITING = 200
"""So many more wait for that."""
REFRESH_SECONDS = 300.0
"""How often an issuer is asked for its keys while there are sessions by them."""
LOGGED_OUT = "The session of this token has ended; get another token."


@dataclass(frozen=True, slots=True)
class _Known:
    """What a token was exchanged for."""

    token: Token
    issuer: str
    thumbprint: str
    expire: float


class SessionEnded(AuthenticationFailed):
    """A token is good, and its session here is over."""


class _Checks:
    """The checks of one issuer's tokens."""

    def __init__(self) -> None:
        self.slots = asyncio.Semaphore(CHECKS_AT_ONCE)
        self.waiting = 0


class Bearers:
    """Takes tokens of identity providers for sessions."""

    def __init__(
        self,
        verifier: Verifier,
        sessions: Sessions,
        store: Store,
        login_proxy: LoginProxy | None = None,
    ) -> None:
        """
        Args:
            verifier: Knows the issuers.
            sessions: Makes the master's tokens.
            store: What all processes of this machine share.
            login_proxy: Makes tokens of what a login proxy says.
        """
        self.verifier = verifier
        self._login_proxy = login_proxy
        self._sessions = sessions
        self._store = store
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._running: dict[str, asyncio.Task[_Known]] = {}
        self._checks = {issuer: _Checks() for issuer in verifier.issuers}
        self._refreshed_at: dict[str, float] = {}
        self._background: set[asyncio.Future[Any]] = set()
        self._threads = ThreadPoolExecutor(
            max_workers=(CHECKS_AT_ONCE + 1) * max(1, len(verifier.issuers)),
            thread_name_prefix="saltapi-oidc",
        )

    @property
    def devices(self) -> list[IssuerSection]:
        """The issuers at which terminals log in by a browser elsewhere."""
        return [each for each in self.verifier.issuers.values() if each.device_client_id]

    def takes(self, token: Any) -> bool:
        """Return whether *token* looks like one of an issuer of ours, for us."""
        return isinstance(token, str) and (
            name_of(token) in self._known or self.verifier.is_for_us(token)
        )

    async def session(self, token: Token) -> Session:
        """
        Return the session that a token stands for; it ends with the token.

        Raises:
            AuthenticationFailed: The token is not accepted, or its session has been ended.
            ProviderUnavailable: Whether it is cannot be told now.
            MasterUnavailable, StoreUnavailable
        """
        try:
            return await self._session(token)
        except AuthenticationFailed as error:
            # A login proxy still says who that is: after a logout, and where what we have signed
            # has waited for the master for longer than it lasts.
            again, ended = None, isinstance(error, SessionEnded)
            if self._login_proxy is not None:
                again = self._login_proxy.again(token, ended=ended)
            if again is None:
                raise
            return await self._session(again)

    async def _session(self, token: Token) -> Session:
        name = name_of(token)
        known = self._known.get(name)
        if known is None:
            task = self._running.get(name)
            if task is None:
                task = self._running[name] = asyncio.create_task(self._exchange(name, token))
                task.add_done_callback(lambda _: self._running.pop(name, None))
                task.add_done_callback(lambda done: done.cancelled() or done.exception())
            known = await asyncio.shield(task)
        await self._check_alive(known)
        try:
            session = await self._sessions.check(known.token)
        except AuthenticationFailed:
            raise SessionEnded(LOGGED_OUT) from None
        return replace(session, expire=min(session.expire, known.expire))

    def until(self, load: Mapping[str, Any]) -> float | None:
        """Return when a session ends that is made now of *load*, a login; None if that is open."""
        issuer = None
        if is_ours(load):
            issuer = self.verifier.issuers.get(self.verifier.issuer_of(load.get("password")) or "")
        seconds = None if issuer is None else _session_seconds(issuer)
        return None if seconds is None else time.time() + seconds

    async def made(self, session: Session, load: Mapping[str, Any]) -> None:
        """Note whose session it is at its issuer, so that the issuer can end it."""
        issuer = self.verifier.issuer_of(load.get("password")) if is_ours(load) else None
        if issuer is None:
            return
        subject, session_id = self.verifier.session_of(str(load["password"]))
        value = json.dumps([issuer, subject, session_id, session.token]).encode()
        try:
            await self._store.put(
                SESSION_KIND,
                name_of(session.token),
                value,
                expire=session.expire,
                owner=session.owner,
            )
        except SaltApiError as error:  # the issuer cannot end it then, but it is good
            log.warning("It could not be noted whose session of an issuer it is: %s", error)

    async def end(self, logout_token: str) -> int:
        """
        End the sessions that an issuer says are over, and return how many there were.

        OpenID Connect Back-Channel Logout 1.0, section 2.7.

        Raises:
            AuthenticationFailed: The issuer has not said it.
            ProviderUnavailable, StoreUnavailable
        """
        issuer = self.verifier.issuer_of(logout_token)
        if issuer is None:
            raise AuthenticationFailed("The logout token is not of an identity provider of ours.")
        _, subject, session_id, _ = await self.check(
            issuer, lambda: self.verifier.logged_out(logout_token)
        )
        kept = await self._store.items(SESSION_KIND, limit=ALL_ITEMS)
        # There may be many: they are read where the loop does not wait for it.
        found = await asyncio.to_thread(_sessions_of, kept, issuer, subject, session_id)
        for key, token in found.items():
            await self._sessions.revoke(token)
            await self._store.remove(SESSION_KIND, key)
        return len(found)

    def lets_make_tokens(self, session: Session) -> bool:
        """Return whether the user of *session* may make tokens for machines (`machine_tokens`)."""
        if session.eauth != SYSTEM:
            return True
        # No user of an issuer has a name that begins with another one's longer prefix.
        own = [i for i in self.verifier.issuers.values() if session.name.startswith(i.user_prefix)]
        return bool(own) and max(own, key=lambda i: len(i.user_prefix)).machine_tokens

    async def close(self) -> None:
        """Let go of the threads; idempotent."""
        for task in [*self._running.values(), *self._background]:
            task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def check(self, issuer: str, function: Callable[[], Any]) -> Any:
        """
        Return what *function* does, in a thread: it may have to ask the *issuer*.

        Raises:
            AuthenticationFailed: A token is not accepted.
            ProviderUnavailable
        """
        checks = self._checks[issuer]
        if checks.waiting >= CHECKS_WAITING:
            raise ProviderUnavailable("Too many requests wait for the identity provider.")
        checks.waiting += 1
        try:
            async with asyncio.timeout(WAIT_SECONDS), checks.slots:
                return await asyncio.get_running_loop().run_in_executor(self._threads, function)
        except Untrusted as error:
            raise AuthenticationFailed(
                f"The token of the identity provider is not accepted. {error}"
            ) from None
        except (Unreachable, TimeoutError) as error:
            seldom.warning(log, "unchecked_bearer", "A token cannot be checked now: %s", error)
            raise ProviderUnavailable(
                "The identity provider does not answer now; try again later."
            ) from None
        finally:
            checks.waiting -= 1

    async def _exchange(self, name: str, token: Token) -> _Known:
        kept = await self._store.get(KIND, name)
        if kept is not None:
            return self._remember(name, _Known(*json.loads(hidden(kept, token))))
        issuer = self.verifier.issuer_of(token)
        if issuer is None:
            raise AuthenticationFailed("The token is not of an identity provider known here.")
        found: Identity = await self.check(issuer, lambda: self.verifier.identify(token))
        load = {"eauth": SYSTEM, "username": found.user, "password": token}
        until = self.until(load)
        expire = found.expire if until is None else min(found.expire, until)
        if until is not None and self.verifier.issuers[issuer].user_header:
            expire = until  # the proxy says with each request that it is still so
        session = await self._sessions.login(load, expire=expire)
        known = _Known(session.token, found.issuer, found.thumbprint, expire)
        value = json.dumps([known.token, known.issuer, known.thumbprint, known.expire]).encode()
        before = await self._store.add(
            KIND, name, hidden(value, token), expire=expire, owner=session.owner
        )
        if before is not None:  # another process was faster
            await self._sessions.revoke(session.token)
            known = _Known(*json.loads(hidden(before, token)))
        return self._remember(name, known)

    def _remember(self, name: str, known: _Known) -> _Known:
        self._known[name] = known
        while len(self._known) > KNOWN_LIMIT:
            self._known.popitem(last=False)
        return known

    async def _check_alive(self, known: _Known) -> None:
        """
        Return if a token and the key that it is signed with still hold.

        Raises:
            AuthenticationFailed
        """
        if known.expire <= time.time():
            raise AuthenticationFailed("The token of the identity provider has expired.")
        keys = self.verifier.keys.get(known.issuer)
        now = time.monotonic()
        if keys is not None and now - self._refreshed_at.get(known.issuer, 0.0) > REFRESH_SECONDS:
            self._refreshed_at[known.issuer] = now
            refreshing = asyncio.get_running_loop().run_in_executor(self._threads, keys.refresh)
            self._background.add(refreshing)
            refreshing.add_done_callback(self._background.discard)
            refreshing.add_done_callback(lambda done: done.cancelled() or done.exception())
        if keys is None or (keys.is_known and not keys.has(known.thumbprint)):
            await self._sessions.revoke(known.token)
            raise AuthenticationFailed("The key that the token is signed with has been withdrawn.")


def is_ours(load: Mapping[str, Any]) -> bool:
    """Return whether a login is with a token of an identity provider."""
    return load.get("eauth") == SYSTEM


def _sessions_of(
    kept: Mapping[str, bytes], issuer: str, subject: str, session_id: str
) -> dict[str, Token]:
    """Return the tokens of the sessions that an issuer means, by their keys in the store."""
    found = {}
    for key, value in kept.items():
        of, user, one, token = json.loads(value)
        is_meant = one == session_id if session_id else user == subject
        if of == issuer and is_meant and subject in {"", user}:
            found[key] = token
    return found


def _session_seconds(issuer: IssuerSection) -> float | None:
    """Return how long a session may last that is made of an issuer's token; None if it is open."""
    if issuer.user_header and issuer.token_expire is None:
        return VOUCHED_SESSION_SECONDS
    return issuer.token_expire


def name_of(token: str) -> str:
    """Return the name that what belongs to *token* is kept by; nobody finds the token by it."""
    return hashlib.sha256(f"bearer {token}".encode("utf-8", "surrogatepass")).hexdigest()


def hidden(value: bytes, token: str) -> bytes:
    """Return *value* hidden by *token*, or shown again: what is kept is of no use without it."""
    pad = hashlib.shake_256(f"pad {token}".encode()).digest(len(value))
    return bytes(a ^ b for a, b in zip(value, pad, strict=True))
