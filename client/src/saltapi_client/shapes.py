"""What a server has sent, held against what is expected of it before it is used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, Callable, TypeVar

from saltapi_client.errors import ServerError

T = TypeVar("T")
SHOWN_CHARACTERS = 200
_TYPES: dict[str, Any] = {
    "str": str,
    "int": int,
    "float": (int, float),
    "bool": bool,
    "list": list,
    "dict": dict,
    "None": type(None),
}


class Told:
    """
    Base of the dataclasses of what a server tells: shown and compared by their fields.

    Written here once, and none of them is frozen: what `dataclass` writes for each class takes time
    at every start of a command line.
    """

    def __repr__(self) -> str:
        """Return how it is made, without `raw`."""
        shown = (f"{each.name}={getattr(self, each.name)!r}" for each in _shown(self))
        return f"{type(self).__name__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        """Return whether both are of one type and the same, whatever is in `raw`."""
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, each.name) == getattr(other, each.name) for each in _shown(self))

    __hash__ = None  # type: ignore[assignment]


def _shown(told: Any) -> list[Field[Any]]:
    return [each for each in fields(told) if each.name != "raw"]


def decoded(text: str | bytes) -> Any:
    """
    Return the value of a text in JSON.

    Raises:
        ServerError: It is none.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        shown = text[:SHOWN_CHARACTERS]
        shown = shown.decode("utf-8", "replace") if isinstance(shown, bytes) else shown
        raise malformed(f"is no JSON: {shown}") from error


def malformed(what: str) -> ServerError:
    """Return the error of an answer that no server of ours sends."""
    return ServerError(f"The answer {what}", code="malformed")


def part(found: Any, name: str, kind: type[T]) -> T:
    """
    Return what an answer has under a name.

    Raises:
        ServerError: It has no such thing.
    """
    value = found.get(name) if isinstance(found, Mapping) else None
    if not isinstance(value, kind):
        raise malformed(f"has no {name} in it.")
    return value


def made(kind: Callable[..., T], values: Mapping[str, Any], raw: Mapping[str, Any]) -> T:
    """
    Return a dataclass with those of *values* that are of its fields' types, and *raw*.

    Raises:
        ServerError: One that it cannot be without is not there.
    """
    known: dict[str, Any] = {}
    for each in fields(kind):  # type: ignore[arg-type]
        if each.name != "raw" and each.name in values and fits(each.type, values[each.name]):
            known[each.name] = values[each.name]
        elif each.default is MISSING and each.default_factory is MISSING:
            raise malformed(f"has no {each.name} in it.")
    return kind(**known, raw=dict(raw))


def fits(annotation: Any, value: Any) -> bool:
    """Return whether a value is of the type that a field's annotation names."""
    for name in str(annotation).split(" | "):
        outer, _, inner = name.rstrip("]").partition("[")
        if outer == "Any":
            return True
        if isinstance(value, _TYPES[outer]):
            each = list(value.values()) if isinstance(value, dict) else value
            return not inner.endswith("str") or all(isinstance(one, str) for one in each)
    return False
