"""
What the claims of a verified token mean: whether it is for us, and whose it is.

A user's name becomes a key of `external_auth`, and Salt takes the name for a pattern: `a.c` has the
rules of `abc`, and `*` those of everybody. So a name counts only where it names nobody else.
"""

import fnmatch
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from saltapi.bridge.oidc.tokens import Untrusted, number
from saltapi.config.oidc import VOUCHED_SECONDS, IssuerSection

NAME_LIMIT_CHARACTERS = 256
GROUPS_LIMIT = 1_000
PATTERN = frozenset("*?[](){}^$\\")
"""What makes more of a pattern than a text with dots. (`+` is in addresses: see `_check_name`.)"""
REPETITIONS_LIMIT = 2
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose a token is, for how long, and by which key that is known."""

    issuer: str
    subject: str
    session_id: str
    """`sid`; "" without one."""
    user: str
    groups: tuple[str, ...]
    expire: float
    """When the token ends, in seconds since the epoch."""
    thumbprint: str
    """Of the key that it is signed with."""
    remarks: tuple[str, ...] = ()
    """What of the claims was passed over, and why; for `saltapi check`."""


def check_for_us(issuer: IssuerSection, claims: Mapping[str, Any], now: float) -> float:
    """
    Return when the token ends: it is for us, and its time is now.

    Args:
        issuer: Who has made it.
        claims: What it says.
        now: Seconds since the epoch.

    Raises:
        Untrusted
    """
    audiences = audiences_of(claims)
    if not any(audience in issuer.audiences for audience in audiences):
        raise Untrusted("It is for somebody else: none of its audiences is ours.")
    _check_party(issuer, claims, audiences)
    expire = number(claims, "exp")
    issued_at, begins_at = number(claims, "iat"), number(claims, "nbf")
    if expire is None or issued_at is None:
        raise Untrusted("It does not say when it was made and when it expires.")
    if expire <= now:
        raise Untrusted("It has expired.")
    if max(issued_at, begins_at or 0.0) > now + issuer.clock_skew:
        raise Untrusted("It is not valid yet; the clocks may differ.")
    if issuer.user_header and expire - issued_at > VOUCHED_SECONDS:
        raise Untrusted("It lasts longer than those do that we make.")
    if "events" in claims:
        raise Untrusted("It is a token for something else.")
    _check_required(issuer, claims)
    return expire


def audiences_of(claims: Mapping[str, Any]) -> list[str]:
    """Return whom a token is for."""
    found = claims.get("aud")
    listed = found if isinstance(found, list) else [found]
    return [audience for audience in listed[:100] if isinstance(audience, str) and audience]


def identity_of(
    issuer: IssuerSection,
    claims: Mapping[str, Any],
    *,
    expire: float,
    thumbprint: str,
    prefixes: Iterable[str],
    rules: Iterable[Any],
) -> Identity:
    """
    Return whose a token is.

    Args:
        issuer: Who has made it.
        claims: What it says.
        expire: When it ends.
        thumbprint: Of the key that it is signed with.
        prefixes: Those of the users of all issuers.
        rules: Whom `external_auth` names.

    Raises:
        Untrusted: It has no name for the user, or one that cannot be taken.
    """
    remarks: list[str] = []
    user = _user(issuer, claims)
    longer = [p for p in prefixes if len(p) > len(issuer.user_prefix)]
    _check_name(user, longer, rules)
    groups: list[str] = []
    for group in _groups(issuer, claims, remarks):
        name = f"{issuer.user_prefix}{group}"
        if any(name.startswith(prefix) for prefix in longer) or not _is_plain(name):
            remarks.append(f"The group {group!r:.80} cannot be one here.")
        else:
            groups.append(name)
    subject, session_id = claims.get("sub"), claims.get("sid")
    return Identity(
        issuer=issuer.issuer,
        subject=subject if isinstance(subject, str) else "",
        session_id=session_id if isinstance(session_id, str) else "",
        user=user,
        groups=tuple(dict.fromkeys(groups)),
        expire=expire,
        thumbprint=thumbprint,
        remarks=tuple(remarks),
    )


def logout_of(issuer: IssuerSection, claims: Mapping[str, Any]) -> tuple[str, str, str]:
    """
    Return `sub`, `sid` and `jti` of a logout token (OpenID Connect Back-Channel Logout, 2.6).

    Raises:
        Untrusted: It is none.
    """
    now = time.time()
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
        raise Untrusted("It is no logout token.")
    if "nonce" in claims:
        raise Untrusted("It is no logout token: it has a nonce.")
    issued_at, expire = number(claims, "iat"), number(claims, "exp")
    if issuer.client_id not in audiences_of(claims) or issued_at is None:
        raise Untrusted("It is for somebody else.")
    if issued_at > now + issuer.clock_skew or (expire if expire is not None else now + 1) <= now:
        raise Untrusted("It has expired, or is not valid yet.")
    if expire is None and issued_at < now - LOGOUT_SECONDS:
        raise Untrusted("It has expired.")
    found = [claims.get(name) for name in ("sub", "sid", "jti")]
    subject, session_id, token_id = [one if isinstance(one, str) else "" for one in found]
    if not token_id or not (subject or session_id):
        raise Untrusted("It does not say whose sessions end.")
    return subject, session_id, token_id


LOGOUT_SECONDS = 300.0
"""How long a logout token holds that does not say so."""


def _check_party(issuer: IssuerSection, claims: Mapping[str, Any], audiences: list[str]) -> None:
    """
    Return if the token was made for somebody who may hand it to us (OpenID Connect Core, 3.1.3.7).

    Raises:
        Untrusted
    """
    party = claims.get("azp")
    allowed = {*issuer.audiences, issuer.client_id, *issuer.authorized_parties} - {""}
    if party is None:
        if len(audiences) > 1 and "*" not in issuer.authorized_parties:
            raise Untrusted("It is for several, and does not say who got it (azp).")
        return
    if not isinstance(party, str) or (party not in allowed and "*" not in allowed):
        raise Untrusted(
            "It was made for another client (azp): one that authorized_parties does not list."
        )


def _check_required(issuer: IssuerSection, claims: Mapping[str, Any]) -> None:
    """
    Return if all claims are there that the config requires.

    Raises:
        Untrusted
    """
    wanted = issuer.wanted()
    if issuer.hosted_domain:
        wanted["hd"] = [*issuer.hosted_domain]
    for name, values in wanted.items():
        found = value_at(claims, name)
        offered = found if isinstance(found, list) else [found]
        if not any(
            type(one) is type(value) and one == value for one in offered for value in values
        ):
            raise Untrusted(f"Its claim {name} is not one of those that are required.")


def value_at(claims: Mapping[str, Any], path: str) -> Any:
    """Return a claim by its name, or, if there is none, by a path of names with dots between."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


def _user(issuer: IssuerSection, claims: Mapping[str, Any]) -> str:
    name = value_at(claims, issuer.user_claim)
    if not isinstance(name, str) or not name:
        raise Untrusted(f"It has no name for the user: no text in the claim {issuer.user_claim}.")
    if (
        issuer.user_claim == "email"
        and issuer.require_verified_email
        and claims.get("email_verified") not in (True, "true")
    ):
        raise Untrusted(
            "Its issuer has not verified the email address (email_verified), so it could be"
            " anybody's."
        )
    return f"{issuer.user_prefix}{name}"


def _check_name(user: str, longer_prefixes: Iterable[str], rules: Iterable[Any]) -> None:
    """
    Return if a user can have this name, and has by it the rules of nobody else.

    Raises:
        Untrusted
    """
    is_pattern = not PATTERN.isdisjoint(user) or user.count("+") > REPETITIONS_LIMIT
    if is_pattern or not _is_plain(user) or user.endswith("%"):
        raise Untrusted("The name of its user cannot be one here.")
    if any(user.startswith(prefix) for prefix in longer_prefixes):
        raise Untrusted("The name of its user looks like one of another issuer.")
    for rule in rules:
        if isinstance(rule, str) and rule != user and _matches(rule, user):
            raise Untrusted("The name of its user is taken for another user's by Salt.")


def _matches(rule: str, user: str) -> bool:
    """Return whether Salt gives *user* the rules of *rule*: it takes the name for the pattern."""
    try:
        return fnmatch.fnmatch(rule, user) or re.match(rf"\A{user}\Z", rule) is not None
    except (re.error, RecursionError, OverflowError):
        return False


def _is_plain(name: str) -> bool:
    return 0 < len(name) <= NAME_LIMIT_CHARACTERS and name.isprintable()


def _groups(issuer: IssuerSection, claims: Mapping[str, Any], remarks: list[str]) -> list[str]:
    """Return the groups that a token names; what is no list of texts is none."""
    if not issuer.groups_claim:
        return []
    found = value_at(claims, issuer.groups_claim)
    if found is None:
        elsewhere = isinstance(claims.get("_claim_names"), dict) and (
            issuer.groups_claim in claims["_claim_names"]
        )
        remarks.append(
            "The user has too many groups for the token; let the issuer send those of the"
            " application alone."
            if elsewhere
            else f"It has no claim {issuer.groups_claim}, so no groups."
        )
        return []
    listed = [found] if isinstance(found, str) else found
    if not isinstance(listed, list) or len(listed) > GROUPS_LIMIT:
        remarks.append(f"Its claim {issuer.groups_claim} is no list of up to {GROUPS_LIMIT} names.")
        return []
    return [g for g in listed if isinstance(g, str) and g and not g.endswith("%")]
