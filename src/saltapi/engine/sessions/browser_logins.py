"""
Logging in by a browser at an identity provider.

Nothing is kept of who has begun and not come back: what is needed then is in a cookie of the
browser's (`saltapi.bridge.oidc.authorization.Attempt`).
"""

import hmac
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from saltapi.bridge.oidc.authorization import (
    Attempt,
    authorization_url,
    check_answer,
    end_session_url,
    exchange,
)
from saltapi.bridge.oidc.claims import Identity
from saltapi.bridge.oidc.verifier import SYSTEM
from saltapi.config.oidc import IssuerSection
from saltapi.engine.sessions.bearers import Bearers, hidden, name_of
from saltapi.engine.sessions.logins import LoginThrottle
from saltapi.engine.store.store import Store
from saltapi.errors import AuthenticationFailed, NotFound, ProviderUnavailable, SaltApiError
from saltapi.types import Session, Token

log = logging.getLogger(__name__)

KIND = "id-token"
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

    def __init__(self, bearers: Bearers, throttle: LoginThrottle, store: Store) -> None:
        """
        Args:
            bearers: Knows the issuers.
            throttle: Counts what fails.
            store: Keeps ID tokens for the logout at the issuer.
        """
        self._bearers = bearers
        self._store = store
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

    async def can_leave(self, session: Session) -> bool:
        """
        Return whether a session can be ended at its issuer, too.

        Raises:
            StoreUnavailable
        """
        if session.eauth != SYSTEM or not any(i.logout_redirect_url for i in self._issuers):
            return False
        return await self._store.get(KIND, name_of(session.token)) is not None

    async def keep(self, number: int, id_token: Token, session: Mapping[str, Any]) -> None:
        """
        Keep the ID token of a login, of use to who has the session's token alone.

        Args:
            number: The issuer's.
            id_token: What the issuer has given.
            session: What has come of it, as `/login` answers.
        """
        issuer, token = self._issuer(number), str(session["token"])
        if not issuer.logout_redirect_url:
            return
        value = hidden(json.dumps([issuer.issuer, id_token]).encode(), token)
        try:
            await self._store.put(
                KIND,
                name_of(token),
                value,
                expire=session["expire"],
                owner=json.dumps([session["eauth"], session["user"]]),
            )
        except SaltApiError as error:  # the session is good, and ends here alone
            log.warning("An ID token could not be kept for the logout: %s", error)

    async def leave(self, session: Session) -> tuple[str, str] | None:
        """
        Return where a browser ends a session at its issuer, and a secret that it has to keep.

        None where the session did not come of a login by a browser, or the issuer has no such URL.
        It has to be ended here besides.

        Raises:
            StoreUnavailable
        """
        value = await self._store.take(KIND, name_of(session.token))
        if value is None:
            return None
        name, id_token = json.loads(hidden(value, session.token))
        issuer = next((i for i in self._issuers if i.issuer == name), None)
        if issuer is None or not issuer.logout_redirect_url:
            return None
        attempt = Attempt.begin()

        def prepared() -> str:
            return end_session_url(issuer, self._metadata(issuer), id_token, attempt.state)

        try:
            return str(await self._bearers.check(issuer.issuer, prepared)), attempt.secret
        except ProviderUnavailable:
            return None

    @staticmethod
    def is_back(secret: str, state: str) -> bool:
        """Return whether a browser comes back from the logout that it has begun."""
        return hmac.compare_digest(state.encode(), Attempt(secret).state.encode())

    def _metadata(self, issuer: IssuerSection) -> Mapping[str, Any]:
        return self._bearers.verifier.keys[issuer.issuer].metadata()

    def _issuer(self, number: int) -> IssuerSection:
        if not 0 <= number < len(self._issuers):
            raise NotFound("There is no such identity provider.")
        return self._issuers[number]
