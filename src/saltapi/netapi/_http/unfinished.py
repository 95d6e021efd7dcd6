"""
Who holds how much before anything was answered: connections, and bytes of unfinished requests.

A request that is not complete costs memory and nothing else; this says how much of it one address
and all together may hold, and how slowly a request may come. Arithmetic alone: whoever reads from
sockets tells what came, and ends what is refused here.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

from saltapi.config import EngineConfig
from saltapi.engine.limits.requests import client_of
from saltapi.engine.sessions.addresses import address_listed
from saltapi.errors import SaltApiError, ServiceBusy, TooManyRequests

GRACE_SECONDS = 10.0
"""How long a request may come as slowly as it likes."""
PAUSE_SECONDS = 15.0
"""How long nothing of it may come."""
RETRY_SECONDS = 10

CONNECTIONS = "Too many connections are open from this address: end some of them."
OF_ADDRESS = "This address has too many bytes of unfinished requests here: send fewer at once."
TOO_SLOW = "The request came too slowly."
OF_ALL = "There are too many unfinished requests; this one, the largest, had to make room."

Refuse: TypeAlias = Callable[[SaltApiError], None]


@dataclass(frozen=True)
class Limits:
    """What may be held in one process; 0 connections, or 0 bytes a second, is no limit."""

    bytes_in_all: int
    bytes_per_address: int
    connections_per_address: int
    body_bytes_per_second: int
    trusted_proxies: Sequence[str] = ()
    """Whose connections are of many clients, and not counted as one address's."""

    @classmethod
    def of(
        cls, engine: EngineConfig, request_bytes: int, trusted_proxies: Sequence[str] = ()
    ) -> Self:
        """Return the limits of *engine*, wide enough for one request of *request_bytes*."""
        return cls(
            bytes_in_all=max(engine.api_unfinished_bytes, request_bytes),
            bytes_per_address=max(engine.api_unfinished_bytes_per_address, request_bytes),
            connections_per_address=engine.api_connections_per_address,
            body_bytes_per_second=engine.api_min_body_rate_bytes,
            trusted_proxies=trusted_proxies,
        )


class Unfinished:
    """What all connections of a process hold; any thread may use it."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.held_bytes = 0
        """How much is held in all."""
        self._holders: dict[str, _Holder] = {}
        self._lock = threading.Lock()

    def connect(self, peer: str, refuse: "Refuse") -> "Share":
        """
        Return the share of a new connection, to be closed with it.

        Args:
            peer: The address of whoever is there; "" for a unix socket, which has no limit of its
                own, as trusted proxies have none.
            refuse: Ends the connection's request, with an answer if there is still time for one.
                Called at most once, when it holds too much or must make room for another's;
                perhaps by the thread of that other one.

        Raises:
            TooManyRequests: The address has as many connections as it may have.
        """
        address = client_of(peer)
        is_many = not peer or address_listed(self.limits.trusted_proxies, peer)
        limit = 0 if is_many else self.limits.connections_per_address
        with self._lock:
            holder = self._holders.get(address) or _Holder(address, is_many=is_many)
            if limit and holder.connections >= limit:
                raise TooManyRequests(CONNECTIONS, retry_after_seconds=RETRY_SECONDS)
            holder.connections += 1
            self._holders[address] = holder
        return Share(self, holder, refuse)

    def _hold(self, share: "Share", size_bytes: int) -> None:
        """Let *share* hold more, or refuse it, or whoever must make room for it."""
        refused: dict[Share, SaltApiError] = {}
        with self._lock:
            if share.is_over:
                return
            self._add(share, size_bytes)
            limit = self.limits.bytes_per_address
            if share.holder.held_bytes > limit and not share.holder.is_many:
                refused[share] = TooManyRequests(OF_ADDRESS, retry_after_seconds=RETRY_SECONDS)
                self._end(share)
            while self.held_bytes > self.limits.bytes_in_all:
                largest = self._largest()
                refused[largest] = ServiceBusy(OF_ALL, retry_after_seconds=RETRY_SECONDS)
                self._end(largest)
        for one, error in refused.items():
            one.refuse(error)

    def _move(self, share: "Share", client: str) -> None:
        address = client_of(client)
        with self._lock:
            if share.is_over or share.holder.address == address:
                return
            self._go_home(share)
            if address != share.home.address:
                size_bytes = share.held_bytes
                self._add(share, -size_bytes)
                share.holder = self._holders.setdefault(address, _Holder(address, is_many=False))
                share.holder.guests += 1
                self._add(share, size_bytes)

    def _go_home(self, share: "Share") -> None:
        holder = share.holder
        if holder is not share.home:
            size_bytes = share.held_bytes
            self._add(share, -size_bytes)
            share.holder = share.home
            self._add(share, size_bytes)
            holder.guests -= 1
            self._forget(holder)

    def _forget(self, holder: "_Holder") -> None:
        if not holder.connections and not holder.guests:
            del self._holders[holder.address]

    def _release(self, share: "Share") -> None:
        with self._lock:
            self._add(share, -share.held_bytes)
            self._go_home(share)

    def _close(self, share: "Share") -> None:
        with self._lock:
            self._end(share)
            if not share.is_connected:
                return
            share.is_connected = False
            self._go_home(share)
            share.home.connections -= 1
            self._forget(share.home)

    def _end(self, share: "Share") -> None:
        share.is_over = True
        self._add(share, -share.held_bytes)

    def _add(self, share: "Share", size_bytes: int) -> None:
        share.held_bytes += size_bytes
        share.holder.held_bytes += size_bytes
        self.held_bytes += size_bytes
        if share.held_bytes:
            share.holder.shares.add(share)
        else:
            share.holder.shares.discard(share)

    def _largest(self) -> "Share":
        """Return the largest of whoever holds most, who so can push out nobody but himself."""
        holder = max(self._holders.values(), key=lambda one: one.held_bytes)
        return max(holder.shares, key=lambda share: share.held_bytes)


class _Holder:
    """What one address holds."""

    def __init__(self, address: str, *, is_many: bool) -> None:
        self.address = address
        self.is_many = is_many
        self.connections = 0
        self.guests = 0
        """How many connections of proxies have a request of its clients."""
        self.held_bytes = 0
        self.shares: set[Share] = set()
        """Those of its connections that hold bytes."""


class Share:
    """What one connection holds."""

    def __init__(self, whole: Unfinished, holder: _Holder, refuse: "Refuse") -> None:
        """Made by `Unfinished.connect`."""
        self.home = self.holder = holder
        self.refuse = refuse
        self.held_bytes = 0
        self.is_over = False
        """Whether it was refused or closed; it holds nothing then, and gets nothing."""
        self.is_connected = True
        self._whole = whole

    def hold(self, size_bytes: int) -> bool:
        """Note that so many more bytes of a request have come; return whether it may go on."""
        self._whole._hold(self, size_bytes)
        return not self.is_over

    def move(self, client: str) -> None:
        """
        Let what it holds count as that of another address, until `release`.

        Args:
            client: Whose the request is, by what a trusted proxy says.
        """
        self._whole._move(self, client)

    def release(self) -> None:
        """Note that the request is complete, and somebody else's to hold."""
        self._whole._release(self)

    def close(self) -> None:
        """Note that the connection has ended, or has become a stream; again is nothing."""
        self._whole._close(self)


class Pace:
    """How slowly one request comes: it has a grace, then the time its bytes take at least."""

    def __init__(self, bytes_per_second: int, now: float) -> None:
        """
        Args:
            bytes_per_second: What it must have come at on the whole; 0 sets no rate.
            now: When it began, in seconds of any clock.
        """
        self._bytes_per_second = bytes_per_second
        self._began = self._last = now
        self._bytes = 0

    def take(self, size_bytes: int, now: float) -> None:
        """Note that so many more bytes have come."""
        self._bytes += size_bytes
        self._last = now

    @property
    def deadline(self) -> float:
        """When it has come too slowly, if nothing more comes before."""
        pause = self._last + PAUSE_SECONDS
        if not self._bytes_per_second:
            return pause
        return min(pause, self._began + GRACE_SECONDS + self._bytes / self._bytes_per_second)
