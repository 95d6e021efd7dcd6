"""States as they come and folded results, with real states that fail, change and would change."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.waiting import eventually
from tests.wire import Answer

NDJSON = "application/x-ndjson"
SLS = """\
fine:
  test.succeed_without_changes
changing:
  test.succeed_with_changes
failing:
  test.fail_without_changes
{% for n in range(2) %}
slow-{{ n }}:
  cmd.run:
    - name: sleep 0.7
{% endfor %}
"""
Ask = Callable[..., Answer]


@pytest.fixture(scope="module")
def api(master: PrivateMaster) -> Iterator[ApiServer]:
    states = master.directory / "states"
    states.mkdir(exist_ok=True)
    (states / "mixed.sls").write_text(SLS)
    with ApiServer(master, OURS, {"workers": 2}, module="rest_asgi") as server:
        yield server


@pytest.fixture(scope="module")
def ask(api: ApiServer) -> Ask:
    """Send a request with the session of somebody who may do everything."""
    token = api.login()

    def send(method: str, path: str, body: Any = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return api.send(
            method, f"/v1{path}", json_body=body, headers={"X-Auth-Token": token, **named}
        )

    return send


def lines(answer: Answer) -> list[dict[str, Any]]:
    """Return the records of a stream of lines."""
    assert 200 == answer.status, answer
    return [json.loads(line) for line in answer.body.splitlines()]


def of_type(records: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [record for record in records if record["type"] == kind]


@pytest.fixture(scope="module")
def applied(ask: Ask) -> list[dict[str, Any]]:
    """The records of a run of all kinds of states."""
    chunk = {"tgt": "minion-*", "fun": "state.apply", "arg": ["mixed"]}
    return lines(ask("POST", "/run?progress=states", chunk, Accept=NDJSON))


def test_states_as_they_come(applied: list[dict[str, Any]]) -> None:
    """Every state of every minion is one record, before the minion's return."""
    states = of_type(applied, "state")
    assert 10 == len(states)
    for minion in ("minion-1", "minion-2"):
        own = [record for record in states if record["minion"] == minion]
        assert [1, 2, 3, 4, 5] == [record["number"] for record in own]
        assert {5} == {record["of"] for record in own}
        assert ["fine", "changing", "failing", "slow-0", "slow-1"] == [r["id"] for r in own]
        assert [True, True, False, True, True] == [record["result"] for record in own]
        assert {"testing"} == set(own[1]["changes"])
        assert "Failure!" == own[2]["comment"]
        assert 600 < own[3]["duration_ms"]
    returned = next(n for n, record in enumerate(applied) if record["type"] == "return")
    assert 5 <= sum(record["type"] == "state" for record in applied[:returned])
    assert {"succeeded": 8, "changed": 6, "failed": 2, "would_change": 0} == applied[-1]["states"]


def test_resumed(ask: Ask, applied: list[dict[str, Any]]) -> None:
    """With the cursor of a state, what came after it is told and nothing twice."""
    url = f"/jobs/{applied[0]['jid']}/events?progress=states"
    whole = lines(ask("GET", url, Accept=NDJSON))
    told = [(record["minion"], record["number"]) for record in of_type(whole, "state")]
    assert 10 == len(set(told)) == len(told)
    for place, record in enumerate(applied):
        if record["type"] != "state":
            continue
        again = lines(ask("GET", url, Accept=NDJSON, Last_Event_ID=record["cursor"]))
        before = {(r["minion"], r["number"]) for r in of_type(applied[: place + 1], "state")}
        rest = [(r["minion"], r["number"]) for r in of_type(again, "state")]
        assert len(set(rest)) == len(rest)
        assert set(told) - before == set(rest)


def test_counts(ask: Ask) -> None:
    """With counts there is one record a second for each minion, and the return has the last."""
    chunk = {"tgt": "minion-1", "fun": "state.apply", "arg": ["mixed"]}
    records = lines(ask("POST", "/run?progress=counts", chunk, Accept=NDJSON))
    counts = of_type(records, "counts")
    assert [] == of_type(records, "state")
    assert 1 <= len(counts) <= 5
    assert counts[0]["of"] == 5
    expected = {"succeeded": 4, "changed": 3, "failed": 1, "would_change": 0}
    assert expected == of_type(records, "return")[0]["states"]


def test_dry_run(ask: Ask) -> None:
    """What would change is told as such."""
    chunk = {"tgt": "minion-1", "fun": "state.apply", "arg": ["mixed"]}
    records = lines(ask("POST", "/run?progress=states&dry_run=true", chunk, Accept=NDJSON))
    assert {"changing": None, "fine": True} == {
        r["id"]: r["result"] for r in of_type(records, "state") if r["id"] in {"changing", "fine"}
    }
    assert 1 <= records[-1]["states"]["would_change"]


def test_single(ask: Ask) -> None:
    """A state that tells nothing on its way is told of by its return; it gets no argument more."""
    chunk = {
        "tgt": "minion-1",
        "fun": "state.single",
        "arg": ["test.succeed_with_changes", "only"],
    }
    records = lines(ask("POST", "/run?progress=states", chunk, Accept=NDJSON))
    (state,) = of_type(records, "state")
    assert ("only", "test.succeed_with_changes", True) == (
        state["id"],
        state["fun"],
        state["result"],
    )
    assert "warnings" not in str(of_type(records, "return")[0]["return"])


def test_where_each_minion_is(ask: Ask) -> None:
    """A running job says at which state each minion is."""
    chunk = {"tgt": "minion-1", "fun": "state.apply", "arg": ["mixed"], "client": "local_async"}
    jid = ask("POST", "/run?progress=states", chunk).value()["results"][0]["jid"]

    def at() -> Any:
        return ask("GET", f"/jobs/{jid}").value().get("progress", {}).get("minion-1")

    found = eventually(at)
    assert (5, True) == (found["of"], 1 <= found["number"] <= 5)
    ended = ask("GET", f"/jobs/{jid}?wait=20").value()
    assert ("complete", 4) == (ended["state"], ended["states"]["succeeded"])
    assert "progress" not in ended


# Folded results


def test_folded(ask: Ask, applied: list[dict[str, Any]]) -> None:
    """Results of states are folded by state, in the document, of a run and in its summary."""
    jid = applied[0]["jid"]
    found = ask("GET", f"/jobs/{jid}?fold=true").value()
    states = {state["id"]: state for state in found["folded_states"]}
    assert ("failing", []) == (found["folded_states"][0]["id"], found["groups"])
    assert "returns" not in found
    assert (2, 1) == (states["failing"]["failed"], len(states["failing"]["groups"]))
    assert ["minion-1", "minion-2"] == states["changing"]["groups"][0]["minions"]
    assert "test.succeed_without_changes" == states["fine"]["fun"]
    summary = lines(ask("GET", f"/jobs/{jid}/events?fold=true", Accept=NDJSON))[-1]
    assert found["folded_states"] == summary["folded_states"]


def test_groups(ask: Ask) -> None:
    """Other returns are grouped by equality, the largest group first."""
    chunk = {"tgt": "minion-*", "fun": "test.echo", "arg": ["same"]}
    (result,) = ask("POST", "/run?fold=true", chunk).value()["results"]
    (group,) = result["groups"]
    assert ("same", 2) == (group["return"], group["count"])
    chunk = {"tgt": "minion-*", "fun": "grains.get", "arg": ["id"]}
    records = lines(ask("POST", "/run?fold=true", chunk, Accept=NDJSON))
    assert [1, 1] == [group["count"] for group in records[-1]["groups"]]


def test_diff(ask: Ask, applied: list[dict[str, Any]]) -> None:
    """What differs from another job is told once for the minions for which it is the same."""
    chunk = {"tgt": "minion-1", "fun": "state.apply", "arg": ["mixed"], "kwarg": {"test": True}}
    jid = ask("POST", "/run", chunk).value()["results"][0]["jid"]
    found = ask("GET", f"/jobs/{jid}?diff={applied[0]['jid']}").value()
    (group,) = found["diff"]["groups"]
    assert (["minion-1"], ["minion-2"]) == (group["minions"], found["diff"]["only_before"])
    changed = [d for d in group["differences"] if "changing" in d["path"][0]]
    assert {"result", "comment"} <= {d["path"][1] for d in changed}
    assert "returns" not in found
    assert 404 == ask("GET", f"/jobs/{jid}?diff=20200101000000000000").status


def test_parts(ask: Ask, applied: list[dict[str, Any]]) -> None:
    """`fields` and `minion` choose what is shown; what is no field is refused by name."""
    url = f"/jobs/{applied[0]['jid']}"
    found = ask("GET", f"{url}?fields=state,failed&minion=*-2").value()
    assert {"state": "complete", "failed": ["minion-2"]} == found
    assert ["minion-1"] == list(ask("GET", f"{url}?minion=minion-1").value()["returns"])
    refused = ask("GET", f"{url}?fields=state,nothing")
    assert (400, True) == (refused.status, "'nothing'" in json.loads(refused.body)["detail"])


def test_not_modified(api: ApiServer, ask: Ask, applied: list[dict[str, Any]]) -> None:
    """Who has the answer about a job that has ended gets 304; who sees it otherwise does not."""
    url = f"/jobs/{applied[0]['jid']}"
    tag = ask("GET", url).header("ETag")
    again = ask("GET", url, If_None_Match=f'"other", {tag}')
    assert (304, b"", tag) == (again.status, again.body, again.header("ETag"))
    assert 200 == ask("GET", f"{url}?fold=true", If_None_Match=tag).status
    low = {"X-Auth-Token": api.login("low"), "If-None-Match": tag}
    assert 404 == api.send("GET", f"/v1{url}", headers=low).status


def test_large_answers_are_streamed(ask: Ask) -> None:
    """A large answer comes in chunks and is the same JSON."""
    chunk = {"tgt": "minion-*", "fun": "test.echo", "arg": ["x" * 200_000]}
    jid = ask("POST", "/run?fold=true", chunk).value()["results"][0]["jid"]
    answer = ask("GET", f"/jobs/{jid}")
    assert answer.header("Content-Length") is None
    assert {"minion-1", "minion-2"} == set(answer.value()["returns"])
    assert 200_000 == len(answer.value()["returns"]["minion-1"]["return"])
