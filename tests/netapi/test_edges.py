"""What comes through proxies, and what browsers send by themselves, at every module."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.waiting import eventually
from tests.wire import Answer, encode_request, exchange

MODULES = ["rest_cherrypy", "rest_tornado", "rest_asgi"]
CLIENT = "203.0.113.9"
FOREIGN = "http://evil.example"
LISTED = "http://pages.example"
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
}


def send(
    api: ApiServer,
    method: str,
    path: str,
    headers: list[tuple[str, str]] | Mapping[str, str] = (),  # type: ignore[assignment]
    value: Any = None,
    source: str = "127.0.0.1",
) -> Answer:
    """Send a request, its headers as they are, from a loopback address."""
    given = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
    body = None if value is None else json.dumps(value).encode()
    names = [("Host", f"127.0.0.1:{api.port}"), ("Connection", "close")]
    if any(name == "Connection" for name, _ in given):
        names.pop()
    if body is not None:
        names += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    request = encode_request(method, path, [*names, *given], body)
    return exchange(api.port, request, source=source)


def marker(path: Path) -> dict[str, Any]:
    """Return a command that leaves a file."""
    return {"client": "runner", "fun": "salt.cmd", "arg": ["file.touch", str(path)]}


# Proxies


@pytest.fixture(scope="module", params=[*MODULES, "rest_wsgi"])
def behind(
    request: pytest.FixtureRequest, master: PrivateMaster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ApiServer]:
    """A server behind a proxy at 127.0.0.1, which takes requests of a few clients only."""
    directory = tmp_path_factory.mktemp("logs")
    options: dict[str, Any] = {
        "trusted_proxies": ["127.0.0.1"],
        "authorized_ips": ["203.0.113.0/24", "2001:db8::/32"],
    }
    if request.param != "rest_wsgi":
        options["log_access_file"] = str(directory / "access.log")
    if request.param == "rest_asgi":
        options["audit_log"] = str(directory / "audit.log")
    limits = {"api_login_failures": 2}
    with ApiServer(master, OURS, options, module=request.param, options=limits) as server:
        server.directory = directory
        yield server


def run(api: ApiServer, headers: Any, source: str = "127.0.0.1") -> Answer:
    """Send a command with credentials."""
    ping = {"client": "local", "tgt": "minion-1", "fun": "test.ping"}
    path = "/" if api.module == "rest_wsgi" else "/run"
    return send(api, "POST", path, headers, [{**ping, **api.master.credentials()}], source)


@pytest.mark.parametrize(
    "headers",
    [
        [("X-Forwarded-For", CLIENT)],
        [("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-For", f"{CLIENT}:80")],
        [("x-forwarded-for", f"10.0.0.1, {CLIENT}, 127.0.0.1")],
        [("Forwarded", 'for="[2001:db8::9]:1";proto=https')],
        [("Forwarded", "for=198.51.100.1"), ("Forwarded", f"for={CLIENT}")],
    ],
    ids=str,
)
def test_trusted_proxy(behind: ApiServer, headers: list[tuple[str, str]]) -> None:
    """The address rules look at the client, where a trusted proxy holds the connection."""
    answer = run(behind, headers)
    assert (200, {"return": [{"minion-1": True}]}) == (answer.status, answer.value())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 403),
        ([("X-Forwarded-For", "198.51.100.1")], 403),
        ([("X-Forwarded-For", CLIENT), ("X-Forwarded-For", "198.51.100.1")], 403),
        ([("X_Forwarded_For", CLIENT)], 403),
        ([("X-Real-IP", CLIENT)], 403),
        ([("X-Forwarded-For", "unknown")], 403),
        ([("X-Forwarded-For", "_hidden")], 403),
        ([("X-Forwarded-For", f"{CLIENT}, rubbish")], 400),
        ([("Forwarded", f"for={CLIENT}"), ("X-Forwarded-For", "198.51.100.1")], 400),
        ([("Forwarded", 'for="127.0.0.1'), ("Forwarded", f"for={CLIENT}")], 400),
    ],
    ids=str,
)
def test_spoofed(behind: ApiServer, headers: list[tuple[str, str]], status: int) -> None:
    """What the client writes itself gives it no other address."""
    assert status == run(behind, headers).status


def test_other_peers(behind: ApiServer) -> None:
    """Who is no trusted proxy is not believed."""
    headers = [("X-Forwarded-For", CLIENT), ("Forwarded", f"for={CLIENT}")]
    assert 403 == run(behind, headers, source="127.0.0.2").status


def test_throttle_of_clients(behind: ApiServer) -> None:
    """Wrong passwords count for the client, not for everybody behind its proxy."""
    path = "/" if behind.module == "rest_wsgi" else "/login"
    right = behind.master.credentials()
    if path == "/":
        right |= {"client": "runner", "fun": "test.arg"}
    wrong = {**right, "password": "wrong"}
    for expected in (401, 401, 429):
        headers = {"X-Forwarded-For": "203.0.113.77"}
        assert expected == send(behind, "POST", path, headers, [wrong]).status
    for address in ("203.0.113.78", "2001:db8::78"):
        assert 200 == send(behind, "POST", path, {"X-Forwarded-For": address}, [right]).status


def test_logs_of_clients(behind: ApiServer) -> None:
    """Logs, the audit log too, have the client's address, and a zone of it tells nothing."""
    address = "2001:db8::4711"
    forged = f'[{address}%" 200 forged]:1'
    assert 200 == run(behind, [("X-Forwarded-For", forged)]).status
    if behind.module == "rest_wsgi":
        return  # tests/netapi/rest_wsgi
    access = behind.directory / "access.log"
    eventually(lambda: f'{address} "POST /run"' in access.read_text())
    assert "forged" not in access.read_text()
    if behind.module == "rest_asgi":
        audit = behind.directory / "audit.log"
        eventually(lambda: f'"address": "{address}"' in audit.read_text())


@pytest.mark.parametrize(
    ("headers", "secure"),
    [
        ({"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "https"}, True),
        ({"Forwarded": f"for={CLIENT};proto=https"}, True),
        ({"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "https, http"}, False),
        ({"X-Forwarded-For": CLIENT}, False),
    ],
    ids=str,
)
def test_secure_cookie(behind: ApiServer, headers: dict[str, str], secure: bool) -> None:
    """The cookie is Secure where the client has TLS with its proxy."""
    if behind.module == "rest_wsgi":
        return  # it has no cookies
    answer = send(behind, "POST", "/login", headers, behind.master.credentials())
    assert 200 == answer.status
    assert secure is ("secure" in (answer.header("Set-Cookie") or "").lower())


def test_own_origin_behind_a_proxy(behind: ApiServer) -> None:
    """A page is ours by the host that the browser sees."""
    if behind.module == "rest_wsgi":
        return
    headers = {
        "X-Forwarded-For": CLIENT,
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "salt.example",
    }
    credentials = behind.master.credentials()
    for origin, status in (
        ("https://salt.example", 200),
        ("http://salt.example", 403),
        (f"https://127.0.0.1:{behind.port}", 403),
    ):
        answer = send(behind, "POST", "/login", {**headers, "Origin": origin}, credentials)
        assert status == answer.status


# Browsers


@pytest.fixture(scope="module", params=MODULES)
def api(request: pytest.FixtureRequest, master: PrivateMaster) -> Iterator[ApiServer]:
    """A server to which pages of one other origin may talk."""
    options: dict[str, Any] = {"cors_origin": [LISTED]}
    if request.param == "rest_tornado":
        options["websockets"] = True
    with ApiServer(master, OURS, options, module=request.param) as server:
        yield server


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": FOREIGN},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": FOREIGN, "X-Forwarded-Host": "evil.example"},
        {"Origin": FOREIGN, "Forwarded": "host=evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": FOREIGN, "Authorization": "Bearer of-somebody-else"},
        {"Origin": FOREIGN, "X-HTTP-Method-Override": "GET"},
    ],
    ids=str,
)
def test_foreign_page(api: ApiServer, tmp_path: Path, headers: dict[str, str]) -> None:
    """A page of another origin cannot do anything with the cookie that a browser adds."""
    cookie = {"Cookie": f"session_id={api.login()}"}
    made = tmp_path / "made"
    for path in ("/", "/run", "/minions", "/hook/x", "/keys", "/logout", "/login"):
        for kind in ("text/plain", "application/x-www-form-urlencoded"):
            given = {"Content-Type": kind, **cookie, **headers}
            answer = api.send("POST", path, headers=given, json_body=marker(made))
            assert (403, None) == (answer.status, answer.header("Set-Cookie")), path
    assert api.send("GET", "/minions", headers=cookie).status == 200  # not logged out
    assert not made.exists()


def test_foreign_page_v1(api: ApiServer) -> None:
    """The same below `/v1`."""
    if api.module != "rest_asgi":
        return
    headers = {"Cookie": f"session_id={api.login()}", "Origin": FOREIGN}
    for method, path in (
        ("POST", "/v1/run"),
        ("POST", "/v1/check"),
        ("POST", "/v1/events/ticket"),
        ("DELETE", "/v1/jobs/20200101000000000000"),
        ("POST", "/v1/jobs/20200101000000000000/rerun"),
    ):
        answer = api.send(method, path, headers=headers, json_body={})
        assert (403, "origin_refused") == (answer.status, json.loads(answer.body)["code"])


def test_login_of_a_foreign_page(api: ApiServer) -> None:
    """A foreign page cannot log a browser in as somebody else, with or without a cookie."""
    credentials = api.master.credentials()
    for path in ("/login", "/login/"):
        answer = api.send("POST", path, headers={"Origin": FOREIGN}, json_body=credentials)
        assert (403, None) == (answer.status, answer.header("Set-Cookie"))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": LISTED},
        {"Origin": LISTED, "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "own"},
        {"Origin": "own", "Sec-Fetch-Site": "same-origin"},
    ],
    ids=str,
)
def test_own_page(api: ApiServer, headers: dict[str, str]) -> None:
    """Our own pages, listed ones, and what is no browser, go on with a cookie."""
    own = {name: api.url if text == "own" else text for name, text in headers.items()}
    token = api.login()
    cookie = {"Cookie": f"session_id={token}", **own}
    ping = {"client": "local", "tgt": "minion-1", "fun": "test.ping"}
    assert 200 == api.send("POST", "/", headers=cookie, json_body=ping).status
    credentials = api.master.credentials()
    assert 200 == api.send("POST", "/login", headers=cookie, json_body=credentials).status


def test_token_in_a_header(api: ApiServer) -> None:
    """Who sends the token in a header is not concerned: no page can do that unasked."""
    ping = {"client": "local", "tgt": "minion-1", "fun": "test.ping"}
    for headers in ({"X-Auth-Token": api.login()}, {"Authorization": f"Bearer {api.login()}"}):
        answer = api.send("POST", "/", headers={**headers, "Origin": FOREIGN}, json_body=ping)
        assert 200 == answer.status
        assert answer.header("Access-Control-Allow-Origin") is None


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": FOREIGN}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": LISTED}, 101),
        ({}, 101),
    ],
    ids=str,
)
def test_websocket_of_a_page(api: ApiServer, headers: dict[str, str], status: int) -> None:
    """A foreign page opens no WebSocket by the cookie."""
    given = {**HANDSHAKE, **headers, "Cookie": f"session_id={api.login()}"}
    paths = ["/ws"] + (["/v1/events"] if api.module == "rest_asgi" else [])
    for path in paths:
        assert status == send(api, "GET", path, given).status


def test_sentence(api: ApiServer) -> None:
    """The refusal says what to change, in the client's format, and tells no page anything."""
    headers = {"Cookie": f"session_id={api.login()}", "Origin": FOREIGN}
    answer = api.send(
        "POST", "/", headers={**headers, "Accept": "application/x-yaml"}, json_body={}
    )
    assert "cors_origin in the master config lists those that may" in answer.value()["return"]
    assert answer.header("Access-Control-Allow-Origin") is None
    assert re.fullmatch("[0-9a-f]{16}", answer.header("X-Request-Id") or "")


# Files


@pytest.fixture(scope="module", params=["rest_cherrypy", "rest_asgi"])
def site(
    request: pytest.FixtureRequest, master: PrivateMaster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ApiServer]:
    """A server with a directory of files, which is a link."""
    home = tmp_path_factory.mktemp("site")
    (home / "assets-1" / "js").mkdir(parents=True)
    (home / "assets-1" / "js" / "app.js").write_text("let a = 1")
    (home / "assets-10").mkdir()
    (home / "assets-10" / "secret").write_text("secret")
    (home / "secret").write_text("secret")
    (home / "assets").symlink_to("assets-1")
    options = {"static": str(home / "assets")}
    with ApiServer(master, OURS, options, module=request.param) as server:
        server.directory = home
        yield server


def test_links_within(site: ApiServer) -> None:
    """The directory may be a link, and links in it may lead to what is in it."""
    (site.directory / "assets" / "a.js").symlink_to("js/app.js")
    (site.directory / "assets" / "lib").symlink_to(site.directory / "assets-1" / "js")
    (site.directory / "assets" / "again.js").symlink_to("../assets/lib/app.js")
    for path in ("/static/js/app.js", "/static/a.js", "/static/lib/app.js", "/static/again.js"):
        assert (200, b"let a = 1") == (site.send("GET", path).status, site.send("GET", path).body)


def test_links_out(site: ApiServer) -> None:
    """No link leads out, whenever it was made; nor does any spelling of a path."""
    assets = site.directory / "assets"
    (assets / "out").symlink_to("../secret")
    (assets / "abs").symlink_to("/etc/hostname")
    (assets / "up").symlink_to("..")
    (assets / "near").symlink_to("../assets-10/secret")
    (assets / "deep").symlink_to("js/../../secret")
    (assets / "proc").symlink_to("/proc/self")
    (assets / "chain").symlink_to("out")
    (assets / "circle").symlink_to("circle")
    (assets / "gone").symlink_to("nowhere")
    (assets / "js" / "link").symlink_to("../out")
    for name in (
        *("out", "abs", "up/secret", "near", "deep", "proc/environ", "proc/self/cmdline", "chain"),
        *("circle", "circle/x", "gone", "js/link", "up/assets/js/app.js/../../../secret"),
        *("../secret", "%2e%2e/secret", "..%2fsecret", "%2e%2e%2fsecret", "js/..%2f../secret"),
        *("..%252fsecret", "..%c0%afsecret", "..\\secret", "%5c..%5csecret", "js%2fapp.js"),
        *("../assets-10/secret", "js/app.js%00", "/etc/hostname", "%2fetc/hostname"),
    ):
        answer = site.send("GET", f"/static/{name}")
        assert (404, "nosniff") == (answer.status, answer.header("X-Content-Type-Options")), name
    (assets / "later.js").write_text("let a = 1")
    assert 200 == site.send("GET", "/static/later.js").status
    (assets / "later.js").unlink()
    (assets / "later.js").symlink_to("../secret")
    assert 404 == site.send("GET", "/static/later.js").status


# Tokens of others


@pytest.mark.parametrize(
    "bearer",
    ["eyJhbGciOiJIUzI1NiJ9.e30.x", "opaque", "0" * 64, "ab" * 32, "AB" * 32, "f" * 32, "", "a b"],
)
def test_foreign_bearer(api: ApiServer, bearer: str) -> None:
    """A bearer token that is no session's is passed over beside a good cookie, and only there."""
    cookie = {"Cookie": f"session_id={api.login()}"}
    ping = {"client": "local", "tgt": "minion-1", "fun": "test.ping"}
    for name in ("Authorization", "authorization"):
        headers = {name: f"Bearer {bearer}"}
        answer = api.send("POST", "/", headers={**cookie, **headers}, json_body=ping)
        assert (200, [{"minion-1": True}]) == (answer.status, answer.value()["return"])
        assert 200 == api.send("GET", "/jobs", headers={**cookie, **headers}).status
        assert 200 == api.send("GET", "/events", headers={**cookie, **headers}).status
        assert 101 == send(api, "GET", "/ws", {**HANDSHAKE, **cookie, **headers}).status
        assert api.send("GET", "/jobs", headers=headers).status in {302, 401}
        wrong = {"Cookie": f"session_id={'ef' * 32}", **headers}
        assert api.send("GET", "/jobs", headers=wrong).status in {302, 401}


def test_own_bearer(api: ApiServer) -> None:
    """A good bearer token counts before the cookie, whatever that is."""
    bearer, cookie = api.login(), api.login()
    headers = {"Authorization": f"bearer {bearer}", "Cookie": f"session_id={cookie}"}
    assert 200 == api.send("POST", "/logout", headers=headers).status
    assert api.send("GET", "/jobs", headers={"X-Auth-Token": bearer}).status in {302, 401}
    assert 200 == api.send("GET", "/jobs", headers={"X-Auth-Token": cookie}).status
    stale = {"Authorization": f"Bearer {cookie}", "Cookie": f"session_id={bearer}"}
    assert 200 == api.send("GET", "/jobs", headers=stale).status
    explicit = {"X-Auth-Token": "ab" * 32, "Cookie": f"session_id={cookie}"}
    assert api.send("GET", "/jobs", headers=explicit).status in {302, 401}


def test_server_header(api: ApiServer) -> None:
    """Clients find out by `Server` which module they talk to; ours has no version."""
    for method, path in (("GET", "/"), ("POST", "/login"), ("GET", "/nope"), ("OPTIONS", "/")):
        found = api.send(method, path).header("Server")
        if api.module == "rest_asgi":
            assert "saltapi" == found
        else:
            assert (api.module == "rest_tornado") is ("TornadoServer" in (found or ""))
