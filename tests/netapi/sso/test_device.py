"""`saltctl login --device`: somebody logs in by a browser elsewhere."""

import json
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from saltapi_client import device, errors
from saltapi_client.cli import tokens
from saltapi_client.cli.main import main
from saltapi_client.client import Client
from tests.client.conftest import CLIENT
from tests.netapi.sso.door import Doors
from tests.waiting import scaled


class Keyring:
    """A keyring in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, name: str) -> str | None:
        """Return what is kept."""
        return self.kept.get((service, name))

    def set_password(self, service: str, name: str, value: str) -> None:
        """Keep it."""
        self.kept[service, name] = value

    def delete_password(self, service: str, name: str) -> None:
        """Forget it."""
        if self.kept.pop((service, name), None) is None:
            raise tokens.KeyringFailed("There is none.")


@pytest.fixture
def keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, doors: Doors) -> Iterator[Keyring]:
    """A home and a keyring of its own."""
    found = Keyring()
    for name in ("SALTAPI_USER", "SALTAPI_PASS", "SALTAPI_EAUTH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SALTCTL_HOME", str(tmp_path))
    monkeypatch.setenv("SALTAPI_URL", doors.server.url)
    monkeypatch.setattr(tokens, "system_keyring", lambda: found)
    yield found
    doors.master.issuer.device_errors.clear()
    doors.master.issuer.metadata.clear()
    doors.master.issuer.is_away = False


def test_login(doors: Doors, keyring: Keyring, capsys: Any) -> None:
    """The session is kept, renewed by the refresh token when it has ended, and ended for good."""
    doors.master.issuer.device_errors[:] = ["authorization_pending"]
    assert 0 == main(["login", "--device"])
    assert "WDJB-MJHT" in capsys.readouterr().err
    assert 0 == main(["whoami"])
    assert "alice" in capsys.readouterr().out

    first = doors.master.issuer.refresh_token
    session = next(text for (service, _), text in keyring.kept.items() if service == "saltctl")
    token = session.split('"token": "')[1].partition('"')[0]
    assert 200 == doors.send("rest_asgi", "POST", "/logout", headers={"X-Auth-Token": token}).status
    assert 0 == main(["whoami"])
    assert first != doors.master.issuer.refresh_token
    assert doors.master.issuer.refresh_token in "".join(keyring.kept.values())

    assert 0 == main(["logout"])
    assert {} == keyring.kept
    assert doors.master.issuer.refresh_token == doors.master.issuer.revoked[-1]
    assert 4 == main(["whoami"])


def test_logout_at_the_provider(doors: Doors, keyring: Keyring, capsys: Any) -> None:
    """A provider that revokes nothing is not asked; one that is away is said, and all is ended."""
    issuer = doors.master.issuer
    for metadata, is_away in ({"revocation_endpoint": None}, False), ({}, True):
        assert 0 == main(["login", "--device"])
        issuer.metadata, issuer.is_away = dict(metadata), is_away
        known = list(issuer.revoked)
        capsys.readouterr()
        assert 0 == main(["logout"])
        assert is_away == ("was not told that the login has ended" in capsys.readouterr().err)
        assert ({}, known) == (keyring.kept, issuer.revoked)
        issuer.metadata, issuer.is_away = {}, False


def test_slow_down(doors: Doors, keyring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that is asked too often is asked more seldom from then on."""
    pauses: list[float] = []
    clock = types.SimpleNamespace(sleep=pauses.append, monotonic=time.monotonic)
    monkeypatch.setattr(device, "time", clock)
    doors.master.issuer.device_errors[:] = ["authorization_pending", "slow_down", "slow_down"]

    assert 0 == main(["login", "--device"])
    assert [1.0, 1.0, 6.0, 11.0] == pauses


PROGRAM = """
import json, pathlib, sys
from saltapi_client.cli import tokens
from saltapi_client.cli.main import main

class Keyring:
    path = pathlib.Path(sys.argv[1])

    def read(self):
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    def get_password(self, service, name):
        return self.read().get(f"{service} {name}")

    def set_password(self, service, name, value):
        new = self.path.with_name(self.path.name + value[-9:-2])
        new.write_text(json.dumps({**self.read(), f"{service} {name}": value}))
        new.replace(self.path)

tokens.system_keyring = lambda: Keyring()
sys.exit(main(sys.argv[2:]))
"""
"""The command with a keyring in a file, for several processes."""


@pytest.fixture
def program(keyring: Keyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the command line of one such process."""
    monkeypatch.setenv("PYTHONPATH", str(CLIENT / "src"))
    return [sys.executable, "-c", PROGRAM, str(tmp_path / "keyring")]


def test_renewed_once(doors: Doors, program: list[str], tmp_path: Path) -> None:
    """Of processes that find their session ended at once one renews it, and all go on."""
    issuer = doors.master.issuer
    assert 0 == subprocess.run([*program, "login", "--device"], check=True).returncode
    kept = json.loads((tmp_path / "keyring").read_text())
    session = json.loads(next(text for name, text in kept.items() if "refresh" not in name))
    headers = {"X-Auth-Token": session["token"]}
    assert 200 == doors.send("rest_asgi", "POST", "/logout", headers=headers).status
    issuer.asked.clear()
    issuer.delay_seconds = 0.5
    try:
        processes = [subprocess.Popen([*program, "whoami"]) for _ in range(4)]
        assert [0] * 4 == [process.wait(scaled(60)) for process in processes]
    finally:
        issuer.delay_seconds = 0.0
    assert 1 == issuer.asked.count("/token")


def test_logout_from_nobody(keyring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    """A logout that does not reach the server fails, and nothing logs in again by itself."""

    def logout(_client: Client) -> None:
        raise errors.NotReachable("It is away.")

    assert 0 == main(["login", "--device"])
    assert {"saltctl", "saltctl refresh"} == {service for service, _ in keyring.kept}
    monkeypatch.setattr(Client, "logout", logout)
    assert 5 == main(["logout"])
    assert ["saltctl"] == [service for service, _ in keyring.kept]


@pytest.mark.parametrize("error", ["access_denied", "expired_token"])
def test_refused(doors: Doors, keyring: Keyring, capsys: Any, error: str) -> None:
    """Who is refused, or too late, is told so, and nothing is kept."""
    doors.master.issuer.device_errors[:] = [error]
    assert 4 == main(["login", "--device"])
    assert "saltctl: " in capsys.readouterr().err
    assert {} == keyring.kept


def test_unknown_provider(keyring: Keyring) -> None:
    """A provider that is not there is said so."""
    assert 2 == main(["login", "--device", "--provider", "x"])
