"""Files that ship with the package, as browsers get them."""

import functools
import gzip
import hashlib
from importlib import resources

from fastapi import Request, Response

from saltapi.netapi._http import answers

FOR_GOOD = "public, max-age=31536000, immutable"


class PackagedFile:
    """
    Bytes that do not change while the process lives, also compressed.

    Attributes:
        tag: The `ETag`, which tells them from any others.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._compressed = gzip.compress(body, mtime=0)
        self.tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'

    def response(
        self, request: Request, known: str | None, content_type: str, *, for_good: bool = False
    ) -> Response:
        """
        Return the file; 304 to a browser that has it already (RFC 9110, 13.1.2).

        Args:
            request: Asks for it.
            known: The `If-None-Match` of the request.
            content_type: What it is.
            for_good: Whether there will never be anything else at this URL (RFC 8246).
        """
        headers = {"ETag": self.tag, "Cache-Control": FOR_GOOD if for_good else "no-cache"}
        if known is not None and self.tag in known:
            return Response(status_code=304, headers=headers)
        headers["Content-Type"] = content_type
        body = self._body
        if answers.wants_gzip(request.headers.get("Accept-Encoding"), len(body)):
            body = self._compressed
            headers["Content-Encoding"] = "gzip"
        return Response(body, headers=headers)


@functools.cache
def packaged(package: str, path: str) -> PackagedFile:
    """Return the file at *path* below the folder of *package*."""
    return PackagedFile(resources.files(package).joinpath(*path.split("/")).read_bytes())


def opener_policy(request: Request) -> dict[str, str]:
    """Return what keeps a page's window from others; without TLS browsers only complain of it."""
    if request.url.scheme != "https":
        return {}
    return {"Cross-Origin-Opener-Policy": "same-origin"}
