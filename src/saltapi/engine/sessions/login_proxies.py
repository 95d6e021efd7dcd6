"""
A login proxy that names its user in a header, and no token: we sign for it (`user_header`).

What is signed is a token of an issuer of `saltapi_oidc` that the master verifies as any other one
(`saltapi.bridge.oidc.vouching`). So a name opens nothing that the master's config does not say.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from saltapi import seldom
from saltapi.bridge.oidc.vouching import Signer, signer_of
from saltapi.config.oidc import VOUCHED_SECONDS, VOUCHED_SESSION_SECONDS, IssuerSection
from saltapi.errors import BadRequest
from saltapi.types import Token

log = logging.getLogger(__name__)

NAME_CHARACTERS = 256
GROUPS_CHARACTERS = 4_096
GROUPS_LIMIT = 200
REMEMBERED = 10_000
UNCLEAR = "The header {} cannot be read: have the proxy in front write it anew, once."


@dataclass(frozen=True, slots=True)
class _Standing:
    """The token that stands for a user, and since when, on the monotonic clock."""

    token: Token
    made_at: float


class LoginProxy:
    """Makes tokens of the names in the headers of a login proxy; in any thread."""

    def __init__(self, issuer: IssuerSection, signer: Signer | None) -> None:
        """
        Args:
            issuer: Its section.
            signer: Signs; None where no proxy is trusted.
        """
        self.user_header = issuer.user_header
        self.groups_header = issuer.groups_header
        self._signer = signer
        self._kept_seconds = (issuer.token_expire or VOUCHED_SESSION_SECONDS) / 2
        self._standing: OrderedDict[tuple[str, tuple[str, ...]], _Standing] = OrderedDict()
        self._lock = threading.Lock()

    def token(self, user: str, groups: str) -> Token | None:
        """
        Return a token that says who the user is; the same one for as long as its session is young.

        Args:
            user: What the header says, decoded as Latin-1; "" without one.
            groups: The same of the header with the groups: names with commas between.

        Raises:
            BadRequest: It cannot be said who that is: there are two names, for example.
        """
        if not user or self._signer is None:
            return None
        return self._made((self._user(user), self._groups(groups)), None)

    def again(self, token: Token, *, ended: bool) -> Token | None:
        """
        Return another token in place of one that was made here and is not good any more.

        None if it was not made here, or might as well be good.

        Args:
            token: The token.
            ended: Whether its session is over; else it counts only if it has expired itself.
        """
        old = time.monotonic() - VOUCHED_SECONDS
        with self._lock:
            found = [
                who
                for who, one in self._standing.items()
                if one.token == token and (ended or one.made_at <= old)
            ]
        return self._made(found[0], token) if found else None

    def pass_over(self, peer: str) -> None:
        """Say that somebody has named a user whom nobody believes."""
        seldom.warning(
            log,
            "untrusted_user_header",
            "%s has sent the header %s, and is none of trusted_proxies: it counts for nothing.",
            peer or "Somebody on a unix socket",
            self.user_header,
        )

    def _made(self, who: tuple[str, tuple[str, ...]], ended: Token | None) -> Token:
        now = time.monotonic()
        with self._lock:
            standing = self._standing.get(who)
            is_good = standing is not None and now - standing.made_at < self._kept_seconds
            if standing is None or not is_good or standing.token == ended:
                assert self._signer is not None  # noqa: S101 - without it nobody asks
                standing = self._standing[who] = _Standing(self._signer.token(*who), now)
            self._standing.move_to_end(who)
            while len(self._standing) > REMEMBERED:
                self._standing.popitem(last=False)
            return standing.token

    def _user(self, text: str) -> str:
        """Return the user: two headers would come as one with a comma."""
        name = _decoded(text)
        if name is None or not _is_name(name):
            raise BadRequest(UNCLEAR.format(self.user_header))
        return name

    def _groups(self, text: str) -> tuple[str, ...]:
        """Return the groups: two headers would come as one with a comma and a blank."""
        decoded = _decoded(text[: GROUPS_CHARACTERS + 1])
        names = decoded.split(",") if decoded else []
        is_long = len(text) > GROUPS_CHARACTERS or len(names) > GROUPS_LIMIT
        if decoded is None or is_long or not all(map(_is_name, names)):
            raise BadRequest(UNCLEAR.format(self.groups_header))
        return tuple(dict.fromkeys(names))


def login_proxy_of(
    issuers: Iterable[IssuerSection], module: str, trusted_proxies: Iterable[str]
) -> LoginProxy | None:
    """
    Return the login proxy that a module is behind; None without one.

    Args:
        issuers: Those of `saltapi_oidc`.
        module: The name of its section.
        trusted_proxies: What the option of the module lists; without any nothing is signed.

    Raises:
        CannotStart: The key to sign with is not as it must be.
    """
    issuer = next((one for one in issuers if one.user_header and module in one.modules), None)
    if issuer is None:
        return None
    return LoginProxy(issuer, signer_of(issuer) if trusted_proxies else None)


def _decoded(text: str) -> str | None:
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return None


def _is_name(text: str) -> bool:
    is_bare = text == text.strip() and "," not in text
    return is_bare and 0 < len(text) <= NAME_CHARACTERS and text.isprintable()
