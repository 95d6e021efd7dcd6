"""
A driver of Salt's cache that keeps tokens in the bucket of `saltapi_store` (Salt 3008).

    eauth_tokens.cache_driver: saltapi_nats
    saltapi_store:
      url: nats://a,b,c
      secret_file: /etc/salt/saltapi-store.secret

So a session of one master is good at every other one. It keeps tokens and nothing else: as the
driver of `cache` it refuses.
"""

from typing import Any

__opts__: dict[str, Any] = {}
"""The master's options, put here by the loader."""

BANK = "tokens"


def __virtual__() -> str | tuple[bool, str]:  # noqa: N807 - the loader asks for it
    """Load where the option `saltapi_store` names servers."""
    if not __opts__.get("saltapi_store"):
        return False, "The option saltapi_store names no servers."
    return "saltapi_nats"


def store(bank: str, key: str, data: Any, expires: float | None = None, **_: Any) -> None:
    """Keep *data* under *key* for *expires* seconds."""
    _bucket(bank).put(key, data, expires)


def fetch(bank: str, key: str, **_: Any) -> dict[str, Any]:
    """Return what is under *key*; `{}` if there is nothing."""
    found: dict[str, Any] = _bucket(bank).get(key)
    return found


def updated(bank: str, key: str, **_: Any) -> int | None:
    """Return when *key* was stored, in epoch seconds; None if there is nothing."""
    found = fetch(bank, key)
    return int(found.get("start", 0)) if found else None


def flush(bank: str, key: str | None = None, **_: Any) -> None:
    """Forget *key*; all of them at once are not forgotten."""
    if key is None:
        raise _refused("forgets one token at a time")
    _bucket(bank).remove(key)


def list_(bank: str, **_: Any) -> list[str]:
    """Return no keys: nobody can tell the tokens from what is kept of them."""
    _bucket(bank)
    return []


def contains(bank: str, key: str | None = None, **_: Any) -> bool:
    """Return whether there is something under *key*."""
    return key is None or bool(fetch(bank, key))


def clean_expired(bank: str, *_args: Any, **_: Any) -> None:
    """Do nothing: the servers forget what has expired."""
    _bucket(bank)


__func_alias__ = {"list_": "list"}


def _bucket(bank: str) -> Any:
    # Here, not above: Salt looks at this file where tokens are kept elsewhere.
    from saltapi.bridge.nats.token_bucket import bucket_of

    if bank != BANK:
        raise _refused(f"keeps tokens, and no {bank!r}")
    return bucket_of(__opts__)


def _refused(reason: str) -> Exception:
    from salt.exceptions import SaltCacheError

    refused: Exception = SaltCacheError(f"saltapi_nats {reason}")
    return refused
