"""
The secrets of web hooks, and how those who know one sign: GitHub, GitLab, Standard Webhooks, HMAC.

An entry of the config checks the headers and the bytes of the body, as they came. Sources:
"Validating webhook deliveries" in GitHub's documentation, "Webhooks" in GitLab's, and the Standard
Webhooks specification (https://www.standardwebhooks.com).
"""

import base64
import binascii
import hashlib
import hmac
import re
import time
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from saltapi.errors import AuthenticationFailed, CannotStart

STANDARD_SECRET_PREFIX = "whsec_"  # noqa: S105 - what such a secret begins with
STANDARD_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
DELIVERY_ID = re.compile(r"[!-~]{1,256}")
TIMESTAMP = re.compile(r"[0-9]{1,12}")
WRONG = "The signature is wrong."

HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
Headers = Mapping[str, str]
"""The request's headers by their names in small letters."""


class HookSecret(BaseModel):
    """One secret of a path, and how requests are signed with it: an entry of the config."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str
    secret: SecretStr | None = None
    secret_file: str | None = None
    tolerance_seconds: float = Field(default=300.0, gt=0, le=86_400)

    @model_validator(mode="after")
    def _has_one_secret(self) -> Self:
        if (self.secret is None) == (self.secret_file is None):
            raise ValueError("needs one of secret and secret_file")
        if self.secret is not None:
            self.key_of(self.secret.get_secret_value())
        return self

    def read(self) -> bytes:
        """
        Return the key, from its file if it is in one: the file's text without spaces around it.

        Raises:
            CannotStart: The file cannot be read, or what it holds is no secret.
        """
        if self.secret is not None:
            return self.key_of(self.secret.get_secret_value())
        path = Path(str(self.secret_file))
        try:
            return self.key_of(path.read_text().strip())
        except OSError as error:
            raise CannotStart(f"The secret file {path} cannot be read: {error.strerror}.") from None
        except ValueError as error:  # not UTF-8, or what `key_of` says
            raise CannotStart(f"The secret file {path} holds no secret: {error}.") from None

    def key_of(self, text: str) -> bytes:
        """Return the key that is written as *text*; ValueError if it cannot be one."""
        if not text:
            raise ValueError("a secret cannot be empty")
        return text.encode()

    @property
    @abstractmethod
    def headers(self) -> tuple[str, ...]:
        """The headers that hold the proof: no event and no log is to have them."""

    @abstractmethod
    def check(self, key: bytes, headers: Headers, body: bytes) -> str | None:
        """
        Return if the request is signed with *key*: what must not come twice, None if it may.

        Raises:
            NotSigned: It is not.
        """


class GithubSecret(HookSecret):
    """GitHub, Gitea and others: the hex digest of the body."""

    type: Literal["github"]
    signature_header: HeaderName = "X-Hub-Signature-256"

    @property
    def headers(self) -> tuple[str, ...]:
        """The signature, and the older one that GitHub sends as well."""
        return (self.signature_header, "X-Hub-Signature")

    def check(self, key: bytes, headers: Headers, body: bytes) -> str | None:
        """See `HookSecret.check`: a signature must not come twice."""
        given = _header(headers, self.signature_header)
        wanted = "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()
        _require(_same(given, wanted))
        return wanted


class GitlabSecret(HookSecret):
    """GitLab: the secret itself, in a header. It signs nothing, so anything may come twice."""

    type: Literal["gitlab"]
    token_header: HeaderName = "X-Gitlab-Token"  # noqa: S105 - its name

    @property
    def headers(self) -> tuple[str, ...]:
        """The secret."""
        return (self.token_header,)

    def check(self, key: bytes, headers: Headers, body: bytes) -> str | None:  # noqa: ARG002
        """See `HookSecret.check`."""
        given = _header(headers, self.token_header)
        # Digests: the time that it takes does not tell how long the secret is.
        digests = (hashlib.sha256(value).digest() for value in (_raw(given), key))
        _require(hmac.compare_digest(*digests))
        return None


class StandardSecret(HookSecret):
    """The Standard Webhooks specification, version 1, symmetric keys."""

    type: Literal["standard"]

    def key_of(self, text: str) -> bytes:
        """Return the key: base64, behind `whsec_` or without it."""
        try:
            key = base64.b64decode(text.removeprefix(STANDARD_SECRET_PREFIX), validate=True)
        except binascii.Error:
            raise ValueError("a secret of type standard is base64 behind whsec_") from None
        if not key:
            raise ValueError("a secret cannot be empty")
        return key

    @property
    def headers(self) -> tuple[str, ...]:
        """The signatures."""
        return STANDARD_HEADERS[2:]

    def check(self, key: bytes, headers: Headers, body: bytes) -> str | None:
        """See `HookSecret.check`: an id must not come twice."""
        message_id, timestamp, signatures = (_header(headers, name) for name in STANDARD_HEADERS)
        if not DELIVERY_ID.fullmatch(message_id):
            raise NotSigned("The header webhook-id is no id.")
        signed = f"{message_id}.{timestamp}.".encode() + body
        digest = hmac.new(key, signed, hashlib.sha256).digest()
        wanted = "v1," + base64.b64encode(digest).decode()
        _require(any(_same(given, wanted) for given in signatures.split()))
        _check_time(timestamp, self.tolerance_seconds)
        return message_id


class HmacSecret(HookSecret):
    """
    Any other signature with a time in it.

    By default `X-Signature: t=1700000000,v1=<hex digest of "1700000000.<body>">`, as Stripe has
    it; with `timestamp_header` time and signature have a header each, as Slack has it.
    """

    type: Literal["hmac"]
    signature_header: HeaderName = "X-Signature"
    signature_prefix: str = ""
    timestamp_header: HeaderName | None = None
    signed_content: str = "{timestamp}.{body}"
    algorithm: Literal["sha256", "sha384", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"

    @model_validator(mode="after")
    def _signs_time_and_body(self) -> Self:
        if sorted(re.findall(r"\{\w+\}", self.signed_content)) != ["{body}", "{timestamp}"]:
            raise ValueError("signed_content needs {timestamp} and {body}, each once")
        return self

    @property
    def headers(self) -> tuple[str, ...]:
        """The signature."""
        return (self.signature_header,)

    def check(self, key: bytes, headers: Headers, body: bytes) -> str | None:
        """See `HookSecret.check`: a signature must not come twice."""
        given = _header(headers, self.signature_header)
        if self.timestamp_header is None:
            parts = [part.strip().partition("=")[::2] for part in given.split(",")]
            timestamp = next((value for name, value in parts if name == "t"), "")
            signatures = [value for name, value in parts if name == "v1"]
        else:
            timestamp = _header(headers, self.timestamp_header)
            signatures = [given]
        wanted = self.signature_prefix + self._digest(key, timestamp, body)
        _require(any(_same(signature, wanted) for signature in signatures))
        _check_time(timestamp, self.tolerance_seconds)
        return wanted

    def _digest(self, key: bytes, timestamp: str, body: bytes) -> str:
        pattern = self.signed_content.encode()
        before, _, after = pattern.partition(b"{body}")
        time_text = _raw(timestamp)
        signed = b"".join(
            (
                before.replace(b"{timestamp}", time_text),
                body,
                after.replace(b"{timestamp}", time_text),
            )
        )
        digest = hmac.new(key, signed, self.algorithm).digest()
        return digest.hex() if self.encoding == "hex" else base64.b64encode(digest).decode()


AnySecret = Annotated[
    GithubSecret | GitlabSecret | StandardSecret | HmacSecret, Field(discriminator="type")
]


def _header(headers: Headers, name: str) -> str:
    value = headers.get(name.lower(), "").strip()
    if not value:
        raise NotSigned(f"This hook takes signed requests only: send {name}.")
    return value


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(_raw(given), _raw(wanted))


def _require(is_right: bool) -> None:
    if not is_right:
        raise WrongSignature(WRONG)


class NotSigned(AuthenticationFailed):
    """The request has to be signed, and is not as it should be."""


class WrongSignature(NotSigned):
    """Somebody who does not know the secret, or has another one."""


def _check_time(timestamp: str, tolerance_seconds: float) -> None:
    """Look at the time of a signature that is right."""
    is_time = TIMESTAMP.fullmatch(timestamp)
    if not is_time or abs(time.time() - int(timestamp)) > tolerance_seconds:
        raise NotSigned(
            f"The signature's time is not within {tolerance_seconds:g} s of the time here."
        )
