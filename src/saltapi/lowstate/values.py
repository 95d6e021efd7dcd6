"""Values of a chunk by their kinds: ids, times, flags, texts, mappings."""

import math
import re
from collections.abc import Mapping
from typing import Any

from saltapi.errors import InvalidChunk
from saltapi.types import Chunk

JID = re.compile(r"[0-9]{20}(_[0-9]{1,10})?")
MINION_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,252}", re.ASCII)
NUMBER_DIGITS = 100
"""Longer numbers are nobody's name, password or jid."""


def checked_jid(value: Any) -> str:
    """
    Return *value* if it can be a job id.

    Raises:
        InvalidChunk: It cannot.
    """
    if isinstance(value, str) and JID.fullmatch(value):
        return value
    raise InvalidChunk("A job id is a number of 20 digits.", key="jid")


def checked_minion_id(value: Any) -> str:
    """
    Return *value* if it can be a minion id: no path, no pattern, nothing that needs quoting.

    Raises:
        InvalidChunk: It cannot.
    """
    if isinstance(value, str) and MINION_ID.fullmatch(value):
        return value
    raise InvalidChunk(
        "'mid' must be a minion id: letters, digits, '.', '-', '_', ':' and '@'.", key="mid"
    )


def jid_of(chunk: Chunk) -> str | None:
    """Return the jid that *chunk* asks for, None without one; InvalidChunk if it is none."""
    value = number_as_text(chunk.get("jid"))
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not JID.fullmatch(value):
        raise InvalidChunk(
            "'jid' must be a job id of 20 digits; leave it out to get one.", key="jid"
        )
    return value


def seconds(chunk: Mapping[str, Any], key: str) -> float | None:
    """
    Return the time in *chunk* under *key*, in seconds; None where it is left to the master.

    Numbers and texts of numbers are taken; "", "None" and null leave it to the master.

    Raises:
        InvalidChunk: It is anything else, negative, or not finite.
    """
    value = chunk.get(key)
    if value is None or value in ("", "None"):
        return None
    problem = InvalidChunk(f"{key!r} must be a number of seconds, not {short(value)}.", key=key)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise problem
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise problem from None
    if not math.isfinite(number) or number < 0:
        raise problem
    return number


def flag(chunk: Chunk, key: str) -> bool:
    """Return yes or no as *chunk* says it; InvalidChunk if it is neither."""
    value = chunk.get(key)
    if isinstance(value, str):
        if value.lower() in {"", "false", "0", "no", "off", "none"}:
            return False
        if value.lower() in {"true", "1", "yes", "on"}:
            return True
    elif value is None or isinstance(value, bool | int):
        return bool(value)
    raise InvalidChunk(f"{key!r} must be true or false, not {short(value)}.", key=key)


def text(chunk: Chunk, key: str) -> str:
    """Return a text of *chunk*, "" without one; InvalidChunk if it is something else."""
    value = chunk.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidChunk(f"{key!r} must be a string, not {short(value)}.", key=key)
    return value


def mapping(chunk: Chunk, key: str) -> dict[str, Any] | None:
    """Return what maps names to values in *chunk*; InvalidChunk if it does not."""
    value = chunk.get(key)
    if value is None or value in ("", []):
        return None
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise InvalidChunk(f"{key!r} must map argument names to values.", key=key)
    return dict(value)


def is_longer(value: Any, characters: int) -> bool:
    """
    Return whether *value* comes to more than *characters*, about as it is written.

    It is not written: a number takes the longer for it, and Python refuses those of 4,300 digits.
    Each of its bits counts.
    """
    rest = [value]
    while rest and characters >= 0:
        part = rest.pop()
        characters -= 2
        if isinstance(part, Mapping):
            rest += [*part.keys(), *part.values()]
        elif isinstance(part, list | tuple | set | frozenset):
            rest += part
        elif isinstance(part, str | bytes):
            characters -= len(part)
        elif isinstance(part, int):
            characters -= part.bit_length()
    return characters < 0


def number_as_text(value: Any) -> Any:
    """Return *value*, a number as text: YAML and forms read ids and passwords of digits so."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**NUMBER_DIGITS:
        return str(value)
    return value


def short(value: Any) -> str:
    """Return *value* as it is shown in a sentence."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number, or a nesting, that Python does not write out
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "…"
