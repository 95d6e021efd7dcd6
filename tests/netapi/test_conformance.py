"""
What the modules with URLs share, the same requests for each: URLs, bodies, statuses, formats.

The bodies are those of Salt's own netapi; the differential suite compares more of them, this one
says which are promised.
"""

import gzip
import http.client
import io
import json
import re
import ssl
import tarfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import trustme
import yaml

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.waiting import scaled
from tests.wire import Answer

MODULES = ["rest_cherrypy", "rest_tornado", "rest_asgi"]
"""The modules that these promises are made for."""

JSON = "application/json"
YAML = "application/x-yaml"
HTML = "text/html"
PING = {"client": "local", "tgt": "*", "fun": "test.ping"}
PONG = {"minion-1": True, "minion-2": True}
UNKNOWN_TOKEN = "The token is unknown or has expired; log in again."
NOT_AUTHENTICATED = "Could not authenticate using provided credentials"
TOKEN = re.compile(r"[0-9a-f]{64}")
JID = re.compile(r"[0-9]{20}")


class Client:
    """Somebody who is logged in."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self.token = server.login()

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Answer:
        """Send a request with the session's token; *body* as JSON, or *raw* as it is."""
        names = {"X-Auth-Token": self.token, **(headers or {})}
        return self.server.send(method, path, headers=names, json_body=body, body=raw)

    def value(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Return what the body of an answer says that must be a success."""
        answer = self.send(method, path, body, headers=headers)
        assert answer.status in {200, 202}, answer
        return answer.value()


@pytest.fixture(scope="module", params=MODULES)
def api(request: pytest.FixtureRequest, master: PrivateMaster) -> Iterator[ApiServer]:
    with ApiServer(master, OURS, module=request.param) as server:
        yield server


@pytest.fixture(scope="module")
def client(api: ApiServer) -> Client:
    return Client(api)


@pytest.fixture
def own(api: ApiServer) -> Client:
    """A session for one test alone, to end it."""
    return Client(api)


# Success: exact bodies


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


def test_stats(client: Client) -> None:
    """Statistics that are not collected are an empty mapping."""
    assert {} == client.value("GET", "/stats")


# Sessions


def test_login(api: ApiServer) -> None:
    """A login gives the same token in the body, in a header and in a cookie."""
    answer = api.send("POST", "/login", json_body=api.master.credentials())
    found = answer.value()
    ((session,), now) = found["return"], time.time()
    cookie, *attributes = (answer.header("Set-Cookie") or "").split("; ")

    assert ["return"] == list(found)
    assert ["token", "expire", "start", "user", "eauth", "perms"] == list(session)
    assert TOKEN.fullmatch(session["token"])
    assert session["token"] == answer.header("X-Auth-Token")
    assert f"session_id={session['token']}" == cookie
    assert (api.master.username, api.master.eauth) == (session["user"], session["eauth"])
    assert sorted(session["perms"]) == session["perms"] != []
    assert "no-store" == answer.header("Cache-Control")

    values = dict(attribute.lower().partition("=")[::2] for attribute in attributes)
    assert {"httponly", "samesite", "path", "max-age", "expires"} == values.keys()
    assert ("lax", "/") == (values["samesite"], values["path"])
    assert abs(session["expire"] - now - int(values["max-age"])) < scaled(10)
    assert abs(session["expire"] - session["start"] - 43200) < 1


def test_short_session(api: ApiServer) -> None:
    """Where the master permits another life of the token, the cookie lives as long."""
    body = {**api.master.credentials(), "token_expire": 1000}
    answer = api.send("POST", "/login", json_body=body)
    (session,) = answer.value()["return"]
    found = re.search("Max-Age=([0-9]+)", answer.header("Set-Cookie") or "")

    assert abs(session["expire"] - session["start"] - 1000) < 1
    assert found is not None
    assert abs(1000 - int(found[1])) < scaled(10)


@pytest.mark.parametrize("kind", ["form", "json", "list", "yaml", "text"])
def test_forms_of_login(api: ApiServer, kind: str) -> None:
    """A login may be a form, JSON, YAML or JSON labelled as text, and stand in a list."""
    credentials = api.master.credentials()
    types = {"form": "application/x-www-form-urlencoded", "yaml": YAML, "text": "text/plain"}
    bodies = {
        "form": urlencode(credentials),
        "list": json.dumps([credentials]),
        "yaml": yaml.safe_dump(credentials),
    }
    headers = {"Content-Type": types.get(kind, JSON)}
    body = bodies.get(kind, json.dumps(credentials)).encode()

    assert 200 == api.send("POST", "/login", headers=headers, body=body).status


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"password": "wrong"}, 401, NOT_AUTHENTICATED),
        ({"username": "nobody"}, 401, NOT_AUTHENTICATED),
        ({"eauth": "nonsense"}, 401, NOT_AUTHENTICATED),
        (None, 400, "Send username, password and eauth to log in."),
        ([], 400, "Send username, password and eauth to log in."),
        ("text", 400, "Send username, password and eauth to log in."),
        ({}, 400, "Send username, password and eauth to log in."),
    ],
)
def test_wrong_login(api: ApiServer, body: Any, status: int, sentence: str) -> None:
    """A login that fails says no more than it must, and sets no cookie."""
    if isinstance(body, dict) and body:
        body = {**api.master.credentials(), **body}
    answer = api.send("POST", "/login", json_body=body)

    assert (status, {"status": status, "return": sentence}) == (answer.status, answer.value())
    assert (None, None) == (answer.header("Set-Cookie"), answer.header("X-Auth-Token"))


def test_ways_to_send_the_token(client: Client) -> None:
    """The token is taken from X-Auth-Token, the cookie, or a bearer's Authorization."""
    server, token = client.server, client.token
    for headers in (
        {"X-Auth-Token": token},
        {"Cookie": f"other=1; session_id={token}; more=2"},
        {"Authorization": f"Bearer {token}"},
        {"X-Auth-Token": "", "Cookie": f"session_id={token}"},
        {"X-Auth-Token": token, "Cookie": "session_id=wrong"},
    ):
        assert 200 == server.send("GET", "/keys", headers=headers).status, headers
    wrong = {"X-Auth-Token": "wrong", "Cookie": f"session_id={token}"}
    assert 401 == server.send("GET", "/keys", headers=wrong).status


NEEDS_SESSION = [
    ("POST", "/"),
    ("POST", "/logout"),
    ("GET", "/minions"),
    ("GET", "/minions/x"),
    ("POST", "/minions"),
    ("GET", "/jobs"),
    ("GET", "/jobs/20200101000000000000"),
    ("GET", "/keys"),
    ("GET", "/keys/x"),
    ("GET", "/events"),
    ("POST", "/hook"),
    ("POST", "/hook/x"),
    ("GET", "/stats"),
]


@pytest.mark.parametrize(("method", "path"), NEEDS_SESSION)
@pytest.mark.parametrize("token", [None, "", "0" * 64, "../../etc/passwd", "é"])
def test_no_session(api: ApiServer, method: str, path: str, token: str | None) -> None:
    """Without a good token every URL that needs one is 401, and nobody gets a cookie."""
    headers = {} if token is None else {"X-Auth-Token": token}
    body = PING if method == "POST" else None
    answer = api.send(method, path, headers=headers, json_body=body)

    assert (401, {"status": 401, "return": UNKNOWN_TOKEN}) == (answer.status, answer.value())
    assert "Session" == answer.header("WWW-Authenticate")
    assert None is answer.header("Set-Cookie")


@pytest.mark.parametrize("path", ["/", "/login", "/run", "/token", "/nope", "/favicon.ico"])
def test_no_cookie_before_login(api: ApiServer, path: str) -> None:
    """Looking around sets no cookie."""
    for method in ("GET", "HEAD", "OPTIONS", "PUT"):
        assert None is api.send(method, path).header("Set-Cookie")


def test_logout(own: Client) -> None:
    """A logout takes the cookie back and ends the session everywhere, at once."""
    answer = own.send("POST", "/logout")
    cookie = answer.header("Set-Cookie") or ""

    assert (200, b'{"return": "Your token has been cleared"}') == (answer.status, answer.body)
    assert cookie.startswith('session_id=""; ')
    assert {"Max-Age=0", "HttpOnly", "Path=/"} <= set(cookie.split("; "))
    for method, path in NEEDS_SESSION:
        assert 401 == own.send(method, path, PING if method == "POST" else None).status
    in_chunk = own.server.send("POST", "/run", json_body={**PING, "token": own.token})
    assert 401 == in_chunk.status


def test_token_of_the_session_wins(client: Client, api: ApiServer) -> None:
    """At `/` commands run as the session's user, whatever credentials they carry."""
    low = Client(api)
    low.token = api.login("low")
    chunk = {"client": "local", "tgt": "minion-1", "fun": "test.echo", "arg": ["x"]}

    assert 401 == low.send("POST", "/", {**chunk, **api.master.credentials()}).status
    assert 401 == low.send("POST", "/", {**chunk, "token": client.token}).status


@pytest.fixture(scope="module", params=MODULES)
def tls(
    request: pytest.FixtureRequest,
    master: PrivateMaster,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[ApiServer, ssl.SSLContext]]:
    """A server with TLS, and the context of a client that trusts it."""
    directory, authority = tmp_path_factory.mktemp("tls"), trustme.CA()
    made = authority.issue_cert("127.0.0.1")
    files = {"ssl_crt": str(directory / "crt"), "ssl_key": str(directory / "key")}
    made.cert_chain_pems[0].write_to_path(files["ssl_crt"])
    made.private_key_pem.write_to_path(files["ssl_key"])
    context = ssl.create_default_context()
    authority.configure_trust(context)
    options = {**files, "disable_ssl": False}
    with ApiServer(master, OURS, options, module=request.param) as server:
        yield server, context


def test_cookie_under_tls(tls: tuple[ApiServer, ssl.SSLContext]) -> None:
    """Under TLS the cookie is Secure, the one that takes it back too."""
    server, context = tls
    connection = http.client.HTTPSConnection(
        "127.0.0.1", server.port, timeout=scaled(60), context=context
    )
    body = json.dumps(server.master.credentials())
    connection.request("POST", "/login", body, {"Content-Type": JSON})
    answer = connection.getresponse()
    answer.read()
    cookie = (answer.getheader("Set-Cookie") or "").split("; ")
    connection.request("POST", "/logout", headers={"Cookie": cookie[0]})
    cleared = connection.getresponse()
    connection.close()

    assert (200, 200) == (answer.status, cleared.status)
    assert {"Secure", "HttpOnly", "SameSite=Lax"} <= set(cookie)
    assert "Secure" in (cleared.getheader("Set-Cookie") or "").split("; ")


# Formats


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (YAML, YAML),
        ("APPLICATION/X-YAML", YAML),
        (f"{YAML}, {JSON}", JSON),
        (f"{JSON};q=0.5, {YAML}", YAML),
        (f"{YAML};q=0.9, {JSON};q=0.8", YAML),
        (f"{YAML};q=0.1, */*", JSON),
        (f"{JSON};q=0, */*", YAML),
        ("text/html, */*;q=0.1", JSON),
        (f"text/html, {YAML};q=0.2", YAML),
        ("text/html", None),
        ("text/yaml", None),
        ("application/yaml", None),
        ("image/png", None),
        (f"{JSON};q=0", None),
        ("nonsense", None),
    ],
)
def test_accept(api: ApiServer, accept: str | None, expected: str | None) -> None:
    """The format is the one that the client likes best; 406 if there is none."""
    answer = api.send("GET", "/", headers={} if accept is None else {"Accept": accept})

    if expected is None:
        assert 406 == answer.status
    else:
        assert (200, expected) == (answer.status, answer.header("Content-Type"))
        assert "Welcome" == answer.value()["return"]
    assert "Accept" in (answer.header("Vary") or "")


@pytest.mark.parametrize("path", ["/", "/run", "/minions"])
def test_nothing_runs_before_accept_is_checked(client: Client, tmp_path: Path, path: str) -> None:
    """A command whose answer nobody would accept is not run."""
    file = tmp_path / "touched"
    chunk = {"client": "local", "tgt": "minion-1", "fun": "file.touch", "arg": [str(file)]}
    body = {**chunk, **(client.server.master.credentials() if path == "/run" else {})}

    assert 406 == client.send("POST", path, body, headers={"Accept": "image/png"}).status
    assert [PONG] == client.value("POST", "/", PING)["return"]
    assert not file.exists()


FORM = "application/x-www-form-urlencoded"
ECHO = {"client": "local", "tgt": "minion-1", "fun": "test.arg"}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, json.dumps(PING)),
        (JSON, json.dumps([PING])),
        (f"{JSON}; charset=utf-8", json.dumps(PING)),
        ("APPLICATION/JSON", json.dumps(PING)),
        (JSON, "\ufeff" + json.dumps(PING)),
        (YAML, yaml.safe_dump([PING])),
        ("text/yaml", yaml.safe_dump(PING)),
        ("text/plain;charset=UTF-8", json.dumps(PING)),
        (FORM, "client=local&tgt=*&fun=test.ping"),
        (FORM, "fun=test.ping&arg&client=local&tgt=*"),
        (FORM, "client=local&tgt=minion-1%2Cminion-2&tgt_type=list&fun=test.ping&arg="),
    ],
)
def test_bodies(client: Client, content_type: str, body: str) -> None:
    """A command may be JSON, YAML, a form, or JSON labelled as text."""
    headers = {"Content-Type": content_type}
    answer = client.send("POST", "/", headers=headers, raw=body.encode())

    assert (200, {"return": [PONG]}) == (answer.status, answer.value())


@pytest.mark.parametrize(
    ("form", "args", "kwargs"),
    [
        ("arg=1", [1], {}),
        ("arg=one&arg=2", ["one", 2], {}),
        ("arg=1234&kwarg={'a': 'b'}", [1234], {"a": "b"}),
        ("arg=%5B1%2C+2%5D", [[1, 2]], {}),
        ("arg=a+b", ["a b"], {}),
    ],
)
def test_arguments_in_forms(
    client: Client, form: str, args: list[Any], kwargs: dict[str, Any]
) -> None:
    """Arguments in a form are read as on Salt's command line."""
    body = f"client=local&tgt=minion-1&fun=test.arg&{form}".encode()
    answer = client.send("POST", "/", headers={"Content-Type": FORM}, raw=body)
    found = answer.value()["return"][0]["minion-1"]
    given = {name: value for name, value in found["kwargs"].items() if not name.startswith("__")}

    assert (args, kwargs) == (found["args"], given)


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        (None, b"{}", 406),
        ("application/xml", b"<a/>", 406),
        ("multipart/form-data; boundary=x", b"--x--", 406),
        (JSON, b"{", 400),
        (JSON, b"NaN", 400),
        (JSON, b"[" * 100_000, 400),
        (JSON, b"\xff", 400),
        (JSON, b"1", 400),
        (JSON, b'"text"', 400),
        (JSON, b'["text"]', 400),
        (JSON, b"null", 400),
        (JSON, b"", 400),
        (YAML, b"a: [", 400),
        (YAML, b"!!python/object/apply:os.getpid []", 400),
        (YAML, b"a: &a [x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: *c", 400),
        ("text/plain", b"hello", 400),
        (FORM, b"a=%ff", 400),
        (FORM, b"", 400),
    ],
)
def test_wrong_bodies(client: Client, content_type: str | None, body: bytes, status: int) -> None:
    """A body that is no lowstate gets a sentence in JSON."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = client.send("POST", "/", headers=headers, raw=body)

    assert (status, JSON) == (answer.status, answer.media_type)
    assert status == answer.value()["status"]
    assert answer.value()["return"]


def test_gzip(client: Client) -> None:
    """A large answer is compressed for who wants that, a small one is not."""
    wants = {"Accept-Encoding": "gzip, deflate"}
    plain = client.send("GET", "/minions")
    packed = client.send("GET", "/minions", headers=wants)

    assert None is plain.header("Content-Encoding")
    assert "gzip" == packed.header("Content-Encoding")
    assert str(len(packed.body)) == packed.header("Content-Length")
    assert PONG.keys() == json.loads(gzip.decompress(packed.body))["return"][0].keys()
    assert None is client.send("GET", "/login", headers=wants).header("Content-Encoding")
    refused = client.send("GET", "/minions", headers={"Accept-Encoding": "gzip;q=0, *;q=0"})
    assert None is refused.header("Content-Encoding")
    assert "Accept-Encoding" in (plain.header("Vary") or "")


@pytest.mark.parametrize(
    ("timeout", "status"),
    [(60, 200), ("60", 200), ("2.5", 200), ("None", 200), ("", 200), ("soon", 400), ("-1", 400)],
)
def test_timeout_as_text(client: Client, timeout: Any, status: int) -> None:
    """A timeout may be a number in a text; what is none is refused before anything runs."""
    assert status == client.send("POST", "/", {**PING, "timeout": timeout}).status


# Errors, methods


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/login", 400),
        ("GET", "/minions", 401),
        ("GET", "/nope", 404),
        ("GET", "/login/nope", 404),
        ("PUT", "/login", 405),
        ("DELETE", "/", 405),
        ("GET", "/logout", 405),
        ("GET", "/hook", 405),
    ],
)
@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, JSON),
        ("*/*", JSON),
        (JSON, JSON),
        (YAML, YAML),
        (HTML, HTML),
        ("text/html,application/xhtml+xml,*/*;q=0.8", HTML),
        (f"{HTML};q=0.5, {JSON}", JSON),
    ],
)
def test_errors(
    api: ApiServer, method: str, path: str, status: int, accept: str | None, expected: str
) -> None:
    """An error comes in the client's format, HTML only if it asks, with a request id."""
    answer = api.send(method, path, headers={"Accept": accept} if accept else {})
    if status in {400, 401} and accept == HTML:
        status = 406  # the client could not read a success
    assert (status, expected) == (answer.status, answer.media_type)
    assert re.fullmatch("[0-9a-f]{16}", answer.header("X-Request-Id") or "")
    assert str(len(answer.body)) == answer.header("Content-Length")
    if expected == HTML:
        assert f"<h2>{status}</h2>" in answer.body.decode()
    else:
        assert ["return", "status"] == sorted(answer.value())
        assert status == answer.value()["status"]
    if status == 405:
        assert "OPTIONS" in (answer.header("Allow") or "")


def test_406_itself(api: ApiServer) -> None:
    """Who accepts nothing that we have is told so in JSON."""
    answer = api.send("GET", "/", headers={"Accept": "image/png"})

    assert (406, JSON) == (answer.status, answer.media_type)
    assert 406 == answer.value()["status"]


def test_markup_in_errors(api: ApiServer) -> None:
    """What a request says is shown as text."""
    answer = api.send("GET", "/<script>alert(1)</script>", headers={"Accept": HTML})

    assert (404, HTML) == (answer.status, answer.media_type)
    assert b"<script>" not in answer.body


def test_request_ids_differ(api: ApiServer) -> None:
    """Each request has an id of its own, which is not the client's to choose."""
    headers = {"X-Request-Id": "mine"}
    ids = {api.send("GET", "/", headers=headers).header("X-Request-Id") for _ in range(5)}

    assert 5 == len(ids - {"mine", None})


GETS = ["/", "/login", "/run", "/token", "/minions", "/jobs", "/keys", "/stats"]
POSTS = ["/", "/login", "/logout", "/run", "/token", "/minions", "/keys", "/hook"]


@pytest.mark.parametrize("path", GETS)
def test_head(client: Client, path: str) -> None:
    """HEAD has the status and the headers of GET, and no body."""
    get, head = client.send("GET", path), client.send("HEAD", path)

    assert (get.status, b"") == (head.status, head.body)
    assert get.header("Content-Type") == head.header("Content-Type")


@pytest.mark.parametrize("path", [*GETS, "/logout", "/events", "/ws", "/hook", "/hook/x"])
def test_options(api: ApiServer, path: str) -> None:
    """OPTIONS is 200 and says what may be sent, with no session, and lets no page in."""
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = api.send("OPTIONS", path, headers=headers)
    allowed = (answer.header("Allow") or "").split(", ")

    assert (200, b"") == (answer.status, answer.body)
    assert "OPTIONS" in allowed
    assert (path in POSTS or path == "/hook/x") == ("POST" in allowed)
    assert [] == [n for n, _ in answer.headers if n.lower().startswith("access-control-")]


@pytest.mark.parametrize("path", ["/login/", "/run/", "/token/", "/minions/", "/keys/", "/jobs/"])
def test_trailing_slashes(client: Client, path: str) -> None:
    """A slash at the end changes nothing and is not redirected."""
    assert 200 == client.send("GET", path).status


def test_unknown_parameters(client: Client) -> None:
    """A parameter that a URL does not know is 404, as in Salt's module."""
    assert 404 == client.send("GET", "/minions?nope=1").status


def test_too_large(client: Client) -> None:
    """A body over one MiB is 413."""
    answer = client.send("POST", "/", headers={"Content-Type": JSON}, raw=b" " * (2**20 + 1))

    assert (413, JSON) == (answer.status, answer.media_type)
    assert {"status": 413, "return": "The body is larger than 1048576 bytes."} == answer.value()


@pytest.mark.parametrize(
    ("chunk", "status", "said"),
    [
        ({"fun": None}, 400, "fun"),
        ({"client": "nonsense"}, 400, "nonsense"),
        ({"client": "ssh"}, 400, "netapi_enable_clients"),
        ({"client": None}, 400, "client"),
        ({"tgt": None}, 400, "tgt"),
    ],
)
def test_wrong_chunk(client: Client, chunk: dict[str, Any], status: int, said: str) -> None:
    """A command that lacks something gets a sentence that names it."""
    given = {name: value for name, value in {**PING, **chunk}.items() if value is not None}
    answer = client.send("POST", "/", given)

    assert status == answer.status
    assert said in answer.value()["return"]
