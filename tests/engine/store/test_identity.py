"""A store that was removed, cut short or damaged is noticed."""

import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from saltapi.engine.store import sqlite
from saltapi.engine.store.sqlite import SqliteStore

LATER = time.time() + 3600


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "state" / "test.sqlite")
    await made.put("a", "key", b"1", expire=LATER)
    assert not is_lost(made)
    yield made
    await made.close()


def is_lost(store: SqliteStore) -> bool:
    return store.lost_at is not None


def remove(path: Path) -> None:
    for each in path.parent.glob(f"{path.name}*"):
        if each.suffix not in {".lock", ".id"}:
            each.unlink()


def truncate(path: Path) -> None:
    os.truncate(path, 0)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - sqlite.PAGE_BYTES)


async def checkpoint(store: SqliteStore) -> None:
    await store._call(lambda database: database.execute("PRAGMA wal_checkpoint(TRUNCATE)"))


@pytest.mark.parametrize("harm", [remove, truncate, cut], ids=lambda harm: harm.__name__)
async def test_while_running(
    store: SqliteStore, harm: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """It is noticed at the next use, by all processes, and after a restart; the log says so."""
    other = SqliteStore(store.path)
    assert b"1" == await other.get("a", "key")
    await checkpoint(store)
    await store.get("a", "key")
    harm(store.path)

    await store.look()
    assert is_lost(store)
    assert "saltapi store --reset" in caplog.text
    assert await store.get("a", "key") is None
    await other.look()
    assert is_lost(other)
    await other.close()
    third = SqliteStore(store.path)
    await third.get("a", "key")
    assert store.lost_at == third.lost_at
    await third.close()


async def test_while_stopped(store: SqliteStore) -> None:
    """It is noticed at the start, too."""
    await store.close()
    remove(store.path)
    again = SqliteStore(store.path)
    await again.get("a", "key")

    assert is_lost(again)
    await again.close()


async def test_put_back(store: SqliteStore) -> None:
    """A file that is moved away and back again is whole."""
    await store.close()
    away = store.path.with_name("away")
    store.path.rename(away)
    again = SqliteStore(store.path)
    await again.get("a", "key")
    assert is_lost(again)
    remove(store.path)
    away.rename(store.path)

    assert b"1" == await again.get("a", "key")
    assert not is_lost(again)
    await again.close()


async def test_reset(store: SqliteStore) -> None:
    """Somebody may say that what was lost is not missed; all processes go on."""
    remove(store.path)
    await store.look()

    assert sqlite.reset(store.path)
    assert not sqlite.reset(store.path)
    await store.look()
    assert not is_lost(store)
    again = SqliteStore(store.path)
    await again.get("a", "key")
    assert not is_lost(again)
    await again.close()
