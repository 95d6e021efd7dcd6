"""Names in the headers of a login proxy, and the tokens that stand for them."""

from pathlib import Path

import pytest
from joserfc.jwk import OKPKey

from saltapi.bridge.oidc.verifier import Verifier
from saltapi.config.oidc import IssuerSection, issuers_of
from saltapi.engine.sessions import login_proxies
from saltapi.engine.sessions.bearers import Bearers
from saltapi.engine.sessions.login_proxies import LoginProxy, login_proxy_of
from saltapi.engine.store.sqlite import SqliteStore
from saltapi.errors import BadRequest
from tests.engine.sessions.test_bearers import Salts
from tests.oidc_master import proxy_options


@pytest.fixture
def issuer(tmp_path: Path) -> IssuerSection:
    """The entry of a login proxy."""
    options = proxy_options(tmp_path, OKPKey.generate_key("Ed25519"))
    return issuers_of({"saltapi_oidc": [options]})[0]


@pytest.fixture
def proxy(issuer: IssuerSection) -> LoginProxy:
    """A proxy that is believed."""
    found = login_proxy_of([issuer], "rest_asgi", ["192.0.2.7"])
    assert found is not None
    return found


def test_of_a_module(issuer: IssuerSection) -> None:
    """Only listed modules are behind it, and without a trusted proxy nothing is signed."""
    assert login_proxy_of([issuer], "another", ["192.0.2.7"]) is None
    assert login_proxy_of([], "rest_asgi", ["192.0.2.7"]) is None
    unsigned = login_proxy_of([issuer], "rest_asgi", [])
    assert unsigned is not None
    assert unsigned.token("alice", "") is None


def test_same_token(proxy: LoginProxy) -> None:
    """The same names have the same token, and others another one."""
    first = proxy.token("alice", "ops,dev")

    assert first == proxy.token("alice", "ops,dev")
    assert 4 == len({first, *(proxy.token("alice", groups) for groups in ("ops", "dev,ops", ""))})
    assert proxy.token("bob", "ops,dev") != first
    assert proxy.token("", "ops") is None


def test_name_in_utf_8(proxy: LoginProxy, issuer: IssuerSection) -> None:
    """Names may have any letters."""
    token = proxy.token("Zoë Ünal".encode().decode("latin-1"), "größer".encode().decode("latin-1"))
    found = Verifier([issuer]).identify(str(token))

    assert ("proxy:Zoë Ünal", ("proxy:größer",)) == (found.user, found.groups)


@pytest.mark.parametrize("user", [" a", "a ", "a,b", ",", "a\x7f", "\xff", "a\x00", "x" * 257])
def test_no_name(proxy: LoginProxy, user: str) -> None:
    """What is no single name is refused, and the error does not repeat it."""
    wrong = {"X-Forwarded-User": (user, "ops"), "X-Forwarded-Groups": ("a", f"ops,{user},x")}
    for header, names in wrong.items():
        if header == "X-Forwarded-User" or user != "a,b":
            with pytest.raises(BadRequest) as refused:
                proxy.token(*names)
            assert login_proxies.UNCLEAR.format(header) == str(refused.value)


def test_remembered(proxy: LoginProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many users there are, what is kept of them is bounded."""
    monkeypatch.setattr(login_proxies, "REMEMBERED", 3)
    for number in range(10):
        proxy.token(f"user-{number}", "")

    assert 3 == len(proxy._standing)


def test_token_that_had_to_wait(proxy: LoginProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that was not taken is replaced only where it has expired, or its session ended."""
    token = str(proxy.token("alice", ""))
    assert proxy.again(token, ended=False) is None
    assert proxy.again("a.b.c", ended=True) is None
    monkeypatch.setattr(login_proxies, "VOUCHED_SECONDS", 0)
    again = proxy.again(token, ended=False)

    assert again not in {None, token}
    assert again == proxy.token("alice", "")


async def test_session_after_a_logout(
    proxy: LoginProxy, issuer: IssuerSection, tmp_path: Path
) -> None:
    """A session that was ended is made anew: the proxy still says who that is."""
    salts, store = Salts(), SqliteStore(tmp_path / "tokens.sqlite")
    bearers = Bearers(Verifier([issuer]), salts, store, proxy)  # type: ignore[arg-type]
    salts.owner = bearers
    token = str(proxy.token("alice", ""))
    first = await bearers.session(token)
    assert first == await bearers.session(token)
    await salts.revoke(first.token)
    second = await bearers.session(token)

    assert first.token != second.token
    assert "proxy:alice" == second.name
    assert proxy.token("alice", "") != token
    await bearers.close()
    await store.close()
