"""The layout of Salt's `nested` outputter, which it shows most results in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saltapi_client.cli.terminal import Paint, clean

STEP = 4


def text(value: Any, paint: Paint, *, indent: int = 0) -> str:
    """Return a value as lines, the first one too indented by so many columns."""
    lines: list[str] = []
    _show(value, paint, indent, "", lines)
    return "\n".join(lines)


def minion(name: str, value: Any, paint: Paint) -> str:
    """Return what a minion returned, below its name."""
    return text({name: value}, paint)


def _show(value: Any, paint: Paint, indent: int, prefix: str, lines: list[str]) -> None:
    space = " " * indent
    if isinstance(value, Mapping):
        if indent:
            lines.append(space + paint("key", "----------"))
        for key in sorted(value, key=str):
            lines.append(f"{space}{paint('key', prefix + clean(str(key)))}:")
            _show(value[key], paint, indent + STEP, "", lines)
    elif isinstance(value, (list, tuple)):
        for item in value:
            if isinstance(item, (list, tuple, Mapping)):
                lines.append(space + paint("value", "|_"))
                _show(item, paint, indent + 2, "" if isinstance(item, Mapping) else "- ", lines)
            else:
                _show(item, paint, indent, "- ", lines)
    elif isinstance(value, str):
        for number, line in enumerate(value.splitlines()):
            first = prefix if number == 0 else " " * len(prefix)
            lines.append(space + paint("value", first + clean(line)))
    else:
        lines.append(space + paint("special", f"{prefix}{value!r}"))
