"""Arguments as Salt reads them."""

from collections.abc import Mapping, Sequence
from typing import Any

import salt.utils.args

from saltapi.errors import InvalidChunk

NAMED = "__kwarg__"
"""Marks the mapping of named arguments among those of a minion's function."""


def calls_of(fun: str | list[str], arg: Sequence[Any]) -> list[tuple[str, list[Any]]]:
    """
    Return each function with its own arguments, as a minion takes them apart.

    Raises:
        InvalidChunk: There are several functions, and not a list of arguments for each.
    """
    if isinstance(fun, str):
        return [(fun, list(arg))]
    if len(arg) < len(fun) or not all(isinstance(args, list | tuple) for args in arg[: len(fun)]):
        raise InvalidChunk("Each function in 'fun' needs a list of arguments in 'arg'.", key="arg")
    return [(name, list(args)) for name, args in zip(fun, arg, strict=False)]


def as_published(args: Sequence[Any], kwargs: Mapping[str, Any] | None) -> tuple[Any, ...]:
    """Return the arguments of a minion's function as the master publishes them."""
    return tuple(salt.utils.args.condition_input(list(args), kwargs))


def are_plain(args: Sequence[Any]) -> bool:
    """
    Return whether a minion is sure to call the function with *args* as they stand there.

    It is not where a text reads `name=value`, or named arguments are not one last mapping: that
    is an argument by position or by name, as the function's signature has it
    (`salt.minion.load_args_and_kwargs`).
    """
    rest = args[:-1] if args and _is_named(args[-1]) else args
    return not any(
        (isinstance(arg, Mapping) and NAMED in arg)
        or (isinstance(arg, str) and salt.utils.args.parse_kwarg(arg)[0] is not None)
        for arg in rest
    )


def _is_named(arg: Any) -> bool:
    return isinstance(arg, Mapping) and arg.get(NAMED) is True
