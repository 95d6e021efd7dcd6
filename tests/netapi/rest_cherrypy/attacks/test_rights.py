"""Attacks on what runs with rights, and must not reach further."""

import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.apis import ApiServer
from tests.netapi.rest_cherrypy.attacks.attack import (
    ONE_MODULE,
    SECRET,
    SHORT_TOKEN_SECONDS,
    assert_no_effect,
    post,
    websocket,
)
from tests.waiting import eventually


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


@pytest.mark.long
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
