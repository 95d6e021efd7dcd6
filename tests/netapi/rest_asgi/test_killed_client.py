"""A client that dies again and again, and still gets every result once."""

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.swarm import Swarm
from tests.waiting import scaled

JOBS = 200
MINIONS = 100
LIFE_SECONDS = (0.2, 1.5)
SCRIPT = Path(__file__).with_name("killed_client.py")


@pytest.fixture
def minions(private_master: Any) -> Iterator[tuple[PrivateMaster, Swarm]]:
    """A master of our own with many simulated minions; without job cache it has less to do."""
    master = private_master(minions=1, options={"job_cache": False})
    with Swarm(master, MINIONS) as swarm:
        yield master, swarm


def live_and_die(settings: Path, state: Path) -> int:
    """Start the client and kill it after a while, until it has ended; return how often it died."""
    deaths = 0
    deadline = time.monotonic() + scaled(110)
    while time.monotonic() < deadline:
        client = subprocess.Popen([sys.executable, "-I", str(SCRIPT), str(settings), str(state)])
        with suppress(subprocess.TimeoutExpired):
            assert 0 == client.wait(random.uniform(*LIFE_SECONDS))  # noqa: S311 - no secret
            return deaths
        client.kill()
        client.wait()
        deaths += 1
    pytest.fail("The client has not come to its end.")


@pytest.mark.long
@pytest.mark.timeout(150)
def test_every_result_exactly_once(minions: tuple[PrivateMaster, Swarm], tmp_path: Path) -> None:
    """200 jobs on 100 minions, a client that is killed at random: each result, once, and right."""
    master, swarm = minions
    settings, state = tmp_path / "settings.json", tmp_path / "state"
    with ApiServer(master, OURS, {"workers": 2}, module="rest_asgi") as api:
        facts = {"port": api.port, "token": api.login(), "jobs": JOBS, "key": tmp_path.name}
        settings.write_text(json.dumps(facts))
        deaths = live_and_die(settings, state)

    notes = [json.loads(line) for line in state.read_text().splitlines()]
    results = Counter(
        (note["job"], note["minion"], note["return"]) for note in notes if note.get("minion")
    )
    wanted = {(job, minion, f"job {job}") for job in range(JOBS) for minion in swarm.ids}
    assert wanted == set(results)
    assert {1} == set(results.values())
    assert deaths > 3
    jids = {(note["job"], note["jid"]) for note in notes if "jid" in note}
    assert JOBS == len(jids), "a job has run twice"
