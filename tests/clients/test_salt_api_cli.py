"""
salt-api-cli 1.4.5.

It logs in with `eauth=pam` and nothing else, so the master here has a module of that name that
knows one password.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.conftest import PATIENT
from tests.waiting import scaled

SECONDS = 60
USER = "pamela"
PASSWORD = "only-for-this-test"
PAM = f"""
def auth(username, password, **_):
    return (username, password) == ({USER!r}, {PASSWORD!r})
"""

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server on a master where PAM knows one user."""
    modules = tmp_path_factory.mktemp("auth")
    (modules / "pam.py").write_text(PAM)
    options = {
        **PATIENT,
        "auth_dirs": [str(modules)],
        "external_auth": {"pam": {USER: [".*", "@runner", "@wheel"]}},
    }
    with PrivateMaster(minions=1, options=options) as master:
        master.wait_ready(timeout=scaled(SECONDS))
        with ApiServer(master, OURS) as server:
            yield server


def run(api: ApiServer, home: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the command; *home* holds its configuration and its kept token."""
    home.joinpath(".saltapiclirc").write_text(
        f"[salt-api-cli]\nurl = {api.url}\nuser = {USER}\npassword = {PASSWORD}\n"
    )
    return subprocess.run(
        [sys.executable, "-m", "salt_api_cli", *args],
        capture_output=True,
        text=True,
        timeout=scaled(SECONDS),
        env={"HOME": str(home), "COLUMNS": "200"},
        check=False,
    )


def output(finished: subprocess.CompletedProcess[str]) -> Any:
    """Return the result of the one chunk that it ran."""
    assert 0 == finished.returncode, finished
    return json.loads(finished.stdout)["return"][0]


def kept_token(home: Path) -> str:
    """Return the token that it keeps."""
    text = (home / ".cache" / "salt-api-cli" / "token.json").read_text()
    return str(json.loads(text)["token"])


def test_local(api: ApiServer, tmp_path: Path) -> None:
    """It posts to the base URL, without a slash at its end."""
    assert {"minion-1": True} == output(run(api, tmp_path, "local", "*", "test.ping"))


def test_arguments(api: ApiServer, tmp_path: Path) -> None:
    """Positional and keyword arguments reach the function."""
    found = output(run(api, tmp_path, "local", "minion-1", "test.arg", "a", "k=v"))["minion-1"]
    assert ["a"] == found["args"]
    assert "v" == found["kwargs"]["k"]


def test_runner(api: ApiServer, tmp_path: Path) -> None:
    """A runner function."""
    found = output(run(api, tmp_path, "runner", "test.arg", "a", "k=v"))
    assert {"args": ["a"], "kwargs": {"k": "v"}} == found


def test_wheel(api: ApiServer, tmp_path: Path) -> None:
    """A wheel function with `"arg": []` and no `kwarg`, on which Salt's own module fails."""
    found = output(run(api, tmp_path, "wheel", "key.list_all"))
    assert ["minion-1"] == found["data"]["return"]["minions"]


def test_keys(api: ApiServer, tmp_path: Path) -> None:
    """`keys list` shows the keys."""
    finished = run(api, tmp_path, "keys", "list")
    assert 0 == finished.returncode, finished
    assert "minion-1" in finished.stdout


def test_command(api: ApiServer, tmp_path: Path) -> None:
    """`cmd` runs a shell command and shows what it printed."""
    finished = run(api, tmp_path, "cmd", "*", "echo it works")
    assert 0 == finished.returncode, finished
    assert "it works" in finished.stdout


def test_kept_token_is_renewed(api: ApiServer, tmp_path: Path) -> None:
    """It keeps its token, and logs in again when that gets a 401."""
    output(run(api, tmp_path, "local", "*", "test.ping"))
    first = kept_token(tmp_path)
    output(run(api, tmp_path, "local", "*", "test.ping"))
    assert first == kept_token(tmp_path)
    answer = api.send("POST", "/logout", headers={"X-Auth-Token": first})
    assert 200 == answer.status
    output(run(api, tmp_path, "local", "*", "test.ping"))
    assert first != kept_token(tmp_path)


def test_wrong_password(api: ApiServer, tmp_path: Path) -> None:
    """With a wrong password it says that authentication failed."""
    finished = run(api, tmp_path, "--password", "wrong", "local", "*", "test.ping")
    assert 1 == finished.returncode
    assert "authentication" in finished.stderr
