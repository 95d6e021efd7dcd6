"""The bodies of requests: read within a limit and to their end, and decoded."""

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from saltapi import formats
from saltapi.config import KIB, MIB
from saltapi.errors import BadRequest, BodyTooLarge

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

READ_BYTES = 64 * KIB
LENGTH_DIGITS = 19
DRAINED_BYTES = 16 * MIB
"""How much of a body that is too large is read and thrown away, so that the client that is still
sending it gets to read the answer."""

STRANGERS = (
    "The body is larger than {} bytes, which is the most without a session: log in first, and send"
    " the token in a header."
)
TOO_LARGE = "The body is larger than {} bytes."
IN_THREAD_FROM_BYTES = 4 * KIB
"""Larger bodies are decoded in a thread: the loop serves others meanwhile."""


async def decoded(
    content_type: str, body: bytes, *, reads_arguments: bool = True, is_hook: bool = False
) -> Any:
    """Same as `formats.decode`, for an event loop: what takes long is done in a thread."""
    options = {"reads_arguments": reads_arguments, "is_hook": is_hook}
    if len(body) < IN_THREAD_FROM_BYTES:
        return formats.decode(content_type, body, **options)
    return await asyncio.to_thread(formats.decode, content_type, body, **options)


def read_body(environ: "WSGIEnvironment", limit_bytes: int) -> bytes:
    """
    Return the body, empty if there is none.

    To be called for every request: what is left on the connection would be taken for the next
    one.

    Raises:
        BodyTooLarge: It is longer than *limit_bytes*.
        BadRequest: It is cut short, or Content-Length is no number.
    """
    too_large = BodyTooLarge(TOO_LARGE.format(limit_bytes))
    text = environ.get("CONTENT_LENGTH") or ""
    if text and not (text.isascii() and text.isdigit() and len(text) < LENGTH_DIGITS):
        raise BadRequest("Content-Length is no number.")
    if not text and not environ.get("wsgi.input_terminated"):
        return b""
    expected = int(text) if text else None
    if expected is not None and expected > limit_bytes:
        _drain(environ, min(expected, DRAINED_BYTES))
        raise too_large
    parts: list[bytes] = []
    size = 0
    try:
        while expected is None or size < expected:
            wanted = READ_BYTES if expected is None else min(READ_BYTES, expected - size)
            part = environ["wsgi.input"].read(wanted)
            if not part:
                break
            parts.append(part)
            size += len(part)
            if size > limit_bytes:
                _drain(environ, DRAINED_BYTES)
                raise too_large
    except (OSError, ValueError) as error:
        raise BadRequest("The body could not be read as it was announced.") from error
    if expected is not None and size < expected:
        raise BadRequest("The body is shorter than its Content-Length.")
    return b"".join(parts)


def _drain(environ: "WSGIEnvironment", size_bytes: int) -> None:
    with contextlib.suppress(OSError, ValueError):
        while size_bytes > 0:
            part = environ["wsgi.input"].read(min(READ_BYTES, size_bytes))
            if not part:
                return
            size_bytes -= len(part)
