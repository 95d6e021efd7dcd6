"""Which chunk runs a job again."""

from typing import Any

import pytest

from saltapi.bridge.jobs.registry import RegisteredJob, Silence, returned
from saltapi.engine.jobs.rerun import chunk_for
from saltapi.errors import Conflict, InvalidField


def job(**more: Any) -> RegisteredJob:
    """Return a job that `a` has returned from, `b` has failed in, and `c` stayed silent at."""
    made = RegisteredJob("20260101000000000001", "local", limit_bytes=10_000)
    arg = ["nginx", 3, {"__kwarg__": True, "test": True}]
    made.describe({"fun": "state.apply", "arg": arg, "tgt": "web*", "tgt_type": "glob", **more})
    made.expect(["a", "b", "c"])
    made.take(returned("a", {"return": 1}, arrived_at=1.0), 0)
    made.take(returned("b", {"return": 1, "retcode": 2}, arrived_at=1.0), 0)
    made.settle({"c": Silence.NO_RESPONSE})
    return made


def test_arguments() -> None:
    """All takes the same target, and named arguments are named again."""
    assert {
        "client": "local",
        "fun": "state.apply",
        "arg": ["nginx", 3],
        "kwarg": {"test": True},
        "tgt": "web*",
        "tgt_type": "glob",
    } == chunk_for(job(), "all")
    compound = chunk_for(job(fun=["test.ping", "test.arg"], arg=[[], [1]]), "all")
    assert (["test.ping", "test.arg"], [[], [1]]) == (compound["fun"], compound["arg"])


@pytest.mark.parametrize(
    ("choice", "minions"),
    [
        ("failed", ["b"]),
        ("missing", ["c"]),
        ("unsuccessful", ["b", "c"]),
        (["c", "a", "c"], ["c", "a"]),
    ],
)
def test_some_minions(choice: Any, minions: list[str]) -> None:
    """Some minions are a target list."""
    chunk = chunk_for(job(), choice)
    assert (minions, "list") == (chunk["tgt"], chunk["tgt_type"])


def test_refused() -> None:
    """Names of others, nobody at all, and functions of the master cannot be run again."""
    with pytest.raises(InvalidField, match="'d' is no minion of this job"):
        chunk_for(job(), ["a", "d"])
    with pytest.raises(Conflict):
        chunk_for(job(), [])
    with pytest.raises(Conflict, match="Only jobs of minions"):
        chunk_for(RegisteredJob("20260101000000000001", "runner", limit_bytes=1), "all")
