"""Rates and fair slots: nobody takes the service away from the others."""

import asyncio
from collections.abc import Iterable

import pytest

from saltapi.bridge.requests import turns
from saltapi.bridge.requests.turns import Bounds, FairSlots
from saltapi.config import RestAsgiConfig
from saltapi.engine.limits import requests
from saltapi.engine.limits.requests import Limits, Rate, RequestClass, client_of
from saltapi.errors import ServiceBusy, TooManyRequests


class Clock:
    """Time that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def slots(
    at_once: int = 1,
    user_at_once: int = 0,
    queue_requests: int = 10_000,
    user_queue_requests: int = 10_000,
    queue_seconds: float = 60.0,
) -> FairSlots:
    """Return slots for commands."""
    return FairSlots(
        "commands",
        Bounds(at_once, user_at_once, queue_requests, user_queue_requests, queue_seconds),
    )


async def queue(
    fair: FairSlots, users: Iterable[str], served: list[str]
) -> list[asyncio.Task[None]]:
    """Let a request of each of *users* wait in this order; *served* gets them as they run."""

    async def request(user: str) -> None:
        async with fair.hold(user):
            served.append(user)

    tasks = []
    for user in users:
        tasks.append(asyncio.create_task(request(user)))
        await asyncio.sleep(0)
    return tasks


async def settle(*tasks: asyncio.Task[None]) -> None:
    """Let everything that can go on do so."""
    for _ in range(3):
        await asyncio.sleep(0)


# Rate


def test_rate() -> None:
    """A user has a minute's worth at once, and then as many as time brings."""
    clock = Clock()
    rate = Rate(60, clock=clock)
    for _ in range(60):
        rate.take("fred")
    with pytest.raises(TooManyRequests) as refused:
        rate.take("fred")
    assert 1 == refused.value.retry_after_seconds
    rate.take("alice")

    clock.now += 2
    rate.take("fred")
    rate.take("fred")
    with pytest.raises(TooManyRequests):
        rate.take("fred")

    clock.now += 3600
    for _ in range(60):
        rate.take("fred")
    with pytest.raises(TooManyRequests):
        rate.take("fred")


def test_retry_after_of_slow_rate() -> None:
    """Whoever is refused learns when the next request is taken, and then it is."""
    clock = Clock()
    rate = Rate(2, clock=clock)
    rate.take("fred")
    rate.take("fred")
    with pytest.raises(TooManyRequests) as refused:
        rate.take("fred")

    assert 30 == refused.value.retry_after_seconds
    clock.now += 30
    rate.take("fred")


def test_no_rate() -> None:
    """With 0 requests per minute nothing is counted."""
    rate = Rate(0, clock=Clock())
    for _ in range(10_000):
        rate.take("fred")

    assert 0 == len(rate._full_at)


def test_rate_is_bounded() -> None:
    """However many users and addresses come, the memory for them is bounded."""
    rate = Rate(1, clock=Clock())
    for number in range(requests.KEYS_KEPT + 100):
        rate.take(str(number))

    assert requests.KEYS_KEPT == len(rate._full_at)


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unix:", "unix:"),
    ],
)
def test_client_of(address: str, client: str) -> None:
    """All addresses that one customer has are one client."""
    assert client == client_of(address)


# Fair slots


async def test_first_request_overtakes_a_thousand() -> None:
    """A user's first command waits for one of another's, not for the thousand that wait."""
    fair = slots()
    await fair.acquire("fred")
    served: list[str] = []
    tasks = await queue(fair, ["fred"] * 1000 + ["alice"], served)
    assert 1001 == fair.waiting

    fair.release("fred")
    await asyncio.gather(*tasks)
    assert ["fred", "alice", "fred"] == served[:3]
    assert 1001 == len(served)
    assert (0, 0, {}) == (fair.running, fair.waiting, fair._users)


async def test_turns() -> None:
    """Those who wait are served one by one in turn, each user's own in order."""
    fair = slots()
    await fair.acquire("other")
    served: list[str] = []
    tasks = await queue(fair, ["a", "a", "a", "b", "b", "c"], served)
    fair.release("other")
    await asyncio.gather(*tasks)

    assert ["a", "b", "c", "a", "b", "a"] == served


async def test_free_slots() -> None:
    """While there are slots, nobody waits."""
    fair = slots(at_once=3)
    for _ in range(3):
        await fair.acquire("fred")

    assert (3, 0) == (fair.running, fair.waiting)


async def test_user_limit() -> None:
    """A user who has all of one user's slots waits, and others do not."""
    fair = slots(at_once=10, user_at_once=2)
    await fair.acquire("fred")
    await fair.acquire("fred")
    served: list[str] = []
    (waiting,) = await queue(fair, ["fred"], served)
    async with fair.hold("alice"):
        assert 1 == fair.waiting
    await settle()
    assert [] == served

    fair.release("fred")
    await waiting
    assert ["fred"] == served


async def test_both_limits() -> None:
    """A free slot goes to somebody who may have it, whoever waits before them."""
    fair = slots(at_once=3, user_at_once=2)
    for user in ("fred", "fred", "alice"):
        await fair.acquire(user)
    served: list[str] = []
    tasks = await queue(fair, ["fred", "bob"], served)
    fair.release("alice")
    await settle()
    assert ["bob"] == served[:1]

    fair.release("fred")
    await asyncio.gather(*tasks)
    assert ["bob", "fred"] == served


async def test_user_queue_is_bounded() -> None:
    """A user with too many waiting requests gets 429 and when to come back; others wait."""
    fair = slots(user_queue_requests=2)
    await fair.acquire("fred")
    tasks = await queue(fair, ["fred", "fred"], [])
    with pytest.raises(TooManyRequests, match="too many commands") as refused:
        await fair.acquire("fred")
    assert turns.RETRY_AFTER_SECONDS == refused.value.retry_after_seconds
    assert 429 == refused.value.status

    tasks += await queue(fair, ["alice"], [])
    assert 3 == fair.waiting
    fair.release("fred")
    await asyncio.gather(*tasks)


async def test_queue_is_bounded() -> None:
    """When too many wait in all, the next one gets 503 and when to come back."""
    fair = slots(queue_requests=2)
    await fair.acquire("fred")
    tasks = await queue(fair, ["fred", "alice"], [])
    with pytest.raises(ServiceBusy) as refused:
        await fair.acquire("bob")
    assert (503, turns.RETRY_AFTER_SECONDS) == (
        refused.value.status,
        refused.value.retry_after_seconds,
    )
    fair.release("fred")
    await asyncio.gather(*tasks)
    assert {} == fair._users


async def test_waiting_ends() -> None:
    """Whoever has waited for too long gets 503, or 429 if it is the user's own limit."""
    fair = slots(queue_seconds=0.01)
    await fair.acquire("fred")
    with pytest.raises(ServiceBusy):
        await fair.acquire("alice")
    own = slots(at_once=5, user_at_once=1, queue_seconds=0.01)
    await own.acquire("fred")
    with pytest.raises(TooManyRequests):
        await own.acquire("fred")

    for each in (fair, own):
        each.release("fred")
        assert (0, 0, {}, {}) == (each.running, each.waiting, each._users, dict(each._turns))


async def test_a_request_that_leaves_the_queue() -> None:
    """A request that is cancelled while it waits holds nothing up, whenever that happens."""
    fair = slots()
    await fair.acquire("fred")
    served: list[str] = []
    tasks = await queue(fair, ["a", "b", "a", "c"], served)
    tasks[0].cancel()
    tasks[1].cancel()
    fair.release("fred")  # before the two know that they are cancelled
    await asyncio.gather(*tasks, return_exceptions=True)

    assert ["a", "c"] == sorted(served)
    assert (0, 0, {}, {}) == (fair.running, fair.waiting, fair._users, dict(fair._turns))


async def test_a_request_that_is_cancelled_with_its_slot() -> None:
    """A slot that is given to a request in the moment when it is cancelled goes to the next."""
    fair = slots()
    await fair.acquire("fred")
    served: list[str] = []
    first, second = await queue(fair, ["a", "b"], served)
    fair.release("fred")
    first.cancel()
    await asyncio.gather(first, second, return_exceptions=True)

    assert ["b"] == served
    assert (0, 0, {}) == (fair.running, fair.waiting, fair._users)


async def test_no_limit() -> None:
    """With 0 nobody waits."""
    fair = slots(at_once=0, user_at_once=0, queue_requests=0)
    for _ in range(10_000):
        await fair.acquire("fred")

    assert 10_000 == fair.running


# Limits of a module


async def test_defaults_do_not_hurt() -> None:
    """By default one user may have 2,000 commands and 5,000 streams, and wait for none of them."""
    found = Limits(RestAsgiConfig.parse({}))
    for _ in range(5000):
        user = found.count("fred", "192.0.2.1")
        await found.slots[RequestClass.STREAMS].acquire(user)
    for _ in range(2000):
        await found.slots[RequestClass.COMMANDS].acquire(user)

    assert 0 == sum(each.waiting for each in found.slots.values())


async def test_no_user_takes_everything() -> None:
    """By default one user cannot have all slots of any class."""
    section = RestAsgiConfig.parse({})
    for name in RequestClass:
        assert 0 < getattr(section, f"user_{name}_at_once") < getattr(section, f"{name}_at_once")


def test_whose() -> None:
    """A user counts as one from wherever; strangers count by where they are."""
    found = Limits(
        RestAsgiConfig.parse({"user_requests_per_minute": 1, "address_requests_per_minute": 2})
    )
    assert "user fred" == found.count("fred", "192.0.2.1")
    with pytest.raises(TooManyRequests):
        found.count("fred", "192.0.2.2")
    assert "address 192.0.2.1" == found.count(None, "192.0.2.1")
    assert "address 192.0.2.1" == found.count(None, "192.0.2.1")
    with pytest.raises(TooManyRequests):
        found.count(None, "192.0.2.1")


async def test_streams_do_not_wait() -> None:
    """A stream that there is no place for is refused at once."""
    found = Limits(RestAsgiConfig.parse({"streams_at_once": 2, "user_streams_at_once": 1}))
    streams = found.slots[RequestClass.STREAMS]
    await streams.acquire("fred")
    with pytest.raises(TooManyRequests):
        await streams.acquire("fred")
    await streams.acquire("alice")
    with pytest.raises(ServiceBusy):
        await streams.acquire("bob")
