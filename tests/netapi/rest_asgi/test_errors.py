"""Errors below /v1: problem documents with a stable code, the chunk and the field."""

import contextlib
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from saltapi.demo import PrivateMaster
from saltapi.demo.master import free_ports
from saltapi.netapi.rest_asgi import openapi, problems
from tests.apis import OURS, ApiServer, jid_of_now
from tests.waiting import eventually
from tests.wire import Answer

JSON_PROBLEM, YAML_PROBLEM = "application/problem+json", "application/problem+yaml"
LIMIT_BYTES = 100_000
PING = {"tgt": "minion-1", "fun": "test.ping"}
PAGE = (Path(__file__).parents[3] / "docs" / "rest_asgi" / "errors.md").read_text()


@pytest.fixture(scope="module")
def server(master: PrivateMaster) -> Iterator[ApiServer]:
    """A server with a small limit for bodies, and limits for those who ask often."""
    section = {"max_request_body_size": LIMIT_BYTES, "debug": True}
    options = {"netapi_enable_clients": ["local", "local_async", "runner"]}
    with ApiServer(master, OURS, section, module="rest_asgi", options=options) as server:
        yield server


@pytest.fixture(scope="module")
def token(server: ApiServer) -> str:
    """The session of somebody who may do everything."""
    return server.login()


@pytest.fixture
def run(server: ApiServer, token: str) -> Callable[..., Answer]:
    """Send a body to `/v1/run`."""

    def send(value: Any = None, **options: Any) -> Answer:
        headers = {"X-Auth-Token": token, **options.pop("headers", {})}
        return server.send("POST", "/v1/run", json_body=value, headers=headers, **options)

    return send


def problem(answer: Answer, status: int, code: str) -> dict[str, Any]:
    """Return the problem document of an answer; fail if it is none, or another."""
    assert (status, JSON_PROBLEM) == (answer.status, answer.media_type), answer
    found = json.loads(answer.body)
    assert isinstance(found, dict)
    assert (status, code) == (found["status"], found["code"]), found
    assert problems.URN + code == found["type"]
    assert problems.TITLES[code] == found["title"]
    assert answer.header("X-Request-Id") == found["request_id"]
    assert found["detail"], found
    return found


@pytest.mark.parametrize("kind", openapi.kinds(), ids=lambda kind: kind.code)
def test_documented(kind: Any) -> None:
    """Every code has a title, and is in the documentation with its status."""
    row = re.search(rf"^\| `{kind.code}` \| (\d+) \| .+ \|$", PAGE, re.MULTILINE)

    assert kind.code in problems.TITLES
    assert row is not None
    assert str(problems.status_of(kind, of_v1=True)) == row[1]


def test_codes_are_of_one_class() -> None:
    """No two errors have one code."""
    codes = [kind.code for kind in openapi.kinds()]

    assert sorted(set(codes)) == sorted(codes)
    assert set(problems.TITLES) == set(codes)


# What is wrong with the request


@pytest.mark.parametrize(
    ("chunk", "field"),
    [
        ({"tgt": "*", "fun": 7}, "fun"),
        ({"tgt": "*"}, "fun"),
        ({"tgt": {"a": 1}, "fun": "test.ping"}, "tgt"),
        ({"fun": "test.ping"}, "tgt"),
        ({"tgt": "*", "fun": "test.ping", "tgt_type": "nothing"}, "tgt_type"),
        ({"tgt": "*", "fun": "test.ping", "timeout": "soon"}, "timeout"),
        ({"tgt": "*", "fun": "test.ping", "client": "nothing"}, "client"),
        ({"tgt": "*", "fun": "test.ping", "jid": "7"}, "jid"),
    ],
)
def test_third_chunk(run: Callable[..., Answer], chunk: dict[str, Any], field: str) -> None:
    """What is wrong in the third chunk is said of chunk 2, counted from 0, and its key."""
    found = problem(run([PING, PING, chunk]), 400, "invalid_chunk")

    assert (2, field) == (found["chunk"], found["field"]), found
    assert found["detail"].startswith("Chunk 3: ")


def test_one_chunk(run: Callable[..., Answer]) -> None:
    """A chunk that stands alone has no number."""
    found = problem(run({"tgt": "*"}), 400, "invalid_chunk")

    assert "chunk" not in found
    assert "fun" == found["field"]


def test_client_disabled(run: Callable[..., Answer]) -> None:
    """A client that is not enabled is said to be that, with the line to add."""
    found = problem(run([PING, {"client": "wheel", "fun": "key.list_all"}]), 400, "client_disabled")

    assert (1, "client") == (found["chunk"], found["field"])
    assert "netapi_enable_clients" in found["detail"]


@pytest.mark.parametrize("value", [[], 7, "test.ping", [7], [[PING]], None])
def test_no_lowstate(run: Callable[..., Answer], value: Any) -> None:
    """What is no lowstate is a bad request."""
    answer = run(body=json.dumps(value).encode(), headers={"Content-Type": "application/json"})

    assert (400, JSON_PROBLEM) == (answer.status, answer.media_type)
    assert json.loads(answer.body)["code"] in {"bad_request", "invalid_chunk", "invalid_field"}


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("application/json", b'{"tgt": '),
        ("application/json", b'{"tgt": NaN}'),
        ("application/json", b"\xff"),
        ("application/json", b"[" * 101 + b"]" * 101),
        ("application/x-yaml", b"tgt: [1"),
        ("application/x-yaml", b"!!python/object:os.system {}"),
        ("application/x-www-form-urlencoded", b"tgt=%ff"),
    ],
)
def test_malformed(run: Callable[..., Answer], media_type: str, body: bytes) -> None:
    """A body that is not what it says it is is a bad request, in whatever format."""
    problem(run(body=body, headers={"Content-Type": media_type}), 400, "bad_request")


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("application/x-yaml", b"- {tgt: '*', fun: test.ping}\n- {tgt: '*', fun: 7}\n"),
        ("application/json", b'[{"tgt": "*", "fun": "test.ping"}, {"tgt": "*", "fun": 7}]'),
    ],
)
def test_in_every_format(run: Callable[..., Answer], media_type: str, body: bytes) -> None:
    """The same is wrong in any format that a body may have."""
    found = problem(run(body=body, headers={"Content-Type": media_type}), 400, "invalid_chunk")

    assert (1, "fun") == (found["chunk"], found["field"])


def test_form(run: Callable[..., Answer]) -> None:
    """A form is checked like everything else."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    found = problem(run(body=b"tgt=*&timeout=soon&fun=test.ping", headers=headers), 400,
                    "invalid_chunk")  # fmt: skip

    assert "timeout" == found["field"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/jobs?limit=0", "limit"),
        ("/jobs?limit=many", "limit"),
        ("/jobs?state=good", "state"),
        ("/jobs?since=yesterday", "since"),
        ("/jobs/7", "jid"),
        ("/jobs/20261123180812345678?wait=forever", "wait"),
        ("/events?tag=" + "x" * 300, "tag.0"),
    ],
)
def test_parameters(server: ApiServer, token: str, path: str, field: str) -> None:
    """A wrong parameter of the URL is named."""
    answer = server.send("GET", f"/v1{path}", headers={"X-Auth-Token": token})
    found = problem(answer, 400, "invalid_field")

    assert field == found["field"]
    assert "chunk" not in found


def test_unknown_field(server: ApiServer, token: str) -> None:
    """A field that there is not is refused by name, and not left out."""
    path = "/v1/jobs/20261123180812345678/rerun"
    body = {"minions": "all", "minoins": "failed"}
    answer = server.send("POST", path, json_body=body, headers={"X-Auth-Token": token})

    assert "minoins" == problem(answer, 400, "invalid_field")["field"]


def test_body_too_large(run: Callable[..., Answer]) -> None:
    """A body beyond the limit is 413, and the limit is told."""
    found = problem(run({**PING, "arg": ["x" * LIMIT_BYTES]}), 413, "body_too_large")

    assert str(LIMIT_BYTES) in found["detail"]


def test_unknown_format(run: Callable[..., Answer]) -> None:
    """A body in a format that is not taken is 406, with those that are."""
    answer = run(body=b"<run/>", headers={"Content-Type": "application/xml"})

    assert "application/x-yaml" in problem(answer, 406, "not_acceptable")["detail"]


def test_not_acceptable(server: ApiServer, run: Callable[..., Answer], token: str) -> None:
    """Who accepts nothing that there is gets 406, and nothing is run."""
    jid = "20261123180812000007"
    headers = {"Accept": "image/png"}
    found = problem(run({**PING, "jid": jid}, headers=headers), 406, "not_acceptable")

    assert "application/x-ndjson" in found["detail"]
    job = server.send("GET", f"/v1/jobs/{jid}", headers={"X-Auth-Token": token})
    problem(job, 404, "not_found")


# What there is not


def test_no_url(server: ApiServer) -> None:
    """A URL that there is not is 404; below /v1 a problem document, elsewhere as it always was."""
    found = problem(server.send("GET", "/v1/nothing"), 404, "not_found")
    elsewhere = server.send("GET", "/nothing")

    assert "/v1/nothing" in found["detail"]
    assert (404, "application/json") == (elsewhere.status, elsewhere.media_type)
    assert {"status", "return"} == elsewhere.value().keys()


def test_no_method(server: ApiServer, token: str) -> None:
    """A method that a URL does not take is 405, with those that it takes."""
    headers = {"X-Auth-Token": token}
    answer = server.send("PUT", "/v1/jobs/20261123180812345678", headers=headers)
    problem(answer, 405, "method_not_allowed")

    assert "GET, HEAD, OPTIONS, DELETE" == answer.header("Allow")
    assert "OPTIONS, POST" == server.send("GET", "/v1/run", headers=headers).header("Allow")


def test_no_minion(run: Callable[..., Answer]) -> None:
    """A target that matches nothing is an error, and no empty result."""
    problem(run({"tgt": "nobody-*", "fun": "test.ping"}), 404, "no_minions_matched")


def test_jid_that_there_is(run: Callable[..., Answer]) -> None:
    """A jid of one's own that is in use is 409."""
    chunk = {**PING, "jid": jid_of_now()}

    assert 200 == run(chunk).status
    problem(run(chunk), 409, "conflict")


def test_key_of_another_command(run: Callable[..., Answer]) -> None:
    """An idempotency key that was used for another command is 422."""
    headers = {"Idempotency-Key": "3c5e"}

    assert 200 == run(PING, headers=headers).status
    problem(run({**PING, "fun": "test.version"}, headers=headers), 422, "key_reused")


# Who may what


def test_401_and_403(server: ApiServer) -> None:
    """Nobody known is 401, with how to log in; somebody known who may not do it is 403."""
    stranger = server.send("POST", "/v1/run", json_body=PING)
    problem(stranger, 401, "authentication")
    headers = {"X-Auth-Token": server.login("low")}
    low = server.send("POST", "/v1/run", json_body={**PING, "fun": "cmd.run"}, headers=headers)
    problem(low, 403, "authorization")

    assert ("Session", None) == tuple(a.header("WWW-Authenticate") for a in (stranger, low))


def test_refused_chunk(server: ApiServer) -> None:
    """A refused chunk behind others is named, and so is what had been run before."""
    headers = {"X-Auth-Token": server.login("low"), "Accept": "application/x-ndjson"}
    lowstate = [PING, {**PING, "fun": "cmd.run"}, PING]
    answer = server.send("POST", "/v1/run", json_body=lowstate, headers=headers)
    last = json.loads(answer.body.splitlines()[-1])

    assert ("error", 1) == (last["type"], last["chunk"])
    assert (403, "authorization", 1) == tuple(last["error"][k] for k in ("status", "code", "chunk"))


def test_strangers_learn_nothing(server: ApiServer) -> None:
    """401 comes before anything that is wrong with the request."""
    for body in (b"{", b'{"fun": 7}', b""):
        answer = server.send(
            "POST", "/v1/run", body=body, headers={"Content-Type": "application/json"}
        )
        problem(answer, 401, "authentication")


# How it is said


def test_yaml(run: Callable[..., Answer]) -> None:
    """Who accepts YAML gets the same as YAML."""
    answer = run({"tgt": "*"}, headers={"Accept": "application/x-yaml"})
    found = yaml.safe_load(answer.body)

    assert (400, YAML_PROBLEM) == (answer.status, answer.media_type)
    assert ("invalid_chunk", "fun") == (found["code"], found["field"])


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson", "*/*"])
def test_streams(run: Callable[..., Answer], accept: str) -> None:
    """A stream that does not begin is an answer with an error, and no stream."""
    problem(run({"tgt": "*"}, headers={"Accept": accept}), 400, "invalid_chunk")


def test_logged(server: ApiServer, run: Callable[..., Answer]) -> None:
    """The request id of a problem document is in the log."""
    found = problem(run({"tgt": "*"}), 400, "invalid_chunk")

    eventually(lambda: f"request={found['request_id']}" in server.log())


# When it is not the request's fault


def test_too_many_requests(master: PrivateMaster) -> None:
    """Who asks too often gets 429, and when to come back."""
    section = {"user_requests_per_minute": 3}
    with ApiServer(master, OURS, section, module="rest_asgi") as server:
        headers = {"X-Auth-Token": server.login()}
        answers = [server.send("GET", "/v1/whoami", headers=headers) for _ in range(5)]
    found = problem(answers[-1], 429, "too_many_requests")

    assert 1 <= int(answers[-1].header("Retry-After") or 0) <= 60
    assert found["detail"]


def test_no_master(master: PrivateMaster, server: ApiServer) -> None:
    """A master that does not answer is 503, and when to come back."""
    ret_port, publish_port = free_ports(2)
    away = {"ret_port": ret_port, "publish_port": publish_port, "publish_timeout": 2}
    headers = {"X-Auth-Token": server.login()}
    with ApiServer(master, OURS, module="rest_asgi", options=away) as alone:
        answer = alone.send("POST", "/v1/run", json_body=PING, headers=headers)
    problem(answer, 503, "master_unavailable")

    assert 1 <= int(answer.header("Retry-After") or 0)


def test_no_store(master: PrivateMaster) -> None:
    """A command with a key is 503 while its key cannot be written; without one it runs."""
    with ApiServer(master, OURS, module="rest_asgi") as server:
        headers = {"X-Auth-Token": server.login()}
        with _locked(server):
            plain = server.send("POST", "/v1/run", json_body=PING, headers=headers)
            keyed = {**headers, "Idempotency-Key": "4d6f"}
            answer = server.send("POST", "/v1/run", json_body=PING, headers=keyed)

    assert 200 == plain.status
    problem(answer, 503, "store_unavailable")
    assert answer.header("Retry-After")


@contextlib.contextmanager
def _locked(server: ApiServer) -> Iterator[None]:
    """Keep everybody else from writing what the processes share."""
    cache = Path(server.master.options["cachedir"]) / "saltapi"
    with sqlite3.connect(cache / "rest_asgi.sqlite", isolation_level=None) as database:
        database.execute("BEGIN EXCLUSIVE")
        yield
        database.execute("ROLLBACK")
