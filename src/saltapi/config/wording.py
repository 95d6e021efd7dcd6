"""What is wrong with an option, in words that say what to write instead."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from saltapi.errors import CannotStart

SHOWN_CHARACTERS = 40
"""The longest value that is repeated; a longer one is somebody's text, or worse a secret."""
SECRETS = "webhook_secrets"
"""The option whose values are never repeated."""
WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not an option",
    "int": "must be a whole number",
    "float": "must be a number",
    "bool": "must be True or False",
    "string_type": "must be a text",
    "string_pattern_mismatch": "is no name of a header",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "too_short": "must not be empty",
    "union_tag_not_found": "has no type",
    "union_tag_invalid": "has no type that there is: {expected_tags}",
}
"""By the library's name of the problem, or by how that begins."""
NO_VALUE = frozenset({"missing", "extra_forbidden", "too_short"})


class Problem(NamedTuple):
    """What is wrong in the config: where it stands, and a sentence without a full stop."""

    path: tuple[Any, ...]
    """The keys that lead to it, from the top level."""
    text: str

    def __str__(self) -> str:
        return f"{self.text}."


class WrongConfig(CannotStart):
    """Options have values that they cannot have; each of them is told."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        said = "; ".join(problem.text for problem in self.problems)
        super().__init__(f"The master config is wrong: {said}.")


def problem_of(
    error: Mapping[str, Any], section: tuple[str, ...], meaning: str | None = None
) -> Problem:
    """
    Return the problem that an error of the validation library is.

    Args:
        error: One of `ValidationError.errors()`.
        section: The keys that lead to the section.
        meaning: What the option may be, if that is more than one kind of thing.
    """
    path = (*section, *error["loc"])
    if meaning is not None:
        path = path[: len(section) + 1]
        return Problem(path, f"{dotted(path)} must be {meaning}")
    name = dotted(path)
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        said = str(context["error"])
        return Problem(path, f"{name}{' ' if said.startswith('must ') else ': '}{said}")
    known = kind if kind in WORDS else kind.partition("_")[0]
    words = WORDS.get(known, "has a value that it cannot have").format_map(context)
    value = error["input"]
    if kind in NO_VALUE or SECRETS in path or not _is_short(value):
        return Problem(path, f"{name} {words}")
    return Problem(path, f"{name} {words}, not {value!r}")


def dotted(path: Iterable[Any]) -> str:
    """Return the name of an option as messages have it."""
    return ".".join("null" if key is None else f"{key}"[:SHOWN_CHARACTERS] for key in path)


def _is_short(value: Any) -> bool:
    is_plain = isinstance(value, bool | int | float | str | None)
    return is_plain and len(repr(value)) <= SHOWN_CHARACTERS
