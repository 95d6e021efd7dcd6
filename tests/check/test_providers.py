import json
import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OKPKey

from saltapi.check.providers import providers
from saltapi.cli import main
from tests.issuer import CLIENT, Issuer, running
from tests.oidc_master import proxy_options

USER = pwd.getpwuid(os.geteuid()).pw_name
RULES = {"ops%": ["test.*"], "bob": [".*"]}


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with running() as issuer:
        yield issuer


def said(opts: Any, token_file: Path | None = None) -> list[str]:
    """Return what is said about identity providers."""
    opts = {"external_auth": {"oidc": RULES}, **opts}
    return [str(line) for line in providers(opts, None if token_file is None else str(token_file))]


def written(path: Path, text: str) -> Path:
    """Return a file with this text."""
    file = path / "token"
    file.write_text(f"{text}\n")
    return file


def test_issuer(issuer: Issuer) -> None:
    """An issuer that answers is well, with its keys and where browsers come back to."""
    url = "https://salt.example.com/v1/login/oidc/callback"
    option = issuer.options(client_id=CLIENT, redirect_url=url)

    assert [
        f"ok       {issuer.url} has 1 keys (RSA).",
        f"ok       Browsers log in at {issuer.url}, and come back to {url}.",
    ] == said({"saltapi_oidc": [option]})


def test_nothing_to_say() -> None:
    """Without issuers and users of them there is nothing to say."""
    assert [] == said({"external_auth": {}})


@pytest.mark.parametrize(
    ("opts", "level", "part"),
    [
        ({}, "error", "names no issuer"),
        ({"saltapi_oidc": [{"issuer": "http://x.example.com", "audience": "x"}]}, "error", "https"),
        ({"saltapi_oidc": [{"issuer": "http://127.0.0.1:1", "audience": "x"}]}, "error", "be had"),
    ],
    ids=["no issuer", "no https", "away"],
)
def test_problem(opts: Any, level: str, part: str) -> None:
    """What keeps people from logging in is an error that says so."""
    (line,) = said(opts)

    assert line.startswith(level), line
    assert part in line


def test_users_without_rules(issuer: Issuer) -> None:
    """Issuers whose users may do nothing are a warning."""
    lines = said({"external_auth": {}, "saltapi_oidc": [issuer.options()]})

    assert lines[0].startswith("warning ")


def test_endpoints(issuer: Issuer) -> None:
    """Metadata without a place to log in at are an error."""
    url = "https://salt.example.com/v1/login/oidc/callback"
    issuer.metadata = {"token_endpoint": "http://evil.example.com/"}
    try:
        (line,) = said(
            {"saltapi_oidc": [issuer.options(client_id=CLIENT, redirect_url=url, name="x")]}
        )
    finally:
        issuer.metadata = {}

    assert "no good token_endpoint" in line


def test_token(issuer: Issuer, tmp_path: Path) -> None:
    """Of a sample token it is said whose it is, and what that user may do."""
    file = written(tmp_path, issuer.token(sub="carol", groups=["ops"]))

    assert said({"saltapi_oidc": [issuer.options()]}, file)[-1] == (
        f"ok       The token in {file} is of user carol, groups: ops. Permissions: test.*."
    )


@pytest.mark.parametrize(
    ("claims", "level", "part"),
    [
        ({"aud": "other"}, "error", "none of its audiences is ours"),
        ({"exp": 1}, "error", "expired"),
        ({"sub": "dave"}, "warning", "no permission"),
        ({"sub": "dave", "groups": 1}, "warning", "is no list"),
    ],
    ids=str,
)
def test_token_that_opens_nothing(
    issuer: Issuer, tmp_path: Path, claims: Any, level: str, part: str
) -> None:
    """Of one that opens nothing it is said why."""
    file = written(tmp_path, issuer.token(**claims))
    line = said({"saltapi_oidc": [issuer.options()]}, file)[-1]

    assert line.startswith(level), line
    assert part in line


def test_no_file(issuer: Issuer, tmp_path: Path) -> None:
    """A file that is not there, and one that holds no token, are errors."""
    opts = {"saltapi_oidc": [issuer.options()]}

    assert "cannot be read" in said(opts, tmp_path / "none")[-1]
    assert "It is no signed JWT" in said(opts, written(tmp_path, "x" * 100_000))[-1]


def test_command(issuer: Issuer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`saltapi check --token-file` says it."""
    opts = {"external_auth": {"oidc": RULES}, "saltapi_oidc": [issuer.options()]}
    (tmp_path / "master").write_text(json.dumps(opts))
    file = written(tmp_path, issuer.token(sub="bob"))
    main(["check", "-c", str(tmp_path), "--token-file", str(file)])

    assert f"The token in {file} is of user bob" in capsys.readouterr().out


PROXIES: dict[str, tuple[Any, str, str]] = {
    "one": ("192.0.2.7", "", ""),
    "a socket": ("unix", "", ""),
    "this machine": (["::1"], "note", "every program on this machine"),
    "a network": (["192.0.2.0/24"], "warning", "each of its 256 addresses"),
    "everybody": ("0.0.0.0/0", "warning", "Name the login proxy alone"),
    "nobody": (None, "warning", "counts for nothing there"),
}


@pytest.mark.parametrize("name", PROXIES)
def test_login_proxy(tmp_path: Path, name: str) -> None:
    """Of a login proxy it is said whose names are signed, and who could name anybody."""
    trusted, level, part = PROXIES[name]
    options = {
        **proxy_options(tmp_path, OKPKey.generate_key("Ed25519")),
        "modules": "rest_asgi",
    }
    section = {"port": 8000, "trusted_proxies": trusted}
    _, signed, *more = said({"user": USER, "saltapi_oidc": [options], "rest_asgi": section})

    assert signed == (
        "ok       X-Forwarded-User names users of https://login.example.com, by our Ed25519 key."
    )
    assert bool(level) == bool(more)
    assert all(line.startswith(f"{level:<8} ") and part in line for line in more)


def test_login_proxy_whose_keys_are_no_pair(tmp_path: Path) -> None:
    """A key whose public half the master does not have is an error."""
    options = proxy_options(tmp_path, OKPKey.generate_key("Ed25519"))
    key = OKPKey.generate_key("Ed25519")
    (tmp_path / "proxy.pub").write_bytes(key.as_pem(private=False))
    lines = said({"user": USER, "saltapi_oidc": [options]})

    assert lines[1].startswith("error ")
    assert "public half" in lines[1]


def test_login_proxy_whose_private_key_the_master_has(tmp_path: Path) -> None:
    """A private key where the public one belongs is an error."""
    key = OKPKey.generate_key("Ed25519")
    options = proxy_options(tmp_path, key)
    (tmp_path / "proxy.pub").write_text(json.dumps({"keys": [key.as_dict(private=True)]}))
    lines = said({"user": USER, "saltapi_oidc": [options]})

    assert any(line.startswith("error ") and "private key" in line for line in lines)
