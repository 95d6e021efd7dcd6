"""Consumers with a cursor get each event at least once, and know how far they were."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from saltapi.bridge.bus.hub import ListenerClosed
from saltapi.engine.events import durable
from saltapi.engine.events.durable import REPLACED, DurableCursors, DurableReader
from saltapi.engine.store.sqlite import SqliteStore
from saltapi.errors import InvalidField, NotFound, TooManyRequests
from saltapi.types import Session
from tests.engine.events.log.doors import Door, fire
from tests.engine.events.log.test_replay import number_of, taken
from tests.engine.events.log.test_writer import until_stored, writing
from tests.nats_servers import NatsServers
from tests.waiting import scaled

SESSION = Session(token="a" * 64, name="ops", eauth="pam", start=0, expire=2e9)
OTHER = Session(token="b" * 64, name="ops", eauth="ldap", start=0, expire=2e9)
PATIENT_SECONDS = 3600.0


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[DurableCursors]:
    """Where cursors are kept."""
    store = SqliteStore(tmp_path / "store.sqlite")
    yield DurableCursors(store)
    await store.close()


@pytest.fixture
async def door(nats_servers: NatsServers) -> AsyncIterator[Door]:
    """A process that writes a log of its own."""
    async with Door(nats_servers, bucket=f"log-{uuid.uuid4().hex[:8]}") as door:
        await writing(door)
        yield door


async def reader(
    kept: DurableCursors, door: Door, name: str = "c", ack_wait: float = PATIENT_SECONDS
) -> DurableReader:
    """Return what a consumer at *door* reads from."""
    cursor = await kept.begin(SESSION, name, door.hub.cursor())
    return DurableReader(
        kept,
        SESSION,
        cursor,
        lambda since: door.log.listen(since, (), None),
        ack_wait_seconds=ack_wait,
    )


def numbers_of(records: list[Any]) -> list[Any]:
    """Return what was put into events."""
    return [number_of(record) for record in records]


async def test_it_goes_on_behind_what_was_acknowledged(
    kept: DurableCursors, door: Door, nats_servers: NatsServers
) -> None:
    """A consumer that comes back gets what it has not acknowledged, also at another door."""
    first = await reader(kept, door)
    for number in range(5):
        fire(number, door)
    records = await taken(first, 5)
    await kept.acknowledge(SESSION, "c", records[2].id)
    first.close()
    again = await reader(kept, door)
    assert [3, 4] == numbers_of(await taken(again, 2))
    again.close()
    bucket = door.log._stream._section  # the same log, at another process of the master
    assert bucket.master == "a"
    name = door.log._stream.name.removesuffix("-events")
    await until_stored(nats_servers, name, lambda found: len(found) == 5)
    async with Door(nats_servers, bucket=name) as other:
        third = await reader(kept, other)
        assert [3, 4] == numbers_of(await taken(third, 2))
        third.close()


async def test_what_is_not_acknowledged_comes_again(kept: DurableCursors, door: Door) -> None:
    """After `ack_wait` it is sent again, from the first that was not acknowledged."""
    consumer = await reader(kept, door, ack_wait=0.5)
    for number in range(3):
        fire(number, door)
    records = await taken(consumer, 3)
    await kept.acknowledge(SESSION, "c", records[0].id)
    again = await taken(consumer, 2)
    assert [1, 2] == numbers_of(again)
    await kept.acknowledge(SESSION, "c", again[1].id)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.5):
            await consumer.take()
    assert consumer.cursor() is not None
    fire(3, door)
    assert [3] == numbers_of(await taken(consumer, 1))
    consumer.close()


async def test_a_consumer_that_says_nothing_is_not_flooded(
    kept: DurableCursors, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So much is sent unacknowledged, and no more."""
    monkeypatch.setattr(durable, "UNACKNOWLEDGED_RECORDS", 10)
    consumer = await reader(kept, door)
    fire(0, door)
    records = await taken(consumer, 1)
    for number in range(1, 10):
        fire(number, door)
    records += await taken(consumer, 9)
    fire(10, door)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await consumer.take()
    await kept.acknowledge(SESSION, "c", records[4].id)
    assert [10] == numbers_of(await taken(consumer, 1))
    consumer.close()


async def test_one_reader_at_a_time(kept: DurableCursors, door: Door) -> None:
    """Who comes later reads; the one before, or whose cursor is deleted, is told why it ends."""
    one, two = await reader(kept, door), await reader(kept, door)
    with pytest.raises(ListenerClosed, match=REPLACED):
        async with asyncio.timeout(scaled(10)):
            await one.take()
    await kept.remove(SESSION, "c")
    with pytest.raises(ListenerClosed, match="no cursor"):
        async with asyncio.timeout(scaled(10)):
            await two.take()


async def test_whose_they_are(kept: DurableCursors, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user sees and ends the own ones; there are not more than there may be, with good names."""
    before = time.time()
    made = await kept.begin(SESSION, "c", "e-1")
    assert before <= made.made <= time.time()
    assert [] == await kept.of(OTHER)
    assert ["c"] == [cursor.name for cursor in await kept.of(SESSION)]
    assert ["c"] == [cursor.name for cursor in await kept.of(OTHER, everybody=True)]
    with pytest.raises(NotFound):
        await kept.acknowledge(OTHER, "c", "e-2")
    with pytest.raises(NotFound):
        await kept.remove(OTHER, "c")
    with pytest.raises(InvalidField):
        await kept.acknowledge(SESSION, "c", "nonsense")
    for name in ("", "a/b", "x" * 65, "a\n"):
        with pytest.raises(InvalidField):
            await kept.begin(SESSION, name, "e-1")
    monkeypatch.setattr(durable, "CURSORS_OF_A_USER", 2)
    await kept.begin(SESSION, "d", "e-1")
    with pytest.raises(TooManyRequests, match="You have"):
        await kept.begin(SESSION, "e", "e-1")
    await kept.begin(SESSION, "d", "e-5")
    assert "e-1" == (await kept.get(SESSION, "d")).id
    monkeypatch.setattr(durable, "CURSORS", 2)
    with pytest.raises(TooManyRequests, match="All users"):
        await kept.begin(OTHER, "e", "e-1")
    await kept.remove(SESSION, "c")
    await kept.begin(OTHER, "e", "e-1")
