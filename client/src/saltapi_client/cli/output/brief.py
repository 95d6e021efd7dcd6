"""Changes of states in few lines: a name with its value, before and after, and diffs in colours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saltapi_client.cli.terminal import Paint, clean

STEP = 2
SHORT_CHARACTERS = 60
PAIR = {"old", "new"}
NOTHING = "none"
DIFF = "--- "


def lines(value: Any, paint: Paint, indent: int) -> list[str]:
    """Return a value as lines, indented by so many columns; what is empty is left out."""
    space = " " * indent
    if isinstance(value, Mapping):
        found = []
        for name in sorted(value, key=str):
            found += _named(clean(str(name)), value[name], paint, indent)
        return found
    if isinstance(value, (list, tuple)):
        found = []
        for each in value:
            if is_short(each):
                found.append(f"{space}- {clean(str(each))}")
            else:
                found += [f"{space}-", *lines(each, paint, indent + STEP)]
        return found
    text = clean(str(value))
    shown = paint if text.startswith(DIFF) else Paint(False)
    return [space + coloured(line, shown) for line in text.splitlines()]


def _named(name: str, value: Any, paint: Paint, indent: int) -> list[str]:
    start = " " * indent + paint("key", f"{name}:")
    if isinstance(value, Mapping) and set(value) == PAIR and all(map(is_short, value.values())):
        before, after = (_word(value.get(each)) for each in ("old", "new"))
        return [f"{start} {before} → {after}"]
    if is_short(value):
        return [f"{start} {clean(str(value))}"] if value != "" else []
    inner = lines(value, paint, indent + STEP)
    return [start, *inner] if inner else []


def is_short(value: Any) -> bool:
    """Return whether a value is a part of a line."""
    if isinstance(value, str):
        return "\n" not in value.strip() and len(value) <= SHORT_CHARACTERS
    return value is None or isinstance(value, (bool, int, float))


def _word(value: Any) -> str:
    return NOTHING if value in (None, "") else clean(str(value)).strip()


def coloured(line: str, paint: Paint) -> str:
    """Return a line of a diff in its colour; others as they are."""
    if line.startswith("+"):
        return paint("good", line)
    if line.startswith("-"):
        return paint("bad", line)
    return paint("dim", line) if line.startswith("@@") else line
