"""Counts of states: how often they are told."""

import itertools
from types import SimpleNamespace
from typing import Any, cast

import pytest

from saltapi.bridge.bus.events import Event
from saltapi.bridge.jobs.registered import RegisteredJob
from saltapi.bridge.jobs.state_results import StateResult
from saltapi.engine.jobs import state_records
from saltapi.engine.jobs.cursors import Cursor
from saltapi.engine.jobs.state_records import StateTeller
from saltapi.engine.jobs.values import Values

JID = "20260101000000000001"
OF = 1000
RATE = 0.05
"""Seconds between two states."""


def tell(job: RegisteredJob, minion: str, number: int) -> None:
    state = StateResult(
        number, f"s{number}", None, "", result=True, changes={}, comment="", duration_ms=1, start=""
    )
    job.tell(minion, OF, state, Event("e-1", f"salt/job/{JID}/prog/{minion}/{number}", b"\x80"))


def test_counts_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast minions tell, there is at most one record a second for each, with the newest."""
    clock = SimpleNamespace(now=1000.0)
    loop = SimpleNamespace(time=lambda: clock.now)
    monkeypatch.setattr(state_records, "asyncio", SimpleNamespace(get_running_loop=lambda: loop))
    job = RegisteredJob(JID, "local", limit_bytes=10_000_000)
    job.expect(["a", "b"])
    teller = StateTeller(job, Cursor(), cast("Values", None), "counts")
    told: dict[str, list[tuple[float, int]]] = {"a": [], "b": []}
    for number in range(1, OF + 1):
        clock.now += RATE
        for minion in told:
            tell(job, minion, number)
        some: list[dict[str, Any]] = teller.news()
        for record in some:
            told[record["minion"]].append((clock.now, record["number"]))

    for times in told.values():
        pauses = [later - now for (now, _), (later, _) in itertools.pairwise(times)]
        assert min(pauses) >= state_records.COUNTS_SECONDS
        assert len(times) == pytest.approx(OF * RATE, abs=3)
        assert all(round((now - 1000.0) / RATE) == number for now, number in times)
    assert teller.due <= clock.now + state_records.COUNTS_SECONDS
