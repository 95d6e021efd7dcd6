"""
`external_auth` as it can be read: what a slip of the pen makes of it breaks Salt's own reader.

A name that is no text (`null:`, `5:`) stops the master for everybody of that eauth system. Here
such entries are passed over, and named where somebody can do something about it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from saltapi.config import Problem, dotted

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


def problems(external_auth: Any) -> Iterator[Problem]:
    """Yield what cannot be read, with the keys that lead to it."""
    option = "external_auth"
    if external_auth is None:
        return
    if not isinstance(external_auth, Mapping):
        yield Problem((option,), f"{option} must be a mapping of eauth systems")
        return
    for system, users in external_auth.items():
        path = (option, system)
        if not isinstance(users, Mapping) or not users:
            yield Problem(path, f"{dotted(path)} must be a mapping of users to lists")
            continue
        for name, granted in users.items():
            if isinstance(name, str) and name.startswith(SETTING):
                continue
            yield from _problems_of(system, name, granted)


def _problems_of(system: Any, name: Any, granted: Any) -> Iterator[Problem]:
    """Yield what is wrong with one user of an eauth system."""
    path = ("external_auth", system, name)
    if not isinstance(name, str) or not name:
        shown = "empty" if name == "" else f"{_written(name)}, which is no text"
        yield Problem(path, f"{dotted(path[:2])}: the name of a user is {shown}; put it in quotes")
    if not isinstance(granted, list):
        yield Problem(path, f"{dotted(path)} must be a list of permissions")
        return
    for index, rule in enumerate(granted):
        if isinstance(rule, Mapping) and "" in rule:
            yield Problem(
                (*path, index, ""),
                f"{dotted(path)}: a target is empty; write '*' to permit functions on all minions",
            )
        elif not is_rule(rule):
            yield Problem(
                (*path, index),
                f"{dotted(path)}: {_written(rule)} is no permission; it must be a text, or map a"
                " text to a list",
            )


def _written(value: Any) -> str:
    return "null" if value is None else f"{value}"[:60]
