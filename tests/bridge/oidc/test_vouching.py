"""The key with which we sign whom a login proxy has let in."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey

from saltapi.bridge.oidc.tokens import Untrusted
from saltapi.bridge.oidc.verifier import Verifier
from saltapi.bridge.oidc.vouching import signer_of
from saltapi.config.oidc import IssuerSection, issuers_of
from saltapi.errors import CannotStart
from tests.oidc_master import PROXY_ISSUER, proxy_options


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    """The entry of a login proxy, with its keys in files."""
    return proxy_options(tmp_path, OKPKey.generate_key("Ed25519"))


def section(options: dict[str, Any]) -> IssuerSection:
    """Return the section of this entry."""
    return issuers_of({"saltapi_oidc": [options]})[0]


@pytest.mark.parametrize("made", [OKPKey.generate_key("Ed25519"), ECKey.generate_key("P-256")])
@pytest.mark.parametrize("as_jwk", [False, True])
def test_accepted(tmp_path: Path, made: Any, as_jwk: bool) -> None:
    """What is signed is verified by the public half, as a file of openssl's or a JWK."""
    options = proxy_options(tmp_path, made)
    if as_jwk:
        (tmp_path / "proxy.key").write_text(json.dumps(made.as_dict(private=True)))
        (tmp_path / "proxy.pub").write_text(json.dumps({"keys": [made.as_dict(private=False)]}))
    issuer = section(options)
    found = Verifier([issuer]).identify(signer_of(issuer).token("alice", ["ops", "dev"]))

    assert ("proxy:alice", ("proxy:ops", "proxy:dev")) == (found.user, found.groups)


def test_name_of_others(options: dict[str, Any]) -> None:
    """The largest names there can be fit into a token."""
    issuer = section(options)
    groups = [f"{number:020}" for number in range(190)]
    found = Verifier([issuer]).identify(signer_of(issuer).token("ä" * 120, groups))

    assert 190 == len(found.groups)


def test_prefix_of_another(options: dict[str, Any]) -> None:
    """A name with the prefix of another issuer's users is refused, and such a group is none."""
    other = {"issuer": "https://ci.example.com", "audience": "salt", "user_prefix": "proxy:ci:"}
    issuers = issuers_of({"saltapi_oidc": [options, other]})
    signer, verifier = signer_of(issuers[0]), Verifier(issuers)

    with pytest.raises(Untrusted):
        verifier.identify(signer.token("ci:alice", []))
    assert () == verifier.identify(signer.token("alice", ["ci:ops"])).groups


def _loose(path: Path) -> None:
    path.chmod(0o640)


def _others(path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root gives files away")
    os.chown(path, 65534, -1)


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir(0o700)


def _rsa(path: Path) -> None:
    path.write_bytes(RSAKey.generate_key(2048).as_pem(private=True))


def _curve(path: Path) -> None:
    path.write_bytes(ECKey.generate_key("P-384").as_pem(private=True))


def _public(path: Path) -> None:
    path.write_bytes((path.parent / "proxy.pub").read_bytes())


def _another(path: Path) -> None:
    path.write_bytes(OKPKey.generate_key("Ed25519").as_pem(private=True))


def _locked(path: Path) -> None:
    key = OKPKey.generate_key("Ed25519")
    path.write_bytes(key.as_pem(private=True, password="x"))


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "readable by others": (_loose, "chmod 600"),
    "of another user": (_others, "chmod 600"),
    "a pipe": (_pipe, "is no file"),
    "a folder": (_folder, "cannot be read"),
    "away": (Path.unlink, "cannot be read"),
    "empty": (lambda path: path.write_bytes(b""), "no private key"),
    "rubbish": (lambda path: path.write_bytes(b"\xff" * 100_000), "no private key"),
    "RSA": (_rsa, "no private key"),
    "another curve": (_curve, "no private key"),
    "public": (_public, "no private key"),
    "with a passphrase": (_locked, "no private key"),
    "another pair's": (_another, "public half"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_key(options: dict[str, Any], name: str) -> None:
    """A key that others may know, or that the master does not, stops the start, with a reason."""
    spoil, said = WRONG[name]
    spoil(Path(options["signing_key_file"]))

    with pytest.raises(CannotStart, match=said):
        signer_of(section(options))


@pytest.mark.parametrize(
    "changes",
    [
        {"signing_key_file": None},
        {"keys_file": None},
        {"groups_header": "x-forwarded-user"},
        {"user_header": "Authorization"},
        {"user_header": "Cookie"},
        {"user_header": "X-Forwarded-For"},
        {"user_header": "X_Forwarded_User"},
        {"user_header": "X-Forwarded-User: x"},
        {"discovery": True},
        {"keys_url": "https://login.example.com/keys"},
        {"client_id": "saltapi"},
        {"device_client_id": "saltctl"},
        {"user_claim": "email"},
        {"user_header": None},
        {"modules": None},
        {"issuer": "http://login.example.com"},
        {"algorithms": ["HS256"]},
    ],
    ids=str,
)
def test_wrong_option(options: dict[str, Any], changes: dict[str, Any]) -> None:
    """An entry that would let somebody in by mistake is an error."""
    with pytest.raises(CannotStart):
        section({**options, **changes})


def test_two_proxies(options: dict[str, Any]) -> None:
    """One entry can have headers: two could name two users."""
    other = {**options, "issuer": f"{PROXY_ISSUER}/2", "user_prefix": "x:"}

    with pytest.raises(CannotStart, match="user_header"):
        issuers_of({"saltapi_oidc": [options, other]})


def test_algorithm(options: dict[str, Any]) -> None:
    """A key for which `algorithms` has nothing is an error."""
    with pytest.raises(CannotStart, match="algorithms"):
        signer_of(section({**options, "algorithms": ["RS256"]}))
