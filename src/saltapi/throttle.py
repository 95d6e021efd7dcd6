"""
Attempts to log in, limited before they reach the master.

A wrong password keeps one of the master's few workers busy for about a second, so failures are
counted for each address, and for each user at an address, and more of them get a 429.
"""

import math
import time
from collections import OrderedDict, deque

from saltapi.errors import TooManyRequests

WINDOW_SECONDS = 60.0
ADDRESS_FACTOR = 5
"""So many times the failures of one user are let pass from one address: users share proxies."""
KEYS_KEPT = 10_000


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
                wait_seconds = math.ceil(times[-limit] + WINDOW_SECONDS - now)
                raise TooManyRequests(
                    "Too many failed logins; try again later.",
                    retry_after_seconds=max(1, wait_seconds),
                )

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

    def _limits(self, address: str, user: str) -> list[tuple[tuple[str, str | None], int]]:
        return [
            ((address, user), self._failures),
            ((address, None), self._failures * ADDRESS_FACTOR),
        ]
