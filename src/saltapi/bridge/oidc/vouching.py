"""
Saying whom a login proxy has let in, in a token that the master can verify.

A proxy that logs people in by itself may hand on no token, but a name in a header. The master takes
nobody's word for a name; it takes a token signed with a key whose public half stands in its own
config (`saltapi_oidc`, `user_header`), and that is what is made here.
"""

import json
import os
import secrets
import stat
import time
from collections.abc import Collection, Sequence

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey

from saltapi.bridge.oidc.fetching import Unreachable
from saltapi.bridge.oidc.keys import IssuerKeys
from saltapi.config.oidc import VOUCHED_SECONDS, IssuerSection
from saltapi.errors import CannotStart
from saltapi.types import Token

KEY_LIMIT_BYTES = 16_384
PRIVATE_BITS = 0o077
"""What nobody but its owner may have of a private key."""


class Signer:
    """Signs what the issuer of a login proxy says; in any thread."""

    def __init__(self, issuer: IssuerSection, key: ECKey | OKPKey) -> None:
        """
        Args:
            issuer: Its section.
            key: The private key.
        """
        self.issuer = issuer
        self._key = key
        self.algorithm = "Ed25519" if isinstance(key, OKPKey) else "ES256"

    @property
    def thumbprint(self) -> str:
        """What the public half of the key is known by."""
        return self._key.thumbprint()

    def token(self, user: str, groups: Sequence[str]) -> Token:
        """Return a token that says who *user* is, for a minute."""
        now = int(time.time())
        header = {"alg": self.algorithm, "kid": self.thumbprint, "typ": "JWT"}
        claims = {
            "iss": self.issuer.issuer,
            "aud": self.issuer.audiences[0],
            "sub": user,
            "groups": [*groups],
            "iat": now,
            "exp": now + VOUCHED_SECONDS,
            "jti": secrets.token_urlsafe(16),
        }
        payload = json.dumps(claims, ensure_ascii=False).encode()
        registry = jws.JWSRegistry(algorithms=[self.algorithm])
        return jws.serialize_compact(header, payload, self._key, registry=registry)

    def check_pair(self) -> None:
        """
        Return if tokens will be taken: `keys_file` has the public half of the key.

        Raises:
            CannotStart: It has not, or cannot be read.
        """
        issuer = self.issuer
        if self.algorithm not in issuer.algorithms:
            raise CannotStart(f"{issuer.signing_key_file} needs {self.algorithm} in algorithms.")
        try:
            known = IssuerKeys(issuer).known()
        except Unreachable:
            raise CannotStart(f"{issuer.keys_file} has no public key that can be read.") from None
        if not any(each.thumbprint == self.thumbprint for each in known):
            raise CannotStart(
                f"{issuer.keys_file} has not the public half of {issuer.signing_key_file}, so the"
                " master would take no token signed with it."
            )


def signer_of(issuer: IssuerSection, *, owners: Collection[int] = ()) -> Signer:
    """
    Return who signs for the issuer of a login proxy.

    Args:
        issuer: Its section.
        owners: Who may own the private key, by number, beside root and the user of this process.

    Raises:
        CannotStart: The key cannot be read, is no such key, is not private, or has no public half
            in `keys_file`.
    """
    content = _private(issuer.signing_key_file, {0, os.geteuid(), *owners})
    signer = Signer(issuer, _key(issuer.signing_key_file, content))
    signer.check_pair()
    return signer


def _private(path: str, owners: Collection[int]) -> bytes:
    """Return the content of a file that nobody else can read, or have written."""
    try:
        # Not blocking: it may be no file, but a pipe.
        with open(path, "rb", opener=lambda p, f: os.open(p, f | os.O_NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise CannotStart(f"{path} is no file.")
            if status.st_uid not in owners or status.st_mode & PRIVATE_BITS:
                raise CannotStart(
                    f"{path} must be of the user that saltapi runs as, or root's, and nobody else"
                    " may read it: `chmod 600`."
                )
            return file.read(KEY_LIMIT_BYTES)
    except OSError as error:
        raise CannotStart(f"{path} cannot be read: {error.strerror}.") from error


def _key(path: str, content: bytes) -> ECKey | OKPKey:
    for kind in (OKPKey, ECKey):
        try:
            raw = content if content.lstrip().startswith(b"-----BEGIN") else json.loads(content)
            key = kind.import_key(raw)
            fits = {"Ed25519": OKPKey, "P-256": ECKey}.get(key.curve_name)
            if key.is_private and fits is kind:
                return key
        except (JoseError, ValueError, TypeError, KeyError, AttributeError):
            continue
    raise CannotStart(
        f"{path} is no private key of Ed25519 or P-256 without a passphrase;"
        " `openssl genpkey -algorithm ed25519` makes one."
    )
