"""
What the fuzzer finds in a few hundred commands; `make fuzz` sends more.

Chance begins elsewhere each time; `FUZZ_SEED` takes it back to where a failure was.
"""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from saltapi import APIClient, config
from saltapi.bridge.jobs.clearance import Clearance
from saltapi.bridge.jobs.jobs import JobRequest
from saltapi.demo import PrivateMaster
from tests.fuzz import run as fuzz
from tests.fuzz.permissions import World
from tests.fuzz.witness import Witness
from tests.waiting import eventually, scaled

COMMANDS = 500
SEEN = 25
"""Fewer calls than this prove nothing."""
WORLD = World({"fred": [], "ann": ["red"]}, {"fred": [{"minion-1": ["mark.a"]}], "red%": ["@mark"]})


@pytest.mark.long
@pytest.mark.timeout(240)
def test_nothing_runs_that_is_not_allowed() -> None:
    """Whoever sends what, through whichever module: only what Salt allows is run."""
    seed = int(os.environ.get("FUZZ_SEED") or secrets.randbelow(10**6))
    report = fuzz.run(seed, COMMANDS)

    assert [] == report.wrong, f"FUZZ_SEED={seed}"
    assert [] == [text for text in report.outcomes if text.endswith(" 500")], f"FUZZ_SEED={seed}"
    assert report.calls > SEEN, f"FUZZ_SEED={seed}"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[tuple[PrivateMaster, dict[str, str]]]:
    passwords = fuzz.write(WORLD, tmp_path)
    with fuzz.master_of(WORLD, tmp_path) as master:
        master.wait_ready(timeout=scaled(fuzz.READY_SECONDS))
        yield master, passwords


@pytest.mark.long
def test_it_sees(
    home: tuple[PrivateMaster, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs without being allowed is seen, on minions and on the master."""

    async def clear(_self: Clearance, request: JobRequest) -> JobRequest:
        return request

    master, passwords = home
    opts = config.load(master.config_dir)
    witness = Witness(opts, WORLD.users, tmp_path / "trace")
    monkeypatch.setattr(Clearance, "clear", clear)

    def credentials(user: str) -> dict[str, Any]:
        return {"eauth": "fuzz", "username": user, "password": passwords[user]}

    with APIClient(opts) as client:
        funs = ["saltutil.find_job", "mark.b", "mark.a"]
        client.local("*", funs, [["1"], ["a", "x=1"], []], **credentials("fred"))
        client.runner("mark.c", arg=["b"], kwarg={"x": 2}, **credentials("ann"))
        eventually(lambda: len(list(witness.calls())) >= 5)
    found = {(call.where, call.user, call.fun): call for call in witness.calls()}

    assert {
        *[("minion-1", "fred", "mark.a"), ("minion-1", "fred", "mark.b")],
        *[("minion-2", "fred", "mark.a"), ("minion-2", "fred", "mark.b")],
        ("run", "ann", "mark.c"),
    } == set(found)
    assert (["a"], {"x": 1}) == (lambda c: (c.args, c.kwargs))(found["minion-1", "fred", "mark.b"])
    assert (["b"], {"x": 2}) == (lambda c: (c.args, c.kwargs))(found["run", "ann", "mark.c"])
    allowed = {place for place, call in found.items() if witness.allows(call)}
    assert {("minion-1", "fred", "mark.a"), ("run", "ann", "mark.c")} == allowed
