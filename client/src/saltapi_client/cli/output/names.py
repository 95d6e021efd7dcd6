"""Many names in few characters: `web-[1-3,7]`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from saltapi_client.cli.terminal import clean

NUMBERED = re.compile(r"(.*?)(\d+)(\D*)")


def folded(names: Iterable[str]) -> str:
    """Return names in order, those that differ in their last number as one; safe to show."""
    groups: dict[tuple[str, str, int], list[int]] = {}
    order: dict[tuple[str, str, int] | str, None] = {}
    for name in sorted(set(names)):
        found = NUMBERED.fullmatch(name)
        if found is None:
            order[name] = None
            continue
        digits = found[2]
        width = len(digits) if digits.startswith("0") and len(digits) > 1 else 0
        key = (found[1], found[3], width)
        groups.setdefault(key, []).append(int(digits))
        order[key] = None
    found_names = [
        each if isinstance(each, str) else _group(each, sorted(groups[each])) for each in order
    ]
    return clean(", ".join(found_names))


def _group(key: tuple[str, str, int], numbers: list[int]) -> str:
    before, after, width = key
    parts: list[str] = []
    start = last = numbers[0]
    for number in [*numbers[1:], None]:
        if number is not None and number == last + 1:
            last = number
            continue
        texts = [f"{each:0{width}d}" if width else str(each) for each in (start, last)]
        parts.append(texts[0] if start == last else "-".join(texts))
        if number is not None:
            start = last = number
    if len(numbers) == 1:
        return f"{before}{parts[0]}{after}"
    return f"{before}[{','.join(parts)}]{after}"
