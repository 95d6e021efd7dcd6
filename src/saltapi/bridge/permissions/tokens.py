"""
The token store that the master's config names, read and changed in this process.

`LoadAuth` reads files or another store and is not made for threads, so all calls go through one
thread of their own. Reading costs 0.1 ms here against 10 to 20 ms by a request to the master.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import salt.auth

from saltapi import seldom
from saltapi.bridge.salt_line import SALT_LINE
from saltapi.types import Opts, Token

log = logging.getLogger(__name__)
T = TypeVar("T")


class TokenStore:
    """Reads and revokes tokens; `readable` tells whether this process may."""

    def __init__(self, opts: Opts) -> None:
        self._opts = opts
        self._auth: Any = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="saltapi-tokens")
        seldom.quiet("salt.tokens.localfs", "Authentication failure: can not read", "unknown_token")
        self.readable = _readable(opts)
        if not self.readable:
            log.info("The token store cannot be used from here; tokens are checked by the master.")

    async def get(self, token: Token) -> dict[str, Any]:
        """Return the token's data, `{}` if it is unknown or expired."""
        data = await self._call(lambda auth: auth.get_tok(token))
        return data if isinstance(data, dict) else {}

    async def remove(self, token: Token) -> None:
        """Remove the token from the store, so that no process accepts it any more."""
        await self._call(lambda auth: auth.rm_token(token))

    def close(self) -> None:
        """Give the thread back; idempotent."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _call(self, function: Callable[[Any], T]) -> T:
        def in_thread() -> T:
            if self._auth is None:
                self._auth = salt.auth.LoadAuth(self._opts)
            return function(self._auth)

        return await asyncio.get_running_loop().run_in_executor(self._thread, in_thread)


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
