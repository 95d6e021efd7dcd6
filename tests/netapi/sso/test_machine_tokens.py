"""Tokens for machines: narrowed by every client interface (by every URL: `test_narrowed`)."""

import json
import sqlite3
from functools import partial
from typing import Any

import pytest

from tests.netapi.sso.door import MODULES, PING, PONG, WAYS, Doors, is_refused, result
from tests.waiting import eventually, scaled

NARROW = [{"minion-1": ["test.ping"]}, {"@runner": ["jobs.active"]}]


@pytest.fixture(scope="module")
def narrow(doors: Doors) -> str:
    """A token of an administrator's that may ping a minion and look at active jobs."""
    return doors.make(doors.login(), permissions=NARROW)


@pytest.fixture(scope="module")
def whole(doors: Doors) -> str:
    """A token of an administrator's that is not narrowed."""
    return doors.make(doors.login())


SOME_MODULES = [
    pytest.param(module, marks=() if module in {"rest_asgi", "rest_wsgi"} else pytest.mark.long)
    for module in MODULES
]
"""The others have the same way into the engine."""
ATTACKS: dict[str, Any] = {
    "another function": {"client": "local", "tgt": "minion-1", "fun": "test.arg", "arg": ["x"]},
    "all minions": {"client": "local", "tgt": "other*", "fun": "test.ping"},
    "a list of functions": {
        "client": "local",
        "tgt": "minion-1",
        "fun": ["test.ping", "cmd.run"],
        "arg": [[], ["id"]],
    },
    "local_async": {"client": "local_async", "tgt": "minion-1", "fun": "cmd.run", "arg": ["id"]},
    "local_batch": {
        "client": "local_batch",
        "tgt": "minion-1",
        "fun": "cmd.run",
        "arg": ["id"],
        "batch": "1",
    },
    "local_subset": {
        "client": "local_subset",
        "tgt": "minion-1",
        "fun": "cmd.run",
        "arg": ["id"],
        "subset": 1,
    },
    "a returner": {**PING, "ret": "local"},
    "a grain": {"client": "local", "tgt": "id:minion-1", "tgt_type": "grain", "fun": "cmd.run"},
    "a runner": {"client": "runner", "fun": "jobs.list_jobs"},
    "a runner that salt runs": {"client": "runner", "fun": "test.arg"},
    "runner_async": {"client": "runner_async", "fun": "jobs.list_jobs"},
    "wheel": {"client": "wheel", "fun": "key.list_all"},
    "wheel_async": {"client": "wheel_async", "fun": "key.list_all"},
    "ssh": {"client": "ssh", "tgt": "*", "fun": "test.ping"},
}


@pytest.mark.parametrize(("module", "by"), WAYS)
def test_taken(doors: Doors, narrow: str, whole: str, module: str, by: str) -> None:
    """A token goes wherever a session's token goes; it does what it may, and no more."""
    arg = {"client": "local", "tgt": "minion-1", "fun": "test.arg", "arg": ["x"]}

    assert PONG == result(doors.run(module, narrow, PING, by=by))
    assert isinstance(
        result(doors.run(module, narrow, {"client": "runner", "fun": "jobs.active"}, by=by)), dict
    )
    assert "minion-1" in result(doors.run(module, whole, arg, by=by))
    refused = doors.run(module, narrow, arg, by=by)
    assert refused.status == 401 or isinstance(result(refused), str), refused


@pytest.mark.parametrize("module", SOME_MODULES)
@pytest.mark.parametrize("name", ATTACKS)
def test_attack(doors: Doors, narrow: str, module: str, name: str) -> None:
    """What a token is narrowed to holds for every client interface."""
    answer = doors.run(module, narrow, ATTACKS[name])

    assert answer.status in {400, 401, 403, 404} or isinstance(result(answer), str), answer
    assert b"uid=" not in answer.body


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_below_v1(doors: Doors, narrow: str, name: str) -> None:
    """It holds for commands whose results come as records, too."""
    answer = doors.v1("POST", "/run", narrow, ATTACKS[name])

    assert answer.status in {400, 401, 403, 404}, answer
    assert b"uid=" not in answer.body


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(ATTACKS.keys() - {"ssh"}))
def test_without_narrowing(doors: Doors, whole: str, name: str) -> None:
    """The same commands run with a token of the same user that is not narrowed."""
    answer = doors.run("rest_asgi", whole, ATTACKS[name])

    assert 200 == answer.status, answer


def test_jobs_of_others(doors: Doors, narrow: str, whole: str) -> None:
    """A narrowed token sees the jobs that it has started, and none of its maker's."""
    secret = {"tgt": "minion-1", "fun": "test.arg", "arg": ["secret"]}
    jid = doors.v1("POST", "/run", whole, secret).value()["results"][0]["jid"]
    mine = doors.v1("POST", "/run", narrow, {"tgt": "minion-1", "fun": "test.ping"})
    own = mine.value()["results"][0]["jid"]

    assert 404 == doors.v1("GET", f"/jobs/{jid}", narrow).status
    assert 200 == doors.v1("GET", f"/jobs/{own}", narrow).status
    listed = doors.v1("GET", "/jobs", narrow).value()["jobs"]
    assert jid not in [job["jid"] for job in listed]
    assert 200 != doors.v1("POST", f"/jobs/{jid}/rerun", narrow, {}).status


def test_whoami(doors: Doors, narrow: str) -> None:
    """What is narrowed is no administrator, and says what it may."""
    found = doors.v1("GET", "/whoami", narrow).value()

    assert (False, NARROW) == (found["administrator"], found["permissions"])


def test_check(doors: Doors, narrow: str) -> None:
    """`/v1/check` says the same as what runs."""

    def allowed(**chunk: Any) -> bool:
        answer = doors.v1("POST", "/check", narrow, {"tgt": "minion-1", **chunk})
        return bool(answer.value()["allowed"])

    assert allowed(fun="test.ping")
    assert not allowed(fun="test.arg")
    assert not allowed(client="runner", fun="jobs.list_jobs")


def test_never_more_than_the_maker(doors: Doors) -> None:
    """Permissions that the maker has not are of no use in a token."""
    token = doors.make(doors.login("low"), permissions=[".*", "@runner", "@wheel"])

    assert PONG == result(doors.run("rest_asgi", token, PING))
    for chunk in ATTACKS.values():
        answer = doors.run("rest_asgi", token, chunk)
        assert answer.status != 200 or result(answer) in ({}, []), answer
    assert not doors.v1("GET", "/whoami", token).value()["administrator"]


@pytest.mark.parametrize("client", ["runner", "runner_async"])
def test_makes_no_tokens(doors: Doors, whole: str, client: str) -> None:
    """No token for machines makes another one, whatever its maker may do."""
    chunk = {"client": client, "fun": "auth.mk_token", "kwarg": doors.master.credentials()}

    for module in MODULES:
        answer = doors.run(module, whole, chunk)
        assert answer.status == 401 or isinstance(result(answer), str), answer
    assert not doors.v1("POST", "/check", whole, chunk).value()["allowed"]
    for method, path in (("POST", ""), ("GET", ""), ("DELETE", f"/{'0' * 16}")):
        assert 403 == doors.v1(method, f"/tokens{path}", whole, {"name": "x"}).status


def test_stages(doors: Doors, whole: str, narrow: str) -> None:
    """A change in stages would keep the token that it goes on with, so none begins with one."""
    chunk = {"tgt": "minion-1", "fun": "test.ping", "batch": {"stages": ["100%"]}}

    for token in (whole, narrow):
        assert 403 == doors.v1("POST", "/run", token, chunk).status


def test_fleet_of_the_maker(doors: Doors) -> None:
    """What a token says of itself shows no minion that its maker does not see."""
    token = doors.make(doors.login("low"), permissions=[".*", "@runner", "@wheel"])

    for path in ("/minions", "/minions/minion-1", "/minions/events", "/keys", "/functions"):
        assert 403 == doors.v1("GET", path, token).status


def test_group_removed(doors: Doors) -> None:
    """When the provider does not name a group any more, the tokens of its member lose it."""

    def login(groups: list[str]) -> str:
        credentials = doors.master.oidc_credentials("dave", groups=groups)
        answer = doors.server.send("POST", "/login", json_body=credentials)
        return str(answer.value()["return"][0]["token"])

    token = doors.make(login(["admins"]))
    assert PONG == result(doors.run("rest_cherrypy", token, PING))
    login([])

    for module in ("rest_asgi", "rest_cherrypy"):
        eventually(partial(is_refused, doors, module, token), scaled(5))


def test_revoked(doors: Doors) -> None:
    """A token that is revoked opens nothing, in no module."""
    session = doors.login()
    token = doors.make(session)
    token_id = token.split("_")[1]
    assert PONG == result(doors.run("rest_wsgi", token, PING))
    assert 404 == doors.v1("DELETE", f"/tokens/{token_id}", doors.login("low")).status
    assert 200 == doors.v1("DELETE", f"/tokens/{token_id}", session).status

    for module in MODULES:
        eventually(partial(is_refused, doors, module, token), scaled(5))


def test_list(doors: Doors) -> None:
    """A user sees the user's own tokens, with when and from where they were used."""
    session = doors.login("low")
    token = doors.make(session, permissions=["test.ping"], addresses=["127.0.0.0/8"])
    assert PONG == result(doors.run("rest_asgi", token, PING))
    found = {each["id"]: each for each in doors.v1("GET", "/tokens", session).value()["tokens"]}
    mine = found[token.split("_")[1]]

    assert {"low"} == {each["user"] for each in found.values()}
    assert "127.0.0.1" == mine["last_used_from"]
    assert mine["last_used"]
    assert "token" not in mine
    everybody = doors.v1("GET", "/tokens", doors.login()).value()["tokens"]
    assert {"low", doors.master.username} <= {each["user"] for each in everybody}


@pytest.mark.parametrize("module", MODULES)
def test_address(doors: Doors, module: str) -> None:
    """A token is good from its addresses alone."""
    token = doors.make(doors.login(), addresses=["192.0.2.0/24", "2001:db8::1"])

    for by in ("header", "chunk"):
        assert PONG != result(doors.run(module, token, PING, by=by))


def test_expired(doors: Doors) -> None:
    """A token cannot be asked for that ends at once, or too late."""
    session = doors.login()
    for seconds in (0, -1, 1, 10**10, "x"):
        answer = doors.v1("POST", "/tokens", session, {"name": "x", "expires_in": seconds})
        assert 400 == answer.status, answer


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "x\n"},
        {"name": "x", "permissions": "test.ping"},
        {"name": "x", "permissions": [1]},
        {"name": "x", "permissions": ["(a+)+$"]},
        {"name": "x", "permissions": ["a*"]},
        {"name": "x", "permissions": [{"E@.*": ["test.ping"]}]},
        {"name": "x", "permissions": [{"*": "test.ping"}]},
        {"name": "x", "permissions": [{"*": [{"test.arg": {"args": ["(a+)+$"]}}]}]},
        {"name": "x", "permissions": [["test.ping"]] * 101},
        {"name": "x", "addresses": []},
        {"name": "x", "addresses": ["example.com"]},
        {"name": "x", "user": "root"},
    ],
    ids=range(14),
)
def test_wrong_body(doors: Doors, body: Any) -> None:
    """What a token cannot be is refused with a sentence."""
    assert 400 == doors.v1("POST", "/tokens", doors.login(), body).status


def test_forged(doors: Doors, whole: str) -> None:
    """The id of a token is of no use without the rest of it."""
    prefix, token_id, secret = whole.split("_")
    changed = secret[:-1] + ("0" if secret[-1] != "0" else "1")

    for token in (f"{prefix}_{token_id}_{changed}", f"{prefix}_{'0' * 16}_{secret}"):
        assert 401 == doors.run("rest_asgi", token, PING).status


def test_kept_by_hash(doors: Doors, whole: str) -> None:
    """The token is in no file and no log."""
    path = doors.master.directory / "master" / "cache" / "saltapi" / "tokens.sqlite"
    with sqlite3.connect(path) as database:
        kept = repr(database.execute("SELECT key, value FROM entries").fetchall())

    secret = whole.rpartition("_")[2]
    assert whole.split("_")[1] in kept
    assert secret not in kept
    assert secret not in doors.server.log()


def test_audit(doors: Doors) -> None:
    """The audit log says with which token something was done, and who has made and revoked it."""
    session = doors.login()
    token = doors.make(session)
    token_id = token.split("_")[1]
    assert PONG == result(doors.run("rest_asgi", token, PING))
    assert 200 == doors.v1("DELETE", f"/tokens/{token_id}", session).status

    def lines() -> list[dict[str, Any]]:
        texts = doors.audit.read_text().splitlines()
        return [line for line in map(json.loads, texts) if token_id in json.dumps(line)]

    eventually(lambda: len(lines()) >= 2, scaled(5))
    assert {("command", token_id), ("token.revoke", None)} == {
        (line["event"], line.get("token")) for line in lines()
    }
    assert token not in doors.audit.read_text()
