"""What is sealed in a store that others can write to."""

import time
from pathlib import Path

import pytest

from saltapi import seldom
from saltapi.bridge.nats.sealing import Seal
from saltapi.engine.store.sealed import SealedStore
from saltapi.engine.store.sqlite import SqliteStore

LATER = time.time() + 3600


@pytest.fixture
def bare(tmp_path: Path) -> SqliteStore:
    """What others read and write."""
    return SqliteStore(tmp_path / "store.sqlite")


@pytest.fixture
def sealed(bare: SqliteStore, tmp_path: Path) -> SealedStore:
    (tmp_path / "secret").write_text("5ec7e7" * 8)
    return SealedStore(bare, Seal(str(tmp_path / "secret")))


async def test_nothing_is_told(bare: SqliteStore, sealed: SealedStore) -> None:
    """Who reads the store sees keys, and nothing of the values; equal ones do not look equal."""
    await sealed.put("kind", "a", b"the same", expire=LATER)
    await sealed.put("kind", "b", b"the same", expire=LATER)
    seen = await bare.items("kind")
    assert ["a", "b"] == list(seen)
    assert seen["a"] != seen["b"]
    assert not any(b"same" in value for value in seen.values())


async def test_nothing_can_be_made(bare: SqliteStore, sealed: SealedStore) -> None:
    """What was written without the secret, or moved from another place, is not there: counted."""
    await sealed.put("kind", "a", b"1", expire=LATER)
    moved = await bare.get("kind", "a")
    assert moved is not None
    before = seldom.counts["forged_value"]
    for kind, key, value in (
        ("kind", "b", moved),
        ("other", "a", moved),
        ("kind", "c", b'{"user": "root"}'),
        ("kind", "d", b""),
    ):
        await bare.put(kind, key, value, expire=LATER)
        assert await sealed.get(kind, key) is None
        assert await sealed.add(kind, key, b"2", expire=LATER) is not None
        assert await sealed.replace(kind, key, value, b"2", expire=LATER) is None
    assert {"a": b"1"} == await sealed.items("kind")
    assert await sealed.take("kind", "c") is None
    assert seldom.counts["forged_value"] > before
