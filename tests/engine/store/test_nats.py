"""The store of several machines, when its servers fail."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.client import Client

from saltapi.config.shared_store import StoreSection
from saltapi.engine.store import identity
from saltapi.engine.store.nats import NatsStore
from saltapi.errors import StoreUnavailable
from tests.nats_servers import NatsServers
from tests.waiting import scaled

LATER = time.time() + 3600


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[NatsServers]:
    """One server."""
    with NatsServers(tmp_path / "nats") as servers:
        await servers.ready()
        yield servers


async def test_servers_that_are_away(
    one: NatsServers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without servers it is said so, soon; when they are back everything is there."""
    store = NatsStore(StoreSection(url=one.url), "m", tmp_path)
    await store.put("a", "key", b"1", expire=LATER)
    one.servers[0].stop()
    for _ in range(2):
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await store.get("a", "key")
        assert time.monotonic() - began < scaled(5)
    assert "cannot be used: none can be reached" in caplog.text
    one.servers[0].start()
    await _until(store, b"1")
    assert "are back" in caplog.text
    assert store.lost_at is None
    await store.close()


async def test_servers_that_were_never_there(tmp_path: Path) -> None:
    """A service starts without them."""
    store = NatsStore(StoreSection(url="nats://127.0.0.1:1"), "m", tmp_path)
    with pytest.raises(StoreUnavailable):
        await store.look()
    await store.close()


async def test_a_server_that_hangs(one: NatsServers, tmp_path: Path) -> None:
    """A server that takes connections and says nothing is away, too."""
    store = NatsStore(StoreSection(url=one.url), "m", tmp_path)
    await store.put("a", "key", b"1", expire=LATER)
    one.servers[0].freeze()
    with pytest.raises(StoreUnavailable):
        await store.get("a", "key")
    one.servers[0].thaw()
    await _until(store, b"1")
    await store.close()


async def test_a_bucket_that_was_deleted(
    one: NatsServers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Another bucket than the one that was there is recognised, until somebody says it is right."""
    section = StoreSection(url=one.url)
    first, second = (NatsStore(section, "m", tmp_path) for _ in range(2))
    await first.put("a", "key", b"1", expire=LATER)
    client = Client()
    await client.connect(one.url)
    await client.jetstream().delete_stream("KV_saltapi")
    assert await first.get("a", "key") is None
    assert await second.get("a", "key") is None
    assert first.lost_at is not None
    assert first.lost_at == second.lost_at
    assert "is not the one that it was" in caplog.text
    assert identity.reset(tmp_path / "m-saltapi.nats")
    for store in (first, second):
        await store.look()
        assert store.lost_at is None
        await store.close()
    await client.close()


@pytest.mark.long
async def test_a_cluster_that_loses_servers(tmp_path: Path) -> None:
    """Of three servers any one may be killed: whatever was confirmed is there, once."""
    with NatsServers(tmp_path / "nats", 3) as servers:
        await servers.ready()
        section = StoreSection(url=servers.url)
        assert 3 == section.copies
        stores = [NatsStore(section, "m", tmp_path / str(n)) for n in range(2)]
        confirmed: list[str] = []
        for victim in servers.servers:
            for step in range(30):
                if step == 5:
                    victim.stop(signal.SIGKILL)
                if step == 25:
                    victim.start()
                key = f"{victim.port}-{step}"
                found = await asyncio.gather(
                    *(s.add("a", key, bytes([n]), expire=LATER) for n, s in enumerate(stores)),
                    return_exceptions=True,
                )
                assert found.count(None) <= 1
                if None in found:
                    confirmed.append(key)
                else:  # the servers choose a leader
                    await asyncio.sleep(0.5)
            await servers.ready()
        assert len(confirmed) > 45
        async with asyncio.timeout(scaled(30)):
            for key in confirmed:
                while True:
                    try:
                        assert await stores[0].get("a", key) is not None
                        break
                    except StoreUnavailable:
                        await asyncio.sleep(0.1)
        for store in stores:
            assert store.lost_at is None
            await store.close()


async def _until(store: NatsStore, expected: bytes) -> None:
    """Wait until the store has the value again."""
    async with asyncio.timeout(scaled(20)):
        while True:
            try:
                assert expected == await store.get("a", "key")
            except StoreUnavailable:
                await asyncio.sleep(0.1)
            else:
                return
