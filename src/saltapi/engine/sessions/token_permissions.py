"""
The permissions that a token for machines is narrowed to: entries as in `external_auth`.

Users write them, so there is less of it than there: what takes long to match is refused.
"""

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from saltapi.errors import InvalidField

ENTRIES_LIMIT = 100
FUNCTION = re.compile(r"(?:[A-Za-z0-9_]|\.\*?|\*){1,200}")
"""The name of a function, as a pattern: letters and dots, and `.*` for anything."""
WILDCARDS_LIMIT = 3
TARGET = re.compile(r"[A-Za-z0-9_.*?\[\]!:-]{1,200}")
"""A glob of minion ids; grains and pillars are the minions' own words."""
MASTER = re.compile(r"@[A-Za-z0-9_]{1,100}")
"""`@runner`, `@wheel`, or a module of them."""
ARGUMENT_LIMIT_CHARACTERS = 200
PLAIN_ARGUMENT = re.compile(r"(?:[A-Za-z0-9_/@:, =-]|\.\*?){1,200}")


def check_permissions(value: Any) -> list[Any]:
    """
    Return the permissions in *value*.

    Raises:
        InvalidField: They are none, or such as a token cannot have.
    """
    if not isinstance(value, list) or len(value) > ENTRIES_LIMIT:
        raise _wrong(f"it must be a list of at most {ENTRIES_LIMIT} entries")
    for entry in value:
        if isinstance(entry, str):
            if not (MASTER.fullmatch(entry) or _is_function(entry)):
                raise _wrong(
                    f"{entry[:100]!r} is no function like 'test.*', nor one like '@runner'"
                )
        elif isinstance(entry, dict) and len(entry) == 1:
            ((target, functions),) = entry.items()
            _check_target(target)
            _check_functions(functions)
        else:
            raise _wrong("an entry is a text, or maps one target to a list of functions")
    return value


def check_addresses(value: Any) -> list[str]:
    """
    Return the addresses and networks in *value*.

    Raises:
        InvalidField: They are none.
    """
    if not isinstance(value, list) or not 0 < len(value) <= ENTRIES_LIMIT:
        raise InvalidField(
            f"addresses must be a list of 1 to {ENTRIES_LIMIT} addresses.", key="addresses"
        )
    for entry in value:
        try:
            ipaddress.ip_network(entry if isinstance(entry, str) else "", strict=False)
        except ValueError:
            raise InvalidField(
                f"addresses: {str(entry)[:100]!r} is no address and no network.", key="addresses"
            ) from None
    return value


def _check_target(target: Any) -> None:
    if not isinstance(target, str) or not (TARGET.fullmatch(target) or MASTER.fullmatch(target)):
        raise _wrong(f"{str(target)[:100]!r} is no glob of minion ids, nor one like '@runner'")


def _check_functions(functions: Any) -> None:
    if not isinstance(functions, list) or not 0 < len(functions) <= ENTRIES_LIMIT:
        raise _wrong(f"a target has a list of 1 to {ENTRIES_LIMIT} functions")
    for each in functions:
        if isinstance(each, str):
            if not _is_function(each):
                raise _wrong(f"{each[:100]!r} is no function like 'state.*'")
        elif isinstance(each, dict) and len(each) == 1:
            ((name, conditions),) = each.items()
            if not _is_function(name):
                raise _wrong(f"{str(name)[:100]!r} is no function like 'state.*'")
            _check_conditions(conditions)
        else:
            raise _wrong("a function is a text, or maps one to conditions on its arguments")


def _check_conditions(conditions: Any) -> None:
    if not isinstance(conditions, dict) or not conditions or set(conditions) - {"args", "kwargs"}:
        raise _wrong("conditions are args and kwargs")
    args, kwargs = conditions.get("args", []), conditions.get("kwargs", {})
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise _wrong("args must be a list, and kwargs a mapping")
    for each in _patterns(args, kwargs):
        if not isinstance(each, str) or not PLAIN_ARGUMENT.fullmatch(each) or _wildcards(each):
            raise _wrong(f"{str(each)[:100]!r} is no plain argument, perhaps with '.*' in it")


def _patterns(args: list[Any], kwargs: dict[Any, Any]) -> Iterator[Any]:
    yield from (each for each in args if each is not None)
    for name, value in kwargs.items():
        yield name
        if value is not None:
            yield value


def _is_function(text: Any) -> bool:
    return isinstance(text, str) and FUNCTION.fullmatch(text) is not None and not _wildcards(text)


def _wildcards(text: str) -> bool:
    """Return whether there are too many, or `*` stands where it repeats something else."""
    return text.count("*") > WILDCARDS_LIMIT or re.search(r"(?:^|[^.])\*", text) is not None


def _wrong(problem: str) -> InvalidField:
    return InvalidField(f"permissions: {problem}.", key="permissions")
