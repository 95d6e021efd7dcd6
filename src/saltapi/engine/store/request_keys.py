"""What a request with an idempotency key is known by: the key, and what it asks for."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from saltapi.errors import BadRequest
from saltapi.lowstate import CREDENTIAL_KEYS

KEY_LIMIT_CHARACTERS = 255


def checked_key(text: str) -> str:
    """
    Return the key in the header's value: a string in quotes, as the draft has it, or without.

    Raises:
        BadRequest: It is empty, too long or not printable.
    """
    key = text.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not key or len(key) > KEY_LIMIT_CHARACTERS or not (key.isascii() and key.isprintable()):
        raise BadRequest(
            f"Idempotency-Key must be 1 to {KEY_LIMIT_CHARACTERS} printable ASCII characters."
        )
    return key


def fingerprint(request: Any) -> str:
    """Return a text that differs for requests that ask for something else."""
    text = json.dumps(_without_credentials(request), sort_keys=True, default=repr)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _without_credentials(value: Any) -> Any:
    """Return *value*, a request, without the credentials that its chunks hold."""
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items() if key not in CREDENTIAL_KEYS}
    if isinstance(value, list | tuple):
        return [_without_credentials(item) for item in value]
    return value
