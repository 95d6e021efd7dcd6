"""
The live view on a terminal: failures on top, then a line or a sign for each minion.

It is drawn over itself, line by line, without clearing the screen, at most ten times a second and
only when something has changed.
"""

from __future__ import annotations

import re
import sys
import time
from typing import TextIO

from saltapi_client.cli.progress import Board, MinionProgress
from saltapi_client.cli.terminal import Paint, clean, cut, size, width_of

FRAME_SECONDS = 0.1
QUIET_SECONDS = 0.4
"""What is done sooner is not drawn at all."""
FAILURE_LINES = 5
SIGNS = {
    "waiting": ("·", "dim"),
    "running": ("▸", "special"),
    "failing": ("✗", "bad"),
    "silent": ("?", "would"),
    "good": ("✓", "good"),
    "changed": ("±", "changed"),
    "would": ("~", "would"),
    "failed": ("✗", "bad"),
    "missing": ("-", "bad"),
}
WORDS = {
    "failed": "failed",
    "missing": "missing",
    "changed": "changed",
    "would": "would change",
    "good": "fine",
    "running": "running",
    "failing": "failing",
    "silent": "silent",
    "waiting": "waiting",
}
ORDER = ("failed", "missing", "failing", "running", "silent", "waiting", "would", "changed", "good")
BAR = ("failed", "missing", "failing", "changed", "would", "good", "running", "silent", "waiting")
BEGIN, END = "\x1b[?2026h", "\x1b[?2026l"
"""Terminals that know this show what is between them at once; others pass over it."""
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


class Live:
    """Draws a board."""

    def __init__(self, paint: Paint, stream: TextIO | None = None) -> None:
        self._paint = paint
        self._stream = stream or sys.stdout
        self._started = time.monotonic()
        self._drawn_at = 0.0
        self._drawn: list[str] = []
        self._columns = 0
        self._hidden = False

    def draw(self, board: Board) -> None:
        """Draw what has changed, if it is time for that."""
        now = time.monotonic()
        if now - self._started < QUIET_SECONDS or now - self._drawn_at < FRAME_SECONDS:
            return
        self._drawn_at = now
        columns, lines = size()
        if columns != self._columns:
            self._erase()
            self._columns = columns
        self._write(frame(board, self._paint, columns, lines - 2, now - self._started))

    def clear(self) -> None:
        """Take away what was drawn."""
        self._erase()
        if self._hidden:
            self._stream.write(SHOW)
            self._hidden = False
        self._stream.flush()

    def _erase(self) -> None:
        """Erase the picture; in a window that is narrower by now its lines take more rows."""
        if self._drawn:
            columns = size()[0]
            widths = [width_of(COLOURS.sub("", line)) for line in self._drawn]
            rows = sum(max(-(-width // columns), 1) for width in widths)
            self._stream.write(erasing(rows))
            self._drawn = []

    def _write(self, new: list[str]) -> None:
        old, text = self._drawn, []
        if new == old:
            return
        if not self._hidden:
            text.append(HIDE)
            self._hidden = True
        if old:
            text.append(f"\x1b[{len(old)}F")
        for number, line in enumerate(new):
            if number < len(old) and old[number] == line:
                text.append("\n")
            else:
                text.append(f"{line}\x1b[K\n")
        if len(new) < len(old):
            left = len(old) - len(new)
            text.append("\n" * left + erasing(left))
        self._drawn = new
        self._stream.write(BEGIN + "".join(text) + END)
        self._stream.flush()


def erasing(rows: int) -> str:
    """Return what erases rows above the cursor and leaves it in the first; none is scrolled."""
    up = f"\x1b[{rows}F"
    # Some terminals keep what "\x1b[J" takes away. In the row of the cursor may be a "^C".
    return up + "\x1b[K\n" * rows + "\x1b[K" + up


def frame(board: Board, paint: Paint, columns: int, lines: int, seconds: float) -> list[str]:
    """Return the lines of a picture of at most so many columns and lines."""
    minions = list(board.minions.values())
    head = [_head(board, paint, columns, seconds), _bar(board, paint, columns)]
    left = lines - len(head)
    if board.steps:
        head += [cut(f"  {clean(str(step.name))}", columns) for step in board.steps[-3:]]
        left = lines - len(head)
    if len(minions) <= left:
        width = max([width_of(m.name) for m in minions] + [1])
        ranked = sorted(minions, key=lambda m: (ORDER.index(m.kind), m.name))
        return head + [_line(m, paint, columns, min(width, columns // 2)) for m in ranked]
    failures = [m for m in minions if m.kind in {"failed", "missing", "failing"}]
    shown = failures[:FAILURE_LINES]
    width = max([width_of(m.name) for m in shown] + [1])
    top = [_line(m, paint, columns, min(width, columns // 2)) for m in shown]
    if len(failures) > len(shown):
        top.append(paint("dim", f"  and {len(failures) - len(shown)} more"))
    return head + top + _grid(minions, paint, columns, left - len(top))


def _head(board: Board, paint: Paint, columns: int, seconds: float) -> str:
    done = sum(board.counts.get(k, 0) for k in ("good", "changed", "would", "failed", "missing"))
    minutes, rest = divmod(int(seconds), 60)
    fun = board.fun if isinstance(board.fun, str) else "command"
    text = f"{fun}  {done} of {len(board.minions)} minions  {minutes}:{rest:02d}"
    known = [minion.of for minion in board.minions.values() if minion.of]
    if known:  # those that have not begun have as many as the others, as far as can be known
        states = sum(known) * len(board.minions) // len(known)
        percent = 100 * sum(minion.number for minion in board.minions.values()) // states
        text += f"  states {percent} %"
    if board.stage is not None:
        text += f"  stage {board.stage.number} of {board.stage.of}"
    if board.batch.get("state") == "paused":
        text += "  paused"
    jid = clean(board.jids[-1]) if board.jids else ""
    space = columns - width_of(text) - width_of(jid)
    return paint("bold", cut(text, columns)) + (
        f"{' ' * space}{paint('dim', jid)}" if jid and space >= 2 else ""
    )


def _bar(board: Board, paint: Paint, columns: int) -> str:
    parts, used = [], 0
    for kind in BAR:
        count = board.counts.get(kind, 0)
        if count:
            sign, colour = SIGNS[kind]
            text = f"{sign} {count} {WORDS[kind]}"
            used += width_of(text) + 2
            if used > columns + 2:
                break
            parts.append(paint(colour, text))
    return "  ".join(parts)


def _line(minion: MinionProgress, paint: Paint, columns: int, width: int) -> str:
    sign, colour = SIGNS[minion.kind]
    name = cut(minion.name, width)
    start = f"{sign} {name}{' ' * (width - width_of(name))}  "
    said = ""
    if minion.of:
        said = f"{minion.number} of {minion.of}"
        said += f", {minion.changed} changed" if minion.changed else ""
        said += f", {minion.failed} failed" if minion.failed else ""
        said += "  "
    note = minion.note or ("" if minion.of else WORDS[minion.kind])
    rest = cut(said + note, max(columns - width_of(start), 0))
    return paint(colour, start) + rest


def _grid(minions: list[MinionProgress], paint: Paint, columns: int, lines: int) -> list[str]:
    """Return a sign for each minion, in the order of their names; several to one if need be."""
    places = max(lines, 1) * columns
    together = -(-len(minions) // places)
    rank = {kind: number for number, kind in enumerate(ORDER)}
    kinds = [
        min((m.kind for m in minions[start : start + together]), key=lambda kind: rank[kind])
        for start in range(0, len(minions), together)
    ]
    found = []
    for start in range(0, len(kinds), columns):
        row, text, before = kinds[start : start + columns], "", 0
        for place in range(1, len(row) + 1):
            if place == len(row) or row[place] != row[before]:
                sign, colour = SIGNS[row[before]]
                text += paint(colour, sign * (place - before))
                before = place
        found.append(text)
    return found
