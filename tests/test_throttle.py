"""Failed logins are limited before they reach the master."""

import pytest

from saltapi import throttle
from saltapi.errors import TooManyRequests
from saltapi.throttle import LoginThrottle


def test_user_at_address() -> None:
    """After so many failures one user at one address is told when to come back."""
    guard = LoginThrottle(3)
    for _ in range(3):
        guard.check("192.0.2.1", "fred")
        guard.failed("192.0.2.1", "fred")

    with pytest.raises(TooManyRequests) as refused:
        guard.check("192.0.2.1", "fred")
    assert 0 < (refused.value.retry_after_seconds or 0) <= throttle.WINDOW_SECONDS
    guard.check("192.0.2.2", "fred")
    guard.check("192.0.2.1", "alice")


def test_address() -> None:
    """Many users who fail at one address end with that address being refused."""
    guard = LoginThrottle(2)
    for number in range(2 * throttle.ADDRESS_FACTOR):
        guard.failed("192.0.2.1", f"user{number}")

    with pytest.raises(TooManyRequests):
        guard.check("192.0.2.1", "alice")


def test_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures are forgotten after a minute."""
    guard = LoginThrottle(1)
    guard.failed("192.0.2.1", "fred")
    later = throttle.time.monotonic() + throttle.WINDOW_SECONDS + 1
    monkeypatch.setattr(throttle.time, "monotonic", lambda: later)

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
    for number in range(throttle.KEYS_KEPT + 100):
        guard.failed(str(number), "fred")

    assert throttle.KEYS_KEPT >= len(guard._failed_at)
