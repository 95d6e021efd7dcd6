"""Pages of a list: what all of them have in common."""

import base64
import binascii
import json
from typing import Annotated, Any

from fastapi import Query

from saltapi.errors import InvalidField

CURSOR_CHARACTERS = 1_000
LIMIT = 500

Limit = Annotated[int, Query(ge=1, le=LIMIT, description="So many in a page, at most.")]
CursorText = Annotated[
    str | None,
    Query(
        max_length=CURSOR_CHARACTERS, description="`cursor` of the page before this one, as it was."
    ),
]


def cursor_text(value: Any) -> str:
    """Return a cursor that holds *value*: lists, texts and numbers."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def cursor_value(cursor: str | None) -> Any:
    """
    Return what a cursor holds; None without one.

    Raises:
        InvalidField: It is none of ours.
    """
    if not cursor:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        return json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        raise not_ours() from None


def not_ours() -> InvalidField:
    """Return the error for a cursor that is none of this list."""
    return InvalidField("cursor must be the `cursor` of the page before.", key="cursor")
