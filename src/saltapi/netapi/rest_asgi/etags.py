"""Entity tags (RFC 9110): answers that need not be sent again, changes of what was seen."""

import hashlib
from typing import Annotated, Any

from fastapi import Header, Request
from starlette.responses import Response

ETAG_CHARACTERS = 1_000

IfNoneMatch = Annotated[
    str | None,
    Header(
        max_length=ETAG_CHARACTERS,
        description="`ETag` of the answer that you have; where it still holds, this is 304.",
        examples=['"6f1ed002ab5595859014ebf0951522d9"'],
    ),
]
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    304: {"description": "Nothing has changed since the answer with this `ETag`."}
}


def with_etag(request: Request, response: Response) -> Response:
    """Return *response* with an `ETag` of its body, or 304 where the client has the same."""
    etag = f'"{hashlib.sha256(bytes(response.body)).hexdigest()[:32]}"'
    if etag in tags_of(request.headers.get("If-None-Match")):
        return Response(status_code=304, headers={"ETag": etag})
    response.headers["ETag"] = etag
    return response


def tags_of(header: str | None) -> list[str]:
    """Return the entity tags in the value of a header, without the mark of weak ones."""
    return [text.strip().removeprefix("W/") for text in (header or "").split(",") if text.strip()]
