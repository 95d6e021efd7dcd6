"""
Answers as uvicorn alone would not write them.

The names of headers come as `X-Auth-Token`, not `x-auth-token`: that is the same to HTTP, but not
to scripts that look for them with grep. And an HTTP/1.0 client (nginx as it comes) gets no chunks,
which it has not asked for: an answer without a length ends with its connection. The others are
told how long a connection is kept, so that they do not use one that is about to end.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from saltapi.netapi._http.serving import KEEP_ALIVE_HINT

LENGTH = b"content-length"
CONNECTION = b"connection"
KEEP_ALIVE = (b"keep-alive", KEEP_ALIVE_HINT.encode())


class _Name(bytes):
    """The name of a header: uvicorn, which wants it in lower case, writes it as it is."""

    def lower(self) -> "_Name":
        return self

    def __eq__(self, other: object) -> bool:
        return bytes.lower(self) == other

    __hash__ = bytes.__hash__


def as_clients_know(cycle: RequestResponseCycle, app: Any) -> Any:
    """Return the ASGI application *app*, whose answers go through *cycle*, with such answers."""
    is_old = cycle.scope["http_version"] == "1.0"

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        until_closed = False

        async def send_known(message: Any) -> None:
            nonlocal until_closed
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                until_closed = is_old and all(name.lower() != LENGTH for name, _ in headers)
                if cycle.keep_alive and all(name.lower() != CONNECTION for name, _ in headers):
                    headers.append(KEEP_ALIVE)
                named = [(_Name(name.title()), text) for name, text in headers]
                message = {**message, "headers": named}
            elif until_closed:
                cycle.expected_content_length = len(message.get("body", b""))
            if until_closed:
                cycle.chunked_encoding = False
            await send(message)

        await app(scope, receive, send_known)

    return answer
