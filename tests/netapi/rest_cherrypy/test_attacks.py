"""
What has been used, or could be, against salt-api, sent over HTTP; the promise is "no effect".

The names of the tests are those of the advisories (CVE-…) where there is one.
"""

import http.client
import json
import re
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from saltapi.demo import PrivateMaster
from saltapi.demo.master import ENABLED_CLIENTS
from tests.apis import OURS, ApiServer
from tests.waiting import eventually, scaled
from tests.wire import Answer, encode_request, exchange, send

MODULES = ["rest_cherrypy", "rest_asgi"]
LONG_CHARACTERS = 1_000_000
SECRET = "zU8-never-to-be-seen"
STREAM_SECONDS = 30.0
SHORT_TOKEN_SECONDS = round(scaled(2))
TRAVERSALS = ["../../../../etc/passwd", "..%2f..%2f..%2fetc%2fpasswd", "%252e%252e%252fetc"]
CLIENTS = [
    {"client": "local", "tgt": "*"},
    {"client": "local_async", "tgt": "*"},
    {"client": "local_batch", "tgt": "*", "batch": "1"},
    {"client": "local_subset", "tgt": "*", "subset": 1},
    {"client": "ssh", "tgt": "*"},
]
"""Every client interface that runs a function on a minion."""


ONE_MODULE = pytest.mark.parametrize("api", MODULES[:1], indirect=True)
"""Of tests with many requests that the engine decides: any module will do."""


@pytest.fixture(scope="module", params=MODULES)
def api(request: pytest.FixtureRequest, master: PrivateMaster) -> Iterator[ApiServer]:
    """A server with all clients, ssh too, that logs all that it can log."""
    options = {
        "netapi_enable_clients": [*ENABLED_CLIENTS, "ssh"],
        "log_level": "debug",
        "log_level_logfile": "debug",
    }
    with ApiServer(master, OURS, options=options, module=request.param) as server:
        (server.directory / "roster").write_text("box: {host: 127.0.0.1, port: 1}\n")
        yield server


@pytest.fixture(scope="module")
def token(api: ApiServer) -> str:
    """The session of somebody who may run everything."""
    return api.login()


@pytest.fixture(scope="module")
def low_token(api: ApiServer) -> str:
    """The session of somebody who may run test.ping."""
    return api.login("low")


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file that must never exist."""
    return tmp_path / "pwned"


def post(api: ApiServer, path: str, value: Any, token: str | None = None) -> Answer:
    """POST *value* as JSON."""
    headers = {} if token is None else {"X-Auth-Token": token}
    return api.send("POST", path, headers=headers, json_body=value)


def touch(marker: Path) -> dict[str, Any]:
    """Return the part of a chunk that would make *marker*."""
    return {"fun": "cmd.run", "arg": [f"touch {marker}"]}


def assert_no_effect(api: ApiServer, token: str, marker: Path) -> None:
    """Fail if *marker* exists or any job ever had its name among its arguments."""
    jobs = api.send("GET", "/jobs", headers={"X-Auth-Token": token}).value()["return"][0]
    assert jobs
    assert [] == [jid for jid, job in jobs.items() if str(marker) in json.dumps(job)]
    assert not marker.exists()


# Credentials


def test_cve_2016_3176_parameters_of_the_login(api: ApiServer, tmp_path: Path) -> None:
    """Nobody can choose how the eauth module checks: other parameters do not reach it."""
    users = tmp_path / "users"
    users.write_text("intruder:intruder\n")
    extra = {
        "service": "su",
        "model": "x",
        "hashtype": "plaintext",
        "filename": str(users),
        "^filename": str(users),
        "filetype": "text",
    }
    right = api.master.credentials()
    assert 200 == post(api, "/login", {**right, **extra}).status
    wrong = {"eauth": "file", "username": "intruder", "password": "intruder"}
    chunk = {"client": "local", "tgt": "*", "fun": "test.ping"}
    for path, value in (("/login", {}), ("/token", {}), ("/run", chunk)):
        assert 401 == post(api, path, {**value, **wrong, **extra}).status


@pytest.mark.parametrize("chunk", CLIENTS, ids=lambda chunk: chunk["client"])
def test_cve_2017_5192_every_client_asks_for_permission(
    api: ApiServer, token: str, low_token: str, marker: Path, chunk: dict[str, Any]
) -> None:
    """Somebody who may run test.ping runs nothing else, whatever the client interface."""
    attack = {**chunk, **touch(marker)}
    assert 401 == post(api, "/", attack, low_token).status
    assert 401 == post(api, "/run", {**attack, **api.master.credentials("low")}).status
    if chunk["client"] != "ssh":
        assert 401 == post(api, "/minions", attack, low_token).status
    assert_no_effect(api, token, marker)


@pytest.mark.parametrize("client", ["runner", "runner_async", "wheel", "wheel_async"])
def test_cve_2017_5192_runner_and_wheel(
    api: ApiServer, token: str, low_token: str, marker: Path, client: str
) -> None:
    """Nor may they run runner and wheel functions."""
    attack: dict[str, Any] = {"fun": "salt.cmd", "arg": ["cmd.run", f"touch {marker}"]}
    if client.startswith("wheel"):
        attack = {"fun": "pillar_roots.write", "data": "x", "path": str(marker)}
    assert 401 == post(api, "/", {"client": client, **attack}, low_token).status
    assert_no_effect(api, token, marker)


def test_cve_2017_5200_ssh_of_others(
    api: ApiServer, low_token: str, marker: Path, tmp_path: Path
) -> None:
    """The ssh client cannot be led to a roster, or to a function, by somebody without rights."""
    evil = tmp_path / "roster"
    evil.write_text(f"box: {{host: 127.0.0.1, ssh_options: ['ProxyCommand=touch {marker}']}}\n")
    for extra in ({"roster_file": str(evil)}, {"roster": "cache"}, {"rosters": [str(tmp_path)]}):
        chunk = {"client": "ssh", "tgt": "*", **touch(marker), **extra}
        assert post(api, "/", chunk, low_token).status in {400, 401}
    assert not marker.exists()


@pytest.mark.parametrize(
    "value",
    [
        "../../../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "a\0b",
        "\uff10" * 64,
        "0x" + "0" * 62,
        "-1",
        "True",
        " " + "0" * 64,
        "0" * LONG_CHARACTERS,
        "0_" * 32,
    ],
    ids=lambda value: f"{value[:12]!r}",
)
def test_cve_2018_15750_token_as_a_path(api: ApiServer, value: str) -> None:
    """What is no token is 401 wherever a token may be, and is no path to anything."""
    chunk = {"client": "local", "tgt": "*", "fun": "test.ping", "token": value}
    assert 401 == post(api, "/run", [chunk]).status
    if len(value) == LONG_CHARACTERS or not value.isprintable() or not value.isascii():
        return
    for headers in ({"X-Auth-Token": value}, {"Cookie": f"session_id={quote(value)}"}):
        assert 401 == api.send("GET", "/minions", headers=headers).status
        assert 401 == api.send("GET", "/events", headers=headers).status
    for path in (f"/events?token={quote(value)}", f"/events/{quote(value, safe='')}"):
        assert 401 == api.send("GET", path).status


@pytest.mark.parametrize(
    "credentials",
    [
        {},
        {"eauth": ""},
        {"token": ""},
        {"token": None},
        {"token": []},
        {"eauth": {}},
        {"eauth": "", "token": ""},
        {"eauth": "file", "username": "", "password": ""},
        {"eauth": "file", "username": None, "password": None},
        {"username": "root"},
        {"key": "x", "user": "root"},
    ],
    ids=str,
)
def test_cve_2018_15751_no_credentials(
    api: ApiServer, token: str, marker: Path, credentials: dict[str, Any]
) -> None:
    """A chunk without credentials, or with empty ones, is 401; also as the second of two."""
    attack = {"client": "local", "tgt": "*", **touch(marker), **credentials}
    assert 401 == post(api, "/run", [attack]).status
    first = {"client": "local", "tgt": "*", "fun": "test.ping", **api.master.credentials()}
    assert 401 == post(api, "/run", [first, attack]).status
    assert_no_effect(api, token, marker)


def test_second_chunk_of_a_refused_request(
    api: ApiServer, token: str, low_token: str, marker: Path
) -> None:
    """Where one chunk is refused before anything runs, none runs."""
    broken = {"client": "local", "tgt": "*"}
    attack = {"client": "local", "tgt": "*", **touch(marker)}
    assert 400 == post(api, "/", [attack, broken], token).status
    assert_no_effect(api, token, marker)


def test_cve_2019_17361_ssh_without_credentials(api: ApiServer, marker: Path) -> None:
    """The ssh client needs credentials."""
    chunk = {
        "client": "ssh",
        "tgt": "localhost",
        "fun": f"touch {marker}",
        "raw_shell": True,
        "roster": "scan",
        "ssh_options": [f"ProxyCommand=touch {marker}"],
    }
    assert 401 == post(api, "/run", chunk).status
    assert not marker.exists()


def test_cve_2019_17361_raw_shell(api: ApiServer, token: str, marker: Path) -> None:
    """A raw shell is refused also with credentials, unless `netapi_allow_raw_shell` is set."""
    chunk = {"client": "ssh", "tgt": "*", "fun": f"touch {marker}", "raw_shell": True}
    assert 401 == post(api, "/", chunk, token).status
    assert not marker.exists()


@pytest.mark.parametrize("credentials", [{"eauth": "zzz"}, {"token": "abcdef"}], ids=str)
def test_cve_2020_25592_any_eauth(
    api: ApiServer, marker: Path, credentials: dict[str, str]
) -> None:
    """The ssh client does not take any value of `eauth` or `token`."""
    chunk = {"client": "ssh", "tgt": "*", **touch(marker)}
    answer = post(api, "/run", {**chunk, "username": "a", "password": "b", **credentials})
    assert 401 == answer.status
    assert not marker.exists()


# What runs with rights, and must not reach further


@pytest.mark.parametrize(
    ("fun", "arguments"),
    [
        ("config.update_config", {"file_name": "../../x", "yaml_contents": {"a": 1}}),
        ("file_roots.write", {"data": "x", "path": "../../../{marker}"}),
        ("file_roots.write", {"data": "x", "path": "{marker}"}),
        ("pillar_roots.write", {"data": "x", "path": "../../../{marker}"}),
        ("pillar_roots.write", {"data": "x", "path": "{marker}"}),
    ],
)
def test_cve_2020_11652_cve_2021_25282_paths(
    api: ApiServer, token: str, marker: Path, fun: str, arguments: dict[str, Any]
) -> None:
    """Wheel functions that write files write none outside of their roots."""
    filled = {
        key: value.format(marker=marker) if isinstance(value, str) else value
        for key, value in arguments.items()
    }
    for client in ("wheel", "wheel_async"):
        answer = post(api, "/", {"client": client, "fun": fun, **filled}, token)
        assert answer.status in {200, 400, 401}
    assert not marker.exists()
    assert [] == list(api.directory.parent.glob("**/x.conf"))


@ONE_MODULE
@pytest.mark.parametrize(
    "key",
    [
        "ssh_port",
        "ssh_user",
        "ssh_priv",
        "ssh_passwd",
        "ssh_remote_port_forwards",
        "ssh_options",
        "ssh_identities_only",
        "tgt",
        "extra_mods",
        "min_extra_mods",
        "thin_extra_mods",
        "roster_file",
        "timeout",
    ],
)
@pytest.mark.parametrize(
    "value",
    [
        '"; touch {marker} #',
        "$(touch {marker})",
        "`touch {marker}`",
        "x\ntouch {marker}",
        "|touch {marker}",
        "a';touch {marker};'",
        "ProxyCommand=touch {marker}",
        "-oProxyCommand=touch {marker}",
    ],
)
def test_cve_2020_16846_cve_2021_3148_cve_2021_3197_ssh_arguments(
    api: ApiServer, token: str, marker: Path, key: str, value: str
) -> None:
    """No parameter of the ssh client becomes a command of the master, also with rights."""
    text = value.format(marker=marker)
    chunk = {"client": "ssh", "tgt": "box", "fun": "test.ping", "ssh_port": "1"}
    answer = post(api, "/", {**chunk, key: [text] if key == "ssh_options" else text}, token)
    assert answer.status in {200, 400, 401, 404}
    assert not marker.exists()


@pytest.mark.parametrize("credentials", [{}, {"token": "0" * 64}, {"eauth": "file"}], ids=str)
def test_cve_2021_25281_wheel_async(
    api: ApiServer, marker: Path, credentials: dict[str, str]
) -> None:
    """`wheel_async` checks the credentials."""
    chunk = {
        "client": "wheel_async",
        "fun": "pillar_roots.write",
        "data": "x",
        "path": f"../../../../..{marker}",
        **credentials,
    }
    assert 401 == post(api, "/run", chunk).status
    assert not marker.exists()


TEMPLATE = "{{ 7 * 191 }}${7*191}<%= 7*191 %>"


@pytest.mark.parametrize("key", ["client", "fun", "tgt", "tgt_type", "arg", "token", "jid"])
def test_cve_2021_25283_templates(api: ApiServer, token: str, key: str) -> None:
    """A template in a field is text; nothing evaluates it."""
    chunk = {"client": "local", "tgt": "nobody-there", "fun": "test.ping", key: TEMPLATE}
    for path in ("/", "/run", "/minions"):
        for accept in ("application/json", "text/html"):
            headers = {"X-Auth-Token": token, "Accept": accept}
            answer = api.send("POST", path, headers=headers, json_body=chunk)
            assert b"1337" not in answer.body
    assert "1337" not in api.send("GET", f"/{quote(TEMPLATE)}").body.decode()


def test_cve_2021_25284_credentials_in_the_log(api: ApiServer) -> None:
    """No credential is in the log, at debug level too, wherever it came from."""
    credentials = api.master.credentials()
    token = api.login()
    revealed = [credentials["password"], token, SECRET]
    ping = {"client": "local", "tgt": "*", "fun": "test.ping"}
    post(api, "/run", {**ping, **credentials})
    post(api, "/run", {**ping, **credentials, "password": SECRET})
    post(api, "/login", {**credentials, "password": SECRET})
    post(api, "/run", {**ping, "client": "ssh", "token": token, "ssh_passwd": SECRET})
    for headers in (
        {"X-Auth-Token": token},
        {"Cookie": f"session_id={token}"},
        {"Authorization": f"Bearer {token}"},
        {"X-Auth-Token": token, "Authorization": f"Basic {SECRET}"},
    ):
        api.send("POST", "/hook/secret", headers=headers, json_body={"password": SECRET})
    for path in (f"/events/{token}", f"/events?token={token}", f"/ws/{token}", f"/{token}"):
        api.send("GET", path)
    assert 101 == websocket(api, {}, f"/ws/{token}")
    api.send("GET", f"/minions/{token}?token={token}", headers={"X-Auth-Token": token})
    assert "/hook/secret" in api.log()
    assert [] == [text for text in revealed if text in api.log()]


def test_cve_2021_3144_expired_tokens(api: ApiServer) -> None:
    """A token that has expired is refused at every URL, the first time and the second."""
    token = api.login(token_expire=SHORT_TOKEN_SECONDS)
    ended = time.time() + SHORT_TOKEN_SECONDS
    ping = {"client": "local", "tgt": "*", "fun": "test.ping"}
    assert 200 == post(api, "/", ping, token).status
    eventually(lambda: time.time() > ended)
    for _ in range(2):
        headers = {"X-Auth-Token": token}
        assert 401 == post(api, "/", ping, token).status
        assert 401 == post(api, "/run", {**ping, "token": token}).status
        assert 401 == post(api, "/keys", {"mid": "x", "token": token}).status
        assert 401 == post(api, "/hook", {}, token).status
        for path in ("/events", "/keys", "/jobs", "/minions", "/stats", f"/events/{token}"):
            assert 401 == api.send("GET", path, headers=headers).status
        assert 401 == websocket(api, headers)


def websocket(api: ApiServer, headers: dict[str, str], path: str = "/ws") -> int:
    """Return the status of the answer to the opening handshake of a websocket."""
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "s65VsgHigh7v/Jcf4nXHnA==",
    }
    return api.send("GET", path, headers={**handshake, **headers}).status


@ONE_MODULE
@pytest.mark.parametrize(
    "target",
    [
        {"tgt": "minion-2"},
        {"tgt": "*"},
        {"tgt": ["minion-1", "minion-2"], "tgt_type": "list"},
        {"tgt": "minion-1 or minion-2", "tgt_type": "compound"},
        {"tgt": "minion-1,minion-2", "tgt_type": "list"},
        {"tgt": "minion-.*", "tgt_type": "pcre"},
        {"tgt": "id:minion-2", "tgt_type": "grain"},
    ],
    ids=str,
)
@pytest.mark.parametrize("client", ["local", "local_async", "local_batch", "local_subset"])
def test_cve_2022_22941_other_minions(
    api: ApiServer, token: str, marker: Path, client: str, target: dict[str, Any]
) -> None:
    """Somebody with rights on one minion reaches no other one."""
    headers = {"X-Auth-Token": api.login("scoped")}
    chunk = {"client": client, "fun": "test.arg", "arg": [str(marker)], **target}
    assert 401 == api.send("POST", "/", headers=headers, json_body=chunk).status
    assert_no_effect(api, token, marker)


def test_cve_2024_38825_forged_certificates(api: ApiServer) -> None:
    """Headers that a proxy would set say nothing about who somebody is."""
    for name in (
        "X-SSL-Client-Verify",
        "X-SSL-Client-S-DN",
        "X-SSL-Client-Cert",
        "X-Forwarded-Client-Cert",
        "X-Forwarded-User",
        "X-Remote-User",
        "Remote-User",
        "Ssl-Client-Verify",
    ):
        headers = {name: api.master.username, "X-Forwarded-Eauth": "file"}
        assert 401 == api.send("GET", "/minions", headers=headers).status
    value = {"eauth": "pki", "username": "CN", "password": "-----BEGIN CERTIFICATE-----"}
    assert 401 == post(api, "/login", value).status


def test_cve_2023_20897_after_rubbish(api: ApiServer, token: str) -> None:
    """After huge tokens, broken requests and connections left open, all works as before."""
    idle = [socket.create_connection(("127.0.0.1", api.port)) for _ in range(50)]
    for number, connection in enumerate(idle):
        if number % 2:
            connection.sendall(b"POST /login HTTP/1.1\r\nContent-Length: 99\r\n\r\n{")
    for _ in range(20):
        chunk = {"client": "local", "tgt": "*", "fun": "test.ping", "token": "f" * 100_000}
        assert 401 == post(api, "/run", [chunk]).status
    answer = post(api, "/", {"client": "local", "tgt": "*", "fun": "test.ping"}, token)
    assert {"return": [{"minion-1": True, "minion-2": True}]} == answer.value()
    for connection in idle:
        connection.close()


# Paths


@pytest.mark.parametrize("mid", ["../x", "/etc/passwd", "a/../../b", "x\n", "x\0", "", ".", ".."])
def test_cve_2024_38824_names_of_minions(api: ApiServer, token: str, mid: str) -> None:
    """A minion id that would be a path is 400 and makes no key."""
    answer = post(api, "/keys", {**api.master.credentials(), "mid": mid})
    assert 400 == answer.status
    keys = api.send("GET", "/keys", headers={"X-Auth-Token": token}).value()["return"]
    assert ["minion-1", "minion-2"] == sorted(keys["minions"])


@pytest.mark.parametrize("base", ["/minions/", "/jobs/", "/keys/", "/app/", "/static/", "/hook/"])
@pytest.mark.parametrize("path", TRAVERSALS)
def test_cve_2024_38824_paths(api: ApiServer, token: str, base: str, path: str) -> None:
    """No URL leads to a file of the master."""
    answer = api.send("GET", base + path, headers={"X-Auth-Token": token})
    assert answer.status in {200, 400, 404, 405}
    assert b"root:" not in answer.body


@pytest.mark.parametrize(
    "jid",
    [
        "..%2f..%2fproc%2fself%2ffd%2f0",
        "20001122334455667788%00",
        "20001122334455667788%0a",
        "%EF%BC%92" * 20,
        "9" * 20_000,
    ],
)
def test_cve_2025_22242_jid_as_a_path(api: ApiServer, token: str, jid: str) -> None:
    """What is no jid is 4xx and no path to anything."""
    answer = api.send("GET", f"/jobs/{jid}", headers={"X-Auth-Token": token})
    assert 400 <= answer.status < 500


# What the server itself reads and writes


@pytest.mark.parametrize("tag", ["a%0Adata:%20injected", "a%0D%0A%0D%0Adata:%20injected", "%85"])
def test_cve_2025_22236_lines_in_tags(api: ApiServer, token: str, tag: str) -> None:
    """An event whose tag has line breaks cannot put lines, or events, into a stream."""
    request = encode_request("GET", "/events", [("Host", "x"), ("X-Auth-Token", token)], None)
    with socket.create_connection(("127.0.0.1", api.port), scaled(STREAM_SECONDS)) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert b"retry: 400\n" == response.readline()
        post(api, f"/hook/{tag}", {}, token)
        post(api, "/hook/after", {}, token)
        lines: list[bytes] = []
        while b"tag: salt/netapi/hook/after\n" not in lines:
            lines.append(response.readline())
        response.close()
    assert all(re.match(rb"tag: |data: \{|:?\n|id: ", line) for line in lines)


@pytest.mark.parametrize(
    "body",
    [
        "!!python/object/apply:os.system ['touch {marker}']",
        "- !!python/object/new:subprocess.Popen [['touch', '{marker}']]",
        "!!python/module:os",
        "a: !!python/name:os.system",
    ],
)
@pytest.mark.parametrize("media_type", ["application/x-yaml", "text/yaml"])
def test_cve_2025_62348_yaml_tags(
    api: ApiServer, token: str, marker: Path, body: str, media_type: str
) -> None:
    """YAML that wants to be an object is 400."""
    headers = {"X-Auth-Token": token, "Content-Type": media_type}
    data = body.format(marker=marker).encode()
    for path in ("/", "/run", "/login", "/hook"):
        assert 400 == api.send("POST", path, headers=headers, body=data).status
    assert not marker.exists()


def test_yaml_that_grows(api: ApiServer, token: str) -> None:
    """Aliases that multiply are 400."""
    levels = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))
    headers = {"X-Auth-Token": token, "Content-Type": "application/x-yaml"}
    body = f"a0: &a0 x\n{levels}\n".encode()
    for path in ("/", "/hook"):
        assert 400 == api.send("POST", path, headers=headers, body=body).status


@pytest.mark.parametrize("depth", [200, 100_000])
def test_json_that_is_deep(api: ApiServer, token: str, depth: int) -> None:
    """JSON that is nested deeply is 400."""
    headers = {"X-Auth-Token": token, "Content-Type": "application/json"}
    body = b"[" * depth + b"]" * depth
    assert 400 == api.send("POST", "/hook", headers=headers, body=body).status


def test_large_body(api: ApiServer, token: str) -> None:
    """A body beyond `max_request_body_size` is 413 and fires nothing (D3)."""
    answer = post(api, "/hook/large", {"a": "x" * 1_100_000}, token)
    assert 413 == answer.status


@ONE_MODULE
def test_bodies_of_strangers(api: ApiServer, token: str) -> None:
    """Without a session bodies are short, but where it is in them who somebody is."""
    large = {"client": "local", "tgt": "minion-1", "fun": "test.echo", "arg": "x" * 100_000}
    for other in (None, "0" * 64):
        for path in ("/", "/login", "/minions", "/hook/x", "/nowhere"):
            answer = post(api, path, large, other)
            assert 413 == answer.status
            assert "65536 bytes, which is the most without a session" in answer.value()["return"]
    assert 200 == post(api, "/hook/x", large, token).status
    assert {"return": [{"minion-1": "x" * 100_000}]} == post(api, "/", large, token).value()
    answer = post(api, "/run", {**large, **api.master.credentials()})
    assert {"return": [{"minion-1": "x" * 100_000}]} == answer.value()


@ONE_MODULE
@pytest.mark.parametrize(
    "half",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX: ",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{",
        b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{",
    ],
    ids=["head", "body", "chunk"],
)
def test_unfinished_requests(api: ApiServer, half: bytes) -> None:
    """More unfinished requests than there are threads keep nobody waiting."""
    held = [socket.create_connection(("127.0.0.1", api.port)) for _ in range(150)]
    for connection in held:
        connection.sendall(half)
    assert 200 == api.send("GET", "/").status
    assert [] == select.select(held, [], [], 0)[0], "the answer came when the others had ended"
    for connection in held:
        connection.close()


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
