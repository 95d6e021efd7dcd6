"""
Logging in by a browser at an identity provider.

Nothing is kept of who has begun and not come back: what is needed then is in a cookie of the
browser's (`saltapi.bridge.oidc.authorization.Attempt`).
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from saltapi.bridge.oidc.authorization import Attempt, authorization_url, check_answer, exchange
from saltapi.bridge.oidc.claims import Identity
from saltapi.bridge.oidc.verifier import SYSTEM
from saltapi.config.oidc import IssuerSection
from saltapi.engine.sessions.bearers import Bearers
from saltapi.engine.sessions.logins import LoginThrottle
from saltapi.errors import AuthenticationFailed, NotFound
from saltapi.types import Token

ANOTHER = "This login was not begun in this browser, or too long ago; begin again."
THROTTLED = "oidc"
"""The name that failures are counted for, of one address: there is none yet of a user."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the provider has the browser bring back."""

    state: str
    code: str | None
    """None if the provider lets nobody in."""
    issuer: str | None = None


class BrowserLogins:
    """Sends browsers to identity providers, and takes them back."""

    def __init__(self, bearers: Bearers, throttle: LoginThrottle) -> None:
        """
        Args:
            bearers: Knows the issuers.
            throttle: Counts what fails.
        """
        self._bearers = bearers
        self._throttle = throttle
        self._issuers = [i for i in bearers.verifier.issuers.values() if i.redirect_url]

    @property
    def offered(self) -> list[IssuerSection]:
        """The issuers at which one can log in, by their numbers."""
        return self._issuers

    async def begin(self, number: int) -> tuple[str, str]:
        """
        Return where to send a browser, and a secret that it alone has to keep.

        Raises:
            NotFound: There is no such issuer.
            ProviderUnavailable
        """
        issuer, attempt = self._issuer(number), Attempt.begin()

        def prepared() -> str:
            return authorization_url(issuer, self._metadata(issuer), attempt)

        return str(await self._bearers.check(issuer.issuer, prepared)), attempt.secret

    async def finish(
        self, number: int, secret: str, answer: Answer, *, peer: str
    ) -> dict[str, Any]:
        """
        Return the credentials of who comes back: `eauth`, `username`, `password`.

        Args:
            number: The issuer's.
            secret: What the browser has kept.
            answer: What the provider has it bring.
            peer: The address that it comes from.

        Raises:
            AuthenticationFailed: The login was begun elsewhere, or the provider says no.
            NotFound, ProviderUnavailable, TooManyRequests
        """
        issuer, attempt = self._issuer(number), Attempt(secret)
        async with self._throttle.attempt(peer, THROTTLED):
            if not hmac.compare_digest(answer.state.encode(), attempt.state.encode()):
                raise AuthenticationFailed(ANOTHER)
            if answer.code is None:
                raise AuthenticationFailed("The identity provider has not let you in.")
            code = answer.code

            def identified() -> tuple[Token, Identity]:
                metadata = self._metadata(issuer)
                check_answer(issuer, metadata, said_issuer=answer.issuer)
                token = exchange(issuer, metadata, code, attempt)
                verifier = self._bearers.verifier
                return token, verifier.identify_login(
                    token, issuer=issuer.issuer, nonce=attempt.nonce
                )

            token, identity = await self._bearers.check(issuer.issuer, identified)
        return {"eauth": SYSTEM, "username": identity.user, "password": token}

    def _metadata(self, issuer: IssuerSection) -> Mapping[str, Any]:
        return self._bearers.verifier.keys[issuer.issuer].metadata()

    def _issuer(self, number: int) -> IssuerSection:
        if not 0 <= number < len(self._issuers):
            raise NotFound("There is no such identity provider.")
        return self._issuers[number]
