"""Chunks of a lowstate, as the API takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Union

from saltapi_client import errors

Lowstate = Union[Mapping[str, Any], Sequence[Mapping[str, Any]]]


def chunks_of(lowstate: Lowstate) -> list[dict[str, Any]]:
    """Return a lowstate as a list of chunks."""
    found = [lowstate] if isinstance(lowstate, Mapping) else lowstate
    return [dict(chunk) for chunk in found]


def function_chunk(
    client: str, fun: str, arg: Sequence[Any], kwarg: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the chunk of a runner or wheel function."""
    chunk: dict[str, Any] = {"client": client, "fun": fun}
    if arg:
        chunk["arg"] = list(arg)
    if kwarg:
        chunk["kwarg"] = dict(kwarg)
    return chunk


def as_dry_run(chunk: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return a chunk of states that only says what would change.

    Raises:
        Usage: The function has no dry run.
    """
    if not str(chunk.get("fun", "")).startswith("state."):
        raise errors.Usage(f"{chunk.get('fun')} has no dry run; states have.")
    return {**chunk, "kwarg": {**(chunk.get("kwarg") or {}), "test": True}}
