"""Waiting for something to become true, with a deadline."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from tests import machine

T = TypeVar("T")

TIMEOUT_FACTOR = machine.timeout_factor()
"""All deadlines of the tests are multiplied by it."""
POLL_SECONDS = 0.05


def scaled(seconds: float) -> float:
    """Return *seconds*, multiplied by what this machine needs."""
    return seconds * TIMEOUT_FACTOR


def eventually(predicate: Callable[[], T], timeout: float = 20.0) -> T:
    """Return the first true value of *predicate*; fail when there is none in *timeout* s."""
    deadline = time.monotonic() + scaled(timeout)
    while not (value := predicate()):
        assert time.monotonic() < deadline, f"not true within {scaled(timeout):.0f} s"
        time.sleep(POLL_SECONDS)
    return value


async def async_eventually(predicate: Callable[[], T], timeout: float = 20.0) -> T:
    """Same as `eventually`, but lets the event loop run."""
    deadline = time.monotonic() + scaled(timeout)
    while not (value := predicate()):
        assert time.monotonic() < deadline, f"not true within {scaled(timeout):.0f} s"
        await asyncio.sleep(POLL_SECONDS)
    return value
