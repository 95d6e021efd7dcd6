"""
Small values that all processes of this machine share, each until it expires.

One SQLite file for each netapi module: its worker processes see the same values without
stickiness, and values outlive a restart. All calls go through one thread, so the loop never
waits for the disk. Everybody has a share of the file, so that nobody can fill it for the others.
"""

import asyncio
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from saltapi.engine.store import files, identity
from saltapi.engine.store.store import GROWTH_BYTES, ITEMS_LIMIT, ROW_BYTES, SHARE_BYTES, ShareUsed
from saltapi.errors import StoreUnavailable

log = logging.getLogger(__name__)
T = TypeVar("T")

BUSY_TIMEOUT_SECONDS = 5.0
"""How long a call waits while other processes write."""
EXPIRED_ROWS_PER_WRITE = 100
"""How many expired values a write removes at most; what it adds is one."""
MAX_BYTES = 256 * 1024 * 1024
"""How large the file may grow; what does not fit is refused like on a full disk."""
PAGE_BYTES = 4096

DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
SCHEMA_VERSION = 2
_SIZE = f"length(CAST({{0}}.key AS BLOB)) + length({{0}}.value) + {ROW_BYTES}"
_LESS = (  # all of it is constant
    f"UPDATE shares SET size_bytes = size_bytes - ({_SIZE.format('OLD')})"  # noqa: S608
    " WHERE share = OLD.share;"
    " DELETE FROM shares WHERE share = OLD.share AND size_bytes <= 0;"
)
_MORE = (
    f"INSERT INTO shares VALUES (NEW.share, {_SIZE.format('NEW')})"  # noqa: S608
    " ON CONFLICT (share) DO UPDATE SET size_bytes = size_bytes + excluded.size_bytes;"
)
SCHEMA = (
    "CREATE TABLE IF NOT EXISTS entries ("
    " kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, expire REAL NOT NULL,"
    " share TEXT NOT NULL DEFAULT '', PRIMARY KEY (kind, key))",
    "CREATE INDEX IF NOT EXISTS entries_by_expire ON entries (expire)",
    "CREATE TABLE IF NOT EXISTS shares (share TEXT PRIMARY KEY, size_bytes INTEGER NOT NULL)",
    f"CREATE TRIGGER IF NOT EXISTS added AFTER INSERT ON entries BEGIN {_MORE} END",
    f"CREATE TRIGGER IF NOT EXISTS removed AFTER DELETE ON entries BEGIN {_LESS} END",
    f"CREATE TRIGGER IF NOT EXISTS changed AFTER UPDATE ON entries BEGIN {_LESS} {_MORE} END",
)
ADD_SHARE = "ALTER TABLE entries ADD COLUMN share TEXT NOT NULL DEFAULT ''"
"""Makes a file of version 1 one of version 2; what is in it is in nobody's share."""


class SqliteStore:
    """Same as `saltapi.engine.store.store.Store`, for the processes that open the same file."""

    def __init__(self, path: Path) -> None:
        """
        Args:
            path: The file, made when it is first needed (mode 0600, its directory 0700). One
                that is damaged is renamed, and an empty one takes its place.
        """
        self.path = path
        self._database: sqlite3.Connection | None = None
        self._inode: int | None = None
        self._size_bytes = 0
        self._id: str | None = None
        self.lost_at: float | None = None
        """When a file before this one was lost, in seconds since the epoch; None if none was."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="saltapi-store")

    async def exists(self) -> bool:
        """Return whether anything was ever kept; nothing is made for the answer."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self.path.exists)
        except RuntimeError as error:
            raise StoreUnavailable("The server stops; try again.") from error

    async def add(
        self, kind: str, key: str, value: bytes, *, expire: float, owner: str = ""
    ) -> bytes | None:
        """Put *value* unless there is one; None if it was put, else what was there."""

        def change(database: sqlite3.Connection) -> bytes | None:
            found = _find(database, kind, key)
            if found is None:
                _write(database, kind, key, value, expire, owner)
            return found

        return await self._change(change)

    async def get(self, kind: str, key: str) -> bytes | None:
        """Return the value; None if there is none, or it has expired."""
        return await self._call(lambda database: _find(database, kind, key))

    async def items(self, kind: str, *, limit: int = ITEMS_LIMIT) -> dict[str, bytes]:
        """Return the values of a kind by their keys, in the order of these."""

        def read(database: sqlite3.Connection) -> dict[str, bytes]:
            rows = database.execute(
                "SELECT key, value FROM entries WHERE kind = ? AND expire > ? ORDER BY key LIMIT ?",
                (kind, time.time(), limit),
            )
            return {str(key): bytes(value) for key, value in rows}

        return await self._call(read)

    async def put(
        self, kind: str, key: str, value: bytes, *, expire: float, owner: str = ""
    ) -> None:
        """Put *value*, whatever was there."""
        await self._change(lambda database: _write(database, kind, key, value, expire, owner))

    async def put_all(
        self, kind: str, values: Mapping[str, bytes | None], *, expire: float
    ) -> None:
        """Put all *values*, whatever was there, together; None removes one. Each has its share."""

        def change(database: sqlite3.Connection) -> None:
            for key, value in values.items():
                if value is None:
                    _remove(database, kind, key)
                else:
                    _write(database, kind, key, value, expire, key)

        await self._change(change)

    async def replace(
        self, kind: str, key: str, old: bytes, new: bytes, *, expire: float, owner: str = ""
    ) -> bytes | None:
        """Put *new* if the value is *old*, atomically; return what was there before."""

        def change(database: sqlite3.Connection) -> bytes | None:
            found = _find(database, kind, key)
            if found == old:
                _write(database, kind, key, new, expire, owner)
            return found

        return await self._change(change)

    async def take(self, kind: str, key: str) -> bytes | None:
        """Return the value and remove it, atomically: only one caller ever gets it."""

        def change(database: sqlite3.Connection) -> bytes | None:
            found = _find(database, kind, key)
            _remove(database, kind, key)
            return found

        return await self._change(change)

    async def remove(self, kind: str, key: str) -> None:
        """Remove the value, if there is one."""
        await self._change(lambda database: _remove(database, kind, key))

    async def close(self) -> None:
        """Close the file after the calls that wait, and give the thread back; idempotent."""
        loop = asyncio.get_running_loop()
        try:
            closing = loop.run_in_executor(self._thread, self._disconnect)
        except RuntimeError:  # the thread is gone
            return
        await closing
        self._thread.shutdown(wait=False)

    async def _change(self, function: Callable[[sqlite3.Connection], T]) -> T:
        def in_transaction(database: sqlite3.Connection) -> T:
            with _transaction(database):
                database.execute(
                    "DELETE FROM entries WHERE rowid IN"
                    " (SELECT rowid FROM entries WHERE expire <= ? LIMIT ?)",
                    (time.time(), EXPIRED_ROWS_PER_WRITE),
                )
                return function(database)

        return await self._call(in_transaction)

    async def _call(self, function: Callable[[sqlite3.Connection], T]) -> T:
        def in_thread() -> T:
            try:
                try:
                    return function(self._connected())
                except sqlite3.DatabaseError as error:
                    if not _is_damage(error):
                        raise
                    self._begin_afresh(error)
                    return function(self._connected())
            except (sqlite3.Error, OSError) as error:
                self._disconnect()
                log.error("The store %s cannot be used: %s", self.path, error)  # noqa: TRY400
                raise StoreUnavailable(
                    "The server cannot keep state now; its disk may be full. Try again later."
                ) from error

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, in_thread)
        except RuntimeError as error:
            raise StoreUnavailable("The server stops; try again.") from error

    async def look(self) -> None:
        """Find out whether the file is whole, if it has ever been needed."""
        if self._id is not None:
            await self._call(lambda _: None)

    def _connected(self) -> sqlite3.Connection:
        """Return the open database, of the file that has our name now."""
        if self._database is not None:
            inode, size_bytes = _inode_and_size(self.path)
            if self._inode != inode or not _wal(self.path).exists():
                self._disconnect()  # another process renamed it, or somebody removed it
            elif size_bytes < self._size_bytes:
                self._put_away(inode)
            self._size_bytes = size_bytes
        if self._database is None:
            files.make_directory(self.path.parent)
            with files.locked(self.path):
                self._inode = _make_file(self.path)
                self._database = _opened(self.path)
                self._size_bytes = self.path.stat().st_size
                self._recognise(self._database)
        elif self.lost_at is not None:
            self.lost_at = identity.noted_lost_at(self.path)
        return self._database

    def _recognise(self, database: sqlite3.Connection) -> None:
        """Find out whether this is the file that was there before."""
        found = identity.id_of(database)
        before, self.lost_at = self.lost_at, identity.lost_at(self.path, found, self._id)
        self._id = self._id or found
        if self.lost_at is None:
            self._id = found
        elif before is None:
            log.error(
                "The store %s is not the one that it was: it has been removed, cut short or"
                " damaged. Commands with an idempotency key are refused, because it is not known"
                " which of them have run, until all keys would have expired, the file is back, or"
                " somebody says `saltapi store --reset`.",
                self.path,
            )

    def _disconnect(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def _put_away(self, inode: int | None) -> None:
        """Rename the file that is shorter than it was, unless another process has done so."""
        with files.locked(self.path):
            if _inode_and_size(self.path)[0] == inode:
                self._rename("it was truncated")
        self._disconnect()  # what it still writes goes into the file that is not used any more

    def _begin_afresh(self, error: sqlite3.Error) -> None:
        """Rename the damaged file, unless another process has done so already."""
        self._disconnect()
        with files.locked(self.path):
            if not _is_sound(self.path):
                self._rename(error)

    def _rename(self, reason: object) -> None:
        away = self.path.with_name(f"{self.path.name}.damaged-{time.time_ns()}")
        log.error(
            "The store %s is damaged (%s); it is kept as %s, and an empty one takes its place.",
            self.path,
            reason,
            away,
        )
        for suffix in ("", "-wal", "-shm"):
            found = self.path.with_name(self.path.name + suffix)
            if found.exists():
                found.rename(away.with_name(away.name + suffix))


def _find(database: sqlite3.Connection, kind: str, key: str) -> bytes | None:
    row = database.execute(
        "SELECT value FROM entries WHERE kind = ? AND key = ? AND expire > ?",
        (kind, key, time.time()),
    ).fetchone()
    return None if row is None else bytes(row[0])


def _write(
    database: sqlite3.Connection, kind: str, key: str, value: bytes, expire: float, owner: str
) -> None:
    share = f"{kind} {owner}"
    before = _share_bytes(database, share)
    database.execute(
        "INSERT INTO entries (kind, key, value, expire, share) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (kind, key) DO UPDATE"
        " SET value = excluded.value, expire = excluded.expire, share = excluded.share",
        (kind, key, value, expire, share),
    )
    after = _share_bytes(database, share)
    is_new = after - before > len(value)
    if after <= SHARE_BYTES or (after - before <= GROWTH_BYTES and not is_new):
        return
    now = time.time()
    database.execute("DELETE FROM entries WHERE expire <= ? AND share = ?", (now, share))
    if _share_bytes(database, share) > SHARE_BYTES:
        raise ShareUsed


def _share_bytes(database: sqlite3.Connection, share: str) -> int:
    """Return how much the values of a share take."""
    found = database.execute("SELECT size_bytes FROM shares WHERE share = ?", (share,)).fetchone()
    return 0 if found is None else int(found[0])


def _remove(database: sqlite3.Connection, kind: str, key: str) -> None:
    database.execute("DELETE FROM entries WHERE kind = ? AND key = ?", (kind, key))


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Hold the right to write; what is read inside is what other processes last wrote."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _make_file(path: Path) -> int:
    """Make the file, for us alone, unless it is there; return its inode."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        os.fchmod(descriptor, 0o600)  # SQLite gives its other files the mode of this one
        return os.fstat(descriptor).st_ino
    finally:
        os.close(descriptor)


def _opened(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        database.execute("PRAGMA journal_mode = WAL")
        # What is committed outlives the process; a power cut may cost the last moments.
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(f"PRAGMA max_page_count = {MAX_BYTES // PAGE_BYTES}")
        if database.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
            with _transaction(database):
                columns = [row[1] for row in database.execute("PRAGMA table_info (entries)")]
                if columns and "share" not in columns:
                    database.execute(ADD_SHARE)
                for statement in SCHEMA:
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    except BaseException:
        database.close()
        raise
    return database


def _is_damage(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGED


def _is_sound(path: Path) -> bool:
    """Tell whether the file of this name can be used: another process may have replaced it."""
    try:
        database = _opened(path)
    except sqlite3.DatabaseError as error:
        if _is_damage(error):
            return False
        raise
    try:
        return bool(database.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
    except sqlite3.DatabaseError as error:
        if _is_damage(error):
            return False
        raise
    finally:
        database.close()


def _inode_and_size(path: Path) -> tuple[int | None, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None, 0
    return found.st_ino, found.st_size


def _wal(path: Path) -> Path:
    """Return the file beside it, which is there as long as a process has it open."""
    return path.with_name(f"{path.name}-wal")


def reset(path: Path) -> bool:
    """Take the file that is there for the store; return whether another one was missed."""
    with files.locked(path):
        return identity.reset(path)
