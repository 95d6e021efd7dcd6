"""
What a list of permissions allows, answered at once: for events, of which there are many.

The rules are those of `CkMinions.auth_check` and `spec_check`: an entry is a function for all
minions, a target with functions, or `@runner`, `@wheel` or `@<module>` for the master; a function
is a regular expression that the name must begin with, perhaps with conditions on its arguments.
What the master lets everybody run (`saltutil.find_job`) counts for nobody here.
"""

import functools
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from saltapi.bridge.permissions.members import Target
from saltapi.types import MinionId

CACHED_ANSWERS = 20_000
EVERYWHERE = "*"
NAMED = "__kwarg__"
"""Marks the mapping of named arguments among those of a minion's function."""

Arguments: TypeAlias = Callable[[], list[Any] | None]


@dataclass(frozen=True, slots=True)
class _Condition:
    """One function of an entry, with what its arguments must be; None if they may be anything."""

    function: str
    arguments: tuple[Any, ...] | None = None

    def allows(self, fun: str, arguments: list[Any] | None) -> bool:
        if not _is_function(self.function, fun):
            return False
        if self.arguments is None:
            return True
        return arguments is not None and any(_fits(c, arguments) for c in self.arguments)


class Scopes:
    """What one list of permissions allows."""

    def __init__(self, permissions: Sequence[Any], target: Callable[[str], Target]) -> None:
        """
        Args:
            permissions: The entries, as `Permissions.rules` returns them.
            target: Returns the target for an expression (`Members.target`).
        """
        self._target = target
        self._everywhere: list[_Condition] = []
        self._targets: list[tuple[Target, list[_Condition]]] = []
        self._master: list[tuple[str, list[_Condition] | None]] = []
        for entry in permissions:
            self._add(entry)
        every = [*self._everywhere, *(c for _, conditions in self._targets for c in conditions)]
        self._conditional = any(condition.arguments is not None for condition in every)
        self._cacheable = not self._conditional and not self.targets
        self._answers: dict[tuple[tuple[str, ...], frozenset[MinionId] | None], bool] = {}

    @property
    def targets(self) -> list[Target]:
        """The targets that a look-up may be needed for."""
        return [target for target, _ in self._targets if target.pattern is None]

    @property
    def anywhere(self) -> bool:
        """Whether some function may be run on all minions."""
        return bool(self._everywhere)

    def on_minions(
        self,
        funs: Sequence[str],
        minions: frozenset[MinionId] | None,
        arguments: Arguments,
    ) -> bool | None:
        """
        Return whether all of *funs* may be run on *minions*; None while it must be looked up.

        Args:
            funs: Names of functions.
            minions: Where; None for all minions there may be.
            arguments: Returns the arguments of each function as they are published, named ones as
                a last `__kwarg__` mapping; None if they are not known. It is called only if the
                permissions depend on them.
        """
        if not funs:
            return False
        key = (tuple(funs), minions)
        if self._cacheable and key in self._answers:
            return self._answers[key]
        found = arguments() if self._conditional else None
        answers = [
            self.one(fun, minions, None if found is None else found[index])
            for index, fun in enumerate(funs)
        ]
        answer = False if False in answers else None if None in answers else True
        if answer is not None and self._cacheable:
            if len(self._answers) >= CACHED_ANSWERS:
                self._answers.clear()
            self._answers[key] = answer
        return answer

    def one(
        self, fun: str, minions: Collection[MinionId] | None, arguments: list[Any] | None
    ) -> bool | None:
        """Same as `on_minions` for one function; what is found out is not kept."""
        if _any(self._everywhere, fun, arguments):
            return True
        if minions is None:
            return False
        answers = [
            target.has(minions)
            for target, conditions in self._targets
            if _any(conditions, fun, arguments)
        ]
        return True if True in answers else None if None in answers else False

    def expect(self, minions: Collection[MinionId]) -> None:
        """Note that *minions* will be asked for; who looks the targets up then learns of them."""
        for target in self.targets:
            target.expect(minions)

    @property
    def version(self) -> tuple[int, ...]:
        """Something else whenever other minions match what is looked up."""
        return tuple(target.version for target in self.targets)

    def touches(self, minions: Collection[MinionId]) -> bool | None:
        """Return whether some function may be run on *minions*; None while it must be looked up."""
        if self._everywhere:
            return True
        answers = [target.has(minions) for target, conditions in self._targets if conditions]
        return True if True in answers else None if None in answers else False

    def on_master(
        self,
        client: Literal["runner", "wheel"],
        fun: str,
        arguments: list[Any] | None = None,
    ) -> bool:
        """
        Return whether the runner or wheel function *fun* may be run.

        Args:
            client: Which of the two.
            fun: `module.function`.
            arguments: Its arguments, named ones as a last mapping; None if they are not known.
        """
        if arguments and isinstance(arguments[-1], Mapping):
            arguments = [*arguments[:-1], {**arguments[-1], NAMED: True}]
        module, _, name = fun.partition(".")
        if not name or "." in name:
            return False
        for key, conditions in self._master:
            whole = key in {client, f"{client}s"}
            if conditions is None:
                if whole or key == module:
                    return True
            elif (key == module and _any(conditions, name, arguments)) or (
                whole and _any(conditions, fun, arguments)
            ):
                return True
        return False

    def _add(self, entry: Any) -> None:
        if isinstance(entry, str):
            if entry.startswith("@"):
                self._master.append((entry[1:], None))
            else:
                self._everywhere.append(_Condition(entry))
        if not isinstance(entry, Mapping) or len(entry) != 1:
            return
        ((key, value),) = entry.items()
        conditions = _conditions(value)
        if not isinstance(key, str):
            return
        if key.startswith("@"):
            self._master.append((key[1:], conditions))
        elif key == EVERYWHERE:
            self._everywhere += conditions
        else:
            self._targets.append((self._target(key), conditions))


def _conditions(value: Any) -> list[_Condition]:
    found: list[_Condition] = []
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str):
            found.append(_Condition(item))
        elif isinstance(item, Mapping) and len(item) == 1:
            ((function, rules),) = item.items()
            rules = rules if isinstance(rules, list) else [rules]
            found.append(_Condition(str(function), tuple(rules)))
    return found


def _any(conditions: Sequence[_Condition], fun: str, arguments: list[Any] | None) -> bool:
    return any(condition.allows(fun, arguments) for condition in conditions)


def _fits(rule: Any, arguments: list[Any]) -> bool:
    """Return whether *arguments*, the named ones as a last mapping, are what *rule* asks for."""
    if not isinstance(rule, Mapping):
        return False
    positional: list[Any] = arguments
    named: Mapping[str, Any] = {}
    if arguments and isinstance(arguments[-1], Mapping) and NAMED in arguments[-1]:
        positional, named = arguments[:-1], arguments[-1]
    wanted = list(rule.get("args") or ())
    if len(wanted) > len(positional):
        return False
    pairs = [*zip(wanted, positional, strict=False)]
    for name, pattern in (rule.get("kwargs") or {}).items():
        if name not in named:
            return False
        pairs.append((pattern, named[name]))
    return all(pattern is None or _begins(str(pattern), str(value)) for pattern, value in pairs)


@functools.lru_cache(maxsize=CACHED_ANSWERS)
def _is_function(pattern: str, fun: str) -> bool:
    return _begins(pattern, fun)


def _begins(pattern: str, text: str) -> bool:
    try:
        return re.match(pattern, text) is not None
    except re.error:
        return False
