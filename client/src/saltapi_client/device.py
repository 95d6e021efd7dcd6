"""
Logging in at an identity provider by a browser elsewhere: OAuth's device flow (RFC 8628).

The provider's answers are bounded, in bytes and seconds; it is spoken to by https, or on loopback
where the API is there too.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Callable
from urllib.parse import urlencode, urlsplit

from saltapi_client import errors
from saltapi_client.connections import Connections, Tls
from saltapi_client.shapes import decoded, malformed, part

ANSWER_LIMIT_BYTES = 262_144
ANSWER_SECONDS = 20.0
LONGEST_SECONDS = 1_800.0
"""So long a login may take, whatever the provider says."""
INTERVAL_SECONDS = 5.0
LONGEST_INTERVAL_SECONDS = 60.0
GRANT = "urn:ietf:params:oauth:grant-type:device_code"
METADATA = "/.well-known/openid-configuration"


@dataclass(frozen=True)
class ProviderTls(Tls):
    """The system's authorities, and those of a file beside them."""

    def context(self) -> ssl.SSLContext:
        """Return the context; raises `Usage` if the file cannot be read."""
        try:
            context = ssl.create_default_context()
            if self.ca:
                context.load_verify_locations(self.ca)
        except OSError as error:
            raise errors.Usage(f"Cannot use the certificates in {self.ca}: {error}") from error
        return context


@dataclass(frozen=True)
class Given:
    """What the provider has given; both are credentials."""

    token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)


@dataclass(frozen=True)
class Provider:
    """An identity provider, as `GET /v1/login` of the API has it below `devices`."""

    name: str
    issuer: str
    client_id: str
    scopes: list[str]
    audiences: list[str]
    ca: str | None = None
    proxy: str | None = None
    local: bool = False
    """Whether the API that names it is on this machine: then it may be spoken to by http there."""

    def log_in(self, show: Callable[[Mapping[str, Any]], None], *, keeps: bool) -> Given:
        """
        Return the tokens of who logs in by a browser.

        Args:
            show: Is given the provider's answer: what to show, `verification_uri`, `user_code`.
            keeps: Whether a refresh token can be kept.

        Raises:
            AuthenticationFailed: Nobody did in time.
            AuthorizationFailed: Somebody has refused.
            NotReachable, NotSupported, ServerError
        """
        metadata = self._metadata()
        if not isinstance(metadata.get("device_authorization_endpoint"), str):
            raise errors.NotSupported(f"{self.issuer} has no login for devices.")
        offline = keeps and "offline_access" in (metadata.get("scopes_supported") or [])
        scopes = [*self.scopes, *(["offline_access"] if offline else [])]
        form = {"client_id": self.client_id, "scope": " ".join(dict.fromkeys(scopes))}
        begun = self._post(metadata["device_authorization_endpoint"], form)
        if "error" in begun:
            raise refused(self.issuer, begun)
        code = part(begun, "device_code", str)
        for name in ("user_code", "verification_uri"):
            part(begun, name, str)
        until = time.monotonic() + min(seconds_of(begun, "expires_in", 600.0), LONGEST_SECONDS)
        pause = max(1.0, seconds_of(begun, "interval", INTERVAL_SECONDS))
        show(begun)
        form = {"client_id": self.client_id, "grant_type": GRANT, "device_code": code}
        while True:
            pause = min(pause, LONGEST_INTERVAL_SECONDS)
            if time.monotonic() + pause > until:
                raise errors.AuthenticationFailed("Nobody has logged in in time; begin again.")
            time.sleep(pause)
            try:
                found = self._post(part(metadata, "token_endpoint", str), form)
            except errors.NotReachable:  # RFC 8628, section 3.5: more and more slowly
                pause *= 2
                continue
            word = found.get("error")
            if word is None:
                return self._given(found)
            if word == "slow_down":
                pause += INTERVAL_SECONDS
            elif word != "authorization_pending":
                raise refused(self.issuer, found)

    def refreshed(self, refresh_token: str) -> Given:
        """
        Return new tokens for a refresh token, which may be good no more.

        Raises:
            AuthenticationFailed: It is not good any more.
            NotReachable, ServerError
        """
        form = {
            "client_id": self.client_id,
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
        }
        found = self._post(part(self._metadata(), "token_endpoint", str), form)
        if "error" in found:
            raise refused(self.issuer, found)
        return self._given(found)

    def revoke(self, refresh_token: str) -> None:
        """
        Have the provider forget a refresh token (RFC 7009), if it offers that.

        Raises:
            NotReachable, BadRequest, ServerError
        """
        endpoint = self._metadata().get("revocation_endpoint")
        if not isinstance(endpoint, str):
            return
        form = {
            "client_id": self.client_id,
            "token": refresh_token,
            "token_type_hint": "refresh_token",
        }
        status, data = self._sent("POST", endpoint, urlencode(form).encode())
        if status >= 300:
            found = decoded(data)
            raise refused(self.issuer, found if isinstance(found, dict) else {"error": status})

    def _given(self, found: Mapping[str, Any]) -> Given:
        for name in ("access_token", "id_token"):
            token = found.get(name)
            if isinstance(token, str) and self._is_for_api(token):
                refresh = found.get("refresh_token")
                return Given(token, refresh if isinstance(refresh, str) else None)
        raise errors.AuthenticationFailed(
            f"{self.issuer} gives no token for {', '.join(self.audiences)}, which the API wants."
        )

    def _is_for_api(self, token: str) -> bool:
        """Return whether the API would take a token; it is the API that verifies it."""
        with suppress(ValueError, IndexError, RecursionError):
            middle = token.split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
            if isinstance(claims, dict) and claims.get("iss") == self.issuer:
                audience = claims.get("aud")
                listed = audience if isinstance(audience, list) else [audience]
                return any(one in self.audiences for one in listed)
        return False

    def _metadata(self) -> dict[str, Any]:
        found = self._asked("GET", f"{self.issuer.rstrip('/')}{METADATA}", None)
        if found.get("issuer") != self.issuer:
            raise malformed(f"of {self.issuer} is the metadata of another issuer.")
        return found

    def _post(self, url: str, form: Mapping[str, str]) -> dict[str, Any]:
        return self._asked("POST", url, urlencode(form).encode())

    def _asked(self, method: str, url: str, body: bytes | None) -> dict[str, Any]:
        status, data = self._sent(method, url, body)
        found = decoded(data)
        if not isinstance(found, dict) or (status >= 300 and "error" not in found):
            raise malformed(f"of {self.issuer} has status {status}, and no error in it.")
        return found

    def _sent(self, method: str, url: str, body: bytes | None) -> tuple[int, bytes]:
        parts = urlsplit(url)
        is_local = self.local and parts.scheme == "http" and on_loopback(parts.hostname)
        if parts.scheme != "https" and not is_local:
            # Else a server elsewhere could have us send requests to whatever listens here.
            raise errors.NotSupported(f"{url} does not begin with https://")
        connections = Connections(
            f"{parts.scheme}://{parts.netloc}",
            tls=ProviderTls(self.ca),
            proxy=self.proxy,
            timeout_seconds=ANSWER_SECONDS,
        )
        headers = {"Accept": "application/json", "User-Agent": "saltapi-client"}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        answer = connections.request(method, path, headers=headers, body=body, fresh=True)
        data = answer.read_at_most(ANSWER_LIMIT_BYTES, ANSWER_SECONDS)
        if answer.status >= 500 or answer.status == 429:
            raise errors.NotReachable(f"{self.issuer} answers with status {answer.status}.")
        return answer.status, data


def refused(issuer: str, found: Mapping[str, Any]) -> errors.Error:
    """Return the error that a provider tells of (RFC 6749, 5.2; RFC 8628, 3.5)."""
    word = found.get("error")
    if word == "access_denied":
        return errors.AuthorizationFailed("The login was refused in the browser.")
    if word == "expired_token":
        return errors.AuthenticationFailed("Nobody has logged in in time; begin again.")
    if word == "invalid_grant":
        return errors.AuthenticationFailed(f"{issuer} does not renew the login; log in again.")
    return errors.BadRequest(f"{issuer} refuses the login: {word!s:.100}.")


def seconds_of(found: Mapping[str, Any], name: str, default: float) -> float:
    """Return a number of seconds; *default* where there is none that can be one."""
    value = found.get(name)
    return float(value) if isinstance(value, (int, float)) and 0 < value < 1e9 else default


def on_loopback(host: str | None) -> bool:
    """Return whether a host is this machine."""
    with suppress(ValueError):
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    return False
