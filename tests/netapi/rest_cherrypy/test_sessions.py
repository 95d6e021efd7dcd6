"""Options of the section that show only with a master: sessions, hooks, logs, addresses."""

import http.client
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.waiting import eventually, scaled
from tests.wire import Answer

PING = {"client": "local", "tgt": "minion-1", "fun": "test.ping"}
BROWSER = "text/html,application/xhtml+xml,*/*;q=0.8"
ELSEWHERE = "127.0.0.9"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("api")
    (path / "index.html").write_text("the app")
    return path


@pytest.fixture(scope="module")
def api(master: PrivateMaster, directory: Path) -> Iterator[ApiServer]:
    """The module with nearly every option set."""
    section = {
        "root_prefix": "/salt",
        "webhook_url": "/in/coming/hooks",
        "app": str(directory / "index.html"),
        "log_access_file": str(directory / "access"),
        "log_error_file": str(directory / "error"),
        "debug": True,
        "collect_stats": True,
        "token_in_url": False,
    }
    with ApiServer(master, OURS, section) as server:
        eventually(lambda: 200 == server.send("GET", "/salt").status)
        yield server


@pytest.fixture(scope="module")
def limited(master: PrivateMaster) -> Iterator[ApiServer]:
    """The module with an `api_acl`: `low` may come from another address only."""
    acl = {"users": {"low": [ELSEWHERE], "*": ["127.0.0.1"]}}
    with ApiServer(master, OURS, {"api_acl": acl, "webhook_disable_auth": True}) as server:
        yield server


@pytest.fixture(scope="module")
def token(api: ApiServer) -> str:
    return token_of(api, "/salt/login")


def token_of(server: ApiServer, path: str = "/login", username: str | None = None) -> str:
    answer = server.send("POST", path, json_body=server.master.credentials(username))
    assert 200 == answer.status, answer
    return str(answer.value()["return"][0]["token"])


def send_from(
    address: str,
    server: ApiServer,
    method: str,
    path: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """Send a request from one of the addresses of loopback."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", server.port, timeout=scaled(60), source_address=(address, 0)
    )
    try:
        data = None if body is None else json.dumps(body)
        sent = {**({"Content-Type": "application/json"} if data else {}), **(headers or {})}
        connection.request(method, path, data, sent)
        answer = connection.getresponse()
        return Answer(answer.status, tuple(answer.getheaders()), answer.read())
    finally:
        connection.close()


# root_prefix, app


def test_links_and_cookie_of_root_prefix(api: ApiServer) -> None:
    """Links have `root_prefix`, and the cookie is sent to what is below it alone."""
    login = api.send("POST", "/salt/login", json_body=api.master.credentials())
    cookie = (login.header("Set-Cookie") or "").partition(";")
    body = {"tgt": "minion-1", "fun": "test.ping"}
    headers = {"Cookie": cookie[0]}
    started = api.send("POST", "/salt/minions", json_body=body, headers=headers)
    (link,) = started.value()["_links"]["jobs"]

    assert 202 == started.status
    assert f"/salt/jobs/{started.value()['return'][0]['jid']}" == link["href"]
    assert 200 == api.send("GET", link["href"], headers=headers).status
    assert "Path=/salt" in cookie[2].split("; ")


def test_streams_are_not_the_app(api: ApiServer, token: str) -> None:
    """A browser's request for events gets events or a 401, never the app."""
    headers = {"Accept": BROWSER, "X-Auth-Token": token}

    assert 401 == api.send("GET", "/salt/events", headers={"Accept": BROWSER}).status
    assert b"retry: 400\n" == api.send("GET", "/salt/events", headers=headers).body
    assert b"the app" == api.send("GET", "/salt/jobs", headers=headers).body
    assert b"the app" == api.send("GET", "/salt/anything/else", headers=headers).body


# token_in_url


@pytest.mark.parametrize("form", ["/events/{}", "/events?token={}", "/events?salt_token={}"])
def test_token_in_url(api: ApiServer, limited: ApiServer, token: str, form: str) -> None:
    """A token in a URL works where 0.8.4 has it, unless `token_in_url` is False."""
    path = form.format(token)

    assert 401 == api.send("GET", f"/salt{path}").status
    assert 200 == limited.send("GET", path).status


# webhook_url, webhook_disable_auth


@pytest.mark.parametrize("path", ["", "/", "/a/b", "/a/b/"])
def test_webhook_url(api: ApiServer, token: str, path: str) -> None:
    """`webhook_url` may have several segments; what follows it is the end of the tag."""
    body = {"path": path}
    headers = {"X-Auth-Token": token}
    tag = f"salt/netapi/hook{path.rstrip('/')}"
    event = event_after(
        api,
        token,
        tag,
        lambda: api.send("POST", f"/salt/in/coming/hooks{path}", json_body=body, headers=headers),
    )

    assert body == event["post"]
    assert 404 == api.send("POST", "/salt/hook", json_body=body, headers=headers).status
    assert 401 == api.send("POST", f"/salt/in/coming/hooks{path}", json_body=body).status


def test_webhook_disable_auth(limited: ApiServer, token: str) -> None:
    """With `webhook_disable_auth` anybody may send hooks, and nothing else."""
    event = event_after(
        limited,
        token,
        "salt/netapi/hook/open",
        lambda: limited.send("POST", "/hook/open", json_body={"a": 1}),
        prefix="",
    )

    assert {"a": 1} == event["post"]
    assert 401 == limited.send("POST", "/", json_body=PING).status


def event_after(
    server: ApiServer, token: str, tag: str, act: Any, prefix: str = "/salt"
) -> dict[str, Any]:
    """Return the data of the event *tag* that comes after *act*, which must get a 200."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=scaled(60))
    try:
        connection.request("GET", f"{prefix}/events", headers={"X-Auth-Token": token})
        stream = connection.getresponse()
        assert b"retry: 400\n" == stream.readline()
        answer = act()
        assert (200, {"success": True}) == (answer.status, answer.value())
        while stream.readline() != f"tag: {tag}\n".encode():
            pass
        event: dict[str, Any] = json.loads(stream.readline().removeprefix(b"data: "))
        return event["data"]  # type: ignore[no-any-return]
    finally:
        connection.close()


# stats


def test_stats_are_for_users(api: ApiServer, token: str) -> None:
    """Without `stats_disable_auth` the statistics need a session."""
    assert 401 == api.send("GET", "/salt/stats").status
    answer = api.send("GET", "/salt/stats", headers={"X-Auth-Token": token})
    assert "CherryPy Applications" in answer.value()


# enable_sessions


def test_no_cookie_without_sessions(master: PrivateMaster) -> None:
    """With `enable_sessions: False` a token counts in a header, and not in a cookie."""
    with ApiServer(master, OURS, {"enable_sessions": False}) as server:
        made = server.send("POST", "/token", json_body=master.credentials()).value()
        token = made[0]["token"]
        by_header = server.send("POST", "/", json_body=PING, headers={"X-Auth-Token": token})
        by_cookie = server.send(
            "POST", "/", json_body=PING, headers={"Cookie": f"session_id={token}"}
        )

    assert {"return": [{"minion-1": True}]} == by_header.value()
    assert 401 == by_cookie.status


# api_acl


def test_api_acl_at_the_doors_that_take_passwords(limited: ApiServer) -> None:
    """A user who may not come from here is nobody, at every door that takes a password."""
    low = limited.master.credentials("low")
    for path, body in (
        ("/login", low),
        ("/token", [low]),
        ("/run", [{**PING, **low}]),
        ("/keys", {"mid": "new", **low}),
    ):
        refused = limited.send("POST", path, json_body=body)
        expected = {"status": 401, "return": "Could not authenticate using provided credentials"}
        assert expected == {**refused.value()}, path
    answer = send_from(ELSEWHERE, limited, "POST", "/run", [{**PING, **low}])
    assert {"return": [{"minion-1": True}]} == answer.value()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/", PING),
        ("POST", "/minions", PING),
        ("GET", "/minions/minion-1", None),
        ("GET", "/jobs", None),
        ("GET", "/keys", None),
        ("GET", "/stats", None),
        ("GET", "/events", None),
        ("POST", "/logout", None),
    ],
)
def test_api_acl_at_the_doors_that_take_tokens(
    limited: ApiServer, method: str, path: str, body: Any
) -> None:
    """A token is worth nothing at an address where its user may not be, whatever headers say."""
    made = send_from(ELSEWHERE, limited, "POST", "/login", limited.master.credentials("low"))
    headers = {
        "X-Auth-Token": made.value()["return"][0]["token"],
        "Remote-Addr": ELSEWHERE,
        "X-Forwarded-For": ELSEWHERE,
    }

    assert 401 == send_from("127.0.0.1", limited, method, path, body, headers).status


def test_api_acl_for_the_others(limited: ApiServer) -> None:
    """`*` stands for everybody who is not listed."""
    credentials = limited.master.credentials()

    assert 200 == send_from("127.0.0.1", limited, "POST", "/login", credentials).status
    assert 401 == send_from(ELSEWHERE, limited, "POST", "/login", credentials).status


# log_access_file, log_error_file


def test_lines_of_requests(api: ApiServer, directory: Path, token: str) -> None:
    """A request's line has its id, its user and its jobs, and never a token or a password."""
    access = directory / "access"
    headers = {"X-Auth-Token": token}
    answer = api.send("POST", "/salt/minions", json_body=[PING, PING], headers=headers)
    jids = [job["jid"] for job in answer.value()["return"]]
    request_id = answer.header("X-Request-Id")
    pattern = re.compile(
        r'INFO 127\.0\.0\.1 "POST /salt/minions" 202 \d+ ms '
        rf"request={request_id} user={api.master.username} jid={','.join(jids)}$",
        re.MULTILINE,
    )
    eventually(lambda: pattern.search(access.read_text()))

    refused = api.send("POST", "/salt/login", json_body={"username": "x y\n", "password": "p"})
    assert 400 <= refused.status < 500
    eventually(lambda: f"request={refused.header('X-Request-Id')}" in access.read_text())
    error = (directory / "error").read_text()
    assert f"request={refused.header('X-Request-Id')}" in error
    everything = access.read_text() + error + api.log()
    assert token not in everything
    assert api.master.password not in everything


def test_name_in_a_line(api: ApiServer, directory: Path) -> None:
    """A name cannot be made to look like another line or another field."""
    credentials = {**api.master.credentials(), "username": "x y\nINFO 127.0.0.1 jid=1"}
    answer = api.send("POST", "/salt/login", json_body=credentials)
    request_id = answer.header("X-Request-Id")

    assert 401 == answer.status
    eventually(lambda: f"request={request_id}" in (directory / "access").read_text())
    (line,) = (x for x in (directory / "access").read_text().splitlines() if str(request_id) in x)
    assert line.endswith(f"request={request_id} user=x?y?INFO?127.0.0.1?jid=1 jid=-")


def test_files_that_are_moved_away(api: ApiServer, directory: Path) -> None:
    """After logrotate has moved the files, and on SIGHUP, lines go to new ones."""
    access, moved = directory / "access", directory / "access.1"
    api.send("GET", "/salt/login")
    access.rename(moved)
    (pid_file,) = api.master.directory.rglob(f"{api.directory.name}/api.pid")
    os.kill(int(pid_file.read_text()), signal.SIGHUP)
    eventually(lambda: "rest_cherrypy has reloaded" in (directory / "error").read_text())
    request_id = api.send("GET", "/salt/run").header("X-Request-Id")

    eventually(lambda: access.exists() and f"request={request_id}" in access.read_text())
    assert f"request={request_id}" not in moved.read_text()
