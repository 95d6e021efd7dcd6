"""
Words of the command line, read as Salt's command line reads them.

What a text means is what `salt.utils.args.yamlify_arg` and `parse_input` of Salt say; the tests
compare it with theirs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

NAMED = re.compile(r"([^\d\W][\w.-]*)=(?!=)(.*)$")
DIGITS = re.compile(r"[0-9_]*")
WORD = re.compile(r"[A-Za-z][A-Za-z_.-]*[./_-][A-Za-z_.-]*")
"""Names of states and files: never anything but text in YAML; they need no YAML loader."""


def read(words: Sequence[str]) -> tuple[list[Any], dict[str, Any]]:
    """Return the positional and the named arguments among *words*."""
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for word in words:
        pair = NAMED.match(word)
        if pair:
            named[pair[1]] = value_of(pair[2])
        else:
            positional.append(value_of(word))
    return positional, named


def value_of(text: str) -> Any:
    """Return the value that Salt's command line makes of *text*; itself, if that is none."""
    if text.strip() in {"", "---", "..."} or any(char in text for char in "\t\r\n"):
        return text
    if WORD.fullmatch(text) or ("_" in text and DIGITS.fullmatch(text.strip())):
        return text
    if text == "None":
        return None
    from saltapi_client.cli.yaml_values import NoYaml, load

    try:
        value = load(text)
    except NoYaml:
        return text
    if "#" in text:  # what follows it must not be lost, if the value is a text
        return text if value is None or isinstance(value, str) else value
    if isinstance(value, dict):
        return value if text[0] == "{" else text
    if isinstance(value, list):
        return value if text[0] == "[" else text
    if not (value is None or isinstance(value, (int, float, str))) or text in {"|", "!"}:
        return text
    return value
