"""
Attempts to log in, limited before they reach the master.

A wrong password keeps one of the master's few workers busy for about a second, so failures are
counted for each address, and for each user at an address, and more of them get a 429.
"""

import contextlib
import hashlib
import json
import math
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator

from saltapi.engine.limits.requests import client_of
from saltapi.engine.store.store import ShareUsed, Store
from saltapi.errors import AuthenticationFailed, StoreUnavailable, TooManyRequests

WINDOW_SECONDS = 60.0
ADDRESS_FACTOR = 5
"""So many times the failures of one user are let pass from one address: users share proxies."""
KEYS_KEPT = 10_000
SHARED_KIND = "login-failures"
SHARED_TRIES = 5
"""So often a shared count is written anew that another process has changed meanwhile."""


class LoginThrottle:
    """Counts failed logins of the last minute."""

    def __init__(self, failures: int) -> None:
        """
        Args:
            failures: How many failures a minute one user at one address may have; 0 for any
                number.
        """
        self._failures = failures
        self._failed_at: OrderedDict[tuple[str, str | None], deque[float]] = OrderedDict()
        self.refused_total = 0
        """How many attempts were not let through."""
        self._store: Store | None = None

    def share(self, store: Store) -> None:
        """Let `admit` and `count` know the failures of all processes that have this *store*."""
        self._store = store

    @contextlib.asynccontextmanager
    async def attempt(self, address: str, user: str) -> AsyncIterator[None]:
        """Let a password be tried inside, unless too many have failed; a failure is counted."""
        await self.admit(address, user)
        try:
            yield
        except AuthenticationFailed:
            await self.count(address, user)
            raise

    async def admit(self, address: str, user: str) -> None:
        """Same as `check`, with the failures that other processes have seen."""
        self.check(address, user)
        if self._store is None or not self._failures:
            return
        now = time.time()
        for key, limit in self._limits(address, user):
            with contextlib.suppress(StoreUnavailable):  # it has been logged; this process knows
                times = _recent(await self._store.get(SHARED_KIND, _shared_key(key)), now)
                if len(times) >= limit:
                    raise self._too_many(times[-limit] + WINDOW_SECONDS - now)

    async def count(self, address: str, user: str) -> None:
        """Same as `failed`, for all processes."""
        self.failed(address, user)
        if self._store is None or not self._failures:
            return
        for key, limit in self._limits(address, user):
            with contextlib.suppress(StoreUnavailable, ShareUsed):
                await self._count_shared(self._store, _shared_key(key), limit)

    async def _count_shared(self, store: Store, key: str, limit: int) -> None:
        now = time.time()
        expire = now + WINDOW_SECONDS
        old = await store.get(SHARED_KIND, key)
        for _ in range(SHARED_TRIES):
            new = json.dumps([*_recent(old, now), now][-limit:]).encode()
            if old is None:
                found = await store.add(SHARED_KIND, key, new, expire=expire)
            else:
                found = await store.replace(SHARED_KIND, key, old, new, expire=expire)
            if found == old:
                return
            old = found

    def check(self, address: str, user: str) -> None:
        """
        Return if somebody at *address* may try to log in as *user* now.

        Raises:
            TooManyRequests: There were too many failures.
        """
        if not self._failures:
            return
        now = time.monotonic()
        for key, limit in self._limits(address, user):
            times = self._failed_at.get(key)
            while times and times[0] <= now - WINDOW_SECONDS:
                times.popleft()
            if times and len(times) >= limit:
                raise self._too_many(times[-limit] + WINDOW_SECONDS - now)

    def failed(self, address: str, user: str) -> None:
        """Count a failure of *user* at *address*."""
        if not self._failures:
            return
        for key, limit in self._limits(address, user):
            times = self._failed_at.setdefault(key, deque(maxlen=limit))
            times.append(time.monotonic())
            self._failed_at.move_to_end(key)
        while len(self._failed_at) > KEYS_KEPT:
            self._failed_at.popitem(last=False)

    def _too_many(self, wait_seconds: float) -> TooManyRequests:
        self.refused_total += 1
        return TooManyRequests(
            "Too many failed logins; try again later.",
            retry_after_seconds=max(1, math.ceil(wait_seconds)),
        )

    def _limits(self, address: str, user: str) -> list[tuple[tuple[str, str | None], int]]:
        address = client_of(address)
        return [
            ((address, user), self._failures),
            ((address, None), self._failures * ADDRESS_FACTOR),
        ]


def _recent(times: bytes | None, now: float) -> list[float]:
    return [at for at in json.loads(times or b"[]") if at > now - WINDOW_SECONDS]


def _shared_key(key: tuple[str, str | None]) -> str:
    """Return a key that shows no name: what was typed as one may be a password."""
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()
