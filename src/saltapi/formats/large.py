"""Values that take long to write: how to tell, and JSON in pieces between which others get on."""

import json
from collections.abc import Iterator
from typing import Any

from saltapi.formats.bodies import dump_json

PIECE_LEVELS = 4
"""So deep a value is taken apart; Salt's are broad near the top: minions, jobs, packages."""
PIECE_ITEMS = 50
"""So many items of a larger collection are written at once."""
ITEM_BYTES = 8
"""What an item counts for, beside its text."""


def is_large(value: Any, limit_bytes: int) -> bool:
    """Return whether *value* comes to more than about *limit_bytes* of JSON; it looks no longer."""
    left = limit_bytes
    waiting = [value]
    while waiting:
        one = waiting.pop()
        left -= len(one) if isinstance(one, str | bytes | bytearray) else ITEM_BYTES
        if isinstance(one, dict | list | tuple | set | frozenset):
            left -= ITEM_BYTES * len(one)
            if left < 0:
                break
            if isinstance(one, dict):
                left -= sum(len(key) for key in one if isinstance(key, str))
                one = one.values()
            waiting += one
        if left < 0:
            break
    return left < 0


def dump_json_in_parts(value: Any) -> bytes:
    """
    Same as `dump_json`, for a thread: the interpreter is never held for long.

    `json` holds it from the beginning to the end of what it is given.
    """
    try:
        return "".join(_parts(value, PIECE_LEVELS)).encode("utf-8")
    except (TypeError, ValueError, RecursionError):
        return dump_json(value)


def _parts(value: Any, levels: int) -> Iterator[str]:
    kind = type(value)
    if kind not in {dict, list} or not levels or not value:
        yield _encode(value)
        return
    items = list(value.items()) if kind is dict else value
    before = "{" if kind is dict else "["
    if len(items) > PIECE_ITEMS:
        for begin in range(0, len(items), PIECE_ITEMS):
            yield before + _encode(kind(items[begin : begin + PIECE_ITEMS]))[1:-1]
            before = ", "
    else:
        for item in items:
            yield before
            if kind is dict:
                yield _encode({item[0]: 0})[1:-2]
            yield from _parts(item[1] if kind is dict else item, levels - 1)
            before = ", "
    yield "}" if kind is dict else "]"


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
