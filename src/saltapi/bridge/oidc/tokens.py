"""
The signature of a JWT (RFC 7515, RFC 7519), checked with keys that its issuer has published.

What the token says of itself chooses among the keys that are known, and nothing else: its `alg`
has to be one that the config allows, and `jwk`, `jku`, `x5c` and `x5u` are not looked at.
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError

from saltapi.bridge.oidc.keys import IssuerKey

TOKEN_LIMIT_CHARACTERS = 16_384
HEADER_LIMIT_BYTES = 4_096
JWT = re.compile(r"[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,}")
"""Three parts: a token that is encrypted has five, one without a signature an empty last one."""
TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
"""What a token may say that it is; others are for something else (RFC 8725, section 3.11)."""
LOGOUT_TYPES = frozenset({"jwt", "logout+jwt", "application/logout+jwt"})
REFUSED_HEADERS = frozenset({"crit", "b64", "zip", "enc", "cty"})
KID_LIMIT_CHARACTERS = 1_000


class Untrusted(Exception):
    """A token that is not accepted; the text says why, and may be shown to whoever sent it."""


class _Registry(jws.JWSRegistry):
    """What joserfc lets pass of a token; which algorithms are allowed has been checked before."""

    max_header_length = HEADER_LIMIT_BYTES
    max_payload_length = TOKEN_LIMIT_CHARACTERS

    def get_alg(self, name: str) -> Any:
        """Return the algorithm; without the warnings about those that have a newer name."""
        return self.algorithms[name]


@dataclass(frozen=True, slots=True)
class Unverified:
    """What a token says of itself; nothing of it is true before it has been verified."""

    text: str
    algorithm: str
    kid: str | None
    claims: Mapping[str, Any]

    @property
    def issuer(self) -> str:
        """Who is said to have made it."""
        found = self.claims.get("iss")
        return found if isinstance(found, str) else ""


def is_jwt(value: Any) -> bool:
    """Return whether *value* has the form of a signed JWT of a size that is looked at."""
    return (
        isinstance(value, str)
        and len(value) <= TOKEN_LIMIT_CHARACTERS
        and JWT.fullmatch(value) is not None
    )


def read(text: str, *, types: frozenset[str] = TYPES) -> Unverified:
    """
    Return what a token says of itself.

    Args:
        text: The token.
        types: What it may say that it is.

    Raises:
        Untrusted: It cannot be a token that would be accepted.
    """
    if not is_jwt(text):
        raise Untrusted("It is no signed JWT.")
    header, claims = map(_object, text.split(".")[:2])
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(algorithm, str) or not isinstance(kind, str):
        raise Untrusted("Its header is malformed.")
    if kid is not None and not (isinstance(kid, str) and len(kid) <= KID_LIMIT_CHARACTERS):
        raise Untrusted("Its header is malformed.")
    if not REFUSED_HEADERS.isdisjoint(header) or kind.lower() not in types:
        raise Untrusted("It is a token for something else.")
    return Unverified(text, algorithm, kid, claims)


def verify(
    token: Unverified,
    algorithms: list[str],
    find_keys: Callable[[str | None, str], list[IssuerKey]],
) -> IssuerKey:
    """
    Return the key that *token* is signed with: what it says has been said by its issuer.

    Args:
        token: The token.
        algorithms: Those that are allowed.
        find_keys: Returns the issuer's keys for the name of a key and an algorithm.

    Raises:
        Untrusted: It is not signed by this issuer, or not as it has to be.
        Unreachable: The issuer's keys are not known now.
    """
    if token.algorithm not in algorithms:
        raise Untrusted(f"It is signed with {token.algorithm[:20]!r}, which is not allowed.")
    registry = _Registry(algorithms=[token.algorithm], strict_check_header=False)
    for each in find_keys(token.kid, token.algorithm):
        try:
            jws.deserialize_compact(token.text, each.key, registry=registry)
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        return each
    raise Untrusted("It is not signed with a key of its issuer.")


def _object(part: str) -> dict[str, Any]:
    """Return the JSON object in a part of a token: one that all readers read the same."""
    try:
        raw = base64.b64decode(part + "=" * (-len(part) % 4), b"-_", validate=True)
        found = json.loads(raw, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError, binascii.Error) as error:
        raise Untrusted("It is malformed.") from error
    if not isinstance(found, dict):
        raise Untrusted("It is malformed.")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def number(claims: Mapping[str, Any], name: str) -> float | None:
    """
    Return a time in *claims* (RFC 7519, NumericDate); None without it.

    Raises:
        Untrusted: It is no number.
    """
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 2**53:
        raise Untrusted(f"Its {name} is no time.")
    if not math.isfinite(value):
        raise Untrusted(f"Its {name} is no time.")
    return float(value)
