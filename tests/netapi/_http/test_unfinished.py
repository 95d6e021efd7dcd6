"""Who holds how much of what is not complete."""

from dataclasses import replace

import pytest

from saltapi.config import EngineConfig
from saltapi.errors import SaltApiError, TooManyRequests
from saltapi.netapi._http.unfinished import (
    GRACE_SECONDS,
    PAUSE_SECONDS,
    Limits,
    Pace,
    Share,
    Unfinished,
)

HERE, THERE = "192.0.2.1", "192.0.2.2"


class Held:
    """A ledger with small limits, and what was refused by it."""

    def __init__(self, in_all: int = 100, per_address: int = 60, connections: int = 2) -> None:
        self.whole = Unfinished(Limits(in_all, per_address, connections, 10))
        self.refused: list[tuple[str, int]] = []

    def connect(self, address: str, name: str = "") -> Share:
        def refuse(error: SaltApiError) -> None:
            self.refused.append((name, error.status))
            assert error.retry_after_seconds

        return self.whole.connect(address, refuse)


def test_connections_of_one_address() -> None:
    """One address has so many connections, others have their own; one that ends makes room."""
    held = Held()
    first, _ = held.connect(HERE), held.connect(HERE)
    with pytest.raises(TooManyRequests):
        held.connect(HERE)
    held.connect(THERE)
    first.close()
    first.close()
    held.connect(HERE)
    with pytest.raises(TooManyRequests):
        held.connect(HERE)


def test_one_network_is_one_address() -> None:
    """Whoever has an IPv6 network has one address here; an IPv4 address has one in both ways."""
    held = Held(connections=1)
    held.connect("2001:db8::1")
    held.connect("2001:db8:0:1::1")
    held.connect("::ffff:192.0.2.1")
    for address in ("2001:db8::ffff", HERE):
        with pytest.raises(TooManyRequests):
            held.connect(address)


@pytest.mark.parametrize(("address", "connections"), [("", 1), (HERE, 0)])
def test_any_number_of_connections(address: str, connections: int) -> None:
    """Unix sockets have no address to count by, and 0 is no limit."""
    held = Held(connections=connections)
    for _ in range(5):
        held.connect(address)


def test_proxies() -> None:
    """A trusted proxy is many clients, and has no limit of its own; nor has a unix socket."""
    held = Held(connections=1, in_all=200)
    held.whole.limits = replace(held.whole.limits, trusted_proxies=["192.0.2.0/31", "unix"])
    for address in (HERE, ""):
        shares = [held.connect(address) for _ in range(5)]
        assert all(share.hold(20) for share in shares)
    assert [] == held.refused
    held.connect(THERE)
    with pytest.raises(TooManyRequests):
        held.connect(THERE)


def test_clients_of_a_proxy() -> None:
    """A request that a proxy hands on counts for its client, and only as long as it comes."""
    held = Held(in_all=500)
    held.whole.limits = replace(held.whole.limits, trusted_proxies=[HERE])
    first, second, third = (held.connect(HERE, name) for name in ("first", "second", "third"))
    for share, client in ((first, THERE), (second, THERE), (third, "192.0.2.3")):
        assert share.hold(25)
        share.move(client)
        assert share.hold(1)
    assert second.hold(8)
    first.move(HERE)
    assert second.hold(20)
    first.move(THERE)
    assert not first.hold(0)
    assert [("first", 429)] == held.refused
    second.release()
    assert second.hold(100)
    assert third.hold(20)
    for share in (first, second, third):
        share.close()
    assert {} == held.whole._holders
    assert 0 == held.whole.held_bytes


def test_bytes_of_one_address() -> None:
    """What one address may hold is a limit for all of its connections, and for nobody else."""
    held = Held()
    first, second = held.connect(HERE, "first"), held.connect(HERE, "second")
    other = held.connect(THERE, "other")
    assert first.hold(40)
    assert second.hold(20)
    assert other.hold(10)
    assert not second.hold(1)
    assert [("second", 429)] == held.refused
    assert not second.hold(1)
    assert [("second", 429)] == held.refused
    assert 50 == held.whole.held_bytes
    assert first.hold(20)


def test_bytes_in_all() -> None:
    """When all hold too much, the largest of whoever holds most makes room."""
    held = Held(connections=3)
    small, large = held.connect(HERE, "small"), held.connect(HERE, "large")
    other, third = held.connect(THERE, "other"), held.connect("192.0.2.3", "third")
    assert small.hold(25)
    assert large.hold(30)
    assert other.hold(45)
    assert third.hold(5)
    assert [("large", 503)] == held.refused
    assert not large.hold(1)
    assert 75 == held.whole.held_bytes


def test_who_asks_for_too_much_makes_room_himself() -> None:
    """An address that holds most pushes out nobody else."""
    held = Held()
    first, second = held.connect(HERE, "first"), held.connect(THERE, "second")
    assert first.hold(45)
    assert not second.hold(60)
    assert [("second", 503)] == held.refused
    assert first.hold(1)


def test_released() -> None:
    """What is complete or closed is not held any more; a connection goes on after a request."""
    held = Held()
    first, second = held.connect(HERE), held.connect(HERE)
    first.hold(60)
    first.release()
    assert 0 == held.whole.held_bytes
    assert second.hold(60)
    second.close()
    assert 0 == held.whole.held_bytes
    assert first.hold(60)
    assert [] == held.refused


def test_nothing_is_kept_of_who_has_gone() -> None:
    """Addresses that come once take no memory."""
    held = Held()
    for number in range(50):
        share = held.connect(f"192.0.2.{number}")
        share.hold(1)
        share.close()
    assert {} == held.whole._holders


def test_limits_of_the_config() -> None:
    """A module that takes large requests can take one, whatever the bounds."""
    limits = Limits.of(EngineConfig(api_unfinished_bytes_per_address=2**20), 2**27)
    assert (2**27, 2**27, 10_000, 500) == (
        limits.bytes_in_all,
        limits.bytes_per_address,
        limits.connections_per_address,
        limits.body_bytes_per_second,
    )


def test_pace() -> None:
    """After the grace a request must have come at the rate, and nothing may pause for long."""
    pace = Pace(10, now=100.0)
    assert 100.0 + GRACE_SECONDS == pace.deadline
    pace.take(20, now=109.0)
    assert 100.0 + GRACE_SECONDS + 2 == pace.deadline
    pace.take(10_000, now=110.0)
    assert 110.0 + PAUSE_SECONDS == pace.deadline


def test_no_rate() -> None:
    """Without a rate only a pause ends it."""
    pace = Pace(0, now=100.0)
    pace.take(1, now=300.0)
    assert 300.0 + PAUSE_SECONDS == pace.deadline
