"""
`external_auth` as it can be read: what a slip of the pen makes of it breaks Salt's own reader.

A name that is no text (`null:`, `5:`) stops the master for everybody of that eauth system. Here
such entries are passed over, and named where somebody can do something about it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

SETTING = "^"
"""How the names of settings of an eauth system begin, which stand among its users: `^filename`."""


def readable(external_auth: Any) -> dict[str, dict[str, Any]]:
    """Return what can be read of the option: rules by user by eauth system, and settings."""
    if not isinstance(external_auth, Mapping):
        return {}
    return {
        system: dict(_entries(users)) if isinstance(users, Mapping) else {}
        for system, users in external_auth.items()
        if isinstance(system, str)
    }


def _entries(users: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    for name, granted in users.items():
        if isinstance(name, str) and name.startswith(SETTING):
            yield name, granted
        elif isinstance(name, str) and isinstance(granted, list | Mapping):
            # The master takes the keys of a mapping for rules.
            yield name, [rule for rule in granted if is_rule(rule)]


def is_rule(value: Any) -> bool:
    """Return whether a permission of a user can be one."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and key and _lists(item) for key, item in value.items())
    return isinstance(value, str) and bool(value)


def _lists(value: Any) -> bool:
    return isinstance(value, str | list | Mapping)


def problems(external_auth: Any) -> Iterator[str]:
    """Yield a sentence for each entry that cannot be read."""
    if external_auth is None:
        return
    if not isinstance(external_auth, Mapping):
        yield "external_auth must be a mapping of eauth systems."
        return
    for system, users in external_auth.items():
        if not isinstance(users, Mapping) or not users:
            yield f"external_auth.{system} must be a mapping of users to lists."
            continue
        for name, granted in users.items():
            if isinstance(name, str) and name.startswith(SETTING):
                continue
            if not isinstance(name, str) or not name:
                shown = "empty" if name == "" else f"{_written(name)}, which is no text"
                yield f"external_auth.{system}: the name of a user is {shown}; put it in quotes."
            if not isinstance(granted, list):
                yield f"external_auth.{system}.{_written(name)} must be a list of permissions."
                continue
            for rule in granted:
                if not is_rule(rule):
                    yield (
                        f"external_auth.{system}.{_written(name)}: {_written(rule)} is no"
                        " permission; it must be a text, or map a text to a list."
                    )


def _written(value: Any) -> str:
    return "null" if value is None else f"{value}"[:60]
