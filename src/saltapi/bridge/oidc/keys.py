"""
The keys of one issuer: fetched when they are needed, kept for a while, and let go when rotated.

They come from the issuer's own metadata (OpenID Connect Discovery 1.0, section 4), from a URL, or
from a file of the config: never from anything that a token says of itself (`jku`, `jwk`, `x5u`).
"""

import json
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.util import urlsafe_b64decode

from saltapi.bridge.oidc.fetching import FETCH_SECONDS, Unreachable, fetch_json
from saltapi.config.oidc import IssuerSection, provider_url

log = logging.getLogger(__name__)

FRESH_SECONDS = 600.0
"""How long keys are used without a look at the issuer: how long a key that is gone may count."""
STALE_SECONDS = 3600.0
"""How long they are, while the issuer cannot be reached."""
RETRY_SECONDS = 10.0
"""How soon an issuer is asked again that could not be reached."""
UNKNOWN_SECONDS = 30.0
"""How soon it is asked again because of a token with a key that is not there."""
KEYS_LIMIT = 100
CANDIDATES_LIMIT = 10
"""So many of them are tried on a token that does not name its key."""
RSA_BITS = range(2048, 8193)
"""Shorter keys are weak, and longer ones are made to keep us busy."""
RSA_EXPONENT_LIMIT = 2**32
CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
SIGNING_CURVES = frozenset({"Ed25519"})
PEM_PUBLIC = b"-----BEGIN PUBLIC KEY-----"


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A public key."""

    kid: str | None
    algorithm: str | None
    """What alone it is for, where the issuer says so."""
    thumbprint: str
    key: Key

    def fits(self, algorithm: str) -> bool:
        """Return whether it is one that makes signatures with *algorithm*."""
        if self.algorithm is not None and self.algorithm != algorithm:
            return False
        if algorithm.startswith(("RS", "PS")):
            return isinstance(self.key, RSAKey)
        if algorithm in CURVES:
            return isinstance(self.key, ECKey) and self.key.curve_name == CURVES[algorithm]
        return isinstance(self.key, OKPKey) and self.key.curve_name in SIGNING_CURVES


class IssuerKeys:
    """The keys of an issuer, for all threads of a process."""

    def __init__(self, issuer: IssuerSection) -> None:
        """
        Args:
            issuer: Its section.
        """
        self._issuer = issuer
        self._lock = threading.Lock()
        self._keys: tuple[IssuerKey, ...] = ()
        self._fetched_at = self._tried_at = self._asked_at = float("-inf")
        self._metadata: Mapping[str, Any] | None = None

    def find(self, kid: str | None, algorithm: str) -> list[IssuerKey]:
        """
        Return the keys that a token may be signed with; none if the issuer has no such key.

        Args:
            kid: What the token calls its key, if it does.
            algorithm: How it is signed.

        Raises:
            Unreachable: There are no keys, because the issuer does not answer.
        """
        self._refresh(FRESH_SECONDS)
        found = self._matching(kid, algorithm)
        now = time.monotonic()
        if not found and now - self._asked_at > UNKNOWN_SECONDS:
            self._asked_at = now
            self._refresh(0.0)
            found = self._matching(kid, algorithm)
        return found

    def has(self, thumbprint: str) -> bool:
        """Return whether the issuer still has a key, as far as is known; it is not asked."""
        return any(each.thumbprint == thumbprint for each in self._usable())

    @property
    def is_known(self) -> bool:
        """Whether there are keys now; without them nothing is known of any of them."""
        return bool(self._usable())

    def refresh(self) -> None:
        """
        Ask the issuer for its keys, if what is known of them is not fresh.

        Raises:
            Unreachable: It does not answer, and there are no keys that could be used meanwhile.
        """
        self._refresh(FRESH_SECONDS)

    def known(self) -> tuple[IssuerKey, ...]:
        """
        Return all keys that can be used.

        Raises:
            Unreachable
        """
        self._refresh(FRESH_SECONDS)
        return self._usable()

    def metadata(self) -> Mapping[str, Any]:
        """
        Return the issuer's metadata; with the names of URLs that begin as they have to.

        Raises:
            Unreachable: It cannot be read, or is another issuer's.
        """
        if self._metadata is None:
            self._metadata = self._discovered()
        return self._metadata

    def _usable(self) -> tuple[IssuerKey, ...]:
        return self._keys if time.monotonic() - self._fetched_at < STALE_SECONDS else ()

    def _matching(self, kid: str | None, algorithm: str) -> list[IssuerKey]:
        return [
            each
            for each in self._usable()
            if (kid is None or each.kid is None or each.kid == kid) and each.fits(algorithm)
        ][:CANDIDATES_LIMIT]

    def _refresh(self, fresh_seconds: float) -> None:
        if time.monotonic() - self._fetched_at < fresh_seconds:
            return None
        # Who comes while another one asks waits for that, not longer than the asking may take.
        if not self._lock.acquire(timeout=2 * FETCH_SECONDS):
            return self._check_usable()
        try:
            now = time.monotonic()
            if now - self._fetched_at < fresh_seconds or now - self._tried_at < RETRY_SECONDS:
                return self._check_usable()
            self._tried_at = now
            self._keys = self._fetched()
            self._fetched_at = time.monotonic()
            self._tried_at = float("-inf")
        except Unreachable as error:
            log.warning("The keys of %s cannot be had: %s", self._issuer.issuer, error)
            self._check_usable()
        finally:
            self._lock.release()
        return None

    def _check_usable(self) -> None:
        if not self._usable():
            raise Unreachable(f"The keys of {self._issuer.issuer} cannot be had now.")

    def _fetched(self) -> tuple[IssuerKey, ...]:
        issuer = self._issuer
        if issuer.keys_file:
            try:
                document = _document(Path(issuer.keys_file).read_bytes())
            except (OSError, ValueError, RecursionError) as error:
                raise Unreachable(f"{issuer.keys_file} cannot be read: {error}") from error
        else:
            url = issuer.keys_url
            if url is None:
                self._metadata = self._discovered()
                url = str(self._metadata.get("jwks_uri"))
            document = fetch_json(url, ca_file=issuer.ca_file)
        keys = read_keys(document)
        if not keys:
            raise Unreachable("There is no key that could sign in the issuer's set of keys.")
        return keys

    def _discovered(self) -> Mapping[str, Any]:
        issuer = self._issuer
        url = f"{issuer.issuer.rstrip('/')}/.well-known/openid-configuration"
        found = fetch_json(url, ca_file=issuer.ca_file)
        if not isinstance(found, dict) or found.get("issuer") != issuer.issuer:
            said = found.get("issuer") if isinstance(found, dict) else None
            raise Unreachable(f"{url} is about another issuer: {said!r:.200}")
        for name, value in found.items():
            if name.endswith(("_endpoint", "_uri")) and name != "service_documentation":
                try:
                    provider_url(value)
                except (ValueError, AttributeError, TypeError):
                    found = {key: item for key, item in found.items() if key != name}
        return found


def read_keys(document: Any) -> tuple[IssuerKey, ...]:
    """Return those of a set of keys (RFC 7517) that may sign; everything else is passed over."""
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        return ()
    found = []
    for entry in entries[:KEYS_LIMIT]:
        try:
            found.append(_read_key(entry))
        except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.debug("A key of an identity provider is passed over: %s", error)
    return tuple(found)


def _document(content: bytes) -> Any:
    """Return the set of keys in a file: a JWK set, or one public key as PEM (RFC 7468)."""
    if not content.lstrip().startswith(PEM_PUBLIC):
        return json.loads(content)
    for kind in (RSAKey, ECKey, OKPKey):
        try:
            return {"keys": [kind.import_key(content).as_dict(private=False)]}
        except (JoseError, ValueError, TypeError):
            continue
    raise ValueError("it is no key for signatures")


def _read_key(entry: Any) -> IssuerKey:
    kinds: dict[str, type[RSAKey | ECKey | OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
    kind = kinds[entry["kty"]]
    if entry.get("use", "sig") != "sig" or "verify" not in entry.get("key_ops", ["verify"]):
        raise ValueError("it is for something else than signatures")
    if kind is RSAKey:
        bits = int.from_bytes(_bytes_of(entry["n"]), "big").bit_length()
        exponent = int.from_bytes(_bytes_of(entry["e"]), "big")
        if bits not in RSA_BITS or exponent >= RSA_EXPONENT_LIMIT or exponent < 3:
            raise ValueError(f"RSA of {bits} bits is too short, too long, or oddly made")
    public = {name: entry[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in entry}
    key = kind.import_key(public)
    kid, algorithm = entry.get("kid"), entry.get("alg")
    return IssuerKey(
        kid if isinstance(kid, str) else None,
        algorithm if isinstance(algorithm, str) else None,
        key.thumbprint(),
        key,
    )


def _bytes_of(text: str) -> bytes:
    return urlsafe_b64decode(text.encode())
