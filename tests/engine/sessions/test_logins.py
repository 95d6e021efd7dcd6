"""Failed logins are limited before they reach the master."""

import asyncio
import time
from pathlib import Path

import pytest

from saltapi.engine.sessions import logins
from saltapi.engine.sessions.logins import LoginThrottle
from saltapi.engine.store.sqlite import SqliteStore
from saltapi.errors import (
    AuthenticationFailed,
    MasterUnavailable,
    StoreUnavailable,
    TooManyRequests,
)


def test_user_at_address() -> None:
    """After so many failures one user at one address is told when to come back."""
    guard = LoginThrottle(3)
    for _ in range(3):
        guard.check("192.0.2.1", "fred")
        guard.failed("192.0.2.1", "fred")

    with pytest.raises(TooManyRequests) as refused:
        guard.check("192.0.2.1", "fred")
    assert 0 < (refused.value.retry_after_seconds or 0) <= logins.WINDOW_SECONDS
    guard.check("192.0.2.2", "fred")
    guard.check("192.0.2.1", "alice")


def test_address() -> None:
    """Many users who fail at one address end with that address being refused."""
    guard = LoginThrottle(2)
    for number in range(2 * logins.ADDRESS_FACTOR):
        guard.failed("192.0.2.1", f"user{number}")

    with pytest.raises(TooManyRequests):
        guard.check("192.0.2.1", "alice")


def test_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures are forgotten after a minute."""
    guard = LoginThrottle(1)
    guard.failed("192.0.2.1", "fred")
    later = time.monotonic() + logins.WINDOW_SECONDS + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)

    guard.check("192.0.2.1", "fred")


def test_off() -> None:
    """With 0 nothing is limited."""
    guard = LoginThrottle(0)
    for _ in range(1000):
        guard.failed("192.0.2.1", "fred")

    guard.check("192.0.2.1", "fred")


def test_bounded() -> None:
    """However many addresses fail, the memory for them is bounded."""
    guard = LoginThrottle(3)
    for number in range(logins.KEYS_KEPT + 100):
        guard.failed(str(number), "fred")

    assert logins.KEYS_KEPT >= len(guard._failed_at)


def test_ipv6_network() -> None:
    """All addresses of an IPv6 /64 network are one: whoever has one of them has them all."""
    guard = LoginThrottle(3)
    for number in range(3):
        guard.failed(f"2001:db8::{number}", "fred")

    with pytest.raises(TooManyRequests):
        guard.check("2001:db8::99", "fred")
    guard.check("2001:db8:0:1::99", "fred")


async def test_shared(tmp_path: Path) -> None:
    """Several processes together let through as many failures as one does."""
    stores = [SqliteStore(tmp_path / "s" / "store.sqlite") for _ in range(2)]
    guards = [LoginThrottle(4), LoginThrottle(4)]
    for guard, store in zip(guards, stores, strict=True):
        guard.share(store)
    for number in range(4):
        await guards[number % 2].admit("192.0.2.1", "fred")
        await guards[number % 2].count("192.0.2.1", "fred")

    for guard in guards:
        with pytest.raises(TooManyRequests) as refused:
            await guard.admit("192.0.2.1", "fred")
        assert 0 < (refused.value.retry_after_seconds or 0) <= logins.WINDOW_SECONDS
        await guard.admit("192.0.2.1", "alice")
    assert [1, 1] == [guard.refused_total for guard in guards]
    for store in stores:
        await store.close()


async def test_shared_counts_are_exact(tmp_path: Path) -> None:
    """Failures that several processes count in the same moment are all counted."""
    stores = [SqliteStore(tmp_path / "s" / "store.sqlite") for _ in range(3)]
    guards = [LoginThrottle(3) for _ in stores]
    for guard, store in zip(guards, stores, strict=True):
        guard.share(store)
    await asyncio.gather(*(guard.count("192.0.2.1", "fred") for guard in guards))

    fresh = LoginThrottle(3)
    fresh.share(stores[0])
    with pytest.raises(TooManyRequests):
        await fresh.admit("192.0.2.1", "fred")
    for store in stores:
        await store.close()


async def test_shared_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also shared failures are forgotten after a minute."""
    store = SqliteStore(tmp_path / "s" / "store.sqlite")
    guard = LoginThrottle(1)
    guard.share(store)
    await guard.count("192.0.2.1", "fred")
    fresh = LoginThrottle(1)
    fresh.share(store)
    with pytest.raises(TooManyRequests):
        await fresh.admit("192.0.2.1", "fred")
    later = time.time() + logins.WINDOW_SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: later)

    await fresh.admit("192.0.2.1", "fred")
    await store.close()


async def test_store_in_trouble(tmp_path: Path) -> None:
    """Without the store every process counts for itself, and people can log in."""
    (tmp_path / "file").write_text("no directory")
    store = SqliteStore(tmp_path / "file" / "store.sqlite")
    with pytest.raises(StoreUnavailable):
        await store.get("a", "b")
    guard = LoginThrottle(1)
    guard.share(store)
    await guard.admit("192.0.2.1", "fred")
    await guard.count("192.0.2.1", "fred")

    with pytest.raises(TooManyRequests):
        await guard.admit("192.0.2.1", "fred")
    await store.close()


async def test_attempt() -> None:
    """What is refused inside an attempt counts when it is left; other errors do not."""
    guard = LoginThrottle(1)
    with pytest.raises(MasterUnavailable):
        async with guard.attempt("192.0.2.1", "fred"):
            raise MasterUnavailable("It is gone.")
    with pytest.raises(AuthenticationFailed):
        async with guard.attempt("192.0.2.1", "fred"):
            raise AuthenticationFailed("It is wrong.")

    with pytest.raises(TooManyRequests):
        async with guard.attempt("192.0.2.1", "fred"):
            raise AssertionError("It was let through.")
