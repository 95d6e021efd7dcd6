"""Steps of orchestrations as they come, and the tree of their jobs."""

from collections.abc import Iterator
from typing import Any

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.netapi.rest_asgi.test_batches import NDJSON, Ask, asker, lines
from tests.waiting import eventually

ORCHESTRATION = """\
first:
  salt.function:
    - name: test.arg
    - tgt: 'minion-*'
    - arg: [one]
    - kwarg: {two: 2}
second:
  salt.state:
    - tgt: 'minion-1'
    - sls: orchestrated
    - require: [{salt: first}]
third:
  salt.runner:
    - name: test.arg
fourth:
  salt.function:
    - name: test.ping
    - tgt: 'minion-2'
    - require: [{salt: second}]
batched:
  salt.function:
    - name: test.echo
    - tgt: 'minion-*'
    - arg: [hello]
    - batch: 1
"""
SLS = "bad:\n  test.fail_without_changes\n"


@pytest.fixture(scope="module")
def api(master: PrivateMaster) -> Iterator[ApiServer]:
    states = master.directory / "states"
    states.mkdir(exist_ok=True)
    (states / "orchestration.sls").write_text(ORCHESTRATION)
    (states / "orchestrated.sls").write_text(SLS)
    section = {"administrators": ["saltdev"]}
    with ApiServer(master, OURS, section, module="rest_asgi") as server:
        yield server


@pytest.fixture(scope="module")
def ask(api: ApiServer) -> Ask:
    return asker(api, api.login())


CHUNK: dict[str, Any] = {
    "client": "runner",
    "fun": "state.orchestrate",
    "kwarg": {"mods": "orchestration"},
}


@pytest.fixture(scope="module")
def records(ask: Ask) -> list[dict[str, Any]]:
    return lines(ask("POST", "/run", CHUNK, Accept=NDJSON))


def of_step(records: list[dict[str, Any]], name: str, event: str) -> list[dict[str, Any]]:
    steps = [record for record in records if record["type"] == "step"]
    return [record for record in steps if (record["name"], record["event"]) == (name, event)]


def test_steps_as_they_come(records: list[dict[str, Any]]) -> None:
    """Each step begins, starts its jobs, whose minions return; in the end its result is told."""
    kinds = [r["type"] for r in records if r["type"] not in {"step", "progress"}]
    assert ["job", "return", "summary"] == kinds
    for name, minions in (("test.arg", 2), ("second", 1), ("test.echo", 2)):
        place = [
            next(n for n, r in enumerate(records) if r in of_step(records, name, event))
            for event in ("started", "returned", "ended")
        ]
        assert sorted(place) == place, name
        returned = {record["minion"] for record in of_step(records, name, "returned")}
        assert minions == len(returned)
    (echoed, _) = of_step(records, "test.echo", "returned")
    assert "hello" == echoed["return"]
    (failed,) = of_step(records, "second", "ended")
    assert (False, "second") == (failed["result"], failed["state_id"])
    assert {"succeeded": 0, "changed": 0, "failed": 1, "would_change": 0} == (
        of_step(records, "second", "returned")[0]["states"]
    )
    (left_out,) = of_step(records, "test.ping", "ended")
    assert ([], False) == (left_out["jids"], left_out["result"])
    assert [] == of_step(records, "test.ping", "begun")
    first_return = next(n for n, r in enumerate(records) if r["type"] == "return")
    live = [n for n, r in enumerate(records) if r in of_step(records, "test.arg", "returned")]
    assert min(live) < first_return


def test_tree(ask: Ask, records: list[dict[str, Any]]) -> None:
    """The document has the steps with their jobs, each of which knows its parent."""
    jid = records[0]["jid"]
    found = ask("GET", f"/jobs/{jid}").value()
    steps = {step["state_id"]: step for step in found["steps"]}
    assert {"first", "second", "third", "fourth", "batched"} == set(steps)
    (child,) = steps["first"]["jobs"]
    assert ("test.arg", 2, "complete") == (child["fun"], child["returned"], child["state"])
    assert jid == ask("GET", f"/jobs/{child['jid']}").value()["parent"]
    (inner,) = steps["third"]["jobs"]
    assert ("runner.test.arg", [inner["jid"]]) == (inner["fun"], steps["third"]["jids"])
    assert 0 < len(steps["batched"]["jobs"])


def test_again(api: ApiServer, ask: Ask, records: list[dict[str, Any]]) -> None:
    """Who comes later is told the same; others are told nothing."""
    jid = records[0]["jid"]
    again = lines(ask("GET", f"/jobs/{jid}/events", Accept=NDJSON))
    ended = sorted(r["number"] for r in again if r.get("event") == "ended")
    assert ended == sorted(r["number"] for r in records if r.get("event") == "ended")
    other = asker(api, api.login("low"))
    assert 404 == other("GET", f"/jobs/{jid}").status


def test_resumed(ask: Ask, records: list[dict[str, Any]]) -> None:
    """After any record of a step, what came behind it is told, and nothing twice."""
    jid = records[0]["jid"]

    def keys(some: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
        return [
            (r["number"], r["event"], r.get("minion"), *r["jids"])
            for r in some
            if r["type"] == "step" and r["event"] in {"returned", "ended"}
        ]

    places = [n for n, record in enumerate(records) if record["type"] == "step"]
    for place in places[:: max(len(places) // 6, 1)]:
        cursor = records[place]["id"]
        rest = lines(ask("GET", f"/jobs/{jid}/events", Accept=NDJSON, Last_Event_ID=cursor))
        assert sorted(keys(records[place + 1 :]), key=str) == sorted(keys(rest), key=str)
        assert ["return", "summary"] == [
            r["type"] for r in rest if r["type"] not in {"step", "job"}
        ]
        later = rest[len(rest) // 2]["id"]
        last = lines(ask("GET", f"/jobs/{jid}/events", Accept=NDJSON, Last_Event_ID=later))
        assert set(keys(rest[len(rest) // 2 + 1 :])) == set(keys(last))


def test_who_may_not_see_the_jobs(api: ApiServer) -> None:
    """A user who may only orchestrate learns of the steps, and not of jobs of the master's user."""
    runners = asker(api, api.login("runners"))
    records = lines(runners("POST", "/run", CHUNK, Accept=NDJSON))
    assert {"ended"} <= {r["event"] for r in records if r["type"] == "step"}
    sees_all = runners("GET", "/jobs").status == 200 and any(
        job["user"] == "root" for job in runners("GET", "/jobs").value()["jobs"]
    )
    returned = [r for r in records if r.get("event") == "returned"]
    assert sees_all is bool(returned)


def test_after_a_restart(master: PrivateMaster, records: list[dict[str, Any]]) -> None:
    """A process that has heard nothing knows the steps from what the orchestration returned."""
    with ApiServer(master, OURS, {"administrators": ["saltdev"]}, module="rest_asgi") as other:
        ask = asker(other, other.login())
        found = eventually(lambda: ask("GET", f"/jobs/{records[0]['jid']}").value())
    steps = {step["state_id"]: step for step in found["steps"]}
    assert {"first", "second", "third", "fourth", "batched"} == set(steps)
    assert all(step["ended"] for step in found["steps"])
    assert 1 == len(steps["first"]["jids"])
