"""`/v1/whoami`, `/v1/check` and `dry_run`: what would happen, before it does."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.conftest import USERS
from tests.wire import Answer

ONE, TWO = "minion-1", "minion-2"
BOTH = [ONE, TWO]


@pytest.fixture(scope="module")
def api(master: PrivateMaster) -> Iterator[ApiServer]:
    """The module, with an administrator by name."""
    with ApiServer(master, OURS, {"administrators": ["wheels"]}, module="rest_asgi") as api:
        yield api


@pytest.fixture(scope="module")
def tokens(api: ApiServer) -> dict[str, str]:
    return {name: api.login(name) for name in (*USERS, "saltdev")}


def ask(api: ApiServer, path: str, token: str, body: Any) -> Answer:
    return api.send("POST", path, json_body=body, headers={"X-Auth-Token": token})


def jids(api: ApiServer, headers: dict[str, str]) -> list[str]:
    """Return the jids of all jobs; what others do may still be going on."""
    return [job["jid"] for job in api.send("GET", "/v1/jobs", headers=headers).value()["jobs"]]


@pytest.mark.parametrize(
    ("name", "administrator"),
    [("saltdev", True), ("wheels", True), ("runners", False), ("scoped", False)],
)
def test_who_am_i(api: ApiServer, tokens: dict[str, str], name: str, administrator: bool) -> None:
    """Everybody learns whose session it is, until when, and what it may do."""
    answer = api.send("GET", "/v1/whoami", headers={"X-Auth-Token": tokens[name]})
    found = answer.value()

    assert (200, name, "file", administrator) == (
        answer.status,
        found["user"],
        found["eauth"],
        found["administrator"],
    )
    if name in USERS:
        assert USERS[name] == found["permissions"]
    start, expire = (datetime.fromisoformat(found[key]) for key in ("start", "expire"))
    assert 0 < found["expires_in_seconds"] <= (expire - start).total_seconds() + 1


def test_nobody(api: ApiServer) -> None:
    """Without a session there is nothing to tell."""
    assert 401 == api.send("GET", "/v1/whoami").status
    assert 401 == api.send("POST", "/v1/check", json_body={"tgt": "*", "fun": "test.ping"}).status


PING = {"tgt": "*", "fun": "test.ping"}
ARG = {"tgt": "*", "fun": "test.arg"}
TABLE: list[tuple[str, dict[str, Any], bool, list[str], Any]] = [
    ("saltdev", ARG, True, BOTH, ".*"),
    ("low", PING, True, BOTH, "test.ping"),
    ("low", ARG, False, [], None),
    ("low", {**PING, "client": "local_async"}, True, BOTH, "test.ping"),
    ("low", {**PING, "client": "local_subset", "subset": 1}, False, [], None),
    ("low", {**PING, "client": "local_batch", "batch": "1"}, True, BOTH, "test.ping"),
    ("scoped", {**ARG, "tgt": ONE}, True, [ONE], USERS["scoped"][0]),
    ("scoped", ARG, False, [ONE], None),
    ("scoped", {**ARG, "tgt": "first", "tgt_type": "nodegroup"}, True, [ONE], USERS["scoped"][0]),
    ("scoped", {**ARG, "tgt": TWO}, False, [], None),
    ("scoped", {"tgt": ONE, "fun": "cmd.run", "arg": ["id"]}, False, [], None),
    ("runners", {"client": "runner", "fun": "test.arg", "arg": ["a"]}, True, [], "@runner"),
    ("runners", {"client": "runner_async", "fun": "test.arg"}, True, [], "@runner"),
    ("runners", {"client": "wheel", "fun": "key.list_all"}, False, [], None),
    ("wheels", {"client": "wheel", "fun": "key.list_all"}, True, [], "@wheel"),
    ("wheels", {"client": "runner", "fun": "test.arg"}, False, [], None),
    ("wheels", PING, False, [], None),
]


@pytest.mark.parametrize(
    ("name", "chunk", "allowed", "minions", "rule"),
    TABLE,
    ids=[f"{row[0]}-{row[1].get('client', 'local')}-{row[1]['fun']}-{row[2]}" for row in TABLE],
)
def test_check(
    api: ApiServer,
    tokens: dict[str, str],
    name: str,
    chunk: dict[str, Any],
    allowed: bool,
    minions: list[str],
    rule: Any,
) -> None:
    """The answer names minions and rule, and is what the master does when it is asked."""
    answer = ask(api, "/v1/check", tokens[name], chunk)
    (found,) = answer.value()["checks"]

    assert (200, allowed, False) == (answer.status, found["allowed"], found["unknown"])
    assert (minions, rule) == (found["minions"], found["rule"])
    assert found["reason"]
    assert (200 if allowed else 403) == ask(api, "/v1/run", tokens[name], chunk).status


def test_check_runs_nothing(api: ApiServer, tokens: dict[str, str], tmp_path: Path) -> None:
    """A check publishes nothing: there is no job of it, and nothing happens."""
    headers = {"X-Auth-Token": tokens["saltdev"]}
    before = jids(api, headers)
    chunks = [
        {"tgt": "*", "fun": "cmd.run", "arg": [f"touch {tmp_path / 'file'}"]},
        {"client": "local_batch", "tgt": "*", "fun": "test.ping"},
        {"client": "local_subset", "tgt": "*", "fun": "test.ping"},
        {"tgt": "minion-.", "tgt_type": "pcre", "fun": "test.ping"},
        {"client": "runner", "fun": "test.arg"},
        {"client": "wheel", "fun": "key.list_all"},
    ]
    found = ask(api, "/v1/check", tokens["saltdev"], chunks).value()

    assert (True, [True] * 6) == (found["allowed"], [c["allowed"] for c in found["checks"]])
    assert before == jids(api, headers)
    assert not (tmp_path / "file").exists()


def test_check_of_several(api: ApiServer, tokens: dict[str, str]) -> None:
    """A lowstate is allowed if each of its chunks is."""
    found = ask(api, "/v1/check", tokens["low"], [PING, ARG]).value()

    assert (False, [True, False]) == (found["allowed"], [c["allowed"] for c in found["checks"]])


@pytest.mark.parametrize(
    ("chunk", "field"),
    [
        ({"tgt": "*"}, "fun"),
        ({"tgt": "*", "fun": "ping"}, "fun"),
        ({"tgt": "(", "tgt_type": "pcre", "fun": "test.ping"}, "tgt"),
        ({"tgt": "nowhere", "tgt_type": "nodegroup", "fun": "test.ping"}, "tgt"),
        ({"client": "ssh", "tgt": "*", "fun": "test.ping"}, "client"),
        ({"client": "runner", "fun": "no.such"}, "fun"),
    ],
)
def test_check_of_a_wrong_chunk(
    api: ApiServer, tokens: dict[str, str], chunk: dict[str, Any], field: str
) -> None:
    """A chunk that `/v1/run` would not take is refused here in the same way."""
    answers = [
        ask(api, path, tokens["saltdev"], [PING, chunk]) for path in ("/v1/check", "/v1/run")
    ]
    if chunk.get("tgt") == "nowhere" or chunk.get("fun") == "no.such":
        answers = answers[:1]  # a run has started the first chunk by then
    for answer in answers:
        problem = json.loads(answer.body)
        assert (400, 1, field) == (answer.status, problem["chunk"], problem["field"])


def test_dry_run(api: ApiServer, tokens: dict[str, str], tmp_path: Path) -> None:
    """A dry run says what would change, and changes nothing."""
    path = tmp_path / "file"
    chunk = {"tgt": ONE, "fun": "state.single", "arg": ["file.touch", f"name={path}"]}
    answer = ask(api, "/v1/run?dry_run=true", tokens["saltdev"], chunk)
    (states,) = answer.value()["results"][0]["returns"][ONE]["return"].values()

    assert (200, None) == (answer.status, states["result"])
    assert not path.exists()
    ask(api, "/v1/run", tokens["saltdev"], chunk)
    assert path.exists()


def test_no_dry_run(api: ApiServer, tokens: dict[str, str], tmp_path: Path) -> None:
    """If one chunk has no dry run, none of them runs."""
    path = tmp_path / "file"
    chunks = [
        {"tgt": ONE, "fun": "state.single", "arg": ["file.touch", str(path)]},
        {"tgt": ONE, "fun": "cmd.run", "arg": [f"touch {path}"]},
    ]
    answer = ask(api, "/v1/run?dry_run=1", tokens["saltdev"], chunks)

    assert 400 == answer.status
    assert b'"chunk": 1' in answer.body
    assert not path.exists()
