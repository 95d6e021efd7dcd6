"""
Tokens in a bucket, which tell nothing to whoever reads it and cannot be made by whoever writes it.

The name of a value is a digest of the token, and the value is sealed with a key that is made of the
token and of a secret that the machines share: AES-256-GCM, with the name as its context.
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


class Seal:
    """Seals what belongs to a token."""

    def __init__(self, secret_file: str) -> None:
        """
        Args:
            secret_file: The path of the secret, at least 32 bytes, the same on every machine.

        Raises:
            CannotStart: It cannot be read, or is too short.
        """
        try:
            self._secret = Path(secret_file).read_bytes().strip()
        except OSError as error:
            raise CannotStart(
                f"The secret file {secret_file} of saltapi_store cannot be read: {error.strerror}."
            ) from None
        if len(self._secret) < SECRET_BYTES:
            raise CannotStart(
                f"The secret file {secret_file} of saltapi_store must have {SECRET_BYTES} bytes at"
                " least, for example from `openssl rand -hex 32`."
            )

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
