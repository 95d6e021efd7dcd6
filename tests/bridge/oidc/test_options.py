"""What the options of an issuer change, one by one, where no other test shows it."""

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from saltapi.bridge.oidc.authorization import Attempt, authorization_url
from saltapi.bridge.oidc.tokens import Untrusted
from saltapi.bridge.oidc.verifier import Verifier
from saltapi.config.oidc import issuers_of
from saltapi.errors import CannotStart
from tests.issuer import CLIENT, Issuer, running

CALLBACK = "https://salt.example.com/v1/login/oidc/callback"


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """An issuer whose keys stay."""
    with running() as issuer:
        yield issuer


def is_taken(issuer: Issuer, token: str, **options: Any) -> bool:
    """Return whether a token is accepted with these options of its issuer."""
    try:
        Verifier(issuers_of({"saltapi_oidc": [issuer.options(**options)]})).identify(token)
    except Untrusted:
        return False
    return True


def test_audience(issuer: Issuer) -> None:
    """A token is for one of a list, or for the client, where there is no audience."""
    assert is_taken(issuer, issuer.token(aud="b"), audience=["a", "b"])
    assert not is_taken(issuer, issuer.token(aud="c"), audience=["a", "b"])
    assert is_taken(issuer, issuer.token(aud=CLIENT), audience=[], client_id=CLIENT)
    assert not is_taken(issuer, issuer.token(aud=CLIENT), client_id=CLIENT)


def test_clients(issuer: Issuer) -> None:
    """A token for the client of browsers, or of terminals, is taken where there are such logins."""
    with_browsers = {"client_id": CLIENT, "redirect_url": CALLBACK}

    assert is_taken(issuer, issuer.token(aud=CLIENT), **with_browsers)
    assert is_taken(issuer, issuer.token(aud="saltctl"), device_client_id="saltctl")
    assert not is_taken(issuer, issuer.token(aud="saltctl"), **with_browsers)


def test_authorized_parties(issuer: Issuer) -> None:
    """A token that was made for another client is taken of those that are listed, `*` for all."""
    other = issuer.token(azp="other")

    assert is_taken(issuer, other, authorized_parties="other")
    assert is_taken(issuer, other, authorized_parties=["x", "*"])
    assert not is_taken(issuer, other, authorized_parties=["x"])
    several = issuer.token(aud=["salt", "other"])
    assert is_taken(issuer, several, authorized_parties="*")
    assert not is_taken(issuer, several, authorized_parties="other")


def test_clock_skew(issuer: Issuer) -> None:
    """The issuer's clock may be ahead by so much; nothing lasts longer for it."""
    now = int(time.time())
    ahead = issuer.token(iat=now + 100, nbf=now + 100)

    assert is_taken(issuer, ahead, clock_skew=200)
    assert not is_taken(issuer, ahead, clock_skew=50)
    assert not is_taken(issuer, issuer.token(exp=now - 1), clock_skew=200)
    with pytest.raises(CannotStart):
        is_taken(issuer, ahead, clock_skew=301)


def test_algorithms(issuer: Issuer) -> None:
    """A token that is signed in another way than those listed is not taken."""
    assert is_taken(issuer, issuer.token(), algorithms=["RS256"])
    assert not is_taken(issuer, issuer.token(), algorithms=["RS384", "ES256"])
    assert is_taken(issuer, issuer.token(header={"alg": "RS384"}), algorithms=["RS384"])


def test_verified_email(issuer: Issuer) -> None:
    """Where an issuer never says that an address is verified, it can be taken as it is."""
    token = issuer.token(email="alice@example.com")

    assert not is_taken(issuer, token, user_claim="email")
    assert is_taken(issuer, token, user_claim="email", require_verified_email=False)


def test_keys_url(issuer: Issuer) -> None:
    """Keys can be had from a URL, without any metadata."""
    with running() as own:
        own.is_away = False
        url, before = f"{own.url}/keys", len(own.asked)

        assert is_taken(own, own.token(), discovery=False, keys_url=url)
        assert ["/keys"] == own.asked[before:]
        assert not is_taken(own, own.token(), discovery=False, keys_url=f"{issuer.url}/keys")


def test_hosted_domain(issuer: Issuer) -> None:
    """Users of one of several domains count, and of no other one."""
    domains = ["example.com", "example.org"]

    assert is_taken(issuer, issuer.token(hd="example.org"), hosted_domain=domains)
    assert not is_taken(issuer, issuer.token(hd="example.net"), hosted_domain=domains)
    assert not is_taken(issuer, issuer.token(hd=True), hosted_domain=domains)


def test_scopes(issuer: Issuer) -> None:
    """A login asks for these scopes, and for `openid` always."""
    options = issuer.options(client_id=CLIENT, redirect_url=CALLBACK, scopes=["groups", "email"])
    (section,) = issuers_of({"saltapi_oidc": [options]})
    url = authorization_url(section, issuer.discovery(), Attempt.begin())

    assert ["openid groups email"] == parse_qs(urlsplit(url).query)["scope"]


@pytest.mark.parametrize(
    "options",
    [
        {"clock_skew": -1},
        {"token_expire": 0},
        {"keys_url": "http://id.example.com/keys"},
        {"redirect_url": "https://salt.example.com/elsewhere", "client_id": CLIENT},
        {"redirect_url": CALLBACK},
        {"redirect_url": "http://salt.example.com/v1/login/oidc/callback", "client_id": CLIENT},
        {"logout_redirect_url": "https://salt.example.com/v1/login/oidc/logged-out"},
        {"device_client_id": "saltctl", "discovery": False, "keys_file": "/keys"},
        {"keys_file": "keys.json"},
        {"ca_file": "ca.pem"},
        {"client_secret_file": "secret"},
        {"required_claims": {"a": {"b": 1}}},
        {"groups_header": "X-Groups"},
        {"issuer": "https://user:password@id.example.com"},
        {"issuer": "https://id.example.com/?x=1"},
    ],
    ids=str,
)
def test_wrong_option(options: Any) -> None:
    """What an option cannot be is an error, which names it, when the service starts."""
    with pytest.raises(CannotStart, match=next(iter(options))):
        issuers_of(
            {"saltapi_oidc": [{"issuer": "https://id.example.com", "audience": "x", **options}]}
        )
