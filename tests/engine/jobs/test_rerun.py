"""Which chunk runs a job again."""

from typing import Any

import pytest

from saltapi.bridge.bus.job_starts import Source
from saltapi.bridge.jobs.registered import RegisteredJob, returned
from saltapi.bridge.jobs.states import MinionState
from saltapi.engine.jobs.rerun import check_confirmed, chunk_for
from saltapi.errors import ConfirmationNeeded, Conflict, InvalidField


def job(**more: Any) -> RegisteredJob:
    """Return a job that `a` has returned from, `b` has failed in, and `c` stayed silent at."""
    made = RegisteredJob("20260101000000000001", "local", limit_bytes=10_000)
    arg = ["nginx", 3, {"__kwarg__": True, "test": True}]
    made.describe({"fun": "state.apply", "arg": arg, "tgt": "web*", "tgt_type": "glob", **more})
    made.expect(["a", "b", "c"])
    made.take(returned("a", {"return": 1}, arrived_at=1.0), 0)
    made.take(returned("b", {"return": 1, "retcode": 2}, arrived_at=1.0), 0)
    made.settle({"c": MinionState.NO_RESPONSE})
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


def test_what_is_lost() -> None:
    """Without the target the minions are named; without the arguments nothing runs."""
    lost = RegisteredJob("20260101000000000001", "local", limit_bytes=10_000)
    lost.describe({"fun": "cmd.run_all", "fun_args": ["exit 3"]})
    with pytest.raises(Conflict, match="nothing to run"):
        chunk_for(lost, "all")
    lost.expect(["b", "a"])
    chunk = chunk_for(lost, "all")
    assert (["exit 3"], ["b", "a"], "list") == (chunk["arg"], chunk["tgt"], chunk["tgt_type"])
    with pytest.raises(ConfirmationNeeded):
        check_confirmed(lost, "all", chunk, recorded=False, confirm=None)
    lost.arg = None
    with pytest.raises(Conflict, match="not known any more"):
        chunk_for(lost, "all")


def test_delimiter() -> None:
    """A target with a delimiter of its own keeps it."""
    assert "delimiter" not in chunk_for(job(), "all")
    assert "|" == chunk_for(job(kwargs={"delimiter": "|"}), "all")["delimiter"]


@pytest.mark.parametrize(
    ("choice", "source", "recorded", "runs"),
    [
        ("all", Source.OURS, True, True),
        ("all", Source.READ, True, True),
        ("all", Source.HEARD, False, False),
        ("all", Source.READ, False, False),
        ("failed", Source.HEARD, True, True),
        ("failed", Source.READ, True, False),  # the job cache may name others
        (["b"], Source.READ, True, True),
        (["b"], Source.READ, False, False),
    ],
)
def test_confirmation(choice: Any, source: Source, recorded: bool, runs: bool) -> None:
    """What was recorded runs at once; anything else when exactly that is confirmed."""
    found = job()
    found.source = source
    chunk = chunk_for(found, choice)

    def check(confirm: str | None = None) -> None:
        check_confirmed(found, choice, chunk, recorded=recorded, confirm=confirm)

    if runs:
        check()
        check("anything")
        return
    with pytest.raises(ConfirmationNeeded) as shown:
        check()
    assert chunk == shown.value.command
    check(shown.value.confirm)
    for wrong in ("", "0" * 64, shown.value.confirm[:-1]):
        with pytest.raises(ConfirmationNeeded, match="not what you have confirmed"):
            check(wrong)


def test_a_minion_that_the_job_was_not_for() -> None:
    """Who has returned without being asked is shown first, also for a job of our own."""
    found = job()
    found.source = Source.OURS
    found.take(returned("x", {"return": 1, "retcode": 1}, arrived_at=1.0), 0)
    chunk = chunk_for(found, "failed")
    assert ["b", "x"] == chunk["tgt"]
    with pytest.raises(ConfirmationNeeded):
        check_confirmed(found, "failed", chunk, recorded=True, confirm=None)
