"""The URLs of rest_tornado at a real master: shapes where they differ from rest_cherrypy's."""

import http.client
import json
import re
import socket
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.apis import OURS, ApiServer
from tests.waiting import eventually, scaled
from tests.wire import Answer, encode_request, exchange

PING = {"client": "local", "tgt": "*", "fun": "test.ping"}
BOTH = {"minion-1": True, "minion-2": True}
NO_MINIONS = "No minions matched the target. No command was sent, no jid was assigned."
REFUSED = "Failed to authenticate"
YAML = "application/x-yaml"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def token(api: ApiServer) -> str:
    """The token of a session."""
    return api.login()


@pytest.fixture(scope="module")
def session(token: str) -> dict[str, str]:
    """Headers with a session."""
    return {"X-Auth-Token": token}


def run(api: ApiServer, headers: dict[str, str], *chunks: Any, path: str = "/") -> Answer:
    """Send chunks."""
    return api.send("POST", path, headers=headers, json_body=list(chunks))


def results(answer: Answer) -> list[Any]:
    """Return what is in `return` of an answer that is a success."""
    assert 200 == answer.status, answer
    value = answer.value()
    assert ["return"] == list(value)
    assert isinstance(value["return"], list)
    return value["return"]


# Entry point and login


def test_welcome(api: ApiServer) -> None:
    """The welcome lists the enabled clients first, then says welcome."""
    answer = api.send("GET", "/")
    clients = ["local", "local_async", "local_batch", "local_subset", "runner", "runner_async"]
    expected = {"clients": [*clients, "wheel", "wheel_async"], "return": "Welcome"}
    assert json.dumps(expected).encode() == answer.body
    assert "application/json" == answer.header("Content-Type")


def test_login_page(api: ApiServer) -> None:
    """GET /login is 401 and says how to go on."""
    answer = api.send("GET", "/login")
    assert 401 == answer.status
    assert b'{"status": "401 Unauthorized", "return": "Please log in"}' == answer.body
    assert "Session" == answer.header("WWW-Authenticate")


def test_login(api: ApiServer) -> None:
    """A login gives the Salt token in the body and as a cookie, and in no other header."""
    answer = api.send("POST", "/login", json_body=api.master.credentials())
    (given,) = results(answer)
    names = ["token", "expire", "start", "user", "eauth", "perms"]
    assert names == list(given)
    assert [".*", "@jobs", "@runner", "@wheel"] == given["perms"]
    cookie = answer.header("Set-Cookie") or ""
    assert cookie.startswith(f"session_id={given['token']}; ")
    assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
    assert answer.header("X-Auth-Token") is None
    assert "no-store" == answer.header("Cache-Control")


@pytest.mark.parametrize("body", [{}, [], "x", {"username": "a", "eauth": "file"}, None, 1])
def test_login_that_is_none(api: ApiServer, body: Any) -> None:
    """What is no set of credentials gets 400."""
    answer = api.send("POST", "/login", json_body=body)
    assert 400 == answer.status


def test_login_without_a_body(api: ApiServer) -> None:
    """An empty body gets 400."""
    assert 400 == api.send("POST", "/login").status


def test_wrong_password(api: ApiServer) -> None:
    """A wrong password gets 401."""
    body = {**api.master.credentials(), "password": "wrong"}
    assert 401 == api.send("POST", "/login", json_body=body).status


def test_login_by_form(api: ApiServer) -> None:
    """A form logs in."""
    credentials = api.master.credentials()
    body = "&".join(f"{name}={value}" for name, value in credentials.items()).encode()
    assert 200 == api.send("POST", "/login", headers=FORM, body=body).status


# Without a session


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/"),
        ("GET", "/minions"),
        ("GET", "/minions/minion-1"),
        ("POST", "/minions"),
        ("GET", "/jobs"),
        ("GET", "/jobs/20260101000000000000"),
        ("POST", "/hook"),
        ("GET", "/events"),
    ],
)
@pytest.mark.parametrize("token", ["", "0" * 64])
def test_redirect(api: ApiServer, method: str, path: str, token: str) -> None:
    """Who has no session is sent to `/login`."""
    body = [PING] if method == "POST" else None
    answer = api.send(method, path, headers={"X-Auth-Token": token}, json_body=body)
    assert (302, "/login", b"") == (answer.status, answer.header("Location"), answer.body)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/logout"), ("GET", "/keys"), ("GET", "/stats")]
)
def test_unauthorized(api: ApiServer, method: str, path: str) -> None:
    """The URLs that rest_cherrypy has too answer 401 as there."""
    assert 401 == api.send(method, path).status


# Commands


def test_local(api: ApiServer, session: dict[str, str]) -> None:
    """A command gives what each minion returns."""
    assert [BOTH] == results(run(api, session, PING))


def test_cookie_and_bearer(api: ApiServer, token: str) -> None:
    """The token may be a cookie or a bearer token."""
    for headers in ({"Cookie": f"session_id={token}"}, {"Authorization": f"Bearer {token}"}):
        assert [BOTH] == results(run(api, headers, PING))


def test_texts_in_place_of_results(api: ApiServer, session: dict[str, str]) -> None:
    """What the master cannot do is a text among the results, and the others run."""
    nobody = {**PING, "tgt": "nobody"}
    asynchronous = {**nobody, "client": "local_async"}
    unknown = {"client": "runner", "fun": "no.such"}
    assert [
        NO_MINIONS,
        {},
        "Unexpected exception while handling request: 'no.such' is not available.",
        BOTH,
    ] == results(run(api, session, nobody, asynchronous, unknown, PING))


def test_refused_by_the_master(api: ApiServer) -> None:
    """A command that is not permitted is a text, and the last one of the list."""
    low = {"X-Auth-Token": api.login("low")}
    forbidden = {**PING, "fun": "test.arg"}
    assert [BOTH, REFUSED] == results(run(api, low, PING, forbidden, PING))


def test_own_token_wins(api: ApiServer, session: dict[str, str]) -> None:
    """A token in a chunk comes before that of the session."""
    assert [REFUSED] == results(run(api, session, {**PING, "token": "0" * 64}, PING))


@pytest.mark.parametrize(
    "chunk",
    [
        {**PING, "client": "carrier-pigeon"},
        {"client": "local", "tgt": "*"},
        {**PING, "tgt_type": "zodiac"},
        {**PING, "client": "ssh"},
        "text",
        [],
    ],
)
def test_malformed_chunk(api: ApiServer, session: dict[str, str], chunk: Any) -> None:
    """A chunk that is malformed, or whose client is not enabled, gets 400; nothing runs."""
    mark = uuid.uuid4().hex
    marked = {**PING, "client": "local_async", "fun": "test.arg", "arg": [mark]}
    assert 400 == run(api, session, marked, chunk).status
    assert mark.encode() not in api.send("GET", "/jobs", headers=session).body


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"", 400),
        ("application/json", b"{", 400),
        ("application/json", b"1", 400),
        ("application/x-yaml", b"a: b: c", 400),
        ("application/x-yaml", b"&a [*a]", 400),
        ("application/xml", b"<xml/>", 406),
        ("", b"[]", 406),
        ("application/json", b"[]", 200),
    ],
)
def test_bodies(
    api: ApiServer, session: dict[str, str], content_type: str, body: bytes, status: int
) -> None:
    """What cannot be read gets an error at once; nothing hangs."""
    headers = {**session, "Content-Type": content_type}
    assert status == api.send("POST", "/", headers=headers, body=body).status


def test_forms_are_texts(api: ApiServer, session: dict[str, str]) -> None:
    """Values in forms stay texts, as in Salt's module."""
    body = b"client=local&tgt=minion-1&fun=test.arg&arg=1&arg=%5B2%5D"
    answer = api.send("POST", "/", headers={**session, **FORM}, body=body)
    (found,) = results(answer)
    assert ["1", "[2]"] == found["minion-1"]["args"]


def test_yaml(api: ApiServer, session: dict[str, str]) -> None:
    """YAML has the innermost collections on one line, as Salt's module writes it."""
    chunk = {**PING, "tgt": "minion-1", "fun": "test.echo", "arg": [[1, {"b": 2, "a": 1}]]}
    answer = run(api, {**session, "Accept": YAML}, chunk)
    assert b"return:\n- minion-1:\n  - 1\n  - {a: 1, b: 2}\n" == answer.body
    assert YAML == answer.header("Content-Type")
    assert api.send("GET", "/", headers={"Accept": YAML}).body.startswith(b"clients: [local, ")


def test_not_acceptable(api: ApiServer, session: dict[str, str]) -> None:
    """A format that there is not gets 406 before anything runs."""
    assert 406 == run(api, {**session, "Accept": "text/csv"}, PING).status


def test_html_errors_on_request(api: ApiServer) -> None:
    """An error is a page for who asks for one, JSON for all others."""
    page = api.send("GET", "/nope", headers={"Accept": "text/html"})
    assert (404, "text/html") == (page.status, page.media_type)
    plain = api.send("GET", "/nope")
    assert {"status": 404, "return": "The path '/nope' was not found."} == plain.value()


def test_run_with_credentials(api: ApiServer) -> None:
    """`/run` takes credentials in each chunk; a wrong password is a text."""
    credentials = api.master.credentials()
    wrong = {**PING, **credentials, "password": "wrong"}
    assert [BOTH, REFUSED] == results(run(api, {}, {**PING, **credentials}, wrong, path="/run"))


def test_run_with_a_session(api: ApiServer, session: dict[str, str]) -> None:
    """`/run` takes the session's token too; without any it is a text."""
    assert [BOTH] == results(run(api, session, PING, path="/run"))
    assert [REFUSED] == results(run(api, {}, PING, path="/run"))


def test_other_clients(api: ApiServer, session: dict[str, str]) -> None:
    """The clients that rest_cherrypy has work here too."""
    wheel = {"client": "wheel", "fun": "key.list_all"}
    batch = {**PING, "client": "local_batch", "batch": 1}
    subset = {**PING, "client": "local_subset", "subset": 2}
    runner = {"client": "runner", "fun": "test.arg", "arg": [1]}
    found = results(run(api, session, wheel, batch, subset, runner))
    assert ["minion-1", "minion-2"] == sorted(found[0]["data"]["return"]["minions"])
    assert BOTH == found[1] | found[2]
    assert BOTH == found[3]
    assert [1] == found[4]["args"]


# Minions, jobs, keys


def test_minions(api: ApiServer, session: dict[str, str]) -> None:
    """`/minions` gives the grains, of one or of all."""
    (every,) = results(api.send("GET", "/minions", headers=session))
    assert {"minion-1", "minion-2"} == set(every)
    (one,) = results(api.send("GET", "/minions/minion-1", headers=session))
    assert "minion-1" == one["minion-1"]["id"]
    assert [NO_MINIONS] == results(api.send("GET", "/minions/nobody", headers=session))


@pytest.mark.parametrize("path", ["/minions", "/minions/"])
def test_start_jobs(api: ApiServer, session: dict[str, str], path: str) -> None:
    """POST /minions starts jobs: status 200, and no links."""
    answer = run(api, session, {"tgt": "*", "fun": "test.ping"}, path=path)
    (job,) = results(answer)
    assert ["jid", "minions"] == list(job)
    assert ["minion-1", "minion-2"] == sorted(job["minions"])


def test_start_with_another_client(api: ApiServer, session: dict[str, str]) -> None:
    """POST /minions serves no client but local_async."""
    answer = run(api, session, PING, path="/minions")
    assert {"status": 400, "return": "We don't serve your kind here"} == answer.value()


def test_jobs(api: ApiServer, session: dict[str, str]) -> None:
    """`/jobs/<jid>` is what the runner returns, without `info`."""
    (started,) = results(run(api, session, {**PING, "full_return": True}))
    jid = started["minion-1"]["jid"]

    def job() -> Any:
        return results(api.send("GET", f"/jobs/{jid}", headers=session))[0]

    # The master tells of a return before it keeps it.
    assert eventually(lambda: {"minion-1", "minion-2"} == set(job()["Result"]))
    assert "test.ping" == job()["Function"]
    (jobs,) = results(api.send("GET", "/jobs", headers=session))
    assert "test.ping" == jobs[jid]["Function"]


def test_keys(api: ApiServer, session: dict[str, str]) -> None:
    """`/keys` is as in rest_cherrypy."""
    answer = api.send("GET", "/keys", headers=session).value()
    assert ["minion-1", "minion-2"] == sorted(answer["return"]["minions"])
    answer = api.send("GET", "/keys/minion-1", headers=session).value()
    assert ["minion-1"] == list(answer["return"]["minions"])


def test_token_and_logout(api: ApiServer) -> None:
    """`/token` gives a bare list, its token is a session, `/logout` ends it everywhere."""
    (made,) = api.send("POST", "/token", json_body=api.master.credentials()).value()
    headers = {"X-Auth-Token": made["token"]}
    assert 200 == api.send("GET", "/minions/minion-1", headers=headers).status
    answer = api.send("POST", "/logout", headers=headers)
    assert {"return": "Your token has been cleared"} == answer.value()
    assert (answer.header("Set-Cookie") or "").startswith('session_id=""; ')
    assert 302 == api.send("GET", "/minions", headers=headers).status
    assert [REFUSED] == results(run(api, headers, PING, path="/run"))


def test_stats(api: ApiServer, session: dict[str, str]) -> None:
    """`/stats` counts."""
    found = api.send("GET", "/stats", headers=session).value()["rest_tornado"]
    assert found["Requests"] == sum(found["Statuses"].values()) > 0
    assert 1 == found["Requests In Flight"]


# Hooks


@pytest.fixture
def events(api: ApiServer, token: str) -> Iterator[Iterator[dict[str, Any]]]:
    """The events of the bus, as they come."""
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=scaled(60))
    connection.request("GET", "/events", headers={"X-Auth-Token": token})
    response = connection.getresponse()
    assert b"retry: 400\n" == response.readline()

    def values() -> Iterator[dict[str, Any]]:
        while line := response.readline():
            if line.startswith(b"data: "):
                yield json.loads(line[6:])

    yield values()
    connection.close()


@pytest.mark.parametrize(
    ("path", "tag"),
    [
        ("/hook", "salt/netapi/hook"),
        ("/hook/", "salt/netapi/hook/"),
        ("/hook/a/b/?q=1&r=2&r=3", "salt/netapi/hook/a/b/"),
        ("/hook/a%20b", "salt/netapi/hook/a b"),
    ],
)
def test_hook(
    api: ApiServer,
    session: dict[str, str],
    events: Iterator[dict[str, Any]],
    path: str,
    tag: str,
) -> None:
    """A hook fires `post`, `get` and `headers`, with the slash at the end, without tokens."""
    headers = {**session, **FORM, "Authorization": "Basic x", "X-Mine": "yes"}
    answer = api.send("POST", path, headers=headers, body=b"foo=Foo&bar=1")
    assert b'{"success": true}' == answer.body
    event = next(event for event in events if event["tag"].startswith("salt/netapi/hook"))
    data = event["data"]
    assert tag == event["tag"]
    assert {"post", "get", "headers", "_stamp"} == set(data)
    assert {"foo": "Foo", "bar": "1"} == data["post"]
    assert ({"q": "1", "r": ["2", "3"]} if "?" in path else {}) == data["get"]
    assert "yes" == data["headers"]["X-Mine"]
    assert not {"x-auth-token", "authorization"} & {name.lower() for name in data["headers"]}


def test_empty_hook(api: ApiServer, session: dict[str, str]) -> None:
    """A hook needs no body."""
    assert b'{"success": true}' == api.send("POST", "/hook", headers=session).body


# HTTP


def test_methods(api: ApiServer) -> None:
    """A method that there is not gets 405 and those that there are."""
    for path, allowed in {
        "/": "GET, HEAD, OPTIONS, POST",
        "/logout": "OPTIONS, POST",
        "/jobs": "GET, HEAD, OPTIONS",
        "/hook": "OPTIONS, POST",
    }.items():
        answer = api.send("DELETE", path)
        assert (405, allowed) == (answer.status, answer.header("Allow"))


def test_head(api: ApiServer) -> None:
    """HEAD is GET without the body."""
    get, head = api.send("GET", "/"), api.send("HEAD", "/")
    assert (200, b"") == (head.status, head.body)
    assert get.header("Content-Length") == head.header("Content-Length")


def test_preflight(api: ApiServer) -> None:
    """OPTIONS is 204 everywhere, with or without the headers of a preflight."""
    answer = api.send("OPTIONS", "/run", headers={"Access-Control-Request-Headers": "a, b"})
    assert (204, b"") == (answer.status, answer.body)
    assert "a, b" == answer.header("Access-Control-Allow-Headers")
    assert "OPTIONS, GET, POST" == answer.header("Access-Control-Allow-Methods")
    assert 204 == api.send("OPTIONS", "/events").status


def test_gzip(api: ApiServer, session: dict[str, str]) -> None:
    """Large answers are compressed for who wants that."""
    answer = api.send("GET", "/minions", headers={**session, "Accept-Encoding": "gzip"})
    assert "gzip" == answer.header("Content-Encoding")


def test_pipelined_requests(api: ApiServer) -> None:
    """Two requests on one connection are answered one after the other."""
    first = b"GET /login HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert 401 == exchange(api.port, first + last).status


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: abc",
        b"Content-Length: -1",
        b"Content-Length: 1\r\nContent-Length: 2",
        b"Content-Length: 1\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: gzip",
        b"nonsense",
    ],
)
def test_malformed_requests(api: ApiServer, head: bytes) -> None:
    """A request of unclear length, or with a malformed header, gets 400."""
    request = b"POST /login HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n"
    assert 400 == exchange(api.port, request).status


def test_a_client_that_leaves(api: ApiServer, token: str) -> None:
    """A client that leaves during its command is no error."""
    body = json.dumps({**PING, "fun": "test.sleep", "arg": [1]}).encode()
    names = {"Host": "x", "X-Auth-Token": token, "Content-Type": "application/json"}
    lengths = {**names, "Content-Length": str(len(body))}
    with socket.create_connection(("127.0.0.1", api.port)) as connection:
        connection.sendall(encode_request("POST", "/run", lengths.items(), body))
        eventually(lambda: stats(api, token)["Requests In Flight"] == 2)
    eventually(lambda: stats(api, token)["Requests In Flight"] == 1)
    assert "Traceback" not in api.log()


def stats(api: ApiServer, token: str) -> dict[str, Any]:
    """Return what the server counts."""
    answer = api.send("GET", "/stats", headers={"X-Auth-Token": token})
    found: dict[str, Any] = answer.value()["rest_tornado"]
    return found


def test_no_token_in_the_log(api: ApiServer) -> None:
    """No token, not even one in a URL, reaches the log."""
    token = api.login()
    api.send("GET", f"/events/{token}", headers={"Host": "x"})
    api.send("GET", f"/all_events/{token}")
    api.send("GET", f"/nope/{token}")
    assert token not in api.log()
    assert not re.search("Traceback", api.log())


def test_client_not_enabled(api: ApiServer, session: dict[str, str]) -> None:
    """`netapi_enable_clients` counts, and the error says which line to add."""
    options = {"netapi_enable_clients": ["runner"]}
    with ApiServer(api.master, OURS, module="rest_tornado", options=options) as server:
        answer = run(server, session, PING)
        assert 400 == answer.status
        assert "netapi_enable_clients" in answer.value()["return"]
        assert ["runner"] == server.send("GET", "/").value()["clients"]
