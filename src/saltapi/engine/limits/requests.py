"""
Limits that keep one user from taking the service away from the others.

A rate for each user, and slots for each class of requests. Where all slots are taken, requests
wait, and are served in turn: one of each user, however many of one user wait.
"""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from enum import StrEnum

from saltapi.bridge.requests.turns import Bounds, FairSlots
from saltapi.config import ProtectionSection
from saltapi.errors import TooManyRequests

KEYS_KEPT = 10_000
"""For so many users and addresses the rate is known; those not seen for longest are forgotten."""
IPV6_PREFIX_BITS = 64
"""What one customer of a provider has: every address in it is the same client."""


class RequestClass(StrEnum):
    """What a request costs others."""

    LOGINS = "logins"
    COMMANDS = "commands"
    READS = "reads"
    STREAMS = "streams"


def client_of(address: str) -> str:
    """Return what *address* counts as: itself, or the /64 network of an IPv6 address."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((parsed, IPV6_PREFIX_BITS), strict=False))


class Rate:
    """Requests per minute for each key: a bucket that holds a minute's worth and fills steadily."""

    def __init__(
        self, requests_per_minute: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """
        Args:
            requests_per_minute: How many a key may have; 0 for any number.
            clock: Seconds that only grow.
        """
        self._seconds_each = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()
        """When each bucket is full again; one that is not here is full."""

    def take(self, key: str) -> None:
        """
        Count a request of *key*.

        Raises:
            TooManyRequests: It has had all of the last minute's; this one is not counted.
        """
        if not self._seconds_each:
            return
        now = self._clock()
        full_at = max(self._full_at.get(key, now), now) + self._seconds_each
        wait_seconds = full_at - now - 60.0
        if wait_seconds > self._seconds_each / 1000:  # less is rounding
            raise TooManyRequests(
                "Too many requests in the last minute; send them more slowly.",
                retry_after_seconds=max(1, math.ceil(wait_seconds)),
            )
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        if len(self._full_at) > KEYS_KEPT:
            self._full_at.popitem(last=False)


class Limits:
    """The limits of one module in one process."""

    def __init__(
        self, section: ProtectionSection, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """
        Args:
            section: The module's options.
            clock: Seconds that only grow.
        """
        self._user_rate = Rate(section.user_requests_per_minute, clock=clock)
        self._address_rate = Rate(section.address_requests_per_minute, clock=clock)
        self.slots = {
            name: FairSlots(
                name,
                Bounds(
                    at_once=getattr(section, f"{name}_at_once"),
                    user_at_once=getattr(section, f"user_{name}_at_once"),
                    queue_requests=section.queue_requests,
                    user_queue_requests=section.user_queue_requests,
                    queue_seconds=section.queue_seconds,
                ),
            )
            for name in (RequestClass.LOGINS, RequestClass.COMMANDS, RequestClass.READS)
        }
        # A stream may last for days: there is no point in waiting for its end.
        self.slots[RequestClass.STREAMS] = FairSlots(
            RequestClass.STREAMS,
            Bounds(section.streams_at_once, section.user_streams_at_once, 0, 0, 1.0),
        )

    def count(self, user: str | None, address: str) -> str:
        """
        Count a request and return whose it is, for `slots`: the user's, or else the address'.

        Args:
            user: Who is logged in; None for strangers.
            address: The address of the peer.

        Raises:
            TooManyRequests
        """
        if user is not None:
            self._user_rate.take(user)
            return f"user {user}"
        client = client_of(address)
        self._address_rate.take(client)
        return f"address {client}"
