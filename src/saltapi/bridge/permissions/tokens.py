"""
The token store that the master's config names, read and changed in this process.

`LoadAuth` reads files or another store and is not made for threads, so all calls go through one
thread of their own. Reading costs 0.1 ms here against 10 to 20 ms by a request to the master.
"""

import asyncio
import hashlib
import logging
import os
import pwd
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

import salt.auth

from saltapi import seldom
from saltapi.bridge.salt_line import SALT_LINE
from saltapi.bridge.workers.deadlines import Deadlines
from saltapi.errors import AuthenticationFailed, TokenStoreUnavailable
from saltapi.types import Credentials, Opts, Token

log = logging.getLogger(__name__)
T = TypeVar("T")

NO_TOKEN = "0" * 64
"""Of the form of a token, and nobody's."""
LENT_MARGIN_SECONDS = 1.0
COPIED_SECONDS = 7 * 86_400.0
"""A copy of a token is good for so long at most."""


class TokenStore:
    """
    Reads and revokes tokens; `readable` tells whether this process may.

    Every method raises `TokenStoreUnavailable` if the store fails or does not answer in time.
    """

    def __init__(self, opts: Opts) -> None:
        self._opts = opts
        self.calls: Deadlines[Any] = Deadlines(
            "saltapi-tokens",
            lambda: salt.auth.LoadAuth(opts),
            lambda: TokenStoreUnavailable(
                "The store of Salt's tokens does not answer; nobody is logged out. Try again."
            ),
        )
        seldom.quiet("salt.tokens.localfs", "Authentication failure: can not read", "unknown_token")
        seldom.quiet("salt.auth", "Token %r could not be loaded", "unknown_token")  # Salt 3008.4
        self.readable = _readable(opts)
        self.lent_seconds: float | None = None
        """How long a token that is lent for one publication is good; None if none can be made."""
        if self.readable:
            self.lent_seconds = float(opts["publish_timeout"]) + LENT_MARGIN_SECONDS
        else:
            log.info("The token store cannot be used from here; tokens are checked by the master.")

    async def get(self, token: Token) -> dict[str, Any]:
        """Return the token's data, `{}` if it is unknown or expired."""
        return await self._call(lambda auth: _found(auth, token))

    async def remove(self, token: Token) -> None:
        """Remove the token from the store, so that no process accepts it any more."""
        await self._call(lambda auth: auth.rm_token(token))

    async def make(self, data: Mapping[str, Any], *, expire: float) -> dict[str, Any]:
        """
        Put a new token into the store, and return its data, as `LoadAuth.mk_token` does.

        Args:
            data: `name`, `eauth`, and perhaps `groups` and `auth_list`.
            expire: When it ends, in seconds since the epoch.
        """
        facts = {key: value for key, value in data.items() if key != "token"}
        facts |= {"start": time.time(), "expire": expire}
        token = await self._call(lambda auth: _put(auth, self._opts, facts))
        if token is None:
            raise TokenStoreUnavailable("The store of Salt's tokens did not take one.")
        return {**facts, "token": token}

    async def groups_of(self, eauth: str, name: str) -> tuple[str, ...] | None:
        """
        Return the groups that a user has now; None where the eauth system tells nobody.

        Raises:
            AuthenticationFailed: There is no such user any more.
        """
        if eauth != "pam":
            return None
        try:
            await asyncio.to_thread(pwd.getpwnam, name)
        except (KeyError, ValueError):
            raise AuthenticationFailed("There is no such user any more.") from None
        found = await self._call(lambda auth: auth.get_groups({"eauth": eauth, "username": name}))
        return tuple(map(str, found or ()))

    async def probe(self) -> None:
        """Return if the store answers."""
        if self.readable:
            await self.get(NO_TOKEN)

    @asynccontextmanager
    async def lent(self, credentials: Credentials) -> AsyncIterator[Credentials]:
        """
        Yield credentials that are good for the time of the block, and `lent_seconds` at most.

        The master looks a token up when it comes to the request. So what waits in its queue when
        whoever sent it has given up is refused then, and not run.
        """
        if not self.readable or credentials.token is None:
            yield credentials
            return
        own, seconds = credentials.token, self.lent_seconds or 0.0
        token = await self._call(lambda auth: _copied(auth, self._opts, own, seconds))
        if token is None:  # it has expired; the master says so
            yield credentials
            return
        try:
            yield replace(credentials, token=token)
        finally:
            try:
                await self.remove(token)
            except TokenStoreUnavailable:
                log.info("A token for one publication is left to expire.")

    async def copied(self, token: Token) -> Token:
        """Return a new token that is as good as *token*; that one where none can be made."""
        if not self.readable:
            return token
        made = await self._call(lambda auth: _copied(auth, self._opts, token, COPIED_SECONDS))
        return made or token

    def close(self) -> None:
        """Give the thread back; idempotent."""
        self.calls.close()

    async def _call(self, function: Callable[[Any], T]) -> T:
        return await self.calls.call(function)


def _found(auth: Any, token: Token) -> dict[str, Any]:
    data = auth.get_tok(token)
    if isinstance(data, dict) and data:
        return data
    if not _has_cache(auth):
        return {}
    # Salt says the same of a store that fails. This raises then, or finds what has come back.
    return auth.get_tok(token) or {} if auth.cache.fetch("tokens", token) else {}


def _copied(auth: Any, opts: Opts, token: Token, seconds: float) -> Token | None:
    """Put a token that is good for *seconds*, and otherwise as *token*; None if that is none."""
    data = _found(auth, token)
    if not data:
        return None
    return _put(auth, opts, {**data, "expire": min(data["expire"], time.time() + seconds)})


def _put(auth: Any, opts: Opts, data: dict[str, Any]) -> Token | None:
    """Put a new token with this data, until `expire`; None if the store did not take it."""
    if not _has_cache(auth):
        made = auth.tokens[f"{opts['eauth_tokens']}.mk_token"](opts, dict(data))
        return str(made["token"]) if made else None
    kind = getattr(hashlib, str(opts.get("hash_type", "sha256")))
    new = str(kind(os.urandom(512)).hexdigest())
    seconds = max(1.0, data["expire"] - time.time())
    auth.cache.store("tokens", new, {**data, "token": new}, expires=seconds)
    return new


def _has_cache(auth: Any) -> bool:
    """Return whether tokens are in a cache of Salt's (3008), and not in a store of their own."""
    return hasattr(auth, "cache") and auth.opts["eauth_tokens.cache_driver"] != "rediscluster"


def _readable(opts: Opts) -> bool:
    """
    Return whether this process may read and change the tokens.

    A store that is no directory (redis and others) can be reached by whoever has the config.
    """
    if SALT_LINE >= 3008:
        driver = opts.get("eauth_tokens.cache_driver") or opts.get("cache", "localfs")
        directory = opts["cachedir"]
    else:
        driver = opts.get("eauth_tokens", "localfs")
        directory = opts["token_dir"]
    if driver != "localfs":
        return True
    tokens = os.path.join(directory, "tokens") if SALT_LINE >= 3008 else directory
    place = tokens if os.path.isdir(tokens) else directory
    return os.access(place, os.R_OK | os.W_OK | os.X_OK)
