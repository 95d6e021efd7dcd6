"""Results as they come, and jobs as resources, against a real master."""

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer, jid_of_now
from tests.swarm import Swarm
from tests.waiting import eventually, scaled
from tests.wire import Answer, encode_request

SSE, NDJSON = "text/event-stream", "application/x-ndjson"
SOON = {"timeout": 1, "gather_job_timeout": 1}
"""How long silent minions are waited for."""


@pytest.fixture(scope="module")
def api(master: PrivateMaster, swarm: Swarm) -> Iterator[ApiServer]:
    with ApiServer(master, OURS, {"workers": 1}, module="rest_asgi") as server:
        yield server


@pytest.fixture(scope="module")
def token(api: ApiServer) -> str:
    """The session of somebody who may do everything."""
    return api.login()


@pytest.fixture(scope="module")
def low(api: ApiServer) -> str:
    """The session of somebody who may run `test.ping` and nothing else."""
    return api.login("low")


@pytest.fixture(scope="module")
def ask(api: ApiServer, token: str) -> Callable[..., Answer]:
    """Send a request with the session of somebody who may do everything."""

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


def types(records: list[dict[str, Any]]) -> list[str]:
    return [record["type"] for record in records if record["type"] != "progress"]


def run(ask: Callable[..., Answer], body: Any) -> list[dict[str, Any]]:
    return lines(ask("POST", "/run", body, Accept=NDJSON))


# Results as they come


def test_document(ask: Callable[..., Answer]) -> None:
    """Without a stream there is one document with all facts, and the jid in the headers."""
    answer = ask("POST", "/run", {"tgt": "minion-*", "fun": "test.ping"})
    found = answer.value()
    (result,) = found["results"]
    assert (200, True) == (answer.status, found["complete"])
    assert {"minion-1", "minion-2"} == set(result["expected"]) == set(result["returned"])
    assert ("complete", {}, []) == (result["state"], result["missing"], result["failed"])
    assert {"minion-1": True, "minion-2": True} == {
        minion: each["return"] for minion, each in result["returns"].items()
    }
    assert result["jid"] == answer.header("X-Salt-Jid")
    assert f"/v1/jobs/{result['jid']}" == answer.header("Location")


def test_trimmed(ask: Callable[..., Answer]) -> None:
    """A return of which Salt has cut something says so, in the answer and in the job."""
    fill = "head -c 1200000 /dev/zero | tr '\\0' x"
    answer = ask("POST", "/run", {"tgt": "minion-1", "fun": "cmd.run", "arg": [fill]})
    (result,) = answer.value()["results"]
    assert ("VALUE_TRIMMED", True) == tuple(
        result["returns"]["minion-1"][key] for key in ("return", "trimmed")
    )
    whole = ask("GET", f"/jobs/{result['jid']}").value()["returns"]["minion-1"]
    assert whole["trimmed"] is True
    assert "trimmed" not in run(ask, {"tgt": "minion-1", "fun": "test.ping"})[1]


def test_records(ask: Callable[..., Answer], swarm: Swarm) -> None:
    """A stream has the published job, each return, and a summary."""
    chunk = {"tgt": "sim-*", "fun": "test.echo", "arg": ["täst"]}
    records = run(ask, chunk)
    assert ["job", *["return"] * len(swarm.ids), "summary"] == types(records)
    assert sorted(swarm.ids) == records[0]["expected"]
    returns = {r["minion"]: r["return"] for r in records if r["type"] == "return"}
    assert dict.fromkeys(swarm.ids, "täst") == returns
    assert (True, {}) == (records[-1]["complete"], records[-1]["missing"])
    assert {0} == {record["chunk"] for record in records}


def test_server_sent_events(ask: Callable[..., Answer]) -> None:
    """As server-sent events every record has its type as name, and an id."""
    answer = ask("POST", "/run", {"tgt": "sim-1", "fun": "test.ping"}, Accept=SSE)
    frames = [frame.splitlines() for frame in answer.body.decode().strip().split("\n\n")]
    assert ["job", "return", "summary"] == [frame[1].removeprefix("event: ") for frame in frames]
    for id_line, _, data in frames:
        assert json.loads(data.removeprefix("data: "))["id"] == id_line.removeprefix("id: ")


def test_jid_at_once(api: ApiServer, token: str, ask: Callable[..., Answer]) -> None:
    """The head with the jid, and the job, come before any minion has returned."""
    body = json.dumps({"tgt": "sim-1", "fun": "test.sleep", "arg": [2]}).encode()
    headers = {"Host": "x", "X-Auth-Token": token, "Accept": NDJSON}
    headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    with socket.create_connection(("127.0.0.1", api.port), timeout=scaled(30)) as connection:
        connection.sendall(encode_request("POST", "/v1/run", headers.items(), body))
        begin = b""
        while b'"job"' not in begin:
            begin += connection.recv(4096)
    jid = begin.lower().partition(b"x-salt-jid: ")[2].partition(b"\r")[0].decode()
    assert b"return" not in begin.replace(b"returned", b"")
    assert "running" == ask("GET", f"/jobs/{jid}").value()["state"]
    # The client has gone away; the job has not.
    assert ["sim-1"] == ask("GET", f"/jobs/{jid}?wait=20").value()["returned"]


def test_silent_and_failed(ask: Callable[..., Answer]) -> None:
    """Silent minions are told of while they are, and missing with a reason at the end."""
    chunk = {"tgt": ["sim-1", "sim-2", "nobody"], "tgt_type": "list", "fun": "sim.never", **SOON}
    records = run(ask, chunk)
    progress = [r for r in records if r["type"] == "progress"]
    assert "no_answer" in {what for record in progress for what in record["waiting"].values()}
    summary = records[-1]
    missing = {"nobody": "unknown_minion", "sim-1": "not_received", "sim-2": "not_received"}
    assert ("incomplete", False, missing) == (
        summary["state"],
        summary["complete"],
        summary["missing"],
    )
    document = ask("POST", "/run", {"tgt": "sim-1", "fun": "sim.fail"}).value()
    assert (True, ["sim-1"]) == (document["complete"], document["results"][0]["failed"])


def test_running_minions(ask: Callable[..., Answer]) -> None:
    """A minion that says that it runs the job is waited for, and shown as running."""
    records = run(ask, {"tgt": "sim-1", "fun": "sim.slow", "arg": [2.5], **SOON})
    progress = [r for r in records if r["type"] == "progress"]
    assert {"sim-1": "running"} in [record["waiting"] for record in progress]
    assert records[-1]["complete"]


def test_all_clients(ask: Callable[..., Answer]) -> None:
    """Every client has its records; chunks run in order, each with its number."""
    chunks = [
        {"client": "runner", "fun": "test.arg", "arg": [1], "kwarg": {"a": 2}},
        {"client": "wheel", "fun": "key.list_all"},
        {"client": "local_subset", "fun": "test.ping", "tgt": "sim-*", "subset": 2},
        {"client": "local_batch", "fun": "test.echo", "arg": [7], "tgt": "sim-1*", "batch": "2"},
        {"client": "local_async", "fun": "test.ping", "tgt": "sim-1"},
        {"client": "runner_async", "fun": "test.arg"},
    ]
    records = run(ask, chunks)
    summaries = [record for record in records if record["type"] == "summary"]
    assert list(range(6)) == [summary["chunk"] for summary in summaries]
    assert {"args": [1], "kwargs": {"a": 2}} == summaries[0]["result"]
    assert "minion-1" in summaries[1]["result"]["minions"]
    assert 2 == len(summaries[2]["returned"])
    assert (11, True) == (len(summaries[3]["returned"]), summaries[3]["complete"])
    assert {7} == {r["return"] for r in records if r["chunk"] == 3 and r["type"] == "return"}
    assert not summaries[4]["complete"]
    assert all(summary["jid"] for summary in summaries if summary["chunk"] != 3)


def test_errors_after_the_start(ask: Callable[..., Answer]) -> None:
    """What fails after the start is a record, and a part of the document; nothing runs after it."""
    ping = {"tgt": "sim-1", "fun": "test.ping"}
    chunks = [ping, {**ping, "tgt": "nobody"}, ping]
    records = run(ask, chunks)
    assert ["job", "return", "summary", "error"] == types(records)
    error = records[-1]["error"]
    assert (1, "no_minions_matched", 404, 1) == (
        records[-1]["chunk"],
        error["code"],
        error["status"],
        error["chunk"],
    )
    document = ask("POST", "/run", chunks).value()
    assert (False, 2) == (document["complete"], len(document["results"]))
    assert "no_minions_matched" == document["results"][1]["error"]["code"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"tgt": "nobody", "fun": "test.ping"}, 404, "no_minions_matched"),
        ([], 400, "bad_request"),
        ({"tgt": "*"}, 400, "invalid_chunk"),
        ([{"tgt": "*", "fun": "test.ping"}, {"tgt": "*", "fun": 7}], 400, "invalid_chunk"),
        ({"client": "runner", "fun": "no.such"}, 400, "invalid_chunk"),
    ],
)
def test_nothing_is_run(ask: Callable[..., Answer], body: Any, status: int, code: str) -> None:
    """What cannot be run is a problem before anything has: never an empty success."""
    answer = ask("POST", "/run", body, Accept=NDJSON)
    problem = json.loads(answer.body)
    assert (status, code) == (answer.status, problem["code"])
    assert answer.header("X-Salt-Jid") is None


def test_not_permitted(api: ApiServer, low: str) -> None:
    """The master decides who may run what: 403 for somebody known, 401 for nobody."""
    chunk = {"tgt": "sim-1", "fun": "test.echo", "arg": [1]}
    known = api.send("POST", "/v1/run", json_body=chunk, headers={"X-Auth-Token": low})
    unknown = api.send("POST", "/v1/run", json_body=chunk)
    assert (403, 401) == (known.status, unknown.status)


def test_own_jid(ask: Callable[..., Answer]) -> None:
    """A jid of the client's own can be used once, at the time that it carries."""
    jid = jid_of_now()
    chunk = {"tgt": "sim-1", "fun": "test.ping", "jid": jid}
    first, again = ask("POST", "/run", chunk), ask("POST", "/run", chunk)
    assert (200, 409) == (first.status, again.status)
    assert jid == first.header("X-Salt-Jid")


# Jobs as resources


@pytest.fixture(scope="module")
def jid(ask: Callable[..., Answer]) -> str:
    """A job that `sim-1` to `sim-3` have returned from."""
    chunk = {"tgt": ["sim-1", "sim-2", "sim-3"], "tgt_type": "list", "fun": "test.echo"}
    answer = ask("POST", "/run", {**chunk, "arg": ["known by its name"]})
    return str(answer.header("X-Salt-Jid"))


def test_one_job(ask: Callable[..., Answer], jid: str) -> None:
    """A job says what was asked of whom, and what came of it."""
    job = ask("GET", f"/jobs/{jid}").value()
    assert ["known by its name"] == job["arg"]
    assert ["sim-1", "sim-2", "sim-3"] == job["expected"]
    assert "known by its name" == job["returns"]["sim-2"]["return"]
    assert "returns" not in ask("GET", f"/jobs/{jid}?returns=false").value()


def test_who_sees_what(api: ApiServer, low: str, jid: str) -> None:
    """Somebody who may not list jobs sees own ones, and no other."""
    headers = {"X-Auth-Token": low}
    chunk = {"tgt": "sim-1", "fun": "test.ping"}
    own = api.send("POST", "/v1/run", json_body=chunk, headers=headers).header("X-Salt-Jid")
    assert 200 == api.send("GET", f"/v1/jobs/{own}", headers=headers).status
    listed = api.send("GET", "/v1/jobs", headers=headers).value()["jobs"]
    assert {"low"} == {job["user"] for job in listed}
    for path, method in ((jid, "GET"), (jid, "DELETE"), (f"{jid}/events", "GET")):
        assert 404 == api.send(method, f"/v1/jobs/{path}", headers=headers).status


def test_unknown_and_malformed(ask: Callable[..., Answer]) -> None:
    """A job that nobody knows is 404, what is no jid 400 with the field."""
    assert 404 == ask("GET", "/jobs/20200101000000000000").status
    answer = ask("GET", "/jobs/nonsense")
    assert (400, "jid") == (answer.status, json.loads(answer.body)["field"])
    for query in ("limit=0", "limit=501", "state=odd", "since=yesterday", "cursor=1"):
        assert 400 == ask("GET", f"/jobs?{query}").status, query


def test_pages_and_filters(ask: Callable[..., Answer], jid: str) -> None:
    """The list can be paged through, and filtered by everything that it says."""
    seen: list[str] = []
    cursor = ""
    while cursor is not None and jid not in seen:
        page = ask("GET", f"/jobs?limit=2{cursor}").value()
        seen += [job["jid"] for job in page["jobs"]]
        assert len(page["jobs"]) <= 2
        cursor = page["cursor"] and f"&cursor={page['cursor']}"
    assert sorted(set(seen), reverse=True) == seen
    assert jid in seen

    def listed(query: str) -> bool:
        cursor: str | None = ""
        while cursor is not None:
            page = ask("GET", f"/jobs?limit=500&{query}{cursor}").value()
            if jid in [job["jid"] for job in page["jobs"]]:
                return True
            cursor = page["cursor"] and f"&cursor={page['cursor']}"
        return False

    job = ask("GET", f"/jobs/{jid}").value()
    fitting = ("fun=test.e*", "user=saltdev", "tgt=sim-2", "minion=sim-3", "state=complete")
    assert [True] * 5 == [listed(query) for query in fitting]
    others = ("fun=test.p*", "user=low", "tgt=minion-1", "minion=minion-1", "state=running")
    assert [False] * 5 == [listed(query) for query in others]
    assert [True, False] == [listed(f"{bound}={job['start']}") for bound in ("since", "until")]


def test_failed_jobs(ask: Callable[..., Answer], jid: str) -> None:
    """Those that failed somewhere, or miss somebody, are listed together, and no others."""
    chunks = [
        {"tgt": "minion-1", "fun": "cmd.run", "arg": ["exit 1"]},
        {"tgt": "sim-2", "fun": "sim.never", "timeout": 1, "gather_job_timeout": 1},
        {"client": "local_async", "tgt": "minion-1", "fun": "test.sleep", "arg": [10]},
    ]
    failed, missing, running = (str(ask("POST", "/run", c).header("X-Salt-Jid")) for c in chunks)
    found: dict[str, tuple[str, int | None]] = {}
    query = "?state=failed&limit=500"
    while query:
        page = ask("GET", f"/jobs{query}").value()
        found |= {job["jid"]: (job["state"], job["failed"]) for job in page["jobs"]}
        query = page["cursor"] and f"?state=failed&limit=500&cursor={page['cursor']}"
    assert [("complete", 1), ("incomplete", 0)] == [found[failed], found[missing]]
    assert not {jid, running} & set(found)
    ask("DELETE", f"/jobs/{running}")


def test_long_poll(ask: Callable[..., Answer]) -> None:
    """With `wait` the answer comes when the job has ended, and not before the time is over."""
    chunk = {"client": "local_async", "tgt": "sim-1", "fun": "test.sleep", "arg": [2]}
    jid = ask("POST", "/run", chunk).header("X-Salt-Jid")
    began = time.monotonic()
    assert "running" == ask("GET", f"/jobs/{jid}?wait=0.3").value()["state"]
    assert time.monotonic() - began >= 0.3
    assert "complete" == ask("GET", f"/jobs/{jid}?wait=30").value()["state"]
    assert 400 == ask("GET", f"/jobs/{jid}?wait=61").status


def test_resume_exactly_once(ask: Callable[..., Answer], jid: str) -> None:
    """Wherever a client stopped to read, it gets what it has not had, and the end only once."""
    records = lines(ask("GET", f"/jobs/{jid}/events", Accept=NDJSON))
    assert ["job", "return", "return", "return", "summary"] == types(records)
    for number, record in enumerate(records[:-1]):
        rest = lines(ask("GET", f"/jobs/{jid}/events", Accept=NDJSON, Last_Event_ID=record["id"]))
        missed = [r["minion"] for r in records[number + 1 :] if r["type"] == "return"]
        assert missed == [r["minion"] for r in rest if r["type"] == "return"]
        assert "summary" == rest[-1]["type"]
    ended = ask("GET", f"/jobs/{jid}/events", Accept=NDJSON, Last_Event_ID=records[-1]["id"])
    assert (204, b"") == (ended.status, ended.body)


def test_end_a_job(ask: Callable[..., Answer]) -> None:
    """DELETE ends the job on real minions, and says what became of it on each."""
    chunk = {"client": "local_async", "tgt": "minion-*", "fun": "test.sleep", "arg": [300]}
    jid = ask("POST", "/run", chunk).header("X-Salt-Jid")
    question = {"tgt": "minion-*", "fun": "saltutil.find_job", "arg": [jid]}

    def running() -> list[bool]:
        returns = ask("POST", "/run", question).value()["results"][0]["returns"]
        return [bool(each["return"]) for each in returns.values()]

    eventually(lambda: [True, True] == running())
    ended = ask("DELETE", f"/jobs/{jid}").value()
    assert {"minion-1": "terminated", "minion-2": "terminated"} == ended["outcomes"]
    assert [False, False] == running()
    job = ask("GET", f"/jobs/{jid}").value()
    assert ("incomplete", ended["outcomes"]) == (job["state"], job["missing"])


def test_ended_elsewhere(
    api: ApiServer, token: str, master: PrivateMaster, ask: Callable[..., Answer]
) -> None:
    """Who waits for a job is told how it ended, though another process has ended it."""
    chunk = {"tgt": "minion-1", "fun": "test.sleep", "arg": [300], "timeout": 3_000}
    headers = {"X-Auth-Token": token, "Accept": NDJSON, "Content-Type": "application/json"}
    with ApiServer(master, OURS, {"workers": 1}, module="rest_asgi") as other:
        connection = http.client.HTTPConnection("127.0.0.1", other.port, timeout=scaled(60))
        connection.request("POST", "/v1/run", json.dumps(chunk), headers)
        answer = connection.getresponse()
        jid = json.loads(answer.readline())["jid"]
        question = {"tgt": "minion-1", "fun": "saltutil.find_job", "arg": [jid]}
        eventually(lambda: b"pid" in ask("POST", "/run", question).body)
        assert {"minion-1": "terminated"} == ask("DELETE", f"/jobs/{jid}").value()["outcomes"]
        summary = json.loads(answer.read().splitlines()[-1])
        connection.close()
    assert ("summary", {"minion-1": "terminated"}) == (summary["type"], summary["missing"])


def test_rerun(ask: Callable[..., Answer]) -> None:
    """A job can be run again: on all, on those that failed or are missing, or on named minions."""
    chunk = {"tgt": ["sim-1", "sim-2"], "tgt_type": "list", "fun": "sim.fail", "kwarg": {"a": 1}}
    first = ask("POST", "/run", chunk).value()["results"][0]

    def again(minions: Any) -> Answer:
        return ask("POST", f"/jobs/{first['jid']}/rerun", {"minions": minions})

    for minions, expected in (
        ("all", ["sim-1", "sim-2"]),
        ("failed", ["sim-1", "sim-2"]),
        (["sim-2"], ["sim-2"]),
    ):
        answer = again(minions)
        (result,) = answer.value()["results"]
        assert (expected, first["arg"]) == (result["expected"], result["arg"])
        assert first["jid"] != result["jid"] == answer.header("X-Salt-Jid")
    assert 409 == again("missing").status
    assert 400 == again(["somebody"]).status
    assert 400 == again("some").status


def test_more_than_the_book_holds(master: PrivateMaster, swarm: Swarm) -> None:
    """Values that the process has no room for come from the job cache."""
    text = "x" * 30_000
    chunk = {"tgt": "sim-*", "fun": "test.echo", "arg": [text]}
    with ApiServer(master, OURS, {"job_book_bytes": 2**20}, module="rest_asgi") as api:
        headers = {"X-Auth-Token": api.login()}
        jid = api.send("POST", "/v1/run", json_body=chunk, headers=headers).header("X-Salt-Jid")
        returns = api.send("GET", f"/v1/jobs/{jid}", headers=headers).value()["returns"]
    assert dict.fromkeys(swarm.ids, text) == {m: each["return"] for m, each in returns.items()}


def test_after_a_restart(master: PrivateMaster, swarm: Swarm) -> None:
    """Another process knows the job from the job cache, and goes on where the client was."""
    chunk = {"tgt": ["sim-4", "sim-5"], "tgt_type": "list", "fun": "test.echo", "arg": [3]}
    with ApiServer(master, OURS, module="rest_asgi") as first:
        headers = {"X-Auth-Token": first.login("saltdev"), "Accept": NDJSON}
        records = lines(first.send("POST", "/v1/run", json_body=chunk, headers=headers))
        own = {"X-Auth-Token": first.login("low")}
        ping = {"tgt": "sim-4", "fun": "test.ping"}
        owned = first.send("POST", "/v1/run", json_body=ping, headers=own).header("X-Salt-Jid")
    jid = records[0]["jid"]
    with ApiServer(master, OURS, module="rest_asgi") as second:
        resumed = {**headers, "Last-Event-ID": records[1]["id"]}
        rest = lines(second.send("GET", f"/v1/jobs/{jid}/events", headers=resumed))
        assert [records[2]["minion"]] == [r["minion"] for r in rest if r["type"] == "return"]
        assert (3, "summary") == (rest[1]["return"], rest[-1]["type"])
        assert 200 == second.send("GET", f"/v1/jobs/{owned}", headers=own).status
        assert 404 == second.send("GET", f"/v1/jobs/{jid}", headers=own).status
        listed = second.send("GET", "/v1/jobs", headers=own).value()["jobs"]
        assert (owned, "unknown") in [(job["jid"], job["state"]) for job in listed]
        assert {"low"} == {job["user"] for job in listed}
