"""What holds for every store: the same tests for SQLite, for NATS, and for what is sealed there."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from saltapi.engine.store import choice, shares
from saltapi.engine.store import sqlite as sqlite_module
from saltapi.engine.store.sqlite import SqliteStore
from saltapi.engine.store.store import ShareUsed, Store
from saltapi.types import Opts
from tests.nats_servers import NatsServers
from tests.waiting import scaled

LATER = time.time() + 3600
KINDS = ["sqlite", "nats", "sealed"]
Maker = Callable[[], Store]


@pytest.fixture(params=KINDS)
async def make(
    request: pytest.FixtureRequest, tmp_path: Path, nats_servers: NatsServers
) -> AsyncIterator[Callable[[], Store]]:
    """Make the store of one process more."""
    opts: Opts = {"cachedir": str(tmp_path)}
    if request.param != "sqlite":
        secret = tmp_path / "secret"
        secret.write_text("5ec7e7" * 8)
        opts["saltapi_store"] = {
            "url": nats_servers.url,
            "bucket": f"b{time.time_ns()}",
            "max_bytes": 2**25,
            "secret_file": str(secret),
        }
    made: list[Store] = []

    def start() -> Store:
        file = SqliteStore(tmp_path / "tokens.sqlite")
        if request.param == "sealed":
            made.append(choice.machine_store_for(opts, file))
        else:
            made.append(choice.store_for(opts, "rest_asgi"))
        return made[-1]

    yield start
    for store in made:
        await store.close()


async def gone(store: Store, key: str) -> None:
    """Return when a value has expired."""
    async with asyncio.timeout(scaled(10)):
        while await store.get("a", key) is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_put_get_remove(make: Maker) -> None:
    """A value is there for its kind and key until it is removed, for all processes."""
    first, second = make(), make()
    await first.put("a", "key", b"1", expire=LATER)
    await second.put("a", "key", b"2", expire=LATER)
    assert b"2" == await first.get("a", "key")
    assert await first.get("b", "key") is None
    await second.remove("a", "key")
    await second.remove("a", "key")
    assert await first.get("a", "key") is None
    assert first.lost_at is None


async def test_add(make: Maker) -> None:
    """The first value stays; whoever comes later learns it. What was removed can be added."""
    first, second = make(), make()
    assert await first.add("a", "key", b"first", expire=LATER) is None
    assert b"first" == await second.add("a", "key", b"second", expire=LATER)
    assert b"first" == await second.get("a", "key")
    await second.remove("a", "key")
    assert await second.add("a", "key", b"third", expire=LATER) is None


async def test_replace(make: Maker) -> None:
    """A value is replaced only while it is the one that the caller knows."""
    store = make()
    await store.put("a", "key", b"1", expire=LATER)
    assert b"1" == await store.replace("a", "key", b"0", b"2", expire=LATER)
    assert b"1" == await store.replace("a", "key", b"1", b"2", expire=LATER)
    assert b"2" == await store.get("a", "key")
    assert await store.replace("a", "other", b"1", b"2", expire=LATER) is None
    assert await store.get("a", "other") is None


async def test_expiry(make: Maker) -> None:
    """What has expired is not there, in no way, and makes room for another value."""
    store = make()
    await store.put("a", "key", b"1", expire=time.time() - 1)
    await store.put("a", "soon", b"1", expire=time.time() + 0.3)
    assert await store.get("a", "key") is None
    assert await store.take("a", "key") is None
    assert await store.replace("a", "key", b"1", b"2", expire=LATER) is None
    assert {"key"}.isdisjoint(await store.items("a", limit=10))
    assert await store.add("a", "key", b"2", expire=LATER) is None
    await gone(store, "soon")
    assert await store.add("a", "soon", b"2", expire=LATER) is None
    assert b"2" == await store.get("a", "key")


async def test_items(make: Maker) -> None:
    """The values of one kind are listed by their keys, as many as are wanted."""
    store = make()
    expected = {key: key.encode()[:5] for key in ("", "20261127", "a.b", "x" * 300, "ä *>")}
    for key, value in expected.items():
        await store.put("a", key, value, expire=LATER)
        await store.put("b", "k", b"b", expire=LATER)
    assert expected == await store.items("a", limit=10)
    assert sorted(expected)[:2] == list(await store.items("a", limit=2))
    assert {} == await store.items("c", limit=10)


async def test_one_wins(make: Maker) -> None:
    """Of many who add, replace or take at the same time exactly one has done it."""
    stores = [make() for _ in range(4)]
    for store in stores:
        await store.get("a", "x")
    for number in range(5):
        key = str(number)
        added = await asyncio.gather(
            *(store.add("a", key, bytes([n]), expire=LATER) for n in range(5) for store in stores)
        )
        assert 1 == added.count(None)
        (value,) = {found for found in added if found is not None}
        replaced = await asyncio.gather(
            *(
                store.replace("a", key, value, b"new%d" % n, expire=LATER)
                for n, store in enumerate(stores)
            )
        )
        assert 1 == replaced.count(value)
        taken = await asyncio.gather(*(s.take("a", key) for s in stores for _ in range(5)))
        assert 1 == len([found for found in taken if found is not None])


async def test_shares(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can fill the store for the others, and what has expired takes no room."""
    for module in (sqlite_module, shares):
        monkeypatch.setattr(module, "SHARE_BYTES", 10_000)
    store = make()
    soon = time.time() + 0.5
    for number in range(8):
        await store.put("a", str(number), b"x" * 1000, expire=soon, owner="greedy")
    with pytest.raises(ShareUsed):
        await store.add("a", "more", b"x" * 1000, expire=LATER, owner="greedy")
    assert await store.get("a", "more") is None
    await store.put("a", "0", b"x" * 1500, expire=soon, owner="greedy")  # it may grow a little
    await store.put("a", "other", b"x" * 1000, expire=LATER, owner="modest")
    await store.put("b", "other", b"x" * 1000, expire=LATER, owner="greedy")
    await gone(store, "0")
    await gone(store, "7")
    assert await store.add("a", "more", b"x" * 1000, expire=LATER, owner="greedy") is None


async def test_a_process_that_begins(make: Maker) -> None:
    """Values outlive the process that put them."""
    first = make()
    await first.put("a", "key", b"\x00" * 70_000, expire=LATER)
    await first.close()
    await first.close()
    async with asyncio.timeout(scaled(10)):
        assert b"\x00" * 70_000 == await make().get("a", "key")
