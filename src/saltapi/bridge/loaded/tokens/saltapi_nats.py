"""
Tokens in the bucket of `saltapi_store`, by the interface of Salt 3007 (`eauth_tokens`).

Same as `saltapi.bridge.loaded.cache.saltapi_nats`, which Salt 3008 takes.
"""

import hashlib
import os
import time
from collections.abc import Iterator
from typing import Any

__opts__: dict[str, Any] = {}
"""The master's options, put here by the loader."""


def __virtual__() -> str | tuple[bool, str]:  # noqa: N807 - the loader asks for it
    """Load where the option `saltapi_store` names servers."""
    if not __opts__.get("saltapi_store"):
        return False, "The option saltapi_store names no servers."
    return "saltapi_nats"


def mk_token(opts: dict[str, Any], tdata: dict[str, Any]) -> dict[str, Any]:
    """Make a token for *tdata* and return it with `token`."""
    kind = getattr(hashlib, str(opts.get("hash_type", "sha256")))
    tdata["token"] = str(kind(os.urandom(512)).hexdigest())
    seconds = max(float(tdata.get("expire", 0)) - time.time(), 0.0)
    _bucket(opts).put(tdata["token"], tdata, seconds)
    return tdata


def get_token(opts: dict[str, Any], tok: str) -> dict[str, Any]:
    """Return the data of a token; `{}` if it is unknown."""
    found: dict[str, Any] = _bucket(opts).get(tok)
    return found


def rm_token(opts: dict[str, Any], tok: str) -> dict[str, Any]:
    """Forget a token; return `{}`."""
    _bucket(opts).remove(tok)
    return {}


def list_tokens(_opts: dict[str, Any]) -> Iterator[str]:
    """Yield no tokens: nobody can tell them from what is kept of them."""
    yield from ()


def _bucket(opts: dict[str, Any]) -> Any:
    # Here, not above: Salt looks at this file where tokens are kept elsewhere.
    from saltapi.bridge.nats.token_bucket import bucket_of

    return bucket_of(opts)
