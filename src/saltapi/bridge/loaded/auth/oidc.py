"""
The eauth system `oidc`: a token of an identity provider (OpenID Connect) in place of a password.

    external_auth:
      oidc:
        'salt-admins%': ['.*', '@runner', '@wheel']
        alice@example.com: [{'web*': [state.apply]}]
    saltapi_oidc:
      - issuer: https://id.example.com/realms/ops
        audience: salt
        user_claim: email
        groups_claim: groups

The master loads it from the installed package, and needs no daemon of ours: `salt -a oidc` works.
"""

import logging
from typing import Any

log = logging.getLogger(__name__)

__opts__: dict[str, Any] = {}
"""The master's options, put here by the loader."""

NAME = "oidc"


def __virtual__() -> str | tuple[bool, str]:  # noqa: N807 - the loader asks for it
    """Load where the option `saltapi_oidc` names issuers."""
    if not __opts__.get("saltapi_oidc"):
        return False, "The option saltapi_oidc names no issuer."
    return NAME


def auth(username: str, password: str) -> bool:
    """
    Return whether *password* is a token that makes its bearer *username*.

    Args:
        username: The user's name as the config makes it of the token's claims.
        password: The token.
    """
    return _identity(username, password) is not None


def groups(username: str, **kwargs: Any) -> list[str]:
    """Return the groups that the token in *kwargs* (`password`) names; none without one."""
    identity = _identity(username, kwargs.get("password"))
    return [] if identity is None else list(identity.groups)


def _identity(username: str, token: Any) -> Any:
    """Return whose *token* is, if that is *username*; None if not, and the log says why."""
    # Here, not above: Salt looks at this file where nobody logs in with a token.
    from saltapi.bridge.oidc.fetching import Unreachable
    from saltapi.bridge.oidc.tokens import Untrusted
    from saltapi.bridge.oidc.verifier import verifier_of
    from saltapi.errors import CannotStart

    try:
        identity = verifier_of(__opts__).identify(token)
    except (Untrusted, Unreachable, CannotStart) as error:
        log.warning("The token of %.100r is not accepted: %s", username, error)
        return None
    if identity.user != username:
        log.warning("The token of %.100r is not accepted: it is another user's.", username)
        return None
    return identity
