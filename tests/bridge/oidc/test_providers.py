"""
The configs of docs/sso.md, and tokens as the documentation of each provider has them.

What they sign with is a key of the test's (`keys_file`); nobody is asked.
"""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from joserfc.jwk import RSAKey

from saltapi.bridge.oidc.tokens import Untrusted
from saltapi.bridge.oidc.verifier import Verifier
from saltapi.config.oidc import issuers_of
from tests.issuer import sign

PAGE = Path(__file__).parents[3] / "docs" / "sso.md"
KEY = RSAKey.generate_key(2048, {"kid": "key-1"})

KEYCLOAK: dict[str, Any] = {
    "iss": "https://id.example.com/realms/ops",
    "aud": ["salt", "account"],
    "sub": "2f2e1c3a-5d0a-4d0b-9a51-4f6f1d2f7b11",
    "jti": "onrtac:7ad2",
    "typ": "Bearer",
    "azp": "saltapi",
    "sid": "c9b1",
    "acr": "1",
    "allowed-origins": ["https://salt.example.com"],
    "realm_access": {"roles": ["offline_access", "uma_authorization"]},
    "resource_access": {"account": {"roles": ["manage-account"]}},
    "scope": "openid profile email",
    "email_verified": True,
    "groups": ["salt-admins"],
    "preferred_username": "alice",
    "email": "alice@example.com",
}
ENTRA = {
    "iss": "https://login.microsoftonline.com/TENANT-ID/v2.0",
    "aud": "APPLICATION-ID",
    "aio": "AXQAi/8TAAAA",
    "azp": "APPLICATION-ID",
    "azpacr": "0",
    "name": "Alice",
    "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
    "preferred_username": "alice@example.com",
    "rh": "I",
    "roles": ["Salt.Admin"],
    "scp": "access_as_user",
    "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
    "tid": "TENANT-ID",
    "uti": "fqiBqXLPj0eQa82S-IYFAA",
    "ver": "2.0",
}
GOOGLE = {
    "iss": "https://accounts.google.com",
    "azp": "NUMBER.apps.googleusercontent.com",
    "aud": "NUMBER.apps.googleusercontent.com",
    "sub": "10769150350006150715113082367",
    "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q",
    "hd": "example.com",
    "email": "alice@example.com",
    "email_verified": True,
}
OKTA = {
    "ver": 1,
    "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
    "iss": "https://example.okta.com/oauth2/default",
    "aud": "api://default",
    "cid": "CLIENT-ID",
    "uid": "00uid4BxXw6I6TV4m0g3",
    "scp": ["openid", "profile"],
    "auth_time": 1,
    "sub": "alice@example.com",
    "login": "alice@example.com",
    "groups": ["salt-admins"],
}
OKTA_ID = {
    "ver": 1,
    "jti": "ID.4eAWJOCMB3SX8XewDfVR",
    "iss": "https://example.okta.com/oauth2/default",
    "aud": "CLIENT-ID",
    "sub": "00uid4BxXw6I6TV4m0g3",
    "amr": ["pwd"],
    "idp": "00o5t60iloOHN9pBi0h7",
    "login": "alice@example.com",
    "groups": ["salt-admins"],
}
GITHUB = {
    "jti": "example-id",
    "sub": "repo:example/app:ref:refs/heads/main",
    "aud": "salt",
    "ref": "refs/heads/main",
    "sha": "example-sha",
    "repository": "example/app",
    "repository_id": "456789",
    "repository_owner": "example",
    "actor": "octocat",
    "event_name": "push",
    "ref_type": "branch",
    "ref_protected": "true",
    "runner_environment": "github-hosted",
    "iss": "https://token.actions.githubusercontent.com",
}
GITLAB = {
    "namespace_path": "group",
    "project_id": "22",
    "project_path": "group/app",
    "user_login": "alice",
    "user_email": "alice@example.com",
    "pipeline_source": "web",
    "ref": "main",
    "ref_type": "branch",
    "ref_protected": "true",
    "runner_environment": "self-hosted",
    "iss": "https://gitlab.example.com",
    "sub": "project_path:group/app:ref_type:branch:ref:main",
    "aud": "salt",
}

TOKENS: dict[str, tuple[dict[str, Any], str, tuple[str, ...]]] = {
    "Keycloak": (KEYCLOAK, "alice@example.com", ("salt-admins",)),
    "Microsoft Entra ID": (ENTRA, "690222be-ff1a-4d56-abd1-7e4f7d38e474", ("Salt.Admin",)),
    "Google": (GOOGLE, "alice@example.com", ()),
    "Okta": (OKTA, "alice@example.com", ("salt-admins",)),
    "GitHub Actions": (GITHUB, "github:example/app", ()),
    "GitLab CI": (GITLAB, "gitlab:group/app", ()),
}
"""What each of them says, and who that is."""

STRANGERS: list[tuple[str, dict[str, Any]]] = [
    ("Keycloak", {"email_verified": False}),
    ("Keycloak", {"azp": "another-client"}),
    ("Keycloak", {"aud": "account"}),
    ("Keycloak", {"iss": "https://id.example.com/realms/master"}),
    ("Microsoft Entra ID", {"iss": "https://login.microsoftonline.com/OTHER-TENANT/v2.0"}),
    ("Microsoft Entra ID", {"aud": "00000003-0000-0000-c000-000000000000"}),
    ("Google", {"hd": "evil.example.com"}),
    ("Google", {"hd": None, "email": "alice@gmail.com"}),
    ("Google", {"azp": "OTHER.apps.googleusercontent.com"}),
    ("Okta", {"iss": "https://evil.okta.com/oauth2/default"}),
    ("GitHub Actions", {"repository": "evil/app"}),
    ("GitHub Actions", {"repository_id": "1"}),
    ("GitHub Actions", {"ref": "refs/pull/1/merge"}),
    ("GitHub Actions", {"aud": "https://github.com/evil"}),
    ("GitLab CI", {"project_path": "evil/app"}),
    ("GitLab CI", {"project_id": "1"}),
    ("GitLab CI", {"ref_protected": "false"}),
]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    file.write_text(json.dumps({"keys": [KEY.as_dict(private=False)]}))
    return file


def verifier(provider: str, keys: Path, **more: Any) -> Verifier:
    """Return what the page's config for a provider makes, with some more options."""
    section = PAGE.read_text().partition(f"\n### {provider}\n")[2].partition("\n### ")[0]
    (written,) = re.findall(r"^```yaml\n(.*?)^```", section, re.M | re.S)
    options = yaml.safe_load(written)["saltapi_oidc"]
    return Verifier(issuers_of({"saltapi_oidc": [{**options[0], "keys_file": str(keys), **more}]}))


def token(claims: dict[str, Any]) -> str:
    """Return a token with these claims, valid now."""
    now = int(time.time())
    whole = {**claims, "iat": now, "nbf": now, "exp": now + 300}
    sent = {name: value for name, value in whole.items() if value is not None}
    return sign({"alg": "RS256", "kid": "key-1", "x5t": "eBZ_cn3sXYAd0ch4THBKHIgOwOE"}, sent, KEY)


@pytest.mark.parametrize("provider", TOKENS)
def test_accepted(provider: str, keys: Path) -> None:
    """A token of the provider is its user's, by the config that the page has for it."""
    claims, user, groups = TOKENS[provider]
    found = verifier(provider, keys).identify(token(claims))

    assert (user, groups) == (found.user, found.groups)


def test_ids_of_okta(keys: Path) -> None:
    """At Okta an ID token's `sub` is another one; by the page's claim it is the same user."""
    browser = {"redirect_url": "https://salt.example.com/v1/login/oidc/callback"}
    found = verifier("Okta", keys, **browser).identify(token(OKTA_ID))

    assert ("alice@example.com", ("salt-admins",)) == (found.user, found.groups)


@pytest.mark.parametrize(("provider", "claims"), STRANGERS, ids=str)
def test_stranger(provider: str, claims: dict[str, Any], keys: Path) -> None:
    """With that config nobody else's token is taken."""
    with pytest.raises(Untrusted):
        verifier(provider, keys).identify(token({**TOKENS[provider][0], **claims}))
