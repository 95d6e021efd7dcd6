"""
Cursors: the ids of the records of a job, which say what a client has seen of it.

A cursor is made of the job alone, so every process, also after a restart, reads it the same: it
holds one bit for each minion that was expected at first, and the names of others. Records come
in the order of the returns; which minions have returned in which order need not be known.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from saltapi.types import MinionId

CURSOR_LIMIT_CHARACTERS = 16_000
"""Longer cursors are not ours: headers end about there."""
CURSOR_MINIONS_LIMIT = 8_000
"""Jobs of more minions are told from their beginning to a client that comes back."""
END = "end"


@dataclass(slots=True)
class Cursor:
    """What a client has seen: the returns of `minions`, and perhaps the summary."""

    minions: set[MinionId] = field(default_factory=set)
    ended: bool = False


class CursorMaker:
    """Makes the cursors of one stream as its records go out; one bit is set for each."""

    def __init__(self, base: Sequence[MinionId], seen: Collection[MinionId]) -> None:
        """
        Args:
            base: The minions that were expected at first, sorted.
            seen: Those whose returns the client has.
        """
        self._bit_of = {minion: bit for bit, minion in enumerate(base)}
        self._bits = bytearray((len(base) + 7) // 8)
        self._others: list[MinionId] = []
        self._digest = digest_of(base)
        self._tells = len(base) <= CURSOR_MINIONS_LIMIT
        for minion in seen:
            self.saw(minion)

    def saw(self, minion: MinionId) -> None:
        """Note that the return of *minion* goes out."""
        bit = self._bit_of.get(minion)
        if bit is None:
            self._others.append(minion)
        else:
            self._bits[bit // 8] |= 1 << bit % 8

    def cursor(self, *, ended: bool = False) -> str:
        """Return the cursor of what has gone out."""
        if not self._tells:
            return f"{self._digest}..{END if ended else ''}."
        others = _text(json.dumps(sorted(self._others)).encode()) if self._others else ""
        bits = _text(bytes(self._bits).rstrip(b"\0"))
        return f"{self._digest}.{bits}.{END if ended else ''}.{others}"


def read(cursor: str | None, base: Sequence[MinionId]) -> Cursor:
    """Return what *cursor* says; nothing was seen if it is none of this job."""
    if not cursor or len(cursor) > CURSOR_LIMIT_CHARACTERS or not cursor.isascii():
        return Cursor()
    parts = cursor.split(".")
    if len(parts) != 4 or parts[0] != digest_of(base):
        return Cursor()
    try:
        bits = _data(parts[1])
        others = json.loads(_data(parts[3])) if parts[3] else []
    except (ValueError, binascii.Error, RecursionError):
        return Cursor()
    if not isinstance(others, list) or not all(isinstance(name, str) for name in others):
        return Cursor()
    seen = {
        minion
        for bit, minion in enumerate(base)
        if bit // 8 < len(bits) and bits[bit // 8] >> bit % 8 & 1
    }
    return Cursor(seen.union(others), parts[2] == END)


def digest_of(base: Sequence[MinionId]) -> str:
    """Return a short text that differs for other minions."""
    return hashlib.sha256("\0".join(base).encode("utf-8", "replace")).hexdigest()[:12]


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _data(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
