"""Dry runs: which chunks have one, and what becomes of them."""

from typing import Any

import pytest

from saltapi.engine.operations.dry_runs import FUNCTIONS, as_dry_run
from saltapi.errors import BadRequest, InvalidChunk

STATE = {"tgt": "*", "fun": "state.apply"}


@pytest.mark.parametrize("fun", sorted(FUNCTIONS))
def test_functions(fun: str) -> None:
    """States are run with `test=True`, beside the arguments they have."""
    chunk = {"client": "local_async", "tgt": "*", "fun": fun, "kwarg": {"pillar": {"a": 1}}}

    assert [{**chunk, "kwarg": {"pillar": {"a": 1}, "test": True}}] == as_dry_run(chunk)


def test_test_is_ours() -> None:
    """A chunk cannot switch the test off, and what comes in is not changed."""
    chunk = {**STATE, "kwarg": {"test": False}}

    assert {"test": True} == as_dry_run([STATE, chunk])[1]["kwarg"]
    assert {"test": False} == chunk["kwarg"]


@pytest.mark.parametrize(
    ("chunk", "key"),
    [
        ({"tgt": "*", "fun": "cmd.run"}, "fun"),
        ({"tgt": "*", "fun": "state.show_sls"}, "fun"),
        ({"tgt": "*", "fun": ["state.apply"], "arg": [[]]}, "fun"),
        ({"tgt": "*"}, "fun"),
        ({"client": "runner", "fun": "state.orchestrate"}, "client"),
        ({"client": "ssh", "tgt": "*", "fun": "state.apply"}, "client"),
        ({"client": ["local"], "tgt": "*", "fun": "state.apply"}, "client"),
        ({**STATE, "arg": ["nginx", "test=False"]}, "arg"),
        ({**STATE, "arg": "test=False"}, "arg"),
        ({**STATE, "arg": [{"__kwarg__": True, "test": False}]}, "arg"),
        ({**STATE, "kwarg": ["test"]}, "kwarg"),
    ],
)
def test_refused(chunk: dict[str, Any], key: str) -> None:
    """A chunk without a dry run is refused by its place and key."""
    with pytest.raises(InvalidChunk) as refused:
        as_dry_run([STATE, chunk])
    assert (1, key) == (refused.value.index, refused.value.key)


def test_no_lowstate() -> None:
    """What is no lowstate is refused as everywhere."""
    with pytest.raises(BadRequest):
        as_dry_run("state.apply")
