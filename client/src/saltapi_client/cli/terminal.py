"""What standard output is: a terminal or not, how wide, in colours or not."""

from __future__ import annotations

import argparse
import os
import sys
import unicodedata
from typing import TextIO

_CODES = {
    "good": "32",
    "changed": "36",
    "bad": "31",
    "would": "33",
    "dim": "2",
    "bold": "1",
    "key": "36",
    "value": "32",
    "special": "33",
}


class Paint:
    """Colours by meaning: good, changed, bad, would, dim, bold, key, value, special."""

    def __init__(self, on: bool) -> None:
        self.on = on

    def __call__(self, meaning: str, text: str) -> str:
        """Return *text* in the colour of a meaning."""
        if not self.on or not text or meaning not in _CODES:
            return text
        return f"\x1b[{_CODES[meaning]}m{text}\x1b[0m"


def is_terminal(stream: TextIO | None = None) -> bool:
    """Return whether a stream (standard output) is a terminal that can move its cursor."""
    return (stream or sys.stdout).isatty() and os.environ.get("TERM", "") not in {"", "dumb"}


def paint_of(args: argparse.Namespace) -> Paint:
    """Return the colours that a command line asks for."""
    wanted = args.color or "auto"
    if wanted == "auto":
        return Paint(is_terminal() and not os.environ.get("NO_COLOR"))
    return Paint(wanted == "always")


def size() -> tuple[int, int]:
    """Return the columns and lines of the terminal (COLUMNS and LINES, 80 by 24)."""
    columns, lines = (_number(os.environ.get(name, "")) for name in ("COLUMNS", "LINES"))
    if not (columns and lines):
        try:  # `shutil` would load all of its kinds of archives
            window = os.get_terminal_size(sys.__stdout__.fileno())  # type: ignore[union-attr]
        except (AttributeError, ValueError, OSError):  # it is closed, or no terminal
            window = os.terminal_size((0, 0))
        columns, lines = columns or window.columns or 80, lines or window.lines or 24
    return max(columns, 20), max(lines, 6)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def clean(text: str) -> str:
    """Return a text without what would move the cursor or change colours."""
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)


def width_of(text: str) -> int:
    """Return how many columns a text takes."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def cut(text: str, width: int) -> str:
    """Return the first line of a text, in at most so many columns."""
    line, _, more = clean(text).replace("\t", " ").partition("\n")
    if width_of(line) <= width and not more.strip():
        return line
    found, used = "", 0
    for char in line:
        used += width_of(char)
        if used > width - 1:
            break
        found += char
    return f"{found}…" if width > 0 else ""


def wrapped(text: str, width: int, indent: int) -> list[str]:
    """Return a text in lines of at most so many columns, all indented; long words stay whole."""
    import textwrap

    space = " " * indent
    found = []
    for line in clean(text).splitlines():
        if indent + width_of(line) <= width:
            found.append(space + line)
            continue
        found += textwrap.wrap(
            line, max(width, 20), initial_indent=space, subsequent_indent=space,
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
    return found
