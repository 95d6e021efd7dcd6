"""
Arguments of functions that are sent as text, read as Salt's command line reads them.

What a text means is what `salt.utils.args.yamlify_arg` and `parse_input` say, by our own loader:
a text that comes to more than memory holds is refused (`YamlRefused`) instead of being read.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from saltapi.formats import yaml_loader
from saltapi.formats.yaml_loader import Allowance, NoYaml

LONG_CHARACTERS = 4096
"""What is shorter can be read on an event loop, and comes to few values without aliases."""
NAMED = re.compile(r"([^\d\W][\w.-]*)=(?!=)(.*)$")
DIGITS = re.compile(r"[0-9_]*")


def from_text(text: str, allowance: Allowance | None = None) -> Any:
    """
    Return the value that Salt's command line would make of *text*.

    `1` is an integer, `{a: 1}` and `{'a': 1}` are mappings, `foo=bar`, `a: 1` and what is no YAML
    stay texts.

    Args:
        text: The argument.
        allowance: How many values it may come to; its own `VALUE_LIMIT` without.

    Raises:
        YamlRefused: It comes to too many, or is nested too deeply.
    """
    if text.strip() in {"", "---", "..."} or any(char in text for char in "\t\r\n"):
        return text
    if "_" in text and DIGITS.fullmatch(text.strip()):
        return text
    if text == "None":
        return None
    commented = "#" in text  # what follows it must not be lost, if the value is a text
    scalar_only = not commented and text[0] not in "{["
    try:
        value = yaml_loader.load(text, allowance or Allowance(), scalar_only=scalar_only)
    except NoYaml:
        return text
    if commented:
        return text if value is None or isinstance(value, str) else value
    if isinstance(value, dict):
        return value if text[0] == "{" else text
    if isinstance(value, list):
        return value if text[0] == "[" else text
    if not isinstance(value, int | float | str | None) or text in {"|", "!"}:
        return text
    return value


def read(
    args: Iterable[Any], allowance: Allowance | None = None
) -> tuple[list[Any], dict[str, Any]]:
    """
    Return the positional and the named arguments in *args*, a chunk's `arg`.

    A text `name=value` is a named one, and so is each pair of a mapping with `__kwarg__: true`.

    Raises:
        YamlRefused: Their texts come to too many values together, or one is nested too deeply.
    """
    allowance = allowance or Allowance()
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for arg in args:
        if isinstance(arg, str):
            pair = NAMED.match(arg)
            if pair:
                named[pair[1]] = from_text(pair[2], allowance)
            else:
                positional.append(from_text(arg, allowance))
        elif isinstance(arg, Mapping):
            rest = {key: value for key, value in arg.items() if key != "__kwarg__"}
            if arg.get("__kwarg__") is True:
                named.update(rest)
            else:
                positional.append(rest)
        else:
            positional.append(arg)
    return positional, named


def check(args: Iterable[Any], allowance: Allowance, *, all_long: bool) -> None:
    """
    Return if every text in *args* can be read, here, by a worker, by the master or by a minion.

    Looked at is what has aliases, and what a text is made of that is itself a text with some.

    Args:
        args: A chunk's `arg`.
        allowance: How many values the texts may come to.
        all_long: Whether long texts without aliases count too: those that are read here.

    Raises:
        YamlRefused: One cannot.
    """
    for text in _texts(args):
        inner: Any = text
        while isinstance(inner, str):
            pair = NAMED.match(inner)
            outer = pair[2] if pair else inner
            has_aliases = "&" in outer and "*" in outer
            if not has_aliases and not (all_long and len(outer) > LONG_CHARACTERS):
                break
            inner = from_text(outer, allowance)
            if inner == outer:
                break


def takes_long(args: Iterable[Any]) -> bool:
    """Return whether to read *args* holds up an event loop for longer than others can bear."""
    return sum(map(len, _texts(args))) > LONG_CHARACTERS


def _texts(args: Iterable[Any]) -> Iterator[str]:
    """Yield the texts in *args*, and in the lists that a compound command has there."""
    for arg in args:
        for part in arg if isinstance(arg, list) else [arg]:
            if isinstance(part, str):
                yield part
