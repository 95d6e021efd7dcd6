"""
Logging in by a browser: the authorization code flow, with PKCE.

RFC 6749, section 4.1; RFC 7636; RFC 9207; OpenID Connect Core 1.0, section 3.1; and out again:
OpenID Connect RP-Initiated Logout 1.0, section 2.
"""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote_plus, urlencode

from saltapi.bridge.oidc.fetching import Refusal, Unreachable, fetch_json
from saltapi.bridge.oidc.tokens import Untrusted
from saltapi.config.oidc import IssuerSection

SECRET_BYTES = 32
CODE_LIMIT_CHARACTERS = 4_096
SECRET_LIMIT_BYTES = 4_096
HINT_LIMIT_CHARACTERS = 4_096
"""A longer ID token is not sent in a URL; the provider asks its user then."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    One attempt to log in: a secret of one browser, and what follows from it.

    Nothing of it is kept here. Who has the state, or the code, and not the secret, has nothing.
    """

    secret: str = field(repr=False)

    @classmethod
    def begin(cls) -> Self:
        """Return a new one."""
        return cls(secrets.token_urlsafe(SECRET_BYTES))

    @property
    def state(self) -> str:
        """What the provider hands back by the browser."""
        return self._derived("state")

    @property
    def nonce(self) -> str:
        """What the provider writes into the ID token."""
        return self._derived("nonce")

    @property
    def verifier(self) -> str:
        """What shows the provider that the code is brought by who has asked for it."""
        return self._derived("verifier")

    def _derived(self, what: str) -> str:
        return _digest(f"{what} {self.secret}")


def authorization_url(issuer: IssuerSection, metadata: Mapping[str, Any], attempt: Attempt) -> str:
    """
    Return where a browser is sent to log in.

    Raises:
        Unreachable: The issuer's metadata do not say it.
    """
    asked = {
        "response_type": "code",
        "client_id": issuer.client_id,
        "redirect_uri": issuer.redirect_url,
        "scope": " ".join(dict.fromkeys(["openid", *issuer.scopes])),
        "state": attempt.state,
        "nonce": attempt.nonce,
        "code_challenge": _digest(attempt.verifier),
        "code_challenge_method": "S256",
    }
    return f"{_endpoint(issuer, metadata, 'authorization_endpoint')}?{urlencode(asked)}"


def check_answer(
    issuer: IssuerSection, metadata: Mapping[str, Any], *, said_issuer: str | None
) -> None:
    """
    Return if it is the issuer that was asked which has sent the browser back (RFC 9207).

    Raises:
        Untrusted: It is another one, or it does not say so though it always does.
    """
    always = metadata.get("authorization_response_iss_parameter_supported") is True
    if said_issuer != issuer.issuer and (said_issuer is not None or always):
        raise Untrusted("It is the answer of another identity provider than the one asked.")


def exchange(
    issuer: IssuerSection, metadata: Mapping[str, Any], code: str, attempt: Attempt
) -> str:
    """
    Return the ID token that the issuer gives for a *code*.

    Raises:
        Untrusted: The code is none, was used before, or is another attempt's.
        Unreachable: The issuer does not answer, or does not know us.
    """
    if not 0 < len(code) <= CODE_LIMIT_CHARACTERS:
        raise Untrusted("The code is none.")
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": issuer.redirect_url,
        "client_id": issuer.client_id,
        "code_verifier": attempt.verifier,
    }
    headers: dict[str, str] = {}
    if issuer.client_secret_file:
        secret = _secret(issuer.client_secret_file)
        methods = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if "client_secret_basic" in methods:
            pair = f"{quote_plus(issuer.client_id)}:{quote_plus(secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form["client_secret"] = secret
    url = _endpoint(issuer, metadata, "token_endpoint")
    try:
        found = fetch_json(url, ca_file=issuer.ca_file, form=form, headers=headers)
    except Refusal as error:
        if error.word == "invalid_grant":
            raise Untrusted("The identity provider does not accept the code.") from error
        raise
    token = found.get("id_token") if isinstance(found, dict) else None
    if not isinstance(token, str):
        raise Unreachable(f"{url} gives no ID token.")
    return token


def end_session_url(
    issuer: IssuerSection, metadata: Mapping[str, Any], id_token: str, state: str
) -> str:
    """
    Return where a browser is sent to log out at the issuer.

    Args:
        issuer: Its section.
        metadata: Its metadata.
        id_token: That of the login, which may have expired; it says whose session ends there.
        state: What the provider hands back by the browser.

    Raises:
        Unreachable: The issuer's metadata do not say it.
    """
    asked = {
        "client_id": issuer.client_id,
        "post_logout_redirect_uri": issuer.logout_redirect_url,
        "state": state,
    }
    if len(id_token) <= HINT_LIMIT_CHARACTERS:
        asked["id_token_hint"] = id_token
    return f"{_endpoint(issuer, metadata, 'end_session_endpoint')}?{urlencode(asked)}"


def _endpoint(issuer: IssuerSection, metadata: Mapping[str, Any], name: str) -> str:
    """Return a URL of the issuer's; `IssuerKeys.metadata` has left out what is no good one."""
    found = metadata.get(name)
    if not isinstance(found, str):
        raise Unreachable(f"The metadata of {issuer.issuer} have no good {name}.")
    return found


def _secret(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return file.read(SECRET_LIMIT_BYTES).decode().strip()
    except (OSError, ValueError) as error:
        raise Unreachable(f"{path} cannot be read: {error}") from error


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
