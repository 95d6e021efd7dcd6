"""
An index of the job cache: what lists of jobs show, in one file for all processes of this machine.

It holds nothing that the job cache does not have, so it is thrown away when in doubt. Whoever needs
it brings it up to date (`job_scan`); SQLite lets one process at a time do so.
"""

import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import msgpack

from saltapi.bridge.worker import job_texts
from saltapi.bridge.worker.job_texts import Condition, Texts
from saltapi.types import Jid

log = logging.getLogger(__name__)

FILE = "job_index.sqlite"
MAX_BYTES = 512 * 1024 * 1024
"""How large the file may grow, about a million and a half of jobs; the oldest are left out then."""
PAGE_BYTES = 4096
LOAD_LIMIT_BYTES = 4096
"""Larger loads are read from the job cache where they are needed."""
SEARCHED_JOBS = 20_000
"""So many jobs are looked through at once."""
FOUND_JOBS = 200
"""So many are found at once, at most."""
BUSY_TIMEOUT_SECONDS = 5.0
OMITTED_SHARE = 20
"""When the file is full, one of so many jobs is left out, the oldest."""
TEXT_COLUMNS = ("user", "fun", "tgt", "minions")
"""Those of `search` that have the number of a text, or NULL."""
SCHEMA_VERSION = 3
SCHEMA = (
    "CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE jobs (key INTEGER PRIMARY KEY, jid TEXT, version INTEGER, load BLOB)",
    "CREATE TABLE search (jid TEXT PRIMARY KEY, key INTEGER NOT NULL, user INTEGER, fun INTEGER,"
    " tgt INTEGER, minions INTEGER, whole INTEGER NOT NULL) WITHOUT ROWID",
    job_texts.SCHEMA,
    *(f"CREATE INDEX no_{name} ON search (jid) WHERE {name} IS NULL" for name in TEXT_COLUMNS),
    "CREATE TABLE tops (name TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE pending (id INTEGER PRIMARY KEY, key INTEGER NOT NULL UNIQUE,"
    " path TEXT NOT NULL, version INTEGER)",
)
TABLES = ("about", "jobs", "search", "tops", "pending", "texts")

Load: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Search:
    """
    What jobs are wanted. More may be found: who asks looks at each.

    `fun`, `user`, `tgt` and `minion` are shell patterns, `without` those of functions; `owner` is a
    name.
    """

    fun: str | None = None
    user: str | None = None
    tgt: str | None = None
    minion: str | None = None
    outstanding: bool = False
    """No job that every minion has returned."""
    owner: str | None = None
    without: tuple[str, ...] = ()
    since: Jid = ""
    """No job before this one."""


@dataclass(frozen=True, slots=True)
class Part:
    """Jobs of a list, the newest first, and the last one looked at; None if this was the end."""

    jobs: dict[Jid, Load | None]
    """A load that is not in the index is None."""
    last: Jid | None


class JobIndex:
    """The file. Every method raises `sqlite3.Error` or `OSError` if it cannot be used."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES) -> None:
        """
        Args:
            path: The file, made when it is first needed; one that is damaged is made anew.
            max_bytes: How large it may grow.
        """
        self.path = path
        self._max_bytes = max_bytes
        self._database: sqlite3.Connection | None = None
        self._texts_of: Texts | None = None
        self._inode: int | None = None

    def close(self) -> None:
        """Close the file; idempotent."""
        database, self._database = self._database, None
        self._texts_of = None
        if database is not None:
            database.close()

    @contextmanager
    def changing(self, source: str) -> Iterator[None]:
        """
        Hold the right to change the index.

        Args:
            source: What the index is made of; all of it is forgotten if that was another one.
        """
        database = self._connected()
        database.execute("BEGIN IMMEDIATE")
        try:
            if self.about("source") != source:
                for table in TABLES:
                    database.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
                self.note("source", source)
            self._texts.begin()
            yield
            self._make_room()
            self._texts.end()
            database.execute("COMMIT")
        except BaseException as error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            if isinstance(error, sqlite3.DatabaseError):
                self.doubt(error)
            raise

    def doubt(self, error: sqlite3.DatabaseError) -> None:
        """Remove the file if *error* says that it is damaged."""
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in {
            sqlite3.SQLITE_CORRUPT,
            sqlite3.SQLITE_NOTADB,
        }:
            log.warning("The index of the job cache is damaged (%s) and is made anew.", error)
            self.close()
            for suffix in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def about(self, name: str) -> str | None:
        """Return what was noted under *name*."""
        found = self._connected().execute("SELECT value FROM about WHERE name = ?", (name,))
        row = found.fetchone()
        return None if row is None else str(row[0])

    def note(self, name: str, value: str) -> None:
        """Note *value* under *name*."""
        self._connected().execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (name, value))

    @property
    def complete(self) -> bool:
        """Whether all jobs have been seen."""
        return self.about("complete") is not None

    @property
    def omits(self) -> bool:
        """Whether the oldest jobs are left out."""
        return self.about("omits") is not None

    def tops(self) -> dict[str, int]:
        """Return the directories whose jobs are known, each with the version that was seen."""
        return dict(self._connected().execute("SELECT name, version FROM tops"))

    def top(self, name: str, version: int) -> None:
        """Note that all jobs of a directory are known."""
        self._connected().execute("INSERT OR REPLACE INTO tops VALUES (?, ?)", (name, version))

    def remove_top(self, name: str) -> None:
        """Forget a directory."""
        self._connected().execute("DELETE FROM tops WHERE name = ?", (name,))

    def keys(self, first: int, last: int) -> set[int]:
        """Return the keys from *first* to *last* that are known, with and without a load."""
        database, found = self._connected(), set[int]()
        for table in ("jobs", "pending"):
            rows = database.execute(
                f"SELECT key FROM {table} WHERE key BETWEEN ? AND ?",  # noqa: S608 - our own names
                (first, last),
            )
            found.update(row[0] for row in rows)
        return found

    def put(
        self,
        key: int,
        jid: Jid,
        version: int,
        load: Mapping[str, Any],
        *,
        minions: Sequence[str] | None = None,
        whole: bool = False,
        new: bool = False,
    ) -> None:
        """
        Put a job in place of what was known of it.

        Args:
            key: Its key.
            jid: Its id.
            version: What differs when there is something else to be known of it.
            load: Its load.
            minions: Those that it is known of; None if they are not.
            whole: Whether all of them have returned.
            new: Whether nothing is known of it.
        """
        database, number = self._connected(), self._texts.number
        if not new:
            self.remove([key])
        database.execute("INSERT INTO jobs VALUES (?, ?, ?, ?)", (key, jid, version, _packed(load)))
        database.execute(
            "INSERT OR REPLACE INTO search VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                jid,
                key,
                number(job_texts.plain(load.get("user", load.get("User")))),
                number(job_texts.listed(load.get("fun", load.get("Function")))),
                number(job_texts.listed(load.get("tgt", load.get("Target")))),
                number(job_texts.listed_minions(minions)),
                whole,
            ),
        )

    def pend(self, key: int, path: str, version: int | None) -> None:
        """Note a job whose load is not there, or not to be read in this version."""
        self.remove([key])
        self._connected().execute(
            "INSERT INTO pending (key, path, version) VALUES (?, ?, ?)", (key, path, version)
        )

    def pending(self, limit: int) -> list[tuple[int, str, int | None]]:
        """Return key, path and version of those of them that were seen last."""
        rows = self._connected().execute(
            "SELECT key, path, version FROM pending ORDER BY id DESC LIMIT ?", (limit,)
        )
        return rows.fetchall()

    def forget_pending(self, first: int, last: int) -> None:
        """Forget those with keys from *first* to *last*."""
        self._connected().execute("DELETE FROM pending WHERE key BETWEEN ? AND ?", (first, last))

    def remove(self, keys: Iterable[int]) -> None:
        """Forget jobs."""
        several = [(key,) for key in keys]
        database = self._connected()
        database.executemany(
            "DELETE FROM search WHERE jid = (SELECT jid FROM jobs WHERE key = ?)", several
        )
        database.executemany("DELETE FROM jobs WHERE key = ?", several)
        database.executemany("DELETE FROM pending WHERE key = ?", several)

    def newest(self, limit: int) -> list[tuple[int, Jid, int]]:
        """Return key, jid and version of the newest jobs."""
        rows = self._connected().execute(
            "SELECT jobs.key, jobs.jid, version FROM search JOIN jobs USING (key)"
            " ORDER BY search.jid DESC LIMIT ?",
            (limit,),
        )
        return rows.fetchall()

    def after(self, key: int, limit: int) -> list[tuple[int, Jid, int]]:
        """Return key, jid and version of the jobs with the next keys."""
        rows = self._connected().execute(
            "SELECT key, jid, version FROM jobs WHERE key > ? AND jid IS NOT NULL"
            " ORDER BY key LIMIT ?",
            (key, limit),
        )
        return rows.fetchall()

    def versions(self) -> dict[Jid, int]:
        """Return the version of each job."""
        rows = self._connected().execute("SELECT jid, version FROM jobs WHERE jid IS NOT NULL")
        return dict(rows)

    def loads(self) -> Iterator[tuple[Jid, Load | None]]:
        """Yield the load of each job, in any order; None for one that is not here."""
        rows = self._connected().execute("SELECT jid, load FROM jobs WHERE jid IS NOT NULL")
        for jid, load in rows:
            yield jid, _unpacked(load)

    def tidy(self) -> None:
        """Forget what no job is about any more."""
        self._texts.tidy(TEXT_COLUMNS)

    def search(self, wanted: Search, before: Jid | None) -> Part:
        """
        Return what of the next jobs before *before* may be wanted.

        At most `SEARCHED_JOBS` are looked through, all where none has a text that fits, and
        `FOUND_JOBS` returned.
        """
        database = self._connected()
        between = ("~" if before is None else before, wanted.since)
        database.execute("BEGIN")  # all of it sees the same
        try:
            conditions = self._conditions(wanted)
            row = None
            if not any(each.indexed for each in conditions):
                row = database.execute(
                    "SELECT jid FROM search WHERE jid < ? AND jid >= ?"
                    " ORDER BY jid DESC LIMIT 1 OFFSET ?",
                    (*between, SEARCHED_JOBS - 1),
                ).fetchone()
            values = [value for each in conditions for value in each.values]
            rows = database.execute(
                "SELECT search.jid, load FROM search LEFT JOIN jobs USING (key)"  # noqa: S608 - ours
                f" WHERE search.jid < ? AND search.jid >= ?"
                f"{''.join(f' AND {each.text}' for each in conditions)}"
                " ORDER BY search.jid DESC LIMIT ?",
                (between[0], wanted.since if row is None else row[0], *values, FOUND_JOBS),
            ).fetchall()
        finally:
            database.execute("COMMIT")
        last = row and str(row[0])
        if len(rows) == FOUND_JOBS:
            last = rows[-1][0]
        return Part({jid: _unpacked(load) for jid, load in rows}, last)

    def _conditions(self, wanted: Search) -> list[Condition]:
        """Return what SQLite can tell of *wanted*: conditions that nothing wanted fails."""
        found: list[Condition] = []
        if wanted.owner is not None:
            number = self._texts.find(wanted.owner)
            found.append(Condition("(user IS NULL OR user = ?)", [number]))
        if wanted.user is not None:
            found.append(self._texts.fits("user", wanted.user, several=False))
        columns = (("fun", wanted.fun), ("tgt", wanted.tgt), ("minions", wanted.minion))
        found += [self._texts.fits(name, text) for name, text in columns if text is not None]
        found += [self._texts.fits("fun", text, without=True) for text in wanted.without]
        if wanted.outstanding:
            found.append(Condition("NOT whole"))
        return found

    def _make_room(self) -> None:
        """Leave the oldest jobs out when the file gets full; only that they are there is kept."""
        database = self._connected()
        used, free = (
            database.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count")
        )
        if (used - free) * PAGE_BYTES <= self._max_bytes:
            return
        count = database.execute("SELECT count(*) FROM search").fetchone()[0]
        oldest = database.execute(
            "SELECT jid, key FROM search ORDER BY jid LIMIT ?", (count // OMITTED_SHARE + 1,)
        ).fetchall()
        database.executemany("DELETE FROM search WHERE jid = ?", [(jid,) for jid, _ in oldest])
        database.executemany(
            "UPDATE jobs SET jid = NULL, version = NULL, load = NULL WHERE key = ?",
            [(key,) for _, key in oldest],
        )
        if not self.omits:
            log.warning("The index of the job cache is full: lists leave out the oldest jobs.")
            self.note("omits", str(time.time()))

    @property
    def _texts(self) -> Texts:
        database = self._connected()
        if self._texts_of is None:
            self._texts_of = Texts(database)
        return self._texts_of

    def _connected(self) -> sqlite3.Connection:
        """Return the open database, of the file that has our name now."""
        if self._database is not None and not self._database.in_transaction:
            try:
                current = self.path.stat().st_ino
            except FileNotFoundError:
                current = None
            if current != self._inode:
                self.close()  # somebody has removed it
        if self._database is None:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                self._database = self._opened()
            except sqlite3.DatabaseError as error:
                self.doubt(error)
                raise
            self._inode = self.path.stat().st_ino
        return self._database

    def _opened(self) -> sqlite3.Connection:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(self.path, flags, 0o600))
        database = sqlite3.connect(
            self.path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute("PRAGMA cache_size = -8192")
            if database.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
                database.execute("BEGIN IMMEDIATE")
                if database.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
                    _make_tables(database)
                database.execute("COMMIT")
        except BaseException:
            database.close()
            raise
        return database


def _make_tables(database: sqlite3.Connection) -> None:
    names = database.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    for (name,) in names:  # of another version
        database.execute(f"DROP TABLE {name}")
    for statement in SCHEMA:
        database.execute(statement)
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _packed(load: Mapping[str, Any]) -> bytes | None:
    try:
        packed: bytes = msgpack.packb(load)
    except (TypeError, ValueError, OverflowError):  # Salt has types of its own
        return None
    return packed if len(packed) <= LOAD_LIMIT_BYTES else None


def _unpacked(packed: bytes | None) -> Load | None:
    return None if packed is None else msgpack.unpackb(packed, strict_map_key=False)
