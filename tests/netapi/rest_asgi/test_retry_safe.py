"""`Idempotency-Key`: a command that is sent again does not run again."""

import http.client
import json
import re
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.waiting import eventually, scaled
from tests.wire import Answer

ONE = "minion-1"
REPLAYED = "Idempotency-Replayed"
HELD_TENTHS = round(scaled(600))
"""In tenths of a second: a command that is held ends by itself when the test has died."""


@pytest.fixture(scope="module")
def api(master: PrivateMaster) -> Iterator[ApiServer]:
    """The module in two processes."""
    with ApiServer(master, OURS, {"workers": 2}, module="rest_asgi") as api:
        yield api


@pytest.fixture(scope="module")
def token(api: ApiServer) -> str:
    return api.login()


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex


class Counted:
    """A command that leaves a line in a file each time it runs; held, not before it may end."""

    def __init__(self, path: Path, *, held: bool = False) -> None:
        self.path = path
        self._go = path.with_suffix(".go")
        wait = f"for _ in $(seq {HELD_TENTHS}); do [ -e {self._go} ] && break; sleep 0.1; done; "
        self.chunk: dict[str, Any] = {
            "client": "local",
            "tgt": ONE,
            "fun": "cmd.run",
            "arg": [f"{wait if held else ''}echo ran >> {path}; echo done"],
        }

    def let_go(self) -> None:
        """Let it end."""
        self._go.touch()

    @property
    def runs(self) -> int:
        """How often it has run."""
        return len(self.path.read_text().splitlines()) if self.path.exists() else 0


@pytest.fixture
def counted(tmp_path: Path) -> Counted:
    return Counted(tmp_path / "runs")


def post(
    api: ApiServer, path: str, body: Any, token: str | None, key: str, accept: str | None = None
) -> Answer:
    headers = {"Idempotency-Key": key}
    if token is not None:
        headers["X-Auth-Token"] = token
    if accept is not None:
        headers["Accept"] = accept
    return api.send("POST", path, json_body=body, headers=headers)


def running(api: ApiServer, token: str) -> list[str]:
    """Return the jids of the commands that run."""
    found = api.send("GET", "/v1/jobs?state=running", headers={"X-Auth-Token": token})
    return [job["jid"] for job in found.value()["jobs"] if job["fun"] == "cmd.run"]


def lines(answer: Answer) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.body.splitlines()]


@pytest.mark.parametrize("path", ["/v1/run", "/", "/minions"])
def test_parallel(api: ApiServer, token: str, key: str, counted: Counted, path: str) -> None:
    """Ten times at once, on two processes: one job, the same answer for everybody."""
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: post(api, path, [counted.chunk], token, key), range(10)))

    assert {202 if path == "/minions" else 200} == {answer.status for answer in answers}
    assert 9 == [answer.header(REPLAYED) for answer in answers].count("true")
    if path == "/v1/run":
        results = [answer.value()["results"] for answer in answers]
        assert 1 == len({result[0]["jid"] for result in results})
        assert ["done"] * 10 == [result[0]["returns"][ONE]["return"] for result in results]
        assert 1 == len({answer.header("X-Salt-Jid") for answer in answers})
    else:
        assert 1 == len({answer.body for answer in answers})
    eventually(lambda: counted.runs)
    assert 1 == counted.runs


def test_without_a_session(api: ApiServer, key: str, counted: Counted) -> None:
    """`/run` with credentials in the chunks takes the key too; they are no part of the command."""
    chunk = {**counted.chunk, **api.master.credentials()}
    first = post(api, "/run", chunk, None, key)
    again = post(api, "/run", [chunk][0], None, key)
    with_token = {**counted.chunk, "token": api.login()}
    third = post(api, "/run", with_token, None, key)

    assert [{ONE: "done"}] == first.value()["return"]
    assert first.body == again.body == third.body
    assert (None, "true", "true") == (
        first.header(REPLAYED),
        again.header(REPLAYED),
        third.header(REPLAYED),
    )
    assert 1 == counted.runs
    wrong = {**chunk, "password": "wrong"}
    assert 401 == post(api, "/run", wrong, None, key).status


def test_as_a_stream(api: ApiServer, token: str, key: str, tmp_path: Path) -> None:
    """A repeat while the job still runs joins it, as a stream too."""
    counted = Counted(tmp_path / "runs", held=True)
    ndjson = "application/x-ndjson"
    with ThreadPoolExecutor(2) as pool:
        futures = [
            pool.submit(post, api, "/v1/run", counted.chunk, token, key, ndjson) for _ in range(2)
        ]
        eventually(lambda: running(api, token))
        counted.let_go()
    answers = [future.result() for future in futures]

    records = [lines(answer) for answer in answers]
    assert [["job", "return", "summary"]] * 2 == [[r["type"] for r in one] for one in records]
    assert records[0][0]["jid"] == records[1][0]["jid"]
    assert 1 == counted.runs


def test_quotes(api: ApiServer, token: str, key: str, counted: Counted) -> None:
    """The key may stand in quotes, as the draft has it."""
    first = post(api, "/v1/run", counted.chunk, token, f'"{key}"')
    again = post(api, "/v1/run", counted.chunk, token, key)

    assert (None, "true") == (first.header(REPLAYED), again.header(REPLAYED))
    assert first.header("X-Salt-Jid") == again.header("X-Salt-Jid")


@pytest.mark.parametrize("path", ["/v1/run", "/"])
def test_another_body(api: ApiServer, token: str, key: str, counted: Counted, path: str) -> None:
    """A key that was used for another request is refused, and nothing runs."""
    post(api, path, [{"client": "local", "tgt": ONE, "fun": "test.ping"}], token, key)
    answer = post(api, path, [counted.chunk], token, key)

    assert 422 == answer.status
    if path == "/v1/run":
        assert "key_reused" == json.loads(answer.body)["code"]
    assert 0 == counted.runs


def test_another_user(api: ApiServer, token: str, key: str) -> None:
    """The same key of another user is another key."""
    chunk = {"client": "local", "tgt": "*", "fun": "test.ping"}
    first = post(api, "/v1/run", chunk, token, key)
    other = post(api, "/v1/run", chunk, api.login("low"), key)
    own = post(api, "/v1/run", chunk, api.login(), key)

    assert (None, None, "true") == (
        first.header(REPLAYED),
        other.header(REPLAYED),
        own.header(REPLAYED),
    )
    assert first.header("X-Salt-Jid") != other.header("X-Salt-Jid")


@pytest.mark.parametrize(
    "bad", ["", '""', "a" * 256, "\x7f"], ids=["empty", "quotes", "long", "unprintable"]
)
@pytest.mark.parametrize("path", ["/v1/run", "/"])
def test_no_key(api: ApiServer, token: str, counted: Counted, path: str, bad: str) -> None:
    """What cannot be a key is refused, and nothing runs."""
    assert 400 == post(api, path, counted.chunk, token, bad).status
    assert 0 == counted.runs


def test_refused(api: ApiServer, key: str) -> None:
    """What was refused before anything ran does not use up the key."""
    token = api.login("scoped")
    refused = post(api, "/v1/run", {"tgt": "*", "fun": "test.ping"}, token, key)
    other = post(api, "/v1/run", {"tgt": ONE, "fun": "test.ping"}, token, key)

    assert (403, 200, None) == (refused.status, other.status, other.header(REPLAYED))
    whole = api.login()  # others are not told that there is nobody
    nobody = post(api, "/v1/run", {"tgt": "nobody", "fun": "test.ping"}, whole, key + "n")
    assert 404 == nobody.status
    again = post(api, "/v1/run", {"tgt": ONE, "fun": "test.ping"}, whole, key + "n")
    assert (200, None) == (again.status, again.header(REPLAYED))


@pytest.mark.parametrize("client", ["runner", "wheel"])
def test_functions_of_the_master(api: ApiServer, token: str, key: str, client: str) -> None:
    """What a runner or wheel function returned is told again."""
    fun = {"runner": "jobs.active", "wheel": "key.list_all"}[client]
    chunk = {"client": client, "fun": fun}
    first = post(api, "/v1/run", chunk, token, key)
    again = [post(api, "/v1/run", chunk, token, key) for _ in range(3)]

    assert ["true"] * 3 == [answer.header(REPLAYED) for answer in again]
    result = first.value()["results"][0]
    for answer in again:
        repeated = answer.value()["results"][0]
        assert (result["jid"], result["result"]) == (repeated["jid"], repeated["result"])
    classic = [post(api, "/", [chunk], token, key + "c") for _ in range(2)]
    assert classic[0].body == classic[1].body


@pytest.mark.parametrize("client", ["local_async", "runner_async", "local_batch"])
def test_other_clients(api: ApiServer, token: str, key: str, client: str) -> None:
    """Clients without a result, and without one job, are told again too."""
    fun = "test.arg" if client == "runner_async" else "test.ping"
    chunk = {"client": client, "tgt": "*", "fun": fun}
    if client == "runner_async":
        del chunk["tgt"]
    first = post(api, "/v1/run", chunk, token, key)
    again = post(api, "/v1/run", chunk, token, key)

    assert (200, 200, "true") == (first.status, again.status, again.header(REPLAYED))
    before, after = first.value()["results"][0], again.value()["results"][0]
    assert (before["jid"], before["expected"]) == (after["jid"], after["expected"])
    if client == "local_batch":
        assert before["returns"] == after["returns"]


def test_several_chunks(api: ApiServer, token: str, key: str, tmp_path: Path) -> None:
    """A list of commands runs once as a whole."""
    counted = [Counted(tmp_path / str(number)) for number in range(2)]
    chunks = [counted[0].chunk, {"client": "runner", "fun": "test.arg"}, counted[1].chunk]
    first = post(api, "/v1/run", chunks, token, key)
    again = post(api, "/v1/run", chunks, token, key)

    jids = [result["jid"] for result in first.value()["results"]]
    assert jids == [result["jid"] for result in again.value()["results"]]
    assert (3, [1, 1]) == (len(jids), [one.runs for one in counted])


def test_rerun(api: ApiServer, token: str, key: str, counted: Counted) -> None:
    """Running a job again takes the key too."""
    jid = post(api, "/v1/run", counted.chunk, token, key).value()["results"][0]["jid"]
    path = f"/v1/jobs/{jid}/rerun"
    first = post(api, path, {"minions": "all"}, token, key + "r")
    again = post(api, path, {"minions": "all"}, token, key + "r")

    assert (None, "true") == (first.header(REPLAYED), again.header(REPLAYED))
    assert first.header("X-Salt-Jid") == again.header("X-Salt-Jid") != jid
    assert 2 == counted.runs


@pytest.fixture(scope="module")
def mortal(master: PrivateMaster) -> Iterator[ApiServer]:
    """The module in one process, to be stopped and killed."""
    with ApiServer(master, OURS, module="rest_asgi") as mortal:
        yield mortal


def test_restart(mortal: ApiServer, key: str, tmp_path: Path) -> None:
    """After a restart the key is still known: a finished command, and one that was on its way."""
    finished, started = Counted(tmp_path / "a"), Counted(tmp_path / "b", held=True)
    token = mortal.login()
    first = post(mortal, "/", [finished.chunk], token, key)
    body = {**started.chunk, "client": "local_async"}
    start = post(mortal, "/v1/run", body, token, key + "r")
    mortal.program.stop()
    mortal.program.start()
    eventually(mortal._answers)

    assert first.body == post(mortal, "/", [finished.chunk], token, key).body
    again = post(mortal, "/v1/run", body, token, key + "r")
    assert (200, "true") == (again.status, again.header(REPLAYED))
    assert start.header("X-Salt-Jid") == again.header("X-Salt-Jid")
    started.let_go()
    eventually(lambda: started.runs)
    assert (1, 1) == (finished.runs, started.runs)


def test_killed(mortal: ApiServer, key: str, tmp_path: Path) -> None:
    """A process that dies at work: its jobs are found, what nobody knows is not run again."""
    joined, lost = Counted(tmp_path / "a", held=True), Counted(tmp_path / "b", held=True)
    token = mortal.login()

    def start(kind: str) -> Answer:
        if kind == "joined":
            return post(mortal, "/v1/run", joined.chunk, token, key)
        return post(mortal, "/", [lost.chunk], token, key + "l")

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(start, kind) for kind in ("joined", "lost")]
        eventually(lambda: 2 == len(running(mortal, token)))
        mortal.program.kill()
        for future in futures:
            with pytest.raises((OSError, http.client.HTTPException)):
                future.result()
    for command in (joined, lost):
        command.let_go()
    mortal.program.start()
    eventually(mortal._answers)

    again = start("joined")
    assert (200, "true") == (again.status, again.header(REPLAYED))
    assert "done" == again.value()["results"][0]["returns"][ONE]["return"]
    unknown = start("lost")
    assert 409 == unknown.status
    jid = re.search("[0-9]{20}", unknown.body.decode())
    assert jid is not None
    url = f"/v1/jobs/{jid[0]}?wait=20"
    job = mortal.send("GET", url, headers={"X-Auth-Token": token}).value()
    assert "done" == job["returns"][ONE]["return"]
    assert (1, 1) == (joined.runs, lost.runs)
