"""One text or value, written to standard output or standard error."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from saltapi_client.cli.output import nested
from saltapi_client.cli.terminal import Paint, clean, is_terminal

UNSHOWN = re.compile(
    "[\x7f-\x9f\xad\u0600-\u0605\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff"
    "\ufeff\ufff9-\ufffb]"
)
"""What moves the cursor, turns text round or cannot be written, and JSON leaves as it is."""


def write(text: str) -> None:
    """Write a text as lines, at once: one that was made here, or is clean."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def tell(text: str) -> None:
    """Write a text that somebody else has made, without what would move the cursor."""
    write(clean(text))


def say(text: str) -> None:
    """Write a message, where it is not taken for a result."""
    sys.stderr.write(f"{clean(text)}\n")
    sys.stderr.flush()


def in_json(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON that is safe on a terminal, and the same to a program."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, default=str)
    return UNSHOWN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def show(value: Any, layout: str, paint: Paint) -> None:
    """Write one value: as yaml, json, ndjson, raw or nested."""
    if layout == "yaml":
        from saltapi_client.cli.yaml_values import dump

        text = dump(value).rstrip("\n")
        write(clean(text) if is_terminal() else text)
    elif layout == "json":
        write(in_json(value, 4))
    elif layout == "ndjson":
        for each in value if isinstance(value, list) else [value]:
            write(in_json(each))
    elif layout == "raw":
        write(repr(value))
    elif isinstance(value, str):
        tell(value)
    else:
        write(nested.text(value, paint))
