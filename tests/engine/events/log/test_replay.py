"""Who comes back gets everything once, at whichever process of whichever master."""

import asyncio
import uuid
from typing import Any

import pytest

from saltapi.bridge.bus.events import Gap, Record
from saltapi.bridge.bus.history import HISTORY_LOST
from saltapi.config.event_log import EventLogSection
from saltapi.engine.events.log import replay
from saltapi.engine.events.log.follower import EXPIRED
from saltapi.engine.events.log.replay import LOG_AWAY, Replay
from saltapi.engine.events.log.writer import NOT_WRITTEN
from saltapi.engine.events.streams import Queued
from tests.engine.events.log.doors import Door, fire, stored, stream_of
from tests.engine.events.log.test_writer import until_stored, writing
from tests.nats_servers import NatsServers
from tests.waiting import async_eventually, scaled


@pytest.fixture
def bucket() -> str:
    """A log of one's own."""
    return f"log-{uuid.uuid4().hex[:8]}"


def number_of(record: Record) -> Any:
    """Return what `fire` has put into an event; the reason of a gap."""
    return record.reason if isinstance(record, Gap) else record.data["n"]


async def taken(listener: Queued, count: int) -> list[Record]:
    """Return the next *count* records."""
    records: list[Record] = []
    async with asyncio.timeout(scaled(20)):
        while len(records) < count:
            records += await listener.take()
    assert count == len(records), [number_of(record) for record in records]
    return records


async def come_back(door: Door, since: str, count: int) -> list[Record]:
    """Return what a listener gets that was at *since*, and nothing more comes."""
    listener = await door.log.listen(since, (), None)
    records = await taken(listener, count)
    fire(-1, door)
    last = await taken(listener, 1)
    assert -1 == number_of(last[0])
    listener.close()
    return records


async def test_every_place_is_a_place_to_go_on(nats_servers: NatsServers, bucket: str) -> None:
    """From each id that a listener got the rest is told exactly, by all doors of both masters."""
    async with Door(nats_servers, "a", bucket) as a, Door(nats_servers, "b", bucket) as b:
        await writing(a)
        await writing(b)
        listeners: list[Queued] = [door.hub.listen(all_masters=True) for door in (a, b)]
        for number in range(40):
            fire(number, a if number % 3 else b)
            if number % 4 == 0:
                await asyncio.sleep(0.01)
        seen = [await taken(listener, 40) for listener in listeners]
        for door, records in zip((a, b), seen, strict=True):
            assert list(range(40)) == sorted(map(number_of, records))
            masters = {r.master for r in records if not isinstance(r, Gap)}
            assert {None, "b" if door is a else "a"} == masters
        await until_stored(nats_servers, bucket, lambda found: len(found) == 40)
        async with Door(nats_servers, "a", bucket) as a2, Door(nats_servers, "c", bucket) as c:
            await writing(c)
            for records in seen:
                for place in (0, 20, 38):
                    rest = sorted(number_of(record) for record in records[place + 1 :])
                    for door in (a, b, a2, c):
                        listener = await door.log.listen(records[place].id, (), None)
                        found = await taken(listener, len(rest))
                        assert rest == sorted(map(number_of, found))
                        assert listener.cursor() is not None
                        for middle in found[len(found) // 2 :][:1]:
                            left = len(found) - found.index(middle) - 1
                            again = await door.log.listen(middle.id, (), None)
                            more = await taken(again, left) if left else []
                            later = found[found.index(middle) + 1 :]
                            assert sorted(map(number_of, later)) == sorted(map(number_of, more))
                            again.close()
                        listener.close()
            fire(99, a, a2)
            listener = await c.log.listen(seen[0][-1].id, (), None)
            assert [99] == [number_of(r) for r in await taken(listener, 1)]
            fire(100, c)
            fire(101, b)
            assert {100, 101} == {number_of(r) for r in await taken(listener, 2)}
            listener.close()


async def test_after_a_restart_of_everything(nats_servers: NatsServers, bucket: str) -> None:
    """Old events are there, what nobody heard is a gap, and it goes on with what happens."""
    async with Door(nats_servers, bucket=bucket) as door:
        await writing(door)
        listener: Queued = door.hub.listen(all_masters=True)
        for number in range(1500):
            fire(number, door)
            if number % 100 == 0:
                await asyncio.sleep(0)
        records = await taken(listener, 1500)
        await until_stored(nats_servers, bucket, lambda found: len(found) == 1500)
    async with Door(nats_servers, bucket=bucket) as door:
        listener = await door.log.listen(records[9].id, (), None)
        found = await taken(listener, 1491)
        assert [*range(10, 1500), NOT_WRITTEN] == [number_of(record) for record in found]
        assert isinstance(listener, Replay)
        fire(2000, door)
        assert [2000] == [number_of(record) for record in await taken(listener, 1)]
        cursor = listener.cursor()
        listener.close()
        fire(2001, door)
        assert cursor is not None
        assert [2001] == [number_of(r) for r in await come_back(door, cursor, 1)]
    async with Door(nats_servers, bucket=bucket) as door:
        found = await come_back(door, records[-1].id, 5)
        expected = [NOT_WRITTEN, 2000, 2001, -1, NOT_WRITTEN]
        assert expected == [number_of(record) for record in found]


async def test_going_on_while_events_come(nats_servers: NatsServers, bucket: str) -> None:
    """From the log to what happens there is no hole and nothing twice, however much comes."""
    async with Door(nats_servers, bucket=bucket) as one, Door(nats_servers, "b", bucket) as other:
        await writing(one)
        await writing(other)
        listener = one.hub.listen(all_masters=True)
        fire(0, one)
        first = (await taken(listener, 1))[0]
        for number in range(1, 1000):
            fire(number, one)
        total = 3000

        async def go_on() -> None:
            for number in range(1000, total):
                fire(number, one if number % 2 else other)
                if number % 10 == 0:
                    await asyncio.sleep(0.005)

        task = asyncio.create_task(go_on())
        async with Door(nats_servers, "a", bucket) as late:
            tasks = [late.log.listen(first.id, (), None) for _ in range(3)]
            listeners = [await each for each in tasks]

            async def all_of(listener: Queued) -> list[Any]:
                numbers: list[Any] = []
                async with asyncio.timeout(scaled(30)):
                    while total - 2 not in numbers[-30:] or total - 1 not in numbers[-30:]:
                        records = await listener.take()
                        numbers += map(number_of, records)
                        await asyncio.sleep(0.001)
                return numbers

            late_ones = asyncio.create_task(_copy(one, late, task))
            for numbers in await asyncio.gather(*map(all_of, listeners)):
                assert list(range(1, total)) == sorted(numbers)
            await late_ones
        await task


async def _copy(one: Door, late: Door, task: "asyncio.Task[None]") -> None:
    """Let *late* hear what *one* hears from now on, as another process of its master."""
    missed = one.hub.listen()
    while not task.done():
        await asyncio.sleep(0.005)
        for record in missed.drain():
            if not isinstance(record, Gap):
                late.hub.dispatch(record.tag.encode() + b"\n\n" + record.payload)
    missed.close()


async def test_what_has_expired_is_a_gap(nats_servers: NatsServers, bucket: str) -> None:
    """Where the log does not reach back it is said so, and the rest comes."""
    async with Door(nats_servers, bucket=bucket) as door:
        await writing(door)
        listener = door.hub.listen(all_masters=True)
        for number in range(5):
            fire(number, door)
            await until_stored(nats_servers, bucket, lambda n: len(n) == number + 1)  # noqa: B023
        records = await taken(listener, 5)
    async with stream_of(nats_servers, bucket) as stream:
        client = await stream._connection.client()
        await client.jetstream().purge_stream(stream.name, keep=2)
        last = len(await stored(nats_servers, bucket))
    assert 2 == last
    async with Door(nats_servers, bucket=bucket) as door:
        found = await come_back(door, records[0].id, 4)
    numbers = [number_of(record) for record in found]
    assert numbers[0] in {HISTORY_LOST, EXPIRED}
    assert [3, 4, NOT_WRITTEN] == numbers[1:]


async def test_a_log_that_is_away(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without servers there is a gap, and what happens is told all the same."""
    monkeypatch.setattr(replay, "PATIENCE_SECONDS", 0.5)
    with NatsServers(tmp_path / "nats") as servers:
        await servers.ready()
        async with Door(servers) as door:
            await writing(door)
            listener = door.hub.listen(all_masters=True)
            fire(1, door)
            old = (await taken(listener, 1))[0]
        async with Door(servers) as door:
            await async_eventually(lambda: door.log.writer.writes)
            servers.servers[0].stop()
            again = await door.log.listen(old.id, (), None)
            first = await again.take()
            assert LOG_AWAY == number_of(first[0])
            fire(2, door)
            numbers: list[Any] = []
            while 2 not in numbers:
                numbers += map(number_of, await again.take())
            again.close()


def test_the_options_of_a_log() -> None:
    """Times and sizes are written with units."""
    section = EventLogSection.parse({"max_age": "7d", "max_bytes": "10GiB"})
    assert (7 * 86_400, 10 * 2**30) == (section.max_age, section.max_bytes)
