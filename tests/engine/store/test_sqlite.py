"""Values that several processes share."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from saltapi.engine.store import sqlite as store_module
from saltapi.engine.store.sqlite import SqliteStore
from saltapi.engine.store.store import ShareUsed
from saltapi.errors import StoreUnavailable
from tests.waiting import scaled

LATER = time.time() + 3600
RACE = """
import asyncio, sys, time
from pathlib import Path
from saltapi.engine.store.sqlite import SqliteStore

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    me = sys.argv[2].encode()
    await store.put("ready", sys.argv[2], b"", expire=time.time() + 60)
    while await store.get("ready", "go") is None:
        await asyncio.sleep(0.001)
    added = taken = 0
    for number in range(200):
        found = await store.add("race", str(number), me, expire=time.time() + 60)
        added += found is None
        taken += await store.take("prize", str(number)) is not None
    await store.close()
    print(added, taken)

asyncio.run(main())
"""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "state" / "test.sqlite")
    yield made
    await made.close()


async def test_put_get_remove(store: SqliteStore) -> None:
    """A value is there for its kind and key until it is removed."""
    await store.put("a", "key", b"1", expire=LATER)
    await store.put("a", "key", b"2", expire=LATER)

    assert b"2" == await store.get("a", "key")
    assert await store.get("b", "key") is None
    await store.remove("a", "key")
    assert await store.get("a", "key") is None


async def test_add(store: SqliteStore) -> None:
    """The first value stays; whoever comes later learns it."""
    assert await store.add("a", "key", b"first", expire=LATER) is None
    assert b"first" == await store.add("a", "key", b"second", expire=LATER)
    assert b"first" == await store.get("a", "key")


async def test_take(store: SqliteStore) -> None:
    """A value can be taken once."""
    await store.put("a", "key", b"1", expire=LATER)

    assert b"1" == await store.take("a", "key")
    assert await store.take("a", "key") is None


async def test_replace(store: SqliteStore) -> None:
    """A value is replaced only while it is the one that the caller knows."""
    await store.put("a", "key", b"1", expire=LATER)

    assert b"1" == await store.replace("a", "key", b"0", b"2", expire=LATER)
    assert b"1" == await store.replace("a", "key", b"1", b"2", expire=LATER)
    assert b"2" == await store.get("a", "key")
    assert await store.replace("a", "other", b"1", b"2", expire=LATER) is None
    assert await store.get("a", "other") is None


async def test_expired(store: SqliteStore) -> None:
    """What has expired is not there, and makes room for another value."""
    past = time.time() - 1
    await store.put("a", "key", b"1", expire=past)

    assert await store.get("a", "key") is None
    assert await store.take("a", "key") is None
    await store.put("a", "key", b"1", expire=past)
    assert await store.add("a", "key", b"2", expire=LATER) is None
    assert b"2" == await store.get("a", "key")


async def test_expired_rows_go(store: SqliteStore) -> None:
    """Writing removes what has expired, a bounded part of it each time."""
    past = time.time() - 1
    count = store_module.EXPIRED_ROWS_PER_WRITE + 50
    await store.put("new", "key", b"1", expire=LATER)
    database = sqlite3.connect(store.path)
    rows = [("old", str(number), b"", past) for number in range(count)]
    with database:
        database.executemany(
            "INSERT INTO entries (kind, key, value, expire) VALUES (?, ?, ?, ?)", rows
        )

    def left() -> int:
        return int(database.execute("SELECT count(*) FROM entries").fetchone()[0])

    await store.put("new", "key", b"2", expire=LATER)
    assert 51 == left()
    await store.put("new", "key", b"3", expire=LATER)
    assert 1 == left()
    database.close()


async def test_survives_its_process(store: SqliteStore) -> None:
    """Another process, or the next one, finds the values."""
    await store.put("a", "key", b"1", expire=LATER)
    other = SqliteStore(store.path)

    assert b"1" == await other.get("a", "key")
    await other.close()
    await store.close()
    again = SqliteStore(store.path)
    assert b"1" == await again.get("a", "key")
    await again.close()


async def test_two_processes_race(store: SqliteStore) -> None:
    """Of two processes that add or take the same key at the same time, one succeeds."""
    for number in range(200):
        await store.put("prize", str(number), b"", expire=LATER)
    processes = [
        subprocess.Popen(  # noqa: ASYNC220 - starting it takes no time
            [sys.executable, "-c", RACE, str(store.path), name], stdout=subprocess.PIPE, text=True
        )
        for name in ("one", "two")
    ]
    try:
        async with asyncio.timeout(scaled(30)):
            for name in ("one", "two"):
                while await store.get("ready", name) is None:  # noqa: ASYNC110 - others set it
                    await asyncio.sleep(0.01)
        await store.put("ready", "go", b"", expire=LATER)
        outputs = [
            (await asyncio.to_thread(process.communicate, timeout=scaled(60)))[0]
            for process in processes
        ]
    finally:
        for process in processes:
            process.kill()
    added, taken = zip(*(map(int, output.split()) for output in outputs), strict=True)
    assert (200, 200) == (sum(added), sum(taken))


async def test_only_for_us(store: SqliteStore) -> None:
    """Nobody but the owner can read the files, whatever the umask and what was there before."""
    store.path.parent.mkdir(mode=0o755)
    store.path.touch(mode=0o644)
    before = os.umask(0)
    try:
        await store.put("a", "key", b"secret", expire=LATER)
    finally:
        os.umask(before)

    modes = {path.name: path.stat().st_mode & 0o777 for path in store.path.parent.iterdir()}
    names = ["test.sqlite", "test.sqlite-shm", "test.sqlite-wal"]
    names += ["test.sqlite.id", "test.sqlite.lock"]
    assert dict.fromkeys(names, 0o600) == modes
    assert 0o700 == store.path.parent.stat().st_mode & 0o777


async def test_no_link_is_followed(store: SqliteStore, tmp_path: Path) -> None:
    """A link in the place of the file is refused."""
    store.path.parent.mkdir()
    store.path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(StoreUnavailable):
        await store.get("a", "key")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("damage", ["all", "pages"])
async def test_damaged_file(
    store: SqliteStore, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A damaged file is renamed, the log says so, and the store begins afresh."""
    await store.put("a", "key", b"1" * 100_000, expire=LATER)
    await store.close()
    size = store.path.stat().st_size
    with store.path.open("r+b") as file:
        file.seek(0 if damage == "all" else store_module.PAGE_BYTES)
        file.write(b"\xff" * (size if damage == "all" else size - store_module.PAGE_BYTES))

    first, second = SqliteStore(store.path), SqliteStore(store.path)
    await asyncio.gather(
        first.add("a", "key", b"2", expire=LATER), second.add("a", "key", b"2", expire=LATER)
    )
    assert b"2" == await first.get("a", "key") == await second.get("a", "key")
    away = [path for path in store.path.parent.iterdir() if ".damaged-" in path.name]
    assert 1 == len([path for path in away if path.name[-1].isdigit()])
    assert 1 == caplog.text.count("is damaged")
    await first.close()
    await second.close()


async def test_file_is_taken_away(store: SqliteStore) -> None:
    """Processes meet again in the new file when the old one was removed or renamed."""
    other = SqliteStore(store.path)
    await store.put("a", "key", b"old", expire=LATER)
    assert b"old" == await other.get("a", "key")
    store.path.rename(store.path.with_name("elsewhere"))

    await store.put("a", "key", b"new", expire=LATER)
    assert b"new" == await other.get("a", "key")
    third = SqliteStore(store.path)
    assert b"new" == await third.get("a", "key")
    await third.close()
    await other.close()


async def test_disk_full(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit is refused with a sentence; what is there stays."""
    monkeypatch.setattr(store_module, "MAX_BYTES", 20 * store_module.PAGE_BYTES)
    await store.put("a", "key", b"1", expire=LATER)

    with pytest.raises(StoreUnavailable, match="disk may be full") as refused:
        await store.put("a", "other", b"2" * 1_000_000, expire=LATER)
    assert (503, 5) == (refused.value.status, refused.value.retry_after_seconds)
    assert b"1" == await store.get("a", "key")
    assert await store.add("a", "third", b"3", expire=LATER) is None


async def test_shares(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who fills a share fills it for nobody else, and gets room again as values go."""
    monkeypatch.setattr(store_module, "SHARE_BYTES", 10_000)
    value = b"x" * 850  # with key and row about 1,000
    for number in range(9):
        assert await store.add("a", f"fred {number}", value, expire=LATER, owner="fred") is None
    with pytest.raises(ShareUsed) as refused:
        await store.add("a", "fred 10", value, expire=LATER, owner="fred")
    assert (429, "too_many_requests") == (refused.value.status, refused.value.code)
    with pytest.raises(ShareUsed):
        await store.put("a", "fred 10", value, expire=LATER, owner="fred")
    assert await store.get("a", "fred 10") is None
    with pytest.raises(ShareUsed):
        await store.put("a", "fred 1", value * 3, expire=LATER, owner="fred")
    assert value == await store.get("a", "fred 1")
    # How far something is can be noted all the same, and others are not concerned.
    await store.put("a", "fred 1", value + b"y" * 100, expire=LATER, owner="fred")
    await store.put("a", "jane", value * 8, expire=LATER, owner="jane")
    await store.put("b", "fred", value * 8, expire=LATER, owner="fred")
    await store.put("c", "nobody", value * 8, expire=LATER)
    with pytest.raises(ShareUsed):
        await store.put("c", "nobody else", value * 8, expire=LATER)

    await store.remove("a", "fred 2")
    await store.take("a", "fred 3")
    for number in range(10, 12):
        await store.put("a", f"fred {number}", value, expire=LATER, owner="fred")


async def test_expired_values_take_no_share(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has expired gives its room back at once, however much it is."""
    monkeypatch.setattr(store_module, "EXPIRED_ROWS_PER_WRITE", 1)
    soon = time.time() + 0.5
    for number in range(20):
        await store.put("a", str(number), b"x" * 100, expire=soon, owner="fred")
    monkeypatch.setattr(store_module, "SHARE_BYTES", 1_000)
    await asyncio.sleep(max(0.0, soon - time.time()) + 0.01)

    assert await store.add("a", "new", b"x" * 100, expire=LATER, owner="fred") is None


async def test_shares_add_up(store: SqliteStore) -> None:
    """The sizes that are counted are those of what is there, whatever was done."""
    for number in range(50):
        owner = f"user {number % 3}"
        key = f"ü{number % 7}"
        await store.put("a", key, b"x" * number, expire=LATER, owner=owner)
        await store.replace("a", key, b"x" * number, b"y", expire=LATER, owner=owner)
        if number % 5 == 0:
            await store.remove("a", key)
    with sqlite3.connect(store.path) as database:
        counted = dict(database.execute("SELECT share, size_bytes FROM shares"))
        there = dict(
            database.execute(
                "SELECT share, sum(length(CAST(key AS BLOB)) + length(value) + 150)"
                " FROM entries GROUP BY share"
            )
        )
    database.close()

    assert there == counted


async def test_older_file(tmp_path: Path) -> None:
    """What a release before this one has kept is still there, and in nobody's share."""
    path = tmp_path / "old.sqlite"
    database = sqlite3.connect(path)
    database.execute(
        "CREATE TABLE entries (kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,"
        " expire REAL NOT NULL, PRIMARY KEY (kind, key))"
    )
    database.execute("INSERT INTO entries VALUES ('a', 'old', x'31', ?)", (LATER,))
    database.execute("PRAGMA user_version = 1")
    database.commit()
    database.close()
    store = SqliteStore(path)
    await store.put("a", "new", b"2", expire=LATER, owner="fred")

    assert (b"1", b"2") == (await store.get("a", "old"), await store.get("a", "new"))
    await store.put("a", "old", b"3", expire=LATER, owner="fred")
    assert b"3" == await store.take("a", "old")
    await store.close()


async def test_no_directory(tmp_path: Path) -> None:
    """Where no directory can be made there is an answer, not a traceback."""
    (tmp_path / "file").touch()
    store = SqliteStore(tmp_path / "file" / "test.sqlite")

    with pytest.raises(StoreUnavailable):
        await store.get("a", "key")
    await store.close()


async def test_busy(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who cannot write because another process holds the file for long is told to come back."""
    monkeypatch.setattr(store_module, "BUSY_TIMEOUT_SECONDS", 0.05)
    await store.put("a", "key", b"1", expire=LATER)
    await store.close()
    again = SqliteStore(store.path)
    database = sqlite3.connect(store.path, isolation_level=None)
    database.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreUnavailable):
        await again.put("a", "key", b"2", expire=LATER)
    assert b"1" == await again.get("a", "key")
    database.execute("ROLLBACK")
    database.close()
    await again.put("a", "key", b"2", expire=LATER)
    await again.close()


async def test_close(store: SqliteStore) -> None:
    """Closing twice does no harm, and a closed store says that the server stops."""
    await store.put("a", "key", b"1", expire=LATER)
    await store.close()
    await store.close()

    with pytest.raises(StoreUnavailable):
        await store.get("a", "key")
