"""
The texts of the index of the job cache, each once: functions, users, targets, lists of minions.

A job has their numbers. So a pattern is tried on each text once, and not on those of every job.
"""

import fnmatch
import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

SCHEMA = (
    "CREATE TABLE texts (id INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB NOT NULL UNIQUE,"
    " text TEXT NOT NULL)"
)
"""No number is given twice, so that what is known of a pattern stays true."""
SEPARATOR = "\x1f"
"""Stands around each item of what can be several."""
TEXT_LIMIT_CHARACTERS = 1_000
"""Longer ones are not searched here, but by who asks."""
MINIONS_LIMIT_CHARACTERS = 256_000
"""The same of a list of minions."""
TEXTS_BYTES = 16 * 1024 * 1024
"""So much of texts is kept; those of more jobs are not searched here."""
TRIED_TEXTS = 50_000
"""A pattern is tried on so many at once; where there are more, on those of each job."""
NAMED_TEXTS = 2_000
"""So many that fit are named in a question; where there are more, it is asked for each job."""
PATTERNS_REMEMBERED = 64
DIGEST_BYTES = 16


class Condition(NamedTuple):
    """What SQLite is asked about a job."""

    text: str
    values: Sequence[Any] = ()
    indexed: bool = False
    """Whether there is an index of those that meet it: they need not be looked for."""


class Texts:
    """What the table has; every method raises `sqlite3.Error` if it cannot be used."""

    def __init__(self, database: sqlite3.Connection) -> None:
        """
        Args:
            database: Has the table, and `about`.
        """
        self._database = database
        self._numbers: dict[str, int] = {}
        self._bytes = 0
        self._patterns: dict[str, tuple[int, list[int]]] = {}
        """Of each pattern the last number that it was tried on, and those that it fits."""

    def begin(self) -> None:
        """Begin a change of the table."""
        self._numbers.clear()
        row = self._database.execute("SELECT value FROM about WHERE name = 'text_bytes'").fetchone()
        self._bytes = 0 if row is None else int(row[0])

    def end(self) -> None:
        """End a change of the table."""
        self._database.execute(
            "INSERT OR REPLACE INTO about VALUES ('text_bytes', ?)", (str(self._bytes),)
        )

    def number(self, text: str | None) -> int | None:
        """Return the number of a text, a new one if it has none; None where there is no room."""
        if text is None:
            return None
        known = self._numbers.get(text) or self.find(text)
        if known is None:
            size = len(text.encode())
            if self._bytes + size > TEXTS_BYTES:
                return None
            added = self._database.execute(
                "INSERT INTO texts (digest, text) VALUES (?, ?)", (_digest(text), text)
            )
            known = int(added.lastrowid or 0)
            self._bytes += size
        self._numbers[text] = known
        return known

    def find(self, text: str) -> int | None:
        """Return the number of a text; None if it has none."""
        found = self._database.execute("SELECT id FROM texts WHERE digest = ?", (_digest(text),))
        row = found.fetchone()
        return None if row is None else int(row[0])

    def tidy(self, columns: Iterable[str]) -> None:
        """Forget the texts of which no job has the number in one of *columns* of `search`."""
        used = " UNION ".join(
            f"SELECT {column} FROM search WHERE {column} IS NOT NULL"  # noqa: S608 - our own names
            for column in columns
        )
        self._database.execute(f"DELETE FROM texts WHERE id NOT IN ({used})")  # noqa: S608 - ours
        row = self._database.execute("SELECT total(length(CAST(text AS BLOB))) FROM texts")
        self._bytes = int(row.fetchone()[0])

    def fits(
        self, column: str, pattern: str, *, several: bool = True, without: bool = False
    ) -> Condition:
        """
        Return a condition that no job fails whose text in *column* fits a shell pattern.

        Args:
            column: Has the number of a text, or NULL where it is not known.
            pattern: The pattern.
            several: Whether the text is one of `listed`, of which an item has to fit.
            without: Whether jobs are wanted whose text does not fit.
        """
        glob, word = _glob(pattern, several=several), "NOT IN" if without else "IN"
        numbers = self._fitting(pattern, glob, several=several)
        if numbers == [] and not without:
            return Condition(f"{column} IS NULL", indexed=True)
        values: list[str] = []
        if numbers is None:
            chosen = f"SELECT id FROM texts WHERE id = {column} AND text GLOB ?"  # noqa: S608 - ours
            values.append(glob)
        else:
            chosen = ", ".join(map(str, numbers))
        return Condition(f"({column} IS NULL OR {column} {word} ({chosen}))", values)

    def _fitting(self, pattern: str, glob: str, *, several: bool) -> list[int] | None:
        """Return the numbers of the texts that fit; None where there are too many."""
        name = f"{several:d}{pattern}"
        last, numbers = self._patterns.get(name, (0, []))
        rows = self._database.execute(
            "SELECT count(*), max(id) FROM (SELECT id FROM texts WHERE id > ? LIMIT ?)",
            (last, TRIED_TEXTS + 1),
        )
        count, newest = rows.fetchone()
        if count > TRIED_TEXTS:
            return None
        if count:
            rows = self._database.execute(
                "SELECT id, text FROM texts WHERE id > ? AND text GLOB ?", (last, glob)
            )
            numbers = numbers + [
                number for number, text in rows if not several or _any_fits(pattern, text)
            ]
            while len(self._patterns) >= PATTERNS_REMEMBERED:
                del self._patterns[next(iter(self._patterns))]
            self._patterns[name] = newest, numbers
        return numbers if len(numbers) <= NAMED_TEXTS else None


def listed(value: Any, *, limit: int = TEXT_LIMIT_CHARACTERS) -> str | None:
    """Return *value*, or its items, with a separator around each; None if it is not searched."""
    if value is None:
        return None
    items = [str(item) for item in value] if isinstance(value, list) else [str(value)]
    if any(SEPARATOR in item for item in items):
        return None
    return plain(f"{SEPARATOR}{SEPARATOR.join(items)}{SEPARATOR}", limit=limit)


def listed_minions(minions: Sequence[str] | None) -> str | None:
    """Return a list of minions as a text; None if it is not known, or not searched."""
    return None if minions is None else listed(sorted(minions), limit=MINIONS_LIMIT_CHARACTERS)


def plain(value: Any, *, limit: int = TEXT_LIMIT_CHARACTERS) -> str | None:
    """Return *value* as a text; None if it is not searched."""
    if value is None:
        return None
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        return None
    return None if "\0" in text or len(text) > limit else text


def _glob(pattern: str, *, several: bool) -> str:
    """Return a pattern of SQLite's that fits at least what the shell pattern fits."""
    pattern = pattern.encode("utf-8", "replace").decode()  # "?" in place of what is no character
    for character in ("[", "\0"):  # they differ in what a bracket is
        begin, found, _ = pattern.partition(character)
        pattern = f"{begin}*" if found else begin
    return f"*{SEPARATOR}{pattern}{SEPARATOR}*" if several else pattern


def _any_fits(pattern: str, text: str) -> bool:
    return any(fnmatch.fnmatchcase(item, pattern) for item in text[1:-1].split(SEPARATOR))


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=DIGEST_BYTES).digest()
