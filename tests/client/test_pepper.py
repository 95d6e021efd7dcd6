"""What pepper's own tests ask of pepper, asked of `saltctl`, at each of the servers."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml

from tests.apis import ApiServer
from tests.client.conftest import environment, saltctl

Pepper = Callable[..., CompletedProcess[str]]
MINIONS = {"minion-1": True, "minion-2": True}


@pytest.fixture
def pepper(api: ApiServer, tmp_path: Path) -> Pepper:
    """Run the command with the sections of pepper's tests in its `.pepperrc`."""
    known = api.master.credentials()
    user, password, url = known["username"], known["password"], f"SALTAPI_URL={api.url}/\n"
    who = f"SALTAPI_USER={user}\nSALTAPI_PASS={password}\nSALTAPI_EAUTH=file\n"
    tmp_path.joinpath(".pepperrc").write_text(
        f"[main]\n{url}{who}[pepper]\n{url}{who}[noapi]\n{who}[noopts]\n{url}"
        f"[baduser]\n{url}SALTAPI_USER={user}\nSALTAPI_PASS=wrong\nSALTAPI_EAUTH=file\n"
        "[badapi]\nSALTAPI_URL=git://localhost:1/\n"
    )

    def run(*words: str, stdin: str = "", **variables: str) -> CompletedProcess[str]:
        found = saltctl(environment(tmp_path) | variables, *words, "--out", "json", stdin=stdin)
        assert "Traceback" not in found.stderr
        return found

    return run


def value(found: CompletedProcess[str]) -> Any:
    """Return what was written, by a command that has succeeded."""
    assert 0 == found.returncode, found
    return json.loads(found.stdout)


def test_profiles(pepper: Pepper, api: ApiServer) -> None:
    """A section is a profile; the rest comes from options and variables."""
    known = api.master.credentials()
    who = ("--user", known["username"], "--eauth", "file", "--password-stdin")

    assert MINIONS == value(pepper("*", "test.ping"))
    assert MINIONS == value(pepper("--profile", "pepper", "*", "test.ping"))
    assert MINIONS == value(pepper("*", "test.ping", PEPPERPROFILE="pepper"))
    ping = ("*", "test.ping")
    found = pepper("--profile", "noopts", *who, *ping, stdin=known["password"])
    assert MINIONS == value(found)
    assert MINIONS == value(pepper("--profile", "noapi", "--url", api.url, *ping))
    assert MINIONS == value(pepper("--profile", "noapi", *ping, SALTAPI_URL=api.url))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--profile", "baduser", "*", "test.ping"], 4),
        (["--profile", "badapi", "*", "test.ping"], 2),
        (["--profile", "nobody", "*", "test.ping"], 2),
        (["--profile", "noopts", "*", "test.ping"], 4),
        (["--profile", "noopts", "--user", "x", "*", "test.ping"], 4),
        (["*"], 2),
        (["test.ping"], 2),
        (["api", "POST", "/v1/run", "--data", "{what"], 2),
    ],
)
def test_refused(pepper: Pepper, words: list[str], expected: int) -> None:
    """What cannot be done is a sentence and a status, and asks nobody who is not there."""
    found = pepper(*words)

    assert expected == found.returncode, found
    assert found.stderr


def test_functions_of_the_master(pepper: Pepper) -> None:
    """Arguments of runner and wheel functions are read, JSON too."""
    words = ("one", "two=what", 'three={"hello": "world"}')
    expected = {"args": ["one"], "kwargs": {"two": "what", "three": {"hello": "world"}}}

    assert expected == value(pepper("run", "test.arg", *words))
    assert expected == value(pepper("run", "--timeout", "123", "test.arg", *words))
    assert {"minion-1", "minion-2"} <= set(value(pepper("wheel", "minions.connected")))
    assert "thud" in value(pepper("run", "test.metasyntactic"))


def test_config_of_the_master(pepper: Pepper, api: ApiServer) -> None:
    """A wheel function takes a mapping as a named argument, and does what it says."""
    words = ("config.update_config", "file_name=saltctl", 'yaml_contents={"saltctl": {"x": 5}}')
    written = Path(api.master.config_dir, "master.d", "saltctl.conf")
    try:
        assert "Wrote saltctl.conf" == value(pepper("wheel", *words))
        assert {"saltctl": {"x": 5}} == yaml.safe_load(written.read_text())
    finally:
        written.unlink(missing_ok=True)


def test_lowstate(pepper: Pepper) -> None:
    """A lowstate is sent as it is, from the command line or from a file."""
    lowstate = '[{"client": "local", "tgt": "*", "fun": "test.ping"}]'

    assert {"return": [MINIONS]} == value(pepper("api", "POST", "/", "--data", lowstate))
    assert {"return": [MINIONS]} == value(pepper("api", "POST", "/", "--data", "-", stdin=lowstate))
    assert 2 == pepper("api", "POST", "/", "--data", "-", stdin="{what").returncode


def test_waiting(pepper: Pepper) -> None:
    """A call lasts until the return has come, also one that is longer than the timeout."""
    assert MINIONS == value(pepper("*", "test.sleep", "1"))
    assert MINIONS == value(pepper("--timeout", "1", "*", "test.sleep", "4"))


def test_incomplete(pepper: Pepper) -> None:
    """Who is missing is a status, and what the others returned is there."""
    found = pepper("-L", "minion-1,ghost", "test.ping")

    assert 3 == found.returncode, found
    assert {"minion-1": True} == json.loads(found.stdout)
    assert "ghost" in found.stderr


def test_token(pepper: Pepper, tmp_path: Path) -> None:
    """A token is kept, lives as long as was asked for, and is used without a password."""
    pepper("login", "--token-expire", "3000")
    (session,) = json.loads((tmp_path / "saltctl/state/sessions.json").read_text()).values()
    assert abs(session["expire"] - time.time() - 3000) < 300

    tmp_path.joinpath(".pepperrc").unlink()
    assert MINIONS == value(pepper("*", "test.ping"))
    assert "thud" in value(pepper("run", "test.metasyntactic"))


def test_passwords_stay_with_their_server(pepper: Pepper, tmp_path: Path) -> None:
    """The password in `.pepperrc` is not sent to the server of a profile, nor a variable's."""
    config = tmp_path / "saltctl/config/config.ini"
    config.parent.mkdir(parents=True)
    config.write_text("[prod]\nurl = http://127.0.0.1:1\nuser = x\neauth = file\n")

    for variables in ({}, {"SALTAPI_URL": "http://a", "SALTAPI_PASS": "x"}):
        found = pepper("--profile", "prod", "whoami", **variables)
        assert 4 == found.returncode, found  # there is nothing to log in with
    assert 5 == pepper("--profile", "prod", "whoami", SALTAPI_PASS="x").returncode
