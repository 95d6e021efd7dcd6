"""The exact bodies of success."""

import io
import json
import re
import tarfile
import time
from collections.abc import Iterator
from typing import Any

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import ApiServer
from tests.netapi.conformance.client import JID, JSON, PING, PONG, YAML, Client
from tests.waiting import scaled


def test_welcome(api: ApiServer, master: PrivateMaster) -> None:
    """`/` says Welcome and which clients are enabled, sorted; `/run` and `/token` say the same."""
    clients = sorted(master.options["netapi_enable_clients"])
    expected = json.dumps({"return": "Welcome", "clients": clients}).encode()
    for path in ("/", "/run", "/token"):
        answer = api.send("GET", path)
        assert (200, JSON, expected) == (answer.status, answer.header("Content-Type"), answer.body)


def test_login_page(api: ApiServer) -> None:
    """`GET /login` says how to log in."""
    answer = api.send("GET", "/login")

    assert b'{"status": null, "return": "Please log in"}' == answer.body
    assert (200, "Session") == (answer.status, answer.header("WWW-Authenticate"))


def test_command(client: Client) -> None:
    """`POST /` has one result for each command, as JSON and as YAML byte for byte as Salt."""
    one = client.send("POST", "/", {**PING, "tgt": "minion-1"})
    two = client.send("POST", "/", [PING, {"client": "runner", "fun": "test.arg", "arg": ["ü"]}])
    as_yaml = client.send("POST", "/", PING, headers={"Accept": YAML})

    assert b'{"return": [{"minion-1": true}]}' == one.body
    assert [PONG, {"args": ["ü"], "kwargs": {}}] == two.value()["return"]
    assert '"ü"'.encode() in two.body
    assert b"return:\n- minion-1: true\n  minion-2: true\n" == as_yaml.body
    assert YAML == as_yaml.header("Content-Type")
    assert "private" == one.header("Cache-Control")


def test_batch(client: Client) -> None:
    """`local_batch` has one element for each minion."""
    batch = {**PING, "client": "local_batch", "batch": "1"}
    found = client.value("POST", "/", [batch, {**PING, "tgt": "minion-2"}])["return"]

    assert [{"minion-1": True}, {"minion-2": True}] == sorted(found[:2], key=list)
    assert {"minion-2": True} == found[2]


def test_minions(client: Client) -> None:
    """`GET /minions` has the grains of all minions, or of one, named in either way."""
    everyone = client.value("GET", "/minions")
    one = client.value("GET", "/minions/minion-1")

    assert ["return"] == list(everyone)
    assert PONG.keys() == everyone["return"][0].keys()
    assert "minion-1" == one["return"][0]["minion-1"]["id"]
    for path in ("/minions/minion-1/", "/minions?mid=minion-1", "/minions/?mid=minion-1"):
        assert ["minion-1"] == list(client.value("GET", path)["return"][0])
    assert {"return": [{}]} == client.value("GET", "/minions/none")


def test_start(client: Client) -> None:
    """`POST /minions` answers 202 at once, with a jid and a link for each command."""
    answer = client.send("POST", "/minions", {"tgt": "*", "fun": "test.ping"})
    found = answer.value()
    (job,) = found["return"]

    assert 202 == answer.status
    assert ["return", "_links"] == list(found)
    assert ["jid", "minions"] == list(job)
    assert JID.fullmatch(job["jid"])
    assert sorted(PONG) == sorted(job["minions"])
    assert {"jobs": [{"href": f"/jobs/{job['jid']}"}]} == found["_links"]


def test_start_nothing(client: Client) -> None:
    """A target that matches nobody starts no job and has no link."""
    answer = client.send("POST", "/minions/", [{"tgt": "none", "fun": "test.ping"}])

    assert (202, b'{"return": [{}], "_links": {"jobs": []}}') == (answer.status, answer.body)


def test_start_ignores_the_client(client: Client) -> None:
    """`POST /minions` runs every command as `local_async`, whatever it says."""
    (job,) = client.value("POST", "/minions", {**PING, "client": "runner"})["return"]

    assert JID.fullmatch(job["jid"])


def test_jobs(client: Client) -> None:
    """`/jobs` lists jobs, `/jobs/<jid>` has one with its results; query forms work."""
    (started,) = client.value("POST", "/minions", {"tgt": "minion-1", "fun": "test.ping"})["return"]
    jid = started["jid"]
    deadline = time.monotonic() + scaled(20)
    while not (one := client.value("GET", f"/jobs/{jid}"))["return"][0]:
        assert time.monotonic() < deadline
    listed = client.value("GET", "/jobs?timeout=7")["return"][0][jid]

    assert ["info", "return"] == list(one)
    assert {"minion-1": True} == one["return"][0]
    info = one["info"][0]
    assert (jid, "test.ping", ["minion-1"]) == (info["jid"], info["Function"], info["Minions"])
    assert True is info["Result"]["minion-1"]["return"]
    names = {"Function", "Arguments", "Target", "Target-type", "User", "StartTime"}
    assert names <= listed.keys()
    for path in (f"/jobs/{jid}/", f"/jobs?jid={jid}", f"/jobs/{jid}?timeout=1"):
        assert one == client.value("GET", path)


def test_unknown_job(client: Client) -> None:
    """A job that nobody knows is 200 with its error, one that cannot be a job 400."""
    found = client.value("GET", "/jobs/20200101000000000000")

    assert "Cannot contact returner or no job with this jid" == found["info"][0]["Error"]
    assert [{}] == found["return"]
    assert 400 == client.send("GET", "/jobs/x").status


def test_keys(client: Client) -> None:
    """`/keys` has the names of keys by state, `/keys/<mid>` a fingerprint; no list around them."""
    found = client.value("GET", "/keys")["return"]
    names = ["local", "minions", "minions_denied", "minions_pre", "minions_rejected"]
    one = client.value("GET", "/keys/minion-1")["return"]

    assert names == sorted(found)
    assert sorted(PONG) == sorted(found["minions"])
    assert ["minions"] == list(one)
    assert re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2})+", one["minions"]["minion-1"])
    assert client.value("GET", "/keys?mid=minion-1") == {"return": one}
    assert {"return": {}} == client.value("GET", "/keys/none")


@pytest.fixture
def new_minion(client: Client) -> Iterator[str]:
    """The id of a minion that has no key before and after the test."""
    name = "new-minion"
    yield name
    client.value("POST", "/", {"client": "wheel", "fun": "key.delete", "match": name})


def test_new_key(client: Client, master: PrivateMaster, new_minion: str) -> None:
    """`POST /keys` makes a key pair and answers with a tar archive; a second one needs `force`."""
    body = {"mid": new_minion, "keysize": 2048, **master.credentials()}
    answer = client.server.send("POST", "/keys", json_body=body)
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as archive:
        members = {one.name: (oct(one.mode), archive.extractfile(one)) for one in archive}
        contents = {name: file.read() for name, (_, file) in members.items() if file}

    assert 200 == answer.status
    assert "application/x-tar" == answer.header("Content-Type")
    disposition = f'attachment; filename="saltkeys-{new_minion}.tar"'
    assert disposition == answer.header("Content-Disposition")
    assert {"minion.pub": "0o644", "minion.pem": "0o400"} == {n: m for n, (m, _) in members.items()}
    assert contents["minion.pub"].startswith(b"-----BEGIN PUBLIC KEY-----")
    assert re.match(rb"-----BEGIN (RSA )?PRIVATE KEY-----", contents["minion.pem"])
    assert new_minion in client.value("GET", "/keys")["return"]["minions"]

    by_token = {"mid": new_minion, "token": client.token}
    again = client.server.send("POST", "/keys", json_body=by_token)
    assert (409, JSON) == (again.status, again.media_type)
    forced = client.server.send("POST", "/keys", json_body={**by_token, "force": True})
    assert 200 == forced.status
    assert contents["minion.pem"] not in forced.body


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"mid": None}, 400),
        ({"mid": "../x"}, 400),
        ({"mid": 'a"b'}, 400),
        ({"password": "wrong"}, 401),
        ({"eauth": None}, 401),
    ],
)
def test_wrong_new_key(api: ApiServer, change: dict[str, Any], status: int) -> None:
    """What is wrong with a request for a key is said, and no key is made."""
    body = {"mid": "never-made", **api.master.credentials(), **change}
    given = {name: value for name, value in body.items() if value is not None}
    answer = api.send("POST", "/keys", json_body=given)

    assert (status, status) == (answer.status, answer.value()["status"])


def test_run(api: ApiServer) -> None:
    """`/run` takes credentials or a token in each command, and one alone without a list."""
    credentials = api.master.credentials()
    token = api.login()
    mixed = [{**PING, **credentials}, {**PING, "token": token}]

    assert [PONG, PONG] == api.send("POST", "/run", json_body=mixed).value()["return"]
    assert [PONG] == api.send("POST", "/run", json_body=mixed[0]).value()["return"]


def test_run_does_not_look_at_the_session(client: Client) -> None:
    """A token in a header or a cookie means nothing to `/run`."""
    headers = {"Cookie": f"session_id={client.token}"}

    assert 401 == client.send("POST", "/run", PING, headers=headers).status


def test_token(api: ApiServer) -> None:
    """`/token` answers with a bare list of tokens, which `/run` takes."""
    answer = api.send("POST", "/token", json_body=api.master.credentials())
    (made,) = answer.value()

    assert ["start", "token", "expire", "name", "eauth"] == list(made)
    assert (api.master.username, api.master.eauth) == (made["name"], made["eauth"])
    assert None is answer.header("Set-Cookie")
    body = {**PING, "token": made["token"]}
    assert [PONG] == api.send("POST", "/run", json_body=body).value()["return"]
    two = [api.master.credentials(), api.master.credentials("low")]
    names = [one["name"] for one in api.send("POST", "/token", json_body=two).value()]
    assert [api.master.username, "low"] == names


@pytest.mark.parametrize("body", [{}, [], {"username": "a"}, [{}], "text", None])
def test_token_that_lacks_something(api: ApiServer, body: Any) -> None:
    """`/token` says what it requires."""
    answer = api.send("POST", "/token", json_body=body)

    expected = {"status": 400, "return": 'Require "username", "password", and "eauth" params'}
    assert (400, expected) == (answer.status, answer.value())


def test_hook(client: Client) -> None:
    """A hook says whether its event was fired, with what a form or JSON has, or with nothing."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for answer in (
        client.send("POST", "/hook/a/b", {"a": 1}),
        client.send("POST", "/hook/", headers=form, raw=b"foo=Foo&bar=Bar!"),
        client.send("POST", "/hook"),
    ):
        assert (200, b'{"success": true}') == (answer.status, answer.body)
    assert 405 == client.send("GET", "/hook").status


@pytest.mark.parametrize(
    "raw",
    [
        b'[{"client": "local", "tgt": "*", "fun": "test.ping"}]',
        b' {"client": "local", "tgt": "*", "fun": "test.arg", "arg": ["a=b&c=d"]}',
        b"client: local",
    ],
)
def test_json_that_is_called_a_form(client: Client, raw: bytes) -> None:
    """JSON that `curl -d` calls a form is 400, and what to say is in the sentence; not in hooks."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = client.send("POST", "/", headers=form, raw=raw)

    assert 400 == answer.status
    assert "Content-Type: application/json" in answer.value()["return"]
    assert b'{"success": true}' == client.send("POST", "/hook", headers=form, raw=raw).body


def test_stats(client: Client) -> None:
    """Statistics that are not collected are an empty mapping."""
    assert {} == client.value("GET", "/stats")
