"""Dry runs: states that say what they would change (`test=True`), and nothing else."""

from typing import Any

from saltapi.errors import InvalidChunk
from saltapi.interfaces import INTERFACES, Kind
from saltapi.lowstate import chunks_from
from saltapi.types import Chunk, Lowstate

FUNCTIONS = frozenset(
    {
        "state.apply",
        "state.high",
        "state.highstate",
        "state.pkg",
        "state.single",
        "state.sls",
        "state.sls_id",
        "state.top",
    }
)
"""The functions that take `test`."""

LOCAL = frozenset(name for name, found in INTERFACES.items() if found.kind is Kind.LOCAL)


def as_dry_run(value: Any) -> Lowstate:
    """
    Return the chunks of a lowstate, each with `test=True`.

    Args:
        value: The decoded body: a chunk, or a list of them.

    Raises:
        BadRequest: It is no lowstate.
        InvalidChunk: A chunk has no dry run, or says itself what `test` is.
    """
    chunks = chunks_from(value)
    for index, chunk in enumerate(chunks):
        try:
            chunks[index] = _dry(chunk)
        except InvalidChunk as error:
            error.index = index if len(chunks) > 1 else None
            raise
    return chunks


def _dry(chunk: Chunk) -> Chunk:
    fun = chunk.get("fun")
    client = chunk.get("client", "local")
    if not isinstance(client, str) or client not in LOCAL:
        raise InvalidChunk("Only commands of the local clients have a dry run.", key="client")
    if not isinstance(fun, str) or fun not in FUNCTIONS:
        names = ", ".join(sorted(FUNCTIONS))
        raise InvalidChunk(
            f"This function has no dry run; those that have one: {names}.", key="fun"
        )
    arg = chunk.get("arg")
    if any(_sets_test(value) for value in (arg if isinstance(arg, list | tuple) else [arg])):
        raise InvalidChunk("A dry run sets 'test' itself; leave it out of 'arg'.", key="arg")
    kwarg = chunk.get("kwarg") or {}
    if not isinstance(kwarg, dict):
        raise InvalidChunk("'kwarg' must map argument names to values.", key="kwarg")
    return {**chunk, "kwarg": {**kwarg, "test": True}}


def _sets_test(value: Any) -> bool:
    if isinstance(value, str):
        return value.partition("=")[0].strip() == "test" and "=" in value
    return isinstance(value, dict) and "__kwarg__" in value
