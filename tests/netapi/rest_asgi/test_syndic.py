"""What is known of minions behind a syndic, with real masters, a real syndic and real minions."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.apis import OURS, ApiServer
from tests.netapi.rest_asgi.test_batches import NDJSON, Ask, asker, lines
from tests.netapi.rest_asgi.test_retry_safe import Counted
from tests.netapi.rest_asgi.test_why import Asker
from tests.syndics import SYNDIC_ID, MasterOfMasters
from tests.waiting import eventually, scaled

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]
FAR = ["far-1", "far-2"]
SOON: dict[str, Any] = {"timeout": scaled(3), "gather_job_timeout": scaled(3)}
SLS = "first:\n  test.nop\nsecond:\n  test.succeed_with_changes\n"


@pytest.fixture(scope="module")
def masters() -> Iterator[MasterOfMasters]:
    with MasterOfMasters() as found:
        states = found.below.directory / "states"
        states.mkdir(exist_ok=True)
        (states / "far.sls").write_text(SLS)
        yield found


@pytest.fixture(scope="module")
def api(masters: MasterOfMasters) -> Iterator[ApiServer]:
    with ApiServer(masters.top, OURS, {"workers": 2}, module="rest_asgi") as server:
        ask = asker(server, server.login())
        eventually(lambda: sorted(ran(ask, "far-*")["returned"]) == FAR, 60.0)
        yield server


@pytest.fixture(scope="module")
def ask(api: ApiServer) -> Ask:
    return asker(api, api.login())


@pytest.fixture(scope="module")
def root(api: ApiServer) -> Asker:
    return Asker(api)


def ran(ask: Ask, tgt: Any, fun: str = "test.ping", **more: Any) -> dict[str, Any]:
    """Run a function to its end; return what came of it."""
    answer = ask("POST", "/run", {"tgt": tgt, "fun": fun, **more})
    assert 200 == answer.status, answer
    found: dict[str, Any] = answer.value()
    assert found["complete"] is found["results"][0]["complete"]
    job: dict[str, Any] = found["results"][0]
    return job


def test_all(ask: Ask) -> None:
    """The minions below are expected and return; the syndic itself is not missed."""
    records = lines(ask("POST", "/run", {"tgt": "*", "fun": "test.ping"}, Accept=NDJSON))
    everybody = [*FAR, "top-1"]
    assert everybody == sorted(r["minion"] for r in records if r["type"] == "return")
    summary = records[-1]
    assert (True, {}) == (summary["complete"], summary["missing"])
    found = ask("GET", f"/jobs/{records[0]['jid']}").value()
    assert ("complete", everybody) == (found["state"], sorted(found["expected"]))
    ended = [record["id"] for record in records if record["type"] == "return"]
    again = lines(
        ask("GET", f"/jobs/{records[0]['jid']}/events", Accept=NDJSON, Last_Event_ID=ended[1])
    )
    assert 1 == sum(record["type"] == "return" for record in again)


def test_expected_before_they_return(ask: Ask, tmp_path: Path) -> None:
    """Whom the master below expects is expected, and waited for, as soon as it has said so."""
    counted = Counted(tmp_path / "runs", held=True)
    chunk = {**counted.chunk, "tgt": "far-*", "tgt_type": "glob", "client": "local_async"}
    begun = ask("POST", "/run", chunk).value()["results"][0]
    assert ("running", False) == (begun["state"], begun["complete"])
    url = f"/jobs/{begun['jid']}"
    eventually(lambda: sorted(ask("GET", url).value()["expected"]) == FAR)
    found = ask("GET", url).value()
    assert ("running", [], FAR) == (found["state"], found["returned"], sorted(found["waiting"]))
    counted.let_go()
    eventually(lambda: ask("GET", f"{url}?wait=20").value()["state"] == "complete", 60.0)
    assert FAR == sorted(ask("GET", url).value()["returned"])


def test_of_a_list(ask: Ask) -> None:
    """Who is below is none of the unknown; who is nowhere is one."""
    found = ran(ask, [*FAR, "nobody-1"], tgt_type="list")
    assert ({"nobody-1": "unknown_minion"}, FAR) == (found["missing"], sorted(found["returned"]))
    assert "incomplete" == found["state"]


def test_nobody(ask: Ask) -> None:
    """A job of which no master below expects anything is not complete."""
    found = ran(ask, "nobody-*")
    assert ("incomplete", False, []) == (found["state"], found["complete"], found["expected"])


def test_states(ask: Ask) -> None:
    """Each state of a minion below is told of once, before its return."""
    chunk = {"tgt": "far-1", "fun": "state.apply", "arg": ["far"]}
    records = lines(ask("POST", "/run?progress=states", chunk, Accept=NDJSON))
    told = [(r["minion"], r["number"]) for r in records if r["type"] == "state"]
    assert [("far-1", 1), ("far-1", 2)] == told
    assert {"succeeded": 2, "changed": 1, "failed": 0, "would_change": 0} == records[-1]["states"]


def test_why(root: Asker) -> None:
    """Minions below are said to be so, and what they return counts; syndics return nothing."""
    assert "behind_syndic" == root.code("far-1")
    jid = root.run("test.ping", "*")["jid"]
    assert "returned" == root.code("far-1", jid)
    found = root.why(SYNDIC_ID, jid)
    assert ("not_matched", True) == (found["code"], "it is a syndic" in found["sentence"])


def test_silent(ask: Ask, root: Asker, masters: MasterOfMasters) -> None:
    """A minion below that does not return is missing, because it is behind a syndic."""
    masters.below.stop_minion("far-2")
    try:
        found = ran(ask, "far-*", **SOON)
        assert ({"far-2": "behind_syndic"}, ["far-1"]) == (found["missing"], found["returned"])
        assert "behind_syndic" == root.code("far-2", found["jid"])
        assert ask("GET", f"/jobs/{found['jid']}").value()["missing"] == found["missing"]
    finally:
        masters.below.start_minion("far-2")
    masters.below.wait_ready(timeout=scaled(60.0))


def test_without_the_syndic(ask: Ask, root: Asker, masters: MasterOfMasters) -> None:
    """Where the syndic is away nobody is expected, and the job is not complete."""
    masters.syndic.kill()
    found = ran(ask, "far-*")
    assert ("incomplete", [], {}) == (found["state"], found["expected"], found["missing"])
    assert "behind_syndic" == root.code("far-1", found["jid"])
