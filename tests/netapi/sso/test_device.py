"""`saltctl login --device`: somebody logs in by a browser elsewhere."""

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from saltapi_client import errors
from saltapi_client.cli import tokens
from saltapi_client.cli.main import main
from saltapi_client.client import Client
from tests.netapi.sso.door import Doors


class Keyring:
    """A keyring in memory."""

    errors = types.SimpleNamespace(KeyringError=KeyError)

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
        del self.kept[service, name]


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
    assert 4 == main(["whoami"])


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
