"""
Cursors: the ids of the records of a job, which say what a client has seen of it.

A cursor is made of the job alone, so every process, also after a restart, reads it the same: it
holds one bit for each minion that was expected at first, and the names of others. Records come
in the order of the returns; which minions have returned in which order need not be known. Of the
minions whose states are told of it holds besides which of them were; of an orchestration, what was
told of its steps (`step_records`).
"""

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from saltapi.bridge.jobs.state_results import STATES_LIMIT
from saltapi.types import MinionId

CURSOR_LIMIT_CHARACTERS = 16_000
"""Longer cursors are not ours: headers end about there."""
CURSOR_MINIONS_LIMIT = 8_000
"""Jobs of more minions are told from their beginning to a client that comes back."""
STATES_LIMIT_BYTES = 1_000_000
"""What a cursor says of states, or of steps, takes no more when it is read."""
EACH_MINIONS_LIMIT = 50
"""Where more minions run states, a cursor takes too much to go with every record."""
END = "end"


@dataclass(slots=True)
class Cursor:
    """What a client has seen: the returns of `minions`, and perhaps the summary."""

    minions: set[MinionId] = field(default_factory=set)
    ended: bool = False
    states: dict[MinionId, int] = field(default_factory=dict)
    """One bit for each state that was told of, of minions that have not returned."""
    steps: str = ""
    """What `packed` made of what was told of steps."""


class CursorMaker:
    """Makes the cursors of one stream as its records go out; one bit is set for each."""

    def __init__(
        self,
        base: Sequence[MinionId],
        seen: Collection[MinionId],
        states: Mapping[MinionId, int] = MappingProxyType({}),
    ) -> None:
        """
        Args:
            base: The minions that were expected at first, sorted.
            seen: Those whose returns the client has.
            states: Which states of others it has, as in `Cursor`.
        """
        self._bit_of = {minion: bit for bit, minion in enumerate(base)}
        self._bits = bytearray((len(base) + 7) // 8)
        self._others: list[MinionId] = []
        self._digest = digest_of(base)
        self._tells = len(base) <= CURSOR_MINIONS_LIMIT
        self.states = {m: told for m, told in states.items() if m not in seen}
        """Which states of minions that have not returned have gone out; one bit for each."""
        self.steps = ""
        """What `packed` makes of what has gone out of steps."""
        for minion in seen:
            self.saw(minion)

    def saw(self, minion: MinionId) -> None:
        """Note that the return of *minion* goes out."""
        self.states.pop(minion, None)
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
        found = f"{self._digest}.{bits}.{END if ended else ''}.{others}"
        if self.steps and len(found) + len(self.steps) < CURSOR_LIMIT_CHARACTERS:
            return f"{found}..{self.steps}"  # what has steps has no states
        return f"{found}.{self._states_text()}" if self.states else found

    def _states_text(self) -> str:
        """Return which states were told of: how many without a gap, and bits of those behind it."""
        marks = []
        for minion, told in self.states.items():
            bit = self._bit_of.get(minion)
            if bit is not None:
                whole = (~told & (told + 1)).bit_length() - 1
                marks.append(f"{bit:x}.{whole:x}.{told >> whole:x}")
        return _text(zlib.compress(" ".join(marks).encode(), 1))


def read(cursor: str | None, base: Sequence[MinionId]) -> Cursor:
    """Return what *cursor* says; nothing was seen if it is none of this job."""
    if not cursor or len(cursor) > CURSOR_LIMIT_CHARACTERS or not cursor.isascii():
        return Cursor()
    parts = cursor.split(".")
    if len(parts) not in {4, 5, 6} or parts[0] != digest_of(base):
        return Cursor()
    try:
        bits = _data(parts[1])
        others = json.loads(_data(parts[3])) if parts[3] else []
        states = _states(parts[4], base) if len(parts) == 5 else {}
        steps = parts[5] if len(parts) == 6 else ""
    except (ValueError, binascii.Error, RecursionError, zlib.error):
        return Cursor()
    if not isinstance(others, list) or not all(isinstance(name, str) for name in others):
        return Cursor()
    seen = {
        minion
        for bit, minion in enumerate(base)
        if bit // 8 < len(bits) and bits[bit // 8] >> bit % 8 & 1
    }
    return Cursor(seen.union(others), parts[2] == END, states, steps)


def packed(value: Any) -> str:
    """Return plain values as a part of a cursor."""
    return _text(zlib.compress(json.dumps(value, separators=(",", ":")).encode(), 1))


def unpacked(text: str) -> Any:
    """
    Return what `packed` was given.

    Raises:
        ValueError, RecursionError, zlib.error: It is nothing that `packed` has made.
    """
    data = zlib.decompressobj().decompress(_data(text), STATES_LIMIT_BYTES)
    return json.loads(data)


def _states(text: str, base: Sequence[MinionId]) -> dict[MinionId, int]:
    """
    Return which states were told of.

    Raises:
        ValueError, zlib.error: It is nothing that `CursorMaker` has made.
    """
    data = zlib.decompressobj().decompress(_data(text), STATES_LIMIT_BYTES)
    found: dict[MinionId, int] = {}
    for mark in data.decode("ascii").split():
        bit, whole, more = (int(number, 16) for number in mark.split("."))
        if not 0 <= bit < len(base) or not 0 <= whole <= STATES_LIMIT or more < 0:
            raise ValueError(mark)
        found[base[bit]] = (more << whole) | ((1 << whole) - 1)
    return found


def digest_of(base: Sequence[MinionId]) -> str:
    """Return a short text that differs for other minions."""
    return hashlib.sha256("\0".join(base).encode("utf-8", "replace")).hexdigest()[:12]


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _data(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
