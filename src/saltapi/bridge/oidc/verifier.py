"""Whose token that is: of all issuers that the config trusts, and of nobody else."""

import functools
import json
import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

from saltapi.bridge.external_auth import SETTING, readable
from saltapi.bridge.oidc import claims as meaning
from saltapi.bridge.oidc import tokens
from saltapi.bridge.oidc.claims import Identity
from saltapi.bridge.oidc.keys import IssuerKeys
from saltapi.bridge.oidc.tokens import Untrusted
from saltapi.config.oidc import OPTION, IssuerSection, issuers_of

log = logging.getLogger(__name__)

SYSTEM = "oidc"
"""The name of the eauth system in `external_auth`."""
NOT_ISSUED = "It is not of an issuer that is trusted here."


class Verifier:
    """Checks tokens, in any thread; what it fetches is bounded (`fetching`)."""

    def __init__(self, issuers: list[IssuerSection], external_auth: Any = None) -> None:
        """
        Args:
            issuers: Who is trusted.
            external_auth: The option: whom Salt may take for whom depends on who stands there.
        """
        self.issuers = {issuer.issuer: issuer for issuer in issuers}
        self.keys = {name: IssuerKeys(issuer) for name, issuer in self.issuers.items()}
        self._prefixes = [issuer.user_prefix for issuer in issuers]
        rules = readable(external_auth).get(SYSTEM, {})
        self._rules = [name for name in rules if not name.startswith(SETTING)]

    def is_for_us(self, text: Any) -> bool:
        """Return whether *text* looks like a token of an issuer of ours, for us; unverified."""
        try:
            token = tokens.read(text)
        except Untrusted:
            return False
        issuer = self.issuers.get(token.issuer)
        return issuer is not None and bool(
            set(meaning.audiences_of(token.claims)) & {*issuer.audiences}
        )

    def issuer_of(self, text: Any) -> str | None:
        """Return which issuer of ours a token, of any kind, says that it is of; unverified."""
        try:
            found = tokens.read(text, types=tokens.TYPES | tokens.LOGOUT_TYPES).issuer
        except Untrusted:
            return None
        return found if found in self.issuers else None

    def session_of(self, text: str) -> tuple[str, str]:
        """Return `sub` and `sid` of a token that was accepted before; "" for what it lacks."""
        found = [tokens.read(text).claims.get(name) for name in ("sub", "sid")]
        subject, session_id = [one if isinstance(one, str) else "" for one in found]
        return subject, session_id

    def identify(self, text: str) -> Identity:
        """
        Return whose a token is.

        Raises:
            Untrusted: It is not accepted; the text of the error says why.
            Unreachable: Whether it is cannot be told now.
        """
        token = tokens.read(text)
        issuer, thumbprint = self._signer(token)
        return self._identity(issuer, token.claims, thumbprint)

    def identify_login(self, text: str, *, issuer: str, nonce: str) -> Identity:
        """
        Same as `identify`, for the ID token that ends a login: it must be for our client alone.

        Args:
            text: The token.
            issuer: Whom the user was sent to: a token of anybody else is a mix-up.
            nonce: What was sent with them.

        Raises:
            Untrusted, Unreachable
        """
        token = tokens.read(text)
        section, thumbprint = self._signer(token)
        if section.issuer != issuer:
            raise Untrusted("It is of another issuer than the one that was asked.")
        if section.client_id not in meaning.audiences_of(token.claims):
            raise Untrusted("It is for another client.")
        if token.claims.get("nonce") != nonce:
            raise Untrusted("It is the answer to another login.")
        own = {"audience": [section.client_id], "device_client_id": ""}
        as_client = section.model_copy(update=own)
        return self._identity(as_client, token.claims, thumbprint)

    def logged_out(self, text: str) -> tuple[str, str, str, str]:
        """
        Return issuer, `sub`, `sid` and `jti` of a logout token.

        Raises:
            Untrusted, Unreachable
        """
        token = tokens.read(text, types=tokens.LOGOUT_TYPES)
        issuer, _ = self._signer(token)
        return issuer.issuer, *meaning.logout_of(issuer, token.claims)

    def still_known(self, identity: Identity) -> bool:
        """Return whether the key of a token is still its issuer's, as far as is known."""
        keys = self.keys.get(identity.issuer)
        return keys is not None and keys.has(identity.thumbprint)

    def _signer(self, token: tokens.Unverified) -> tuple[IssuerSection, str]:
        """Return whom *token* is of, and with which key; other issuers' keys do not count."""
        issuer = self.issuers.get(token.issuer)
        if issuer is None:
            raise Untrusted(NOT_ISSUED)
        algorithms = [*map(str, issuer.algorithms)]
        key = tokens.verify(token, algorithms, self.keys[issuer.issuer].find)
        return issuer, key.thumbprint

    def _identity(
        self, issuer: IssuerSection, claims: Mapping[str, Any], thumbprint: str
    ) -> Identity:
        expire = meaning.check_for_us(issuer, claims, time.time())
        return meaning.identity_of(
            issuer,
            claims,
            expire=expire,
            thumbprint=thumbprint,
            prefixes=self._prefixes,
            rules=self._rules,
        )


def verifier_of(opts: Mapping[str, Any]) -> Verifier:
    """
    Return the verifier for a master's options: the same one for the same options, with its keys.

    Raises:
        CannotStart: The option is wrong.
    """
    parts = [opts.get(OPTION), opts.get("external_auth")]
    with _making:
        # Names of users may be anything that YAML has; who is no text is nobody here.
        return _verifier(json.dumps(parts, skipkeys=True, default=repr))


_making = threading.Lock()


@functools.lru_cache(maxsize=16)
def _verifier(options: str) -> Verifier:
    written, external_auth = json.loads(options)
    return Verifier(issuers_of({OPTION: written}), external_auth)
