"""Attacks on sessions, by browsers, and from other addresses."""

import http.client
import socket
from collections.abc import Iterator

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.netapi.rest_cherrypy.attacks.attack import (
    MODULES,
    SECRET,
    SHORT_TOKEN_SECONDS,
    STREAM_SECONDS,
    post,
    websocket,
)
from tests.waiting import scaled
from tests.wire import encode_request, exchange, send

# Sessions


def test_logout_revokes(api: ApiServer) -> None:
    """After the logout the token is dead at every URL (salt#69067)."""
    token = api.login()
    assert 200 == api.send("POST", "/logout", headers={"X-Auth-Token": token}).status
    ping = {"client": "local", "tgt": "*", "fun": "test.ping"}
    assert 401 == post(api, "/", ping, token).status
    assert 401 == post(api, "/run", {**ping, "token": token}).status
    assert 401 == api.send("GET", f"/events/{token}").status
    assert 401 == websocket(api, {"X-Auth-Token": token})


@pytest.mark.long
@pytest.mark.parametrize("logout", [True, False], ids=["logout", "expiry"])
def test_quiet_stream_ends_with_its_token(api: ApiServer, logout: bool) -> None:
    """A stream ends with its token, also when nothing happens on the bus."""
    token = api.login(token_expire=SHORT_TOKEN_SECONDS * (1 if not logout else 1000))
    headers = [("Host", "x"), ("X-Auth-Token", token)]
    with socket.create_connection(("127.0.0.1", api.port), scaled(STREAM_SECONDS)) as connection:
        connection.sendall(encode_request("GET", "/events", headers, None))
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert b"retry: 400\n" == response.readline()
        if logout:
            assert 200 == api.send("POST", "/logout", headers=dict(headers[1:])).status
        while response.readline():
            pass
        response.close()


def test_token_is_not_reused_across_logins(api: ApiServer) -> None:
    """A login with a foreign cookie gives a new token (session fixation, D12)."""
    fixed = "f" * 64
    headers = {"Cookie": f"session_id={fixed}", "X-Auth-Token": fixed}
    answer = api.send("POST", "/login", headers=headers, json_body=api.master.credentials())
    assert fixed not in answer.body.decode()
    assert 401 == api.send("GET", "/keys", headers={"X-Auth-Token": fixed}).status


def test_permissions_do_not_grow(api: ApiServer) -> None:
    """Each login shows the same permissions (D: `external_auth` was changed by each)."""
    found = [
        post(api, "/login", api.master.credentials("scoped")).value()["return"][0]["perms"]
        for _ in range(3)
    ]
    assert [[{"minion-1": ["test.*"]}]] * 3 == found


def test_hook_hides_credentials(api: ApiServer, token: str) -> None:
    """The event of a hook has no credentials of its sender (D13)."""
    request = encode_request("GET", "/events", [("Host", "x"), ("X-Auth-Token", token)], None)
    sender = api.login()
    with socket.create_connection(("127.0.0.1", api.port), scaled(STREAM_SECONDS)) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert b"retry: 400\n" == response.readline()
        headers = {
            "X-Auth-Token": sender,
            "Cookie": f"session_id={sender}",
            "Authorization": f"Bearer {sender}",
            "Proxy-Authorization": f"Basic {SECRET}",
            "X-My-Secret-Key": "for the reactor",
        }
        api.send("POST", "/hook/hidden", headers=headers, json_body={})
        line = b""
        while not (line.startswith(b"data: ") and b"hook/hidden" in line):
            line = response.readline()
        response.close()
    assert sender.encode() not in line
    assert SECRET.encode() not in line
    assert b"for the reactor" in line


# Browsers and addresses


def test_preflight_opens_nothing(api: ApiServer) -> None:
    """`OPTIONS` gives no cookie (D1)."""
    headers = {"Origin": "http://x.example", "Access-Control-Request-Method": "POST"}
    for path in ("/", "/login", "/hook", "/stats", "/events"):
        answer = api.send("OPTIONS", path, headers=headers)
        assert 200 == answer.status
        assert answer.header("Set-Cookie") is None
        assert answer.header("Access-Control-Allow-Origin") is None


def test_other_origins(api: ApiServer, token: str) -> None:
    """A page of another origin may not read an answer (D5)."""
    ping = {"client": "local", "tgt": "*", "fun": "test.ping"}
    headers = {"Origin": "http://evil.example", "Cookie": f"session_id={token}"}
    answer = api.send("POST", "/", headers=headers, json_body=ping)
    assert answer.header("Access-Control-Allow-Origin") is None
    assert answer.header("Access-Control-Allow-Credentials") is None
    assert websocket(api, headers) in {401, 403}


FORGED = [
    {},
    {"Remote-Addr": "203.0.113.9"},
    {"REMOTE_ADDR": "203.0.113.9"},
    {"X-Forwarded-For": "203.0.113.9"},
    {"X-Real-IP": "203.0.113.9"},
    {"Forwarded": "for=203.0.113.9"},
    {"Client-IP": "203.0.113.9"},
]


@pytest.fixture(scope="module", params=MODULES)
def elsewhere(request: pytest.FixtureRequest, master: PrivateMaster) -> Iterator[ApiServer]:
    """A server that takes requests of another address only."""
    options = {"authorized_ips": ["203.0.113.9"]}
    with ApiServer(master, OURS, options, module=request.param) as server:
        yield server


@pytest.mark.parametrize("headers", FORGED, ids=str)
def test_authorized_ips(elsewhere: ApiServer, headers: dict[str, str]) -> None:
    """No header changes the address that `authorized_ips` looks at (D2)."""
    for path in ("/", "/login", "/minions", "/events", "/stats", "/nope"):
        assert 403 == elsewhere.send("GET", path, headers=headers).status
    for path in ("/", "/login", "/run", "/token", "/keys", "/hook", "/logout"):
        answer = elsewhere.send("POST", path, headers=headers, json_body={})
        assert 403 == answer.status
    assert 403 == websocket(elsewhere, headers)


@pytest.fixture(scope="module", params=MODULES)
def listed(request: pytest.FixtureRequest, master: PrivateMaster) -> Iterator[ApiServer]:
    """A server that takes credentials of one user from another address only."""
    acl = {"users": {master.username: ["203.0.113.9"], "*": ["*"]}}
    with ApiServer(master, OURS, {"api_acl": acl}, module=request.param) as server:
        yield server


@pytest.mark.parametrize("headers", FORGED, ids=str)
def test_api_acl(listed: ApiServer, headers: dict[str, str]) -> None:
    """`api_acl` counts at every door that takes credentials, and looks at the peer (D11)."""
    credentials = listed.master.credentials()
    ping = {"client": "local", "tgt": "*", "fun": "test.ping"}
    for path, value in (
        ("/login", credentials),
        ("/token", credentials),
        ("/run", {**ping, **credentials}),
        ("/keys", {"mid": "x", **credentials}),
    ):
        answer = listed.send("POST", path, headers=headers, json_body=value)
        assert 401 == answer.status
    assert listed.login("low")


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 0\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent_Length: 4\r\nContent-Length : 4\r\n",
    ],
)
def test_request_smuggling(api: ApiServer, head: bytes) -> None:
    """A request of unclear length is refused and its connection ends."""
    request = head + b"\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = exchange(api.port, request)
    assert answer.status in {400, 501}
    assert "/smuggled" not in api.log()


def test_nothing_of_the_server_can_be_reached(api: ApiServer) -> None:
    """URLs are names in a table, not attributes of objects."""
    for path in ("/GET", "/POST/x", "/door", "/run/GET/__self__", "/__class__", "/exposed"):
        assert 404 == send(api.port, "GET", path).status
