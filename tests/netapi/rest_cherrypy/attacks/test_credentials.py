"""Attacks on who may run what: without credentials, or with those of others."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.apis import ApiServer
from tests.netapi.rest_cherrypy.attacks.attack import (
    CLIENTS,
    LONG_CHARACTERS,
    assert_no_effect,
    post,
    touch,
)


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
