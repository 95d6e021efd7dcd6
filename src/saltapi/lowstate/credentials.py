"""The credentials in a chunk."""

from collections.abc import Mapping
from typing import Any

from saltapi.errors import AuthenticationFailed
from saltapi.lowstate.values import number_as_text
from saltapi.types import Chunk, Credentials

CREDENTIAL_KEYS = ("token", "eauth", "username", "password")
ANONYMOUS_WITHOUT_PASSWORD = frozenset({"ldap"})
"""Eauth systems for which no password means no user (RFC 4513, section 5.1.2)."""


def with_token(chunk: Chunk, token: Any) -> Chunk:
    """Return *chunk* with the session's *token* in place of what credentials it has."""
    rest = {key: value for key, value in chunk.items() if key not in CREDENTIAL_KEYS}
    return {**rest, "token": token}


def with_bearer(chunk: Chunk, token: str) -> Chunk:
    """Return *chunk* with *token*, if it has no credentials of its own."""
    has_some = any(key in chunk for key in CREDENTIAL_KEYS)
    return chunk if has_some else with_token(chunk, token)


def credentials_of(chunk: Mapping[str, Any]) -> Credentials:
    """
    Return the credentials in *chunk*: its token, else its eauth, username and password.

    Raises:
        AuthenticationFailed: There are none, or they have no form that could be right.
    """
    if "token" in chunk:
        token = chunk["token"]
        if not isinstance(token, str) or not token:
            raise AuthenticationFailed("Invalid token")
        return Credentials(token=token)
    if "eauth" not in chunk:
        if "username" in chunk or "password" in chunk:
            raise AuthenticationFailed("Authentication needs eauth: the eauth system to ask.")
        raise AuthenticationFailed("No authentication credentials given")
    eauth, username = chunk.get("eauth"), number_as_text(chunk.get("username"))
    for key, value in (("eauth", eauth), ("username", username)):
        if not isinstance(value, str) or not value:
            raise AuthenticationFailed(f"Authentication needs {key} as a text that is not empty.")
    password = number_as_text(chunk.get("password"))
    if "password" not in chunk or not (password is None or isinstance(password, str)):
        raise AuthenticationFailed("Authentication needs password as a text.")
    if not password and eauth in ANONYMOUS_WITHOUT_PASSWORD:
        raise AuthenticationFailed(
            f"Authentication by {eauth} needs a password that is not empty: without one the"
            " directory would take anybody for nobody in particular."
        )
    return Credentials(eauth=eauth, username=username, password=password)
