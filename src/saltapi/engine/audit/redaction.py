"""Arguments of functions as the audit log shows them: what is secret by rule is hidden."""

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

from saltapi.masking import (
    HIDDEN,
    NAME_LIMIT_CHARACTERS,
    VALUE_KEYS,
    is_secret_name,
    names_secret,
    redact,
    without_private_keys,
)

TEXT_LIMIT_CHARACTERS = 2000
"""Longer texts are not shown: half of one could end within a secret."""
DEPTH_LIMIT_LEVELS = 20
NAMES_KEPT = 4096
_ASSIGNMENT = re.compile(r"\s*-*([\w.:-]{1,100})\s*=")


class Redaction:
    """Hides arguments by patterns of their names; shell patterns, in any case of letters."""

    def __init__(self, mode: Literal["none", "redacted", "all"], patterns: Iterable[str]) -> None:
        """
        Args:
            mode: Whether arguments are shown: not at all, redacted, or as they are.
            patterns: What is hidden beside that which `saltapi.masking` hides in any case:
                `argument` hides keyword arguments of this name, and what has this name anywhere in
                an argument; `function:argument` hides arguments of a function only, where
                positional ones are called `0`, `1` and so on.
        """
        self._mode = mode
        names = [text for text in patterns if ":" not in text]
        self._names = _any_of(names)
        self._arguments = [
            (_any_of([function]), _any_of([argument]))
            for function, _, argument in (text.partition(":") for text in patterns if ":" in text)
        ]
        self._is_secret = lru_cache(NAMES_KEPT)(self._names_secret)

    def arguments(
        self, fun: str | Sequence[str], args: Sequence[Any], named: Mapping[str, Any]
    ) -> dict[str, Any]:
        """
        Return what the audit log says: `arguments` (a list) and `named_arguments` (a mapping).

        Args:
            fun: The function; or several, and *args* then has a list for each.
            args: Its positional arguments.
            named: Its keyword arguments.
        """
        if self._mode == "none":
            return {}
        shown: dict[str, Any] = {}
        if self._mode == "redacted":
            args, named = without_private_keys(list(args)), without_private_keys(dict(named))
        if args:
            shown["arguments"] = list(args) if self._mode == "all" else self._positional(fun, args)
        if named:
            functions = [fun] if isinstance(fun, str) else fun
            shown["named_arguments"] = (
                dict(named)
                if self._mode == "all"
                else {name: self._named(functions, name, item) for name, item in named.items()}
            )
        return shown

    def _positional(self, fun: str | Sequence[str], args: Sequence[Any]) -> list[Any]:
        if not isinstance(fun, str):
            return [self._positional(name, each) for name, each in zip(fun, args, strict=False)]
        shown = self._list(args, DEPTH_LIMIT_LEVELS)
        for position, value in enumerate(args):
            name = _assigned_name(value)
            if self._is_secret_of(fun, str(position)) or (name and self._is_secret_of(fun, name)):
                shown[position] = HIDDEN
        return shown

    def _named(self, functions: Sequence[str], name: str, value: Any) -> Any:
        if self._is_secret(name) or any(self._is_secret_of(fun, name) for fun in functions):
            return HIDDEN
        return self._value(value, DEPTH_LIMIT_LEVELS)

    def _value(self, value: Any, levels: int) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            return self._text(value)
        if levels == 0:
            return "…"
        if isinstance(value, Mapping):
            is_named = names_secret(value, self._is_secret)
            return {
                str(name): HIDDEN
                if self._is_secret(str(name)) or (is_named and str(name).lower() in VALUE_KEYS)
                else self._value(item, levels - 1)
                for name, item in value.items()
            }
        if isinstance(value, list | tuple):
            return self._list(value, levels)
        return self._text(str(value))

    def _list(self, values: Sequence[Any], levels: int) -> list[Any]:
        """Hide also what follows a name: `["--password", "…"]`."""
        shown: list[Any] = []
        after_name = False
        for value in values:
            shown.append(HIDDEN if after_name else self._value(value, levels - 1))
            after_name = isinstance(value, str) and self._is_secret(value.lstrip("-"))
        return shown

    def _text(self, text: str) -> str:
        if len(text) > TEXT_LIMIT_CHARACTERS:
            return f"{HIDDEN} ({len(text)} characters)"
        name = _assigned_name(text)
        if name and self._is_secret(name):
            return f"{name}={HIDDEN}"
        return redact(text)

    def _names_secret(self, name: str) -> bool:
        if len(name) > NAME_LIMIT_CHARACTERS:
            return False
        return self._names.match(name) is not None or is_secret_name(name)

    def _is_secret_of(self, fun: str, argument: str) -> bool:
        return any(
            function.match(fun) and arguments.match(argument)
            for function, arguments in self._arguments
        )


def _assigned_name(value: Any) -> str | None:
    """Return the name in a text like `name=value`, which Salt takes as a keyword argument."""
    found = _ASSIGNMENT.match(value) if isinstance(value, str) else None
    return found[1] if found else None


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(fnmatch.translate, patterns)) or r"(?!)", re.IGNORECASE)
