"""Each event of a master is in the log once, whoever of its processes writes."""

import asyncio
import os
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from saltapi.bridge.bus.hub import BUS_LOST
from saltapi.engine.events.log import writer
from saltapi.engine.events.log.messages import LoggedEvent, LoggedGap
from saltapi.engine.events.log.writer import NOT_WRITTEN, TOO_SLOW
from saltapi.masking import HIDDEN
from tests.apis import jid_of_now
from tests.engine.events.log.doors import Door, fire, number_of, stored
from tests.nats_servers import NatsServers
from tests.waiting import async_eventually, scaled

TAKEN_OVER_SECONDS = 5.0


@pytest.fixture
def bucket() -> str:
    """A log of one's own."""
    return f"log-{uuid.uuid4().hex[:8]}"


async def until_stored(
    servers: NatsServers, bucket: str, enough: Callable[[list[Any]], bool]
) -> list[Any]:
    """Return the numbers of what is stored, as soon as they are enough."""
    deadline = time.monotonic() + scaled(20)
    while True:
        numbers = [number_of(record) for record in await stored(servers, bucket)]
        if enough(numbers):
            return numbers
        assert time.monotonic() < deadline, numbers[-20:]
        await asyncio.sleep(0.05)


async def writing(*doors: Door) -> Door:
    """Return the one of *doors* that writes."""
    found = await async_eventually(
        lambda: [d for d in doors if d.log.writer.writes and d.log.lag_seconds == 0]
    )
    assert 1 == len(found)
    return found[0]


async def test_everything_is_stored_once(nats_servers: NatsServers, bucket: str) -> None:
    """Of several processes one writes, and all that comes is there once, in order."""
    async with (
        Door(nats_servers, bucket=bucket) as one,
        Door(nats_servers, bucket=bucket) as two,
        Door(nats_servers, "b", bucket) as other,
    ):
        for number in range(3000):
            fire(number, one, two)
            if number % 100 == 0:
                await asyncio.sleep(0)
        fire(-1, other)
        found = await until_stored(nats_servers, bucket, lambda numbers: len(numbers) >= 3001)
        await writing(one, two)
        assert 3000 == one.log.stored_total + two.log.stored_total
    found.remove(-1)
    assert list(range(3000)) == found
    assert [-1] == [number_of(r) for r in await stored(nats_servers, bucket, "b")]


async def test_another_one_takes_over(nats_servers: NatsServers, bucket: str) -> None:
    """When the writer dies another one goes on within five seconds, without hole or repetition."""
    doors = [Door(nats_servers, bucket=bucket) for _ in range(3)]
    for door in doors:
        door.log.start()
    number = 0
    while len(doors) > 1:
        victim = await writing(*doors)
        for _ in range(20):
            fire(number, *doors)
            number += 1
            await asyncio.sleep(0.002)
        await victim.die()
        doors.remove(victim)
        died_at = time.monotonic()
        fire(number, *doors)
        number += 1
        await until_stored(nats_servers, bucket, lambda found: len(found) >= number)  # noqa: B023
        assert time.monotonic() - died_at < scaled(TAKEN_OVER_SECONDS)
    found = await until_stored(nats_servers, bucket, lambda found: len(found) >= number)
    await doors[0].log.close()
    assert list(range(number)) == found


async def test_who_was_thought_dead(nats_servers: NatsServers, bucket: str) -> None:
    """A writer whose lease is somebody else's repeats nothing when it wakes up."""
    async with Door(nats_servers, bucket=bucket) as one:
        await writing(one)
        fire(0, one)
        await until_stored(nats_servers, bucket, lambda found: found == [0])
        async with Door(nats_servers, bucket=bucket) as two:
            frames = [0]
            one.log.writer._lease._own = b"x"  # it does not know the lease any more
            one.log.writer._lease._value = b"x"
            for number in range(1, 400):
                fire(number, one, two)
                frames.append(number)
                await asyncio.sleep(0.01)
            found = await until_stored(nats_servers, bucket, lambda found: len(found) >= 400)
    assert frames == [number for number in found if isinstance(number, int)]


async def test_a_restart_of_everything(nats_servers: NatsServers, bucket: str) -> None:
    """What nobody has heard is a gap with its times; what is new follows."""
    async with Door(nats_servers, bucket=bucket) as first:
        await writing(first)
        fire(1, first)
        await until_stored(nats_servers, bucket, lambda found: found == [1])
    before = time.time()
    async with Door(nats_servers, bucket=bucket) as second:
        fire(2, second)
        await until_stored(nats_servers, bucket, lambda found: found == [1, NOT_WRITTEN, 2])
        assert 1 == second.log.gaps_total
    _, gap, _ = await stored(nats_servers, bucket)
    assert isinstance(gap, LoggedGap)
    assert gap.since is not None
    assert gap.until is not None
    assert gap.since < before < gap.until


async def test_a_process_that_knows_more_goes_first(nats_servers: NatsServers, bucket: str) -> None:
    """Where one process has missed something and another one has not, there is no gap."""
    async with Door(nats_servers, bucket=bucket) as deaf:
        await writing(deaf)
        fire(1, deaf)
        await until_stored(nats_servers, bucket, lambda found: found == [1])
        async with Door(nats_servers, bucket=bucket) as other:
            fire(2, deaf, other)
            await until_stored(nats_servers, bucket, lambda found: found == [1, 2])
            deaf.hub.gap()
            fire(3, other)
            deaf.hub.connected()
            fire(4, deaf, other)
            await until_stored(nats_servers, bucket, lambda found: found == [1, 2, 3, 4])
            for door in (deaf, other):
                door.hub.gap()
                door.hub.connected()
            fire(5, deaf, other)
            await until_stored(nats_servers, bucket, lambda found: found[4:] == [BUS_LOST, 5])


async def test_what_another_process_has_filled(nats_servers: NatsServers, bucket: str) -> None:
    """Who has missed what another process stored says of no gap when it goes on in its place."""
    async with Door(nats_servers, bucket=bucket) as deaf:
        async with Door(nats_servers, bucket=bucket) as other:
            fire(1, deaf, other)
            await until_stored(nats_servers, bucket, lambda found: found == [1])
            deaf.hub.gap()
            fire(2, other)
            deaf.hub.connected()
            fire(3, deaf, other)
            await until_stored(nats_servers, bucket, lambda found: found == [1, 2, 3])
        fire(4, deaf)
        await until_stored(nats_servers, bucket, lambda found: found == [1, 2, 3, 4])


async def test_servers_that_are_away(tmp_path: Any) -> None:
    """What comes meanwhile is written afterwards, as far as memory reaches, and else is a gap."""
    with NatsServers(tmp_path / "nats") as servers:
        await servers.ready()
        async with Door(servers, history_bytes=200_000) as door:
            await writing(door)
            fire(0, door)
            await until_stored(servers, "log", lambda found: found == [0])
            servers.servers[0].stop()
            for number in range(1, 100):
                fire(number, door)
            await asyncio.sleep(0.5)
            servers.servers[0].start()
            await servers.ready()
            found = await until_stored(servers, "log", lambda found: len(found) >= 100)
            assert list(range(100)) == found
            servers.servers[0].freeze()
            fire(100, door)
            await async_eventually(lambda: door.log.lag_seconds > 0)
            for number in range(101, 2000):
                fire(number, door)
            servers.servers[0].thaw()
            found = await until_stored(servers, "log", lambda found: found[-1] == 1999)
            assert TOO_SLOW in found
            gap = found.index(TOO_SLOW)
            assert list(range(gap)) == found[:gap]
            first = found[gap + 1]
            assert list(range(first, 2000)) == found[gap + 1 :]


async def test_no_secret_is_stored(nats_servers: NatsServers, bucket: str) -> None:
    """What the streams hide from everybody, or from all but administrators, is not in the log."""
    secret = "5up3r-s3cr3t"
    key = f"-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----"
    async with Door(nats_servers, bucket=bucket) as door:
        fire(1, door, tag="salt/job/20260101000000000000/error", token=secret)
        fire(2, door, text=key)
        fire(3, door, fun="runner.config.get", **{"return": secret})
        fire(4, door, text="plain")
        await until_stored(nats_servers, bucket, lambda found: found == [1, 2, 3, 4])
    records = await stored(nats_servers, bucket)
    payloads = [r.payload for r in records if isinstance(r, LoggedEvent)]
    assert [HIDDEN.encode() in payload for payload in payloads] == [True, True, True, False]
    assert not any(secret.encode() in payload for payload in payloads)


async def test_events_that_are_too_large(
    nats_servers: NatsServers, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many large events take several messages; one that the servers cannot take is a gap."""
    noise = [uuid.uuid4().hex * 6000 + uuid.uuid4().hex for _ in range(8)]
    monkeypatch.setattr(writer, "MESSAGE_BYTES", 10_000_000)
    async with Door(nats_servers, bucket=bucket) as door:
        fire(0, door)
        for number, text in enumerate(noise, 1):
            fire(number, door, text=text)
        fire(9, door, data=os.urandom(1_500_000))
        fire(10, door)
        found = await until_stored(nats_servers, bucket, lambda found: 10 in found)
    assert [*range(9), 10] == [number for number in found if isinstance(number, int)]
    assert "too large" in found[9]


async def test_who_runs_a_job_is_stored_with_it(nats_servers: NatsServers, bucket: str) -> None:
    """An event of a job says whose the job is, to those who have not heard how it began."""
    async with Door(nats_servers, bucket=bucket) as door:
        jid = jid_of_now()
        job = {"jid": jid, "user": "saltdev", "fun": "test.ping", "minions": ["m"]}
        fire(1, door, tag=f"salt/job/{jid}/new", **job)
        fire(2, door, tag=f"salt/job/{jid}/ret/m", jid=jid, id="m", user="liar")
        fire(3, door)
        await until_stored(nats_servers, bucket, lambda found: len(found) == 3)
    starts = [r.start for r in await stored(nats_servers, bucket) if isinstance(r, LoggedEvent)]
    assert [("saltdev", ("test.ping",)), ("saltdev", ("test.ping",)), None] == starts
