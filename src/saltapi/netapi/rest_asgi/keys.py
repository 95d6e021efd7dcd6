"""The header `Idempotency-Key`, as FastAPI has it."""

from typing import Annotated, Any

from fastapi import Header, Request, Response

from saltapi.engine.store.idempotency import Keyed
from saltapi.engine.store.request_keys import KEY_LIMIT_CHARACTERS
from saltapi.netapi._http import keys

KeyHeader = Annotated[
    str | None,
    Header(
        alias=keys.KEY_HEADER,
        max_length=KEY_LIMIT_CHARACTERS + 2,
        description="A text of yours that is new for each command. Sent again with the same key,"
        " the command does not run again: the answer is that of the first time.",
        examples=["8e03978e-40d5-43dd-bc93-6894a57f9324"],
    ),
]
"""Declares the header for the OpenAPI document; `keyed` reads it."""

KEY_RESPONSES: dict[int | str, dict[str, Any]] = {
    409: {
        "description": "The jid is taken; or the first request with this Idempotency-Key is still"
        " being started (`still_starting`), or it is not known what it has done"
        " (`outcome_unknown`)."
    },
    422: {"description": "This Idempotency-Key was used for another request; nothing was run."},
}


def keyed(request: Request, body: Any) -> Keyed | None:
    """
    Return what stands for the request with its idempotency key; None if it has none.

    Args:
        request: The request.
        body: Its decoded body.

    Raises:
        BadRequest: There are several keys, or it cannot be one.
    """
    url, values = request.url, request.headers.getlist(keys.KEY_HEADER)
    idempotency = request.app.state.engine.idempotency
    return keys.keyed(idempotency, values, request.method, url.path, url.query, body)


def mark(response: Response, key: Keyed | None) -> Response:
    """Return *response*, with the header that says so if it answers a repeat."""
    response.headers.update(keys.replayed(key))
    return response
