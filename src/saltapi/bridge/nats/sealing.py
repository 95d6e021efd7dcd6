"""
What is sealed with the secret that the machines share: AES-256-GCM, with its place as context.

Tokens in a bucket tell nothing to whoever reads it and cannot be made by whoever writes it: the
name of a value is a digest of the token, and the key is made of the token and the secret. What
masters say to each other has a key for each exchange, and each message its number.
"""

import hashlib
import hmac
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from saltapi.errors import CannotStart

SECRET_BYTES = 32
NONCE_BYTES = 12


def secret_of(secret_file: str) -> bytes:
    """
    Return the secret in a file.

    Raises:
        CannotStart: It cannot be read, or is too short.
    """
    try:
        secret = Path(secret_file).read_bytes().strip()
    except OSError as error:
        raise CannotStart(
            f"The secret file {secret_file} of saltapi_store cannot be read: {error.strerror}."
        ) from None
    if len(secret) < SECRET_BYTES:
        raise CannotStart(
            f"The secret file {secret_file} of saltapi_store must have {SECRET_BYTES} bytes at"
            " least, for example from `openssl rand -hex 32`."
        )
    return secret


class Seal:
    """Seals what belongs to a token, or to a place in a store."""

    def __init__(self, secret_file: str) -> None:
        """
        Args:
            secret_file: The path of the secret, at least 32 bytes, the same on every machine.

        Raises:
            CannotStart: It cannot be read, or is too short.
        """
        self._secret = secret_of(secret_file)

    def name(self, token: str) -> str:
        """Return the name under which what belongs to *token* is kept."""
        return self._digest("name", token).hex()

    def seal(self, token: str, data: bytes) -> bytes:
        """Return *data*, which only who has *token* and the secret can read or make."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher(token).encrypt(nonce, data, self.name(token).encode())

    def open(self, token: str, sealed: bytes) -> bytes | None:
        """Return what was sealed; None if it was not sealed for *token* with our secret."""
        nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            return self._cipher(token).decrypt(nonce, rest, self.name(token).encode())
        except (InvalidTag, ValueError):
            return None

    def _cipher(self, token: str) -> AESGCM:
        return AESGCM(self._digest("key", token))

    def _digest(self, use: str, token: str) -> bytes:
        text = f"saltapi token {use} {token}".encode("utf-8", "surrogatepass")
        return hmac.new(self._secret, text, hashlib.sha256).digest()


class ExchangeSeal:
    """Seals the messages of one exchange, each for its direction and its number."""

    def __init__(self, secret: bytes, exchange: bytes) -> None:
        """
        Args:
            secret: That of the machines.
            exchange: What tells this exchange from all others.
        """
        key = hmac.new(secret, b"saltapi exchange " + exchange, hashlib.sha256).digest()
        self._cipher = AESGCM(key)

    def seal(self, direction: str, number: int, data: bytes) -> bytes:
        """Return *data*, which only who has the secret can read or make."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, f"{direction} {number}".encode())

    def open(self, direction: str, number: int, sealed: bytes) -> bytes | None:
        """Return what was sealed; None if it was not sealed so."""
        nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, rest, f"{direction} {number}".encode())
        except (InvalidTag, ValueError):
            return None
