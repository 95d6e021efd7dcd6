"""The header `Idempotency-Key`: it makes a command safe to send again."""

from collections.abc import Mapping, Sequence
from typing import Any

from saltapi.engine.store.idempotency import Idempotency, Keyed
from saltapi.errors import BadRequest

KEY_HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotency-Replayed"


def keyed(idempotency: Idempotency, values: Sequence[str], *request: Any) -> Keyed | None:
    """
    Return what stands for a request with its idempotency key; None if it has none.

    Args:
        idempotency: Keeps the keys.
        values: Every value of the header.
        request: What the request asks for: method, path, query, decoded body.

    Raises:
        BadRequest: There are several keys, or it cannot be one.
    """
    if not values:
        return None
    if len(values) > 1:
        raise BadRequest(f"Send one {KEY_HEADER}, not {len(values)}.")
    return idempotency.keyed(values[0], *request)


def wsgi_keyed(idempotency: Idempotency, environ: Mapping[str, Any], body: Any) -> Keyed | None:
    """Same as `keyed`, for a request of a WSGI server, with its decoded *body*."""
    value = environ.get("HTTP_IDEMPOTENCY_KEY")
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return keyed(
        idempotency,
        [] if value is None else [value],
        environ["REQUEST_METHOD"],
        path,
        environ.get("QUERY_STRING", ""),
        body,
    )


def replayed(key: Keyed | None) -> dict[str, str]:
    """Return the header that says so, if the answer is that of a request before."""
    return {REPLAYED_HEADER: "true"} if key is not None and key.repeated else {}
