"""Logins, tokens, cookies and logouts."""

import http.client
import json
import re
import ssl
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import trustme
import yaml

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.netapi.conformance.client import (
    JSON,
    MODULES,
    NO_TOKEN,
    NOT_AUTHENTICATED,
    PING,
    TOKEN,
    UNKNOWN_TOKEN,
    YAML,
    Client,
)
from tests.waiting import scaled


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


NEEDS_EAUTH = "A login needs eauth, the eauth system to ask: file."


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"password": "wrong"}, 401, NOT_AUTHENTICATED),
        ({"username": "nobody"}, 401, NOT_AUTHENTICATED),
        ({"eauth": "nonsense"}, 401, NOT_AUTHENTICATED),
        ({"eauth": None}, 401, NEEDS_EAUTH),
        ({"eauth": ""}, 401, NEEDS_EAUTH),
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

    sentence = UNKNOWN_TOKEN if token else NO_TOKEN
    assert (401, {"status": 401, "return": sentence}) == (answer.status, answer.value())
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
