"""
Whether a store is the one that it was: one that was removed or cut short has forgotten things.

Each file has an id of its own, and a note beside it says which one it should be. An empty file that
takes the place of a lost one stands in for it, until somebody puts the lost one back or says that
what it held is not missed (`saltapi store --reset`).
"""

import json
import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

STAND_IN, LOST_AT, WANTED = "stand_in", "lost_at", "id"


def id_of(database: sqlite3.Connection) -> str:
    """Return the id of an open file; it gets one if it has none."""
    database.execute("CREATE TABLE IF NOT EXISTS identity (id TEXT NOT NULL)")
    row = database.execute("SELECT id FROM identity").fetchone()
    if row is None:
        row = (os.urandom(16).hex(),)
        database.execute("INSERT INTO identity VALUES (?)", row)
    return str(row[0])


def lost_at(path: Path, found: str, known: str | None = None) -> float | None:
    """
    Return when the store at *path* was lost, in seconds since the epoch; None if it is whole.

    Args:
        path: The store; nobody else opens it meanwhile.
        found: The id of the file that is there.
        known: The id that it had when this process opened it before.
    """
    note = _read(path)
    wanted = note.get(WANTED) or known or found
    if found == wanted:
        if note != {WANTED: wanted}:
            _write(path, {WANTED: wanted})
        return None
    moment = note.get(LOST_AT)
    if found != note.get(STAND_IN) or not isinstance(moment, float):
        moment = time.time()
        _write(path, {WANTED: wanted, STAND_IN: found, LOST_AT: moment})
    return moment


def noted_lost_at(path: Path) -> float | None:
    """Return what the note says: when the store was lost, None if it is whole."""
    moment = _read(path).get(LOST_AT)
    return moment if isinstance(moment, float) else None


def reset(path: Path) -> bool:
    """Note that the file that is there is the store now; return whether another one was missed."""
    note = _read(path)
    if STAND_IN not in note:
        return False
    _write(path, {WANTED: note[STAND_IN]})
    return True


def _note_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.id")


def _read(path: Path) -> dict[str, object]:
    with suppress(OSError, ValueError):
        found = json.loads(_note_of(path).read_bytes())
        if isinstance(found, dict):
            return found
    return {}


def _write(path: Path, note: dict[str, object]) -> None:
    new = _note_of(path).with_name(f"{path.name}.id.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(note, file)
    new.replace(_note_of(path))
