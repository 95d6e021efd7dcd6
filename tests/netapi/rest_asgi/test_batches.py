"""Changes in stages: one after the other, halted, paused, taken over, never run twice."""

import asyncio
import http.client
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from saltapi.bridge.jobs.batches import Batch, BatchState, Stage, StageState
from saltapi.bridge.salt_line import SALT_LINE
from saltapi.demo import PrivateMaster
from saltapi.engine.batches import kept as kept_batches
from saltapi.engine.batches.kept import KeptBatches
from saltapi.engine.store.sqlite import SqliteStore
from tests.apis import OURS, ApiServer, jid_of_now
from tests.netapi.rest_asgi.test_retry_safe import Counted
from tests.swarm import Swarm
from tests.waiting import eventually, scaled
from tests.wire import Answer

NDJSON = "application/x-ndjson"
BOTH = ["minion-2", "minion-1"]
Ask = Callable[..., Answer]


@pytest.fixture(scope="module")
def api(master: PrivateMaster) -> Iterator[ApiServer]:
    section = {"workers": 2, "administrators": ["saltdev"]}
    with ApiServer(master, OURS, section, module="rest_asgi") as server:
        yield server


def asker(api: ApiServer, token: str) -> Ask:
    def send(method: str, path: str, body: Any = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return api.send(
            method, f"/v1{path}", json_body=body, headers={"X-Auth-Token": token, **named}
        )

    return send


@pytest.fixture(scope="module")
def ask(api: ApiServer) -> Ask:
    """Send a request with the session of somebody who may do everything."""
    return asker(api, api.login())


def lines(answer: Answer) -> list[dict[str, Any]]:
    """Return the records of a stream of lines."""
    assert 200 == answer.status, answer
    return [json.loads(line) for line in answer.body.splitlines()]


def begun(ask: Ask, chunk: dict[str, Any], **headers: str) -> str:
    """Begin a change and return its jid."""
    answer = ask("POST", "/run", {**chunk, "client": "local_async"}, **headers)
    jid = answer.value()["results"][0]["jid"]
    assert isinstance(jid, str), answer
    return jid


def batch_of(ask: Ask, jid: str) -> dict[str, Any]:
    found: dict[str, Any] = ask("GET", f"/jobs/{jid}?returns=false").value()["batch"]
    return found


def until(ask: Ask, jid: str, state: str) -> dict[str, Any]:
    """Return the change when it is in this state."""

    def found() -> dict[str, Any]:
        batch = batch_of(ask, jid)
        return batch if batch["state"] == state else {}

    return eventually(found)


def by_turns(counted: Counted, **batch: Any) -> dict[str, Any]:
    """Return a chunk that runs on one minion after the other."""
    chunk = {**counted.chunk, "tgt": BOTH, "tgt_type": "list"}
    return {**chunk, "batch": {"size": 1, **batch}}


def test_stages(ask: Ask, swarm: Swarm) -> None:
    """Each stage begins when the one before has returned; the records say so in order."""
    chunk = {"tgt": "sim-*", "fun": "test.ping", "batch": {"stages": [1, "10%", "50%", "100%"]}}
    records = lines(ask("POST", "/run", chunk, Accept=NDJSON))
    told = [(r["type"], r.get("number"), r.get("state")) for r in records if r["type"] != "return"]
    expected: list[tuple[Any, ...]] = [("job", None, None)]
    for number in range(1, 5):
        expected += [("stage", number, "running"), ("stage", number, "complete")]
    assert [*expected, ("summary", None, "complete")] == told
    sizes = [len(r["minions"]) for r in records if r.get("state") == "running"]
    assert [1, 1, 8, 10] == sizes
    running: set[str] = set()
    for record in records:
        if record["type"] == "stage":
            running = set(record["minions"]) if record["state"] == "running" else set()
        elif record["type"] == "return":
            assert record["minion"] in running
    jid = records[0]["jid"]
    found = ask("GET", f"/jobs/{jid}").value()
    assert ("complete", 20, 20) == (found["state"], len(found["returns"]), len(found["expected"]))
    assert "complete" == found["batch"]["state"]
    jids = {stage["jid"] for stage in found["batch"]["stages"]}
    assert 4 == len(jids - {jid})
    part = ask("GET", f"/jobs/{found['batch']['stages'][0]['jid']}").value()
    assert (jid, 1) == (part["parent"], len(part["returns"]))
    again = lines(ask("GET", f"/jobs/{jid}/events", Accept=NDJSON))
    assert sorted(r["type"] for r in records) == sorted(r["type"] for r in again)
    cursor = next(r["id"] for r in records if r.get("number") == 3)
    rest = lines(ask("GET", f"/jobs/{jid}/events", Accept=NDJSON, Last_Event_ID=cursor))
    assert 18 == sum(r["type"] == "return" for r in rest)
    assert {3, 4} == {r["number"] for r in rest if r["type"] == "stage"}


def test_what_fails_stops_the_rest(ask: Ask, swarm: Swarm) -> None:
    """After more failures than may be nothing more runs; it is said who was left out and why."""
    chunk = {"tgt": "sim-*", "fun": "sim.fail", "batch": {"stages": [2, "100%"], "max_failed": 1}}
    records = lines(ask("POST", "/run", chunk, Accept=NDJSON))
    summary = records[-1]
    assert ("halted", "max_failed", 2) == tuple(
        summary["batch"][key] for key in ("state", "reason", "failures")
    )
    assert ({"not_run"}, 18) == (set(summary["missing"].values()), len(summary["missing"]))
    assert (False, "incomplete", 2) == (
        summary["complete"],
        summary["state"],
        len(summary["returned"]),
    )
    states = [stage["state"] for stage in batch_of(ask, records[0]["jid"])["stages"]]
    assert ["failed", "not_run"] == states


def test_any_number_may_fail(ask: Ask, swarm: Swarm) -> None:
    """Without a limit all stages run, whatever fails; so it is with a size alone, as in Salt."""
    for batch in ({"size": "50%", "max_failed": None}, 10):
        chunk = {"tgt": "sim-*", "fun": "sim.fail", "batch": batch}
        (result,) = ask("POST", "/run", chunk).value()["results"]
        assert ("complete", 2) == (result["batch"]["state"], len(result["batch"]["stages"]))
        assert (20, True) == (len(result["failed"]), result["complete"])


def test_failhard(ask: Ask, swarm: Swarm) -> None:
    """`failhard` with a size alone lets none fail."""
    chunk = {"tgt": "sim-*", "fun": "sim.fail", "batch": "25%", "failhard": True}
    (result,) = ask("POST", "/run", chunk).value()["results"]
    assert ("halted", 5) == (result["batch"]["state"], len(result["returned"]))


def test_wait(ask: Ask, tmp_path: Path) -> None:
    """Between stages it is waited, in the order of the list that was sent."""
    counted = Counted(tmp_path / "runs")
    started = time.monotonic()
    (result,) = ask("POST", "/run", by_turns(counted, wait=2)).value()["results"]
    assert 2 <= time.monotonic() - started
    assert ["minion-2", "minion-1"] == result["returned"]
    assert 2 == counted.runs


def test_paused(ask: Ask, tmp_path: Path) -> None:
    """A change that is paused finishes its stage, and goes on when it is resumed."""
    counted = Counted(tmp_path / "runs", held=True)
    jid = begun(ask, by_turns(counted))
    eventually(lambda: [s["state"] for s in batch_of(ask, jid)["stages"]] == ["running", "pending"])
    found = ask("POST", f"/jobs/{jid}/pause").value()
    assert ("paused", "asked") == (found["batch"]["state"], found["batch"]["reason"])
    counted.let_go()
    eventually(lambda: batch_of(ask, jid)["stages"][0]["state"] == "complete")
    time.sleep(1.5)
    assert ["complete", "pending"] == [s["state"] for s in batch_of(ask, jid)["stages"]]
    assert "running" == ask("GET", f"/jobs/{jid}").value()["state"]
    resumed = ask("POST", f"/jobs/{jid}/resume").value()["batch"]
    assert (True, None) == (resumed["state"] in {"running", "complete"}, resumed["reason"])
    until(ask, jid, "complete")
    assert 2 == counted.runs
    assert 409 == ask("POST", f"/jobs/{jid}/pause").status


def test_client_leaves(api: ApiServer, ask: Ask, tmp_path: Path) -> None:
    """A change goes on without the client that has begun it."""
    counted = Counted(tmp_path / "runs", held=True)
    headers = {"X-Auth-Token": api.login(), "Accept": NDJSON, "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=scaled(30))
    connection.request("POST", "/v1/run", json.dumps(by_turns(counted)), headers)
    answer = connection.getresponse()
    jid = json.loads(answer.readline())["jid"]
    answer.close()
    connection.close()
    counted.let_go()
    until(ask, jid, "complete")
    assert 2 == counted.runs


def test_stopped(ask: Ask, tmp_path: Path) -> None:
    """A change that is stopped begins no stage any more; what runs goes on."""
    counted = Counted(tmp_path / "runs", held=True)
    jid = begun(ask, by_turns(counted))
    eventually(lambda: [s["state"] for s in batch_of(ask, jid)["stages"]][:1] == ["running"])
    assert "stopping" == ask("POST", f"/jobs/{jid}/stop").value()["batch"]["state"]
    counted.let_go()
    found = until(ask, jid, "stopped")
    assert (["minion-1"], "asked") == (found["not_run"], found["reason"])
    assert {"minion-1": "not_run"} == ask("GET", f"/jobs/{jid}").value()["missing"]
    assert 1 == counted.runs


def test_ended(ask: Ask, tmp_path: Path) -> None:
    """DELETE stops the change and ends the job of the stage that runs."""
    counted = Counted(tmp_path / "runs", held=True)
    jid = begun(ask, by_turns(counted))
    eventually(lambda: [s["state"] for s in batch_of(ask, jid)["stages"]][:1] == ["running"])
    found = ask("DELETE", f"/jobs/{jid}").value()
    assert ["minion-2"] == list(found["outcomes"])
    until(ask, jid, "stopped")
    assert 0 == counted.runs


def test_whose_it_is(api: ApiServer, ask: Ask, tmp_path: Path) -> None:
    """Others see nothing of it; the job of a stage is none; what is not allowed does not begin."""
    counted = Counted(tmp_path / "runs", held=True)
    jid = begun(ask, by_turns(counted))
    other = asker(api, api.login("scoped"))
    assert 404 == other("POST", f"/jobs/{jid}/stop").status
    eventually(lambda: batch_of(ask, jid)["stages"])
    eventually(lambda: batch_of(ask, jid)["stages"][0]["jid"])
    part = batch_of(ask, jid)["stages"][0]["jid"]
    assert 409 == ask("POST", f"/jobs/{part}/stop").status
    counted.let_go()
    until(ask, jid, "complete")
    refused = other("POST", "/run", by_turns(Counted(tmp_path / "others")))
    assert 403 == refused.status
    stage = {"tgt": "minion-1", "fun": "test.ping", "batch": 1}
    (result,) = other("POST", "/run", stage).value()["results"]
    assert 409 == ask("POST", f"/jobs/{result['jid']}/resume").status
    assert ["minion-1"] == result["returned"]


def test_session_expires(api: ApiServer, tmp_path: Path) -> None:
    """Without its session it is paused before the next stage; a new session lets it go on."""
    counted = Counted(tmp_path / "runs", held=True)
    token = api.login()
    jid = begun(asker(api, token), by_turns(counted))
    ask = asker(api, api.login())
    eventually(lambda: [s["state"] for s in batch_of(ask, jid)["stages"]][:1] == ["running"])
    assert 200 == api.send("POST", "/logout", headers={"X-Auth-Token": token}).status
    counted.let_go()
    assert "session_expired" == until(ask, jid, "paused")["reason"]
    eventually(lambda: 1 == counted.runs)
    ask("POST", f"/jobs/{jid}/resume")
    until(ask, jid, "complete")
    assert 2 == counted.runs


def test_sent_again(ask: Ask, tmp_path: Path) -> None:
    """An idempotency key covers the whole change."""
    counted = Counted(tmp_path / "runs")
    key = jid_of_now()
    first = ask("POST", "/run", by_turns(counted), Idempotency_Key=key)
    again = ask("POST", "/run", by_turns(counted), Idempotency_Key=key)
    assert first.value()["results"][0]["jid"] == again.value()["results"][0]["jid"]
    assert (first.body, "true") == (again.body, again.header("Idempotency-Replayed"))
    assert 2 == counted.runs


@pytest.mark.long
def test_a_thousand(master: PrivateMaster, ask: Ask) -> None:
    """A thousand minions change in four stages; each returns once."""
    with Swarm(master, 1000, prefix="many-"):
        chunk = {"tgt": "many-*", "fun": "test.ping", "timeout": 60}
        batch = {"stages": [1, "10%", "50%", "100%"], "max_failed": "1%"}
        records = lines(ask("POST", "/run", {**chunk, "batch": batch}, Accept=NDJSON))
    sizes = [len(r["minions"]) for r in records if r.get("state") == "running"]
    assert [1, 99, 400, 500] == sizes
    assert 1000 == len({r["minion"] for r in records if r["type"] == "return"})
    assert ("complete", 0) == tuple(records[-1]["batch"][key] for key in ("state", "failures"))


@pytest.mark.long
@pytest.mark.parametrize("how", ["kill", "stop"])
def test_taken_over(master: PrivateMaster, ask: Ask, tmp_path: Path, how: str) -> None:
    """When the process that sees to a change is gone, another one goes on with it."""
    counted = Counted(tmp_path / "runs", held=True)
    with ApiServer(master, OURS, {"workers": 1}, module="rest_asgi") as other:
        first = asker(other, other.login())
        jid = begun(first, by_turns(counted))
        eventually(lambda: [s["state"] for s in batch_of(ask, jid)["stages"]][:1] == ["running"])
        getattr(other.program, how)()
    counted.let_go()
    until(ask, jid, "complete")
    found = ask("GET", f"/jobs/{jid}").value()
    assert (2, {"minion-1": "done", "minion-2": "done"}) == (
        counted.runs,
        {minion: each["return"] for minion, each in found["returns"].items()},
    )


@pytest.mark.long
def test_listed_after_a_restart(master: PrivateMaster, ask: Ask) -> None:
    """A change that has ended is in the list of a server that has begun long after its end."""
    chunk = {"tgt": "minion-*", "fun": "test.ping", "batch": 1}
    jid = ask("POST", "/run", chunk).value()["results"][0]["jid"]

    async def grow_old() -> None:
        store = SqliteStore(Path(master.options["cachedir"]) / "saltapi" / "batches.sqlite")
        await store.remove(kept_batches.ACTIVE, jid)
        await store.close()

    eventually(lambda: ask("GET", f"/jobs/{jid}").value()["state"] == "complete")
    asyncio.run(grow_old())
    section = {"workers": 1, "administrators": ["saltdev"]}
    with ApiServer(master, OURS, section, module="rest_asgi") as later:
        users = {name: asker(later, later.login(name)) for name in (None, "low")}
        entry = listed(users[None], jid)
        assert ("test.ping", "saltdev", f"/v1/jobs/{jid}") == tuple(
            entry[key] for key in ("fun", "user", "url")
        )
        for query in ("fun=test.p*", "state=complete", "minion=minion-2", "user=saltdev"):
            jobs = users[None]("GET", f"/jobs?limit=500&{query}").value()["jobs"]
            assert jid in {job["jid"] for job in jobs}, query
        for query in ("fun=test.arg", "state=failed", "minion=other", "user=low"):
            jobs = users[None]("GET", f"/jobs?limit=500&{query}").value()["jobs"]
            assert jid not in {job["jid"] for job in jobs}, query
        assert jid not in {job["jid"] for job in users["low"]("GET", "/jobs").value()["jobs"]}
        assert 2 == listed(users[None], jid)["returned"]  # it has been looked at


@pytest.mark.long
def test_in_doubt(api: ApiServer, master: PrivateMaster, ask: Ask) -> None:
    """A stage that may have been published is not published again: the change ends there."""
    store = SqliteStore(Path(master.options["cachedir"]) / "saltapi" / "batches.sqlite")
    assert store.path.exists()
    jid, now = jid_of_now(), time.time()
    batch = Batch(
        jid=jid,
        user=master.username,
        eauth=master.eauth,
        fun="test.ping",
        arg=[],
        tgt="minion-*",
        tgt_type="glob",
        ret="",
        timeout_seconds=None,
        gather_job_timeout_seconds=None,
        extra=[],
        plan={"size": 1, "max_failed": 0, "wait": 0},
        matched=["minion-1", "minion-2"],
        unknown=[],
        started_at=now,
        minions=["minion-1", "minion-2"],
        stages=[Stage(0, 1, "20200101000000000000", StageState.STARTING, now), Stage(1, 2)],
        state=BatchState.RUNNING,
    )

    async def keep() -> None:
        kept = KeptBatches(store, seconds=60)
        await kept.create(batch, api.login())
        await kept.release(jid)
        await store.close()

    asyncio.run(keep())
    found = until(ask, jid, "halted")
    assert ("outcome_unknown", ["minion-2"]) == (found["reason"], found["not_run"])
    missing = {"minion-1": "outcome_unknown", "minion-2": "not_run"}
    assert missing == ask("GET", f"/jobs/{jid}").value()["missing"]


@pytest.mark.parametrize("batch", ["1", 1, "50%"])
def test_local_async(api: ApiServer, tmp_path: Path, batch: Any) -> None:
    """On the other URLs `local_async` with a `batch` answers at once and runs in stages."""
    counted = Counted(tmp_path / "runs")
    chunk = {**by_turns(counted), "client": "local_async", "batch": batch}
    answer = api.send("POST", "/run", json_body=[chunk | api.master.credentials()])
    (found,) = answer.value()["return"]
    assert (20, {"minion-1", "minion-2"}) == (len(found["jid"]), set(found["minions"]))
    ask = asker(api, api.login())
    assert 2 == len(until(ask, found["jid"], "complete")["stages"])
    assert 2 == counted.runs


@pytest.mark.long
def test_of_another_module(master: PrivateMaster, ask: Ask, tmp_path: Path) -> None:
    """A change that another module has begun is seen, and seen to, here."""
    counted = Counted(tmp_path / "runs", held=True)
    chunk = {**by_turns(counted), "client": "local_async", "batch": 1}
    with ApiServer(master, OURS) as other:
        answer = other.send("POST", "/", json_body=[chunk], headers={"X-Auth-Token": other.login()})
        jid = answer.value()["return"][0]["jid"]
        eventually(lambda: [s["state"] for s in batch_of(ask, jid)["stages"]][:1] == ["running"])
        assert "paused" == ask("POST", f"/jobs/{jid}/pause").value()["batch"]["state"]
    counted.let_go()
    assert ask("POST", f"/jobs/{jid}/resume").value()["batch"]["reason"] is None
    until(ask, jid, "complete")
    assert 2 == counted.runs


def test_not_at_once(api: ApiServer, ask: Ask) -> None:
    """What asks for stages is never run on all at once."""
    chunk = {"client": "local", "tgt": "*", "fun": "test.ping", "batch": {"size": 1}}
    answer = api.send("POST", "/", json_body=[chunk], headers={"X-Auth-Token": api.login()})
    assert (400, True) == (answer.status, b"/v1/run" in answer.body)
    answer = ask("POST", "/run", {**chunk, "client": "local_batch"})
    assert (400, True) == (answer.status, b"batch" in answer.body)


def test_run_again(ask: Ask, swarm: Swarm) -> None:
    """Run again, those who failed or were left out have their turns in stages too."""
    chunk = {"tgt": "sim-*", "fun": "sim.fail", "batch": {"stages": [2, "100%"]}}
    jid = ask("POST", "/run", chunk).value()["results"][0]["jid"]
    (result,) = ask("POST", f"/jobs/{jid}/rerun", {"minions": "missing"}).value()["results"]
    assert (18, "halted") == (len(result["expected"]), result["batch"]["state"])


@pytest.mark.skipif(SALT_LINE < 3008, reason="Salt knows of batches since 3008")
def test_salt_knows(ask: Ask, tmp_path: Path) -> None:
    """`batch.status` and `batch.list_active` show the change, and `batch.stop` stops it."""
    counted = Counted(tmp_path / "runs", held=True)
    jid = begun(ask, by_turns(counted))

    def runner(fun: str, **kwarg: Any) -> Any:
        chunk = {"client": "runner", "fun": fun, "kwarg": kwarg}
        return ask("POST", "/run", chunk).value()["results"][0]["result"]

    eventually(lambda: (runner("batch.status", jid=jid) or {}).get("active") == 1)
    found = runner("batch.status", jid=jid)
    assert (2, 1, False) == (found["total"], found["pending"], found["halted"])
    assert jid in {batch["jid"] for batch in runner("batch.list_active")}
    assert runner("batch.stop", jid=jid) is True
    until(ask, jid, "stopping")
    counted.let_go()
    until(ask, jid, "stopped")
    eventually(lambda: runner("batch.status", jid=jid)["halted"])
    assert jid not in {batch["jid"] for batch in runner("batch.list_active")}


def test_listed(ask: Ask) -> None:
    """Changes are in the list of jobs."""
    chunk = {"tgt": "minion-*", "fun": "test.ping", "batch": 1}
    jid = ask("POST", "/run", chunk).value()["results"][0]["jid"]
    assert "complete" == listed(ask, jid)["state"]
    # Another worker hears of the minions by the bus.
    eventually(lambda: listed(ask, jid)["returned"] == 2)


def listed(ask: Ask, jid: str) -> dict[str, Any]:
    """Return the entry of a job in the list; a page may be short where it would take long."""
    cursor = ""
    while True:
        page = ask("GET", f"/jobs?limit=500{cursor}").value()
        for job in page["jobs"]:
            if job["jid"] == jid:
                return dict(job)
        assert page["cursor"] is not None, f"{jid} is not in the list"
        cursor = f"&cursor={page['cursor']}"
