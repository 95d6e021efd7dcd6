"""
Entries of `external_auth`: what one of them is about, without asking Salt.

An entry is a function for all minions, or a mapping of one target (or `@runner`, `@wheel`,
`@<module>`) to functions; a function is a regular expression, perhaps with conditions.
"""

import fnmatch
import re
from collections.abc import Collection, Sequence
from typing import Any

from saltapi.bridge.permissions.members import GLOB

EVERYTHING = frozenset({".*", ".+", "^.*", "^.*$"})
"""How a rule says "any function"."""


def opens(rule: Any, texts: Collection[str], keys: Collection[str]) -> bool:
    """Return whether *rule* is one of *texts*, or allows any function for one of *keys*."""
    if isinstance(rule, str):
        return rule in texts
    if not isinstance(rule, dict) or len(rule) != 1:
        return False
    ((key, functions),) = rule.items()
    listed = functions if isinstance(functions, list) else [functions]
    return key in keys and any(isinstance(f, str) and f in EVERYTHING for f in listed)


def opens_minions(rule: Any) -> bool:
    """Return whether *rule* allows any function on all minions."""
    return opens(rule, EVERYTHING, {"*"})


def is_wide(rule: Any) -> bool:
    """Return whether *rule* is about all minions, known and unknown."""
    return isinstance(rule, str) or (isinstance(rule, dict) and set(rule) == {"*"})


def unlimited(rules: Sequence[Any]) -> list[Any]:
    """Return what of *rules* allows any function."""
    found: list[Any] = []
    for rule in rules:
        if isinstance(rule, str):
            found += [rule] if rule in EVERYTHING else []
        elif isinstance(rule, dict) and len(rule) == 1 and opens(rule, (), rule):
            found.append(dict.fromkeys(rule, ".*"))
    return found


def is_conditional(rule: Any, fun: str) -> bool:
    """Return whether *rule* is about the arguments of *fun*."""
    return any(
        isinstance(each, dict) and any(_begins(str(name), fun) for name in each)
        for each in _functions(rule)
    )


def is_about(rule: Any, fun: str) -> bool:
    """Return whether *rule* allows *fun* on some minions, perhaps under conditions."""
    return bool(_keys(rule, fun))


def names_own(rules: Sequence[Any], fun: str, tgt: str | list[str], tgt_type: str) -> bool:
    """
    Return whether *tgt* names none but minions that *rules* name for *fun*.

    Only rules for names count, and a target that stands in a rule as it is.
    """
    keys = [key for rule in rules for key in _keys(rule, fun)]
    if tgt_type in ("glob", "compound") and tgt in keys:
        return True
    if tgt_type == "list":
        names = tgt if isinstance(tgt, list) else tgt.split(",")
    elif tgt_type == "glob" and isinstance(tgt, str) and not re.search(r"[*?\[]", tgt):
        names = [tgt]
    else:
        return False
    patterns = [key for key in keys if GLOB.fullmatch(key)]
    return all(any(fnmatch.fnmatchcase(name, p) for p in patterns) for name in names)


def _functions(rule: Any) -> list[Any]:
    if not isinstance(rule, dict) or len(rule) != 1:
        return []
    ((_, functions),) = rule.items()
    return functions if isinstance(functions, list) else [functions]


def _keys(rule: Any, fun: str) -> list[str]:
    """Return the target of *rule* if it has a function like *fun*."""
    for each in _functions(rule):
        if any(_begins(str(name), fun) for name in (each if isinstance(each, dict) else [each])):
            return [str(key) for key in rule]
    return []


def _begins(pattern: str, text: str) -> bool:
    try:
        return re.match(pattern, text) is not None
    except re.error:
        return False
