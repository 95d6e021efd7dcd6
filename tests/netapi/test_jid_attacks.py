"""
Jobs of others, attacked by their ids: what a client puts into a chunk as `jid`.

Whoever publishes under the jid of a job takes its place in the job cache. So it is refused, with
one answer that does not tell which jids there are.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest

from saltapi.demo import PrivateMaster
from saltapi.demo.master import ENABLED_CLIENTS
from tests.apis import OURS, ApiServer, jid_of_now
from tests.wire import Answer

MODULES = ["rest_cherrypy", "rest_tornado", "rest_wsgi", "rest_asgi"]
CLIENTS: list[dict[str, Any]] = [
    {"client": "local"},
    {"client": "local_async"},
    {"client": "local_subset", "subset": 1},
    {"client": "local_batch", "batch": "1"},
    {"client": "ssh"},
]
PING = {"client": "local", "tgt": "minion-1", "fun": "test.ping"}
Send: TypeAlias = Callable[..., Answer]


@pytest.fixture(scope="module", params=MODULES)
def api(request: pytest.FixtureRequest, master: PrivateMaster) -> Iterator[ApiServer]:
    options = {"netapi_enable_clients": [*ENABLED_CLIENTS, "ssh"]}
    with ApiServer(master, OURS, options=options, module=request.param) as server:
        (server.directory / "roster").write_text("box: {host: 127.0.0.1, port: 1}\n")
        yield server


@pytest.fixture(scope="module")
def run(api: ApiServer) -> Send:
    """Send a lowstate as a user of the master, by default as one who may only ping."""

    def send(chunks: Any, user: str | None = "low", path: str = "/") -> Answer:
        several = [chunks] if isinstance(chunks, dict) else chunks
        who = api.master.credentials(user)
        return api.send("POST", path, json_body=[{**chunk, **who} for chunk in several])

    return send if api.module == "rest_wsgi" else _with_token(api)


def _with_token(api: ApiServer) -> Send:
    tokens = {user: api.login(user) for user in ("low", None)}

    def send(chunks: Any, user: str | None = "low", path: str = "/") -> Answer:
        return api.send("POST", path, json_body=chunks, headers={"X-Auth-Token": tokens[user]})

    return send


def result_of(answer: Answer) -> Any:
    assert 200 == answer.status, answer
    return answer.value()["return"]


def told(answer: Answer) -> tuple[int, Any]:
    """Return what an answer says, without what differs for each request."""
    found = answer.value()
    for name in ("request_id", "instance"):
        found.pop(name, None)
    return answer.status, found


@pytest.fixture(scope="module")
def victim(run: Send) -> str:
    """The jid of a job of somebody who may run everything."""
    chunk = {**PING, "client": "local_async", "fun": "test.arg", "arg": ["a secret"]}
    (started,) = result_of(run(chunk, None))
    return str(started["jid"])


def record_of(run: Send, jid: str) -> Any:
    chunk = {"client": "runner", "fun": "jobs.list_job", "kwarg": {"jid": jid}}
    return result_of(run(chunk, None))[0]


def test_one_answer(run: Send, victim: str) -> None:
    """The jid of a job, of the past, of the future, of no time, one twice: all the same."""
    refused = told(run({**PING, "jid": victim}))
    assert 409 == refused[0]
    twice = jid_of_now()
    for jids in (
        [jid_of_now(-120)],
        [jid_of_now(120)],
        ["20260102030405060708"],
        ["20269999999999999999"],
        ["00000000000000000000"],
        [f"{victim}_1"],
        [f"{jid_of_now(-120)}_4711"],
        [int(victim)],
        [jid_of_now(), victim],
        [victim, jid_of_now()],
        [jid_of_now(-120), jid_of_now(), victim],
        [twice, twice],
    ):
        assert refused == told(run([{**PING, "jid": jid} for jid in jids])), jids
    assert "chunk" not in refused[1]


def test_every_client_interface(run: Send, victim: str) -> None:
    """None of them publishes under the jid of a job, and the job cache keeps its record."""
    before = record_of(run, victim)
    for client in CLIENTS:
        for user in ("low", None):
            chunk = {**PING, "client": client["client"], **client, "jid": victim}
            assert 409 == run(chunk, user).status, (client, user)
    after = record_of(run, victim)
    assert ("test.arg", ["a secret"]) == (after["Function"], after["Arguments"])
    assert (before["User"], before["Result"]) == (after["User"], after["Result"])


def test_many_at_once(run: Send, victim: str) -> None:
    """Five hundred guesses in one request learn nothing, and nothing of it runs."""
    marked = {**PING, "client": "local_async"}
    guesses = [f"{int(victim) + number:020}" for number in range(1, 500)]
    with_it = told(run([{**marked, "jid": jid} for jid in [*guesses, victim]]))
    without = told(run([{**marked, "jid": jid} for jid in [*guesses, jid_of_now(-120)]]))
    assert with_it == without
    assert 409 == with_it[0]
    assert not record_of(run, guesses[0]).get("Minions")


def test_ones_own(run: Send) -> None:
    """A jid of this moment is taken, once; with a suffix too, as `unique_jid` makes them."""
    for jid in (jid_of_now(), f"{jid_of_now(-5)}_4711"):
        chunk = {**PING, "client": "local_async", "jid": jid}
        assert jid == result_of(run(chunk))[0]["jid"]
        assert 409 == run(chunk).status


def test_strangers(api: ApiServer, victim: str) -> None:
    """Without a session nobody learns anything: the answer is that to any other chunk."""
    answers = set()
    headers = {"X-Auth-Token": "7" * 64}
    for jid in (victim, jid_of_now(), jid_of_now(-120)):
        chunk = {**PING, "token": "7" * 64, "jid": jid}
        path = "/run" if api.module == "rest_tornado" else "/"  # else it sends them to /login
        answer = api.send("POST", path, json_body=[chunk], headers=headers)
        answers.add((answer.status, json.dumps(told(answer)[1])))
    assert [401] == [status for status, _ in answers]


def test_other_paths(api: ApiServer, run: Send, victim: str) -> None:
    """`/run`, `/minions` and `/v1/run` refuse it as `/` does."""
    paths = {
        "rest_wsgi": ["/"],
        "rest_asgi": ["/minions", "/v1/run"],
        "rest_cherrypy": ["/minions"],
        "rest_tornado": [],
    }[api.module]
    for path in paths:
        assert 409 == run({**PING, "jid": victim}, path=path).status, path
    if api.module != "rest_wsgi":
        chunk = {**PING, **api.master.credentials("low"), "jid": victim}
        assert 409 == api.send("POST", "/run", json_body=[chunk]).status
