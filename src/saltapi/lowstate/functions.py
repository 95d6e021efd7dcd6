"""The functions that a chunk names, and their arguments."""

import re
from collections.abc import Mapping
from typing import Any

from saltapi.errors import InvalidChunk
from saltapi.interfaces import INTERFACES
from saltapi.lowstate.values import short
from saltapi.types import Chunk

FUNCTION_NAME = re.compile(r"[A-Za-z_][\w-]*(\.[\w-]+)+", re.ASCII)
MASTER_FUNCTION_NAME = re.compile(r"[A-Za-z_]\w*\.\w+", re.ASCII)
FUNCTION_NAME_CHARACTERS = 200
FUNCTIONS = 100
"""Each function of a list is asked for on its own."""


def local_function(client: str, chunk: Chunk) -> str | list[str]:
    """Return the function of *chunk* or the list of them; InvalidChunk if one has no such name."""
    fun = chunk.get("fun")
    if isinstance(fun, list) and fun and client != "ssh":
        if len(fun) > FUNCTIONS:
            raise InvalidChunk(f"A list in 'fun' may have {FUNCTIONS} functions.", key="fun")
        for name in fun:
            _check_function_name(name)
        return fun
    _check_function_name(fun, allow_plain=client == "ssh")
    assert isinstance(fun, str)  # noqa: S101 - checked by the line above
    return fun


def master_function(client: str, chunk: Chunk) -> str:
    """
    Return the runner or wheel function of *chunk*.

    Raises:
        InvalidChunk: It has no such name.
    """
    fun = chunk.get("fun")
    if (
        not isinstance(fun, str)
        or len(fun) > FUNCTION_NAME_CHARACTERS
        or not MASTER_FUNCTION_NAME.fullmatch(fun)
    ):
        kind = INTERFACES[client].kind
        raise InvalidChunk(
            f"'fun' must name a {kind} function as 'module.function', not {short(fun)}.",
            key="fun",
        )
    return fun


def args_of(chunk: Chunk) -> tuple[Any, ...]:
    """Return the positional arguments in *chunk*."""
    arg = chunk.get("arg")
    if arg is None or arg == "":
        return ()
    return tuple(arg) if isinstance(arg, list | tuple) else (arg,)


def local_args(fun: str | list[str], chunk: Chunk) -> tuple[Any, ...]:
    """Return the same, of several functions a list for each; InvalidChunk if there is not."""
    args = args_of(chunk)
    if isinstance(fun, str):
        return args
    if not args:
        return tuple([] for _ in fun)
    if len(args) != len(fun) or not all(isinstance(arg, list) for arg in args):
        raise InvalidChunk(
            "With a list in 'fun', 'arg' must be a list with one list of arguments for each"
            " function.",
            key="arg",
        )
    return args


def check_argument_names(kwargs: Mapping[str, Any]) -> None:
    """
    Refuse keyword arguments that Salt would take for marks of its own (`__kwarg__`, `__pub_…`).

    Raises:
        InvalidChunk: One begins with two underscores.
    """
    for key in kwargs:
        if key.startswith("__"):
            raise InvalidChunk(f"{key!r} cannot be an argument of a function.", key=key)


def _check_function_name(fun: Any, *, allow_plain: bool = False) -> None:
    if fun is None:
        raise InvalidChunk("'fun' is missing: name the function to run.", key="fun")
    if isinstance(fun, str) and len(fun) <= FUNCTION_NAME_CHARACTERS:
        if FUNCTION_NAME.fullmatch(fun):
            return
        if allow_plain and fun.strip():
            return
    raise InvalidChunk(
        f"'fun' must be a function as 'module.function', not {short(fun)}.", key="fun"
    )
