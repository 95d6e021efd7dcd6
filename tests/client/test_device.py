"""Logging in at an identity provider that a server names, and renewing that."""

import fcntl
from pathlib import Path

import pytest

from saltapi_client import errors
from saltapi_client.cli import renewing
from saltapi_client.cli.renewing import KeyringRenewal
from saltapi_client.cli.tokens import Keyring
from saltapi_client.device import Provider
from tests.issuer import DEVICE, running


def provider(url: str, *, local: bool) -> Provider:
    """Return a provider as the API names it."""
    return Provider("x", url, DEVICE, ["openid"], [DEVICE], local=local)


def test_http_that_a_server_elsewhere_names() -> None:
    """A server elsewhere cannot have requests sent to what listens on this machine."""
    with running() as issuer:
        with pytest.raises(errors.NotSupported, match="https"):
            provider(issuer.url, local=False).log_in(print, keeps=False)
        assert [] == issuer.asked
        assert provider(issuer.url, local=True).log_in(lambda _: None, keeps=False).token


@pytest.mark.parametrize("url", ["http://id.example.com", "ftp://id.example.com", "id.example.com"])
def test_no_https(url: str) -> None:
    """Elsewhere than here a provider is spoken to by https alone."""
    with pytest.raises(errors.NotSupported, match="https"):
        provider(url, local=True).log_in(print, keeps=False)


def test_renewal_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for another saltctl that renews the login gives up, and says so."""
    monkeypatch.setenv("SALTCTL_HOME", str(tmp_path))
    monkeypatch.setattr(renewing, "WAIT_SECONDS", 0.3)
    one = KeyringRenewal(Keyring(None), "x")
    with one.alone(), pytest.raises(errors.NotReachable, match="Another saltctl"), one.alone():
        pytest.fail("Two renew the login at once.")
    with one.alone():
        pass
    (lock,) = tmp_path.rglob("renewing.lock")
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
