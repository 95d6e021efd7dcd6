"""
Who we are for the servers: a file with a user and a password, or a credentials file of NATS's.

The latter holds a signed statement of who the user is, and a key that answers the server's
challenge (https://docs.nats.io/using-nats/developer/connecting/creds).
"""

import base64
import binascii
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from saltapi.config.shared_store import StoreSection
from saltapi.errors import CannotStart

BLOCK = re.compile(r"-+BEGIN ([A-Z ]+)-+\s+(\S+)\s+-+END \1-+")
JWT, SEED = "NATS USER JWT", "USER NKEY SEED"
KEY_BYTES = slice(2, 34)
"""Where the key stands in a seed: behind its kind, and before a checksum."""


def options_of(section: StoreSection) -> dict[str, Any]:
    """
    Return the options of a connection that prove who we are.

    Raises:
        CannotStart: A file cannot be read, or holds something else.
    """
    return {"tls": _tls_context(section), **_proofs(section.credentials_file)}


def _proofs(path: str) -> dict[str, Any]:
    if not path:
        return {}
    try:
        text = Path(path).read_text()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise CannotStart(f"The credentials file {path} cannot be read: {reason}.") from None
    blocks = dict(BLOCK.findall(text))
    if blocks:
        if not {JWT, SEED} <= blocks.keys():
            raise CannotStart(f"The credentials file {path} lacks a JWT or a seed.")
        jwt = blocks[JWT].encode()
        return {"user_jwt_cb": lambda: jwt, "signature_cb": _signer(path, blocks[SEED])}
    user, colon, password = text.strip().partition(":")
    if not colon or "\n" in password:
        raise CannotStart(
            f"The credentials file {path} must be one of NATS's, or a line with user:password."
        )
    return {"user": user, "password": password}


def _signer(path: str, seed: str) -> Callable[[str], bytes]:
    try:
        raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
        key = Ed25519PrivateKey.from_private_bytes(raw[KEY_BYTES])
    except (ValueError, binascii.Error):
        raise CannotStart(f"The credentials file {path} holds no seed of a user.") from None
    return lambda nonce: base64.b64encode(key.sign(nonce.encode()))


def _tls_context(section: StoreSection) -> ssl.SSLContext:
    """Return what checks the servers' certificates and shows ours."""
    try:
        context = ssl.create_default_context(cafile=section.ca_file or None)
        if section.cert_file:
            context.load_cert_chain(section.cert_file, section.key_file or None)
    except (OSError, ValueError) as error:
        raise CannotStart(f"The certificates of saltapi_store cannot be used: {error}.") from None
    return context
