"""
The option `saltapi_oidc`: which identity providers are trusted, and what of their tokens counts.

The master reads it too (`saltapi.bridge.loaded.auth.oidc`), so it stands at the top level.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from saltapi.config.section import Section
from saltapi.config.values import AbsolutePath, Seconds, as_list
from saltapi.errors import CannotStart

OPTION = "saltapi_oidc"
Algorithm = Literal[
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
]
"""The asymmetric ones of RFC 7518, RFC 8037 and RFC 9864: no `none`, and nothing with a secret."""
ALGORITHMS: list[Algorithm] = ["RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519"]
ISSUERS_LIMIT = 32
CALLBACK = "/v1/login/oidc/callback"
"""Where browsers come back to from an identity provider, in rest_asgi."""
LOGGED_OUT = "/v1/login/oidc/logged-out"
"""Where they come back to from a logout there."""
VOUCHED_SECONDS = 60
"""How long a token holds in which we say whom a login proxy has let in: it is used at once."""
VOUCHED_SESSION_SECONDS = 3600.0
"""How long a session lasts that comes of it, if `token_expire` says nothing else."""
HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
TAKEN_HEADERS = frozenset(
    {"authorization", "cookie", "host", "origin", "forwarded", "x-auth-token", "sec-fetch-site"}
    | {"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-password"}
    | {"cf-access-jwt-assertion", "x-forwarded-access-token", "content-type", "content-length"}
)
"""Headers that say something else, and are no place for a name."""
SHARED_ISSUERS = frozenset(
    {"https://token.actions.githubusercontent.com", "https://gitlab.com"}
    | {"https://accounts.google.com"}
)
"""They give a token for any audience to everybody who has an account there."""
Texts = Annotated[list[str], BeforeValidator(as_list)]


def is_loopback(host: str | None) -> bool:
    """Return whether *host* is this machine, by its name or its address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def provider_url(url: str) -> str:
    """Return the URL of an identity provider: https, or http to this machine."""
    parts = urlsplit(url)
    if not parts.hostname or parts.username is not None or parts.query or parts.fragment:
        raise ValueError("must be a URL with a host, without user, query or fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise ValueError("must begin with https://; http is taken on loopback alone")
    _ = parts.port  # out of range, it is an error
    return url


def header_name(name: str) -> str:
    """Return the name of a header in which a login proxy names its user, or the user's groups."""
    if not HEADER_NAME.fullmatch(name) or name.lower() in TAKEN_HEADERS:
        raise ValueError("must be the name of a header that says nothing else, without underscores")
    return name


ProviderUrl = Annotated[str, AfterValidator(provider_url)]
HeaderName = Annotated[str, AfterValidator(lambda name: header_name(name) if name else "")]


class IssuerSection(Section):
    """One entry of the option: an issuer of tokens."""

    title = OPTION

    issuer: ProviderUrl
    audience: Texts = []
    client_id: str = ""
    client_secret_file: AbsolutePath = ""
    device_client_id: str = Field(default="", max_length=256)
    name: str = Field(default="", max_length=100)
    redirect_url: str = ""
    logout_redirect_url: str = ""
    scopes: Texts = ["profile", "email"]
    user_claim: str = "sub"
    groups_claim: str = ""
    user_prefix: str = ""
    required_claims: dict[str, Any] = {}
    hosted_domain: Texts = []
    authorized_parties: Texts = []
    require_verified_email: bool = True
    algorithms: list[Algorithm] = Field(default=ALGORITHMS, min_length=1)
    clock_skew: float = Field(default=10, ge=0, le=300)
    token_expire: Seconds | None = None
    machine_tokens: bool = True
    ca_file: AbsolutePath = ""
    discovery: bool = True
    keys_url: ProviderUrl | None = None
    keys_file: AbsolutePath = ""
    user_header: HeaderName = ""
    groups_header: HeaderName = ""
    signing_key_file: AbsolutePath = ""
    modules: Texts = []

    @model_validator(mode="before")
    @classmethod
    def _of_a_proxy(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Have a login proxy be an issuer that nobody is asked about, and we sign for."""
        if not values.get("user_header"):
            return values
        own = {"audience": values.get("issuer"), "discovery": False, "machine_tokens": False}
        return {**own, **values, "groups_claim": "groups"}

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        self._check_proxy()
        if not self.audiences:
            raise ValueError("needs audience, or client_id: whom tokens must be for")
        if not (self.discovery or self.keys_url or self.keys_file):
            raise ValueError("without discovery needs keys_url or keys_file")
        if self.issuer.rstrip("/") in SHARED_ISSUERS and not (
            self.required_claims or self.hosted_domain
        ):
            raise ValueError(
                "gives tokens to everybody; say whose count, by required_claims or hosted_domain"
            )
        if self.redirect_url:
            self._check_redirect()
        elif self.logout_redirect_url:
            raise ValueError("logout_redirect_url needs redirect_url")
        if self.device_client_id and not self.discovery:
            raise ValueError("device_client_id needs discovery")
        for claim, wanted in self.required_claims.items():
            if not all(isinstance(one, str | int | bool) for one in _wanted(wanted)):
                raise ValueError(f"required_claims.{claim} must be a value, or a list of values")
        return self

    def _check_redirect(self) -> None:
        for name, end in ("redirect_url", CALLBACK), ("logout_redirect_url", LOGGED_OUT):
            url = getattr(self, name)
            try:
                is_good = not url or provider_url(url).endswith(end)
            except ValueError as error:
                raise ValueError(f"{name} {error}") from None
            if not is_good:
                raise ValueError(f"{name} must end with {end}")
        if not self.client_id or not self.discovery:
            raise ValueError("redirect_url needs client_id, and discovery")

    def _check_proxy(self) -> None:
        if not self.user_header:
            if self.groups_header or self.signing_key_file or self.modules:
                raise ValueError("groups_header, signing_key_file and modules need user_header")
            return
        if not self.modules:
            raise ValueError("user_header needs modules: those that are behind the login proxy")
        if not (self.signing_key_file and self.keys_file):
            raise ValueError("user_header needs signing_key_file, and keys_file for the master")
        if self.user_header.lower() == self.groups_header.lower():
            raise ValueError("user_header and groups_header must be different ones")
        asked = (self.discovery, self.keys_url, self.client_id, self.device_client_id)
        if any(asked) or self.redirect_url or self.user_claim != "sub":
            raise ValueError(
                "with user_header is no provider that could be asked: it goes without discovery,"
                " keys_url, client_id, device_client_id, redirect_url and user_claim"
            )

    @property
    def audiences(self) -> list[str]:
        """Whom a token may be for; also what the login of a browser or a terminal ends with."""
        own = [self.client_id] if self.client_id else []
        device = [self.device_client_id] if self.device_client_id else []
        first = [*self.audience, *own] if self.redirect_url else self.audience or own
        return [*dict.fromkeys([*first, *device])]

    def wanted(self) -> dict[str, list[Any]]:
        """Return the values that each required claim may have."""
        return {claim: _wanted(value) for claim, value in self.required_claims.items()}


def issuers_of(opts: Mapping[str, Any]) -> list[IssuerSection]:
    """
    Return the issuers that the master's *opts* name; none without the option.

    Raises:
        CannotStart: One of them is wrong.
    """
    written = opts.get(OPTION)
    if not written:
        return []
    entries = [written] if isinstance(written, Mapping) else written
    if not isinstance(entries, list) or not all(isinstance(e, Mapping) for e in entries):
        raise CannotStart(f"{OPTION} must be a list of issuers, each a mapping of options.")
    if len(entries) > ISSUERS_LIMIT:
        raise CannotStart(f"{OPTION} has more than {ISSUERS_LIMIT} issuers.")
    issuers = [IssuerSection.parse(dict(entry)) for entry in entries]
    for issuer in issuers:
        for option, like in issuer.unknown().items():
            meant = f" Did you mean {like}?" if like else ""
            # One that is misspelled may be what keeps somebody out.
            raise CannotStart(f"{OPTION}.{option} is not an option.{meant}")
    _check_apart(issuers)
    return issuers


def _check_apart(issuers: list[IssuerSection]) -> None:
    """
    Return if nobody of one issuer can have the name of somebody of another one.

    Raises:
        CannotStart: Two are the same, or their users would have the same names.
    """
    if len({issuer.issuer for issuer in issuers}) < len(issuers):
        raise CannotStart(f"{OPTION}: each issuer can stand there once.")
    if sum(bool(issuer.user_header) for issuer in issuers) > 1:
        raise CannotStart(f"{OPTION}: one issuer can have user_header.")
    if len({issuer.user_prefix for issuer in issuers}) < len(issuers):
        raise CannotStart(
            f"{OPTION}: several issuers may each have a user, or a group, of a name; give each a"
            " user_prefix of its own, for example `user_prefix: 'ci:'`."
        )


def _wanted(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
