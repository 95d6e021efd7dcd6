"""Requests that are refused while they come in, and answers that become streams."""

import contextlib
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from saltapi.errors import SaltApiError
from saltapi.netapi.rest_asgi.streams import STREAM_TYPES

RECEPTION = "saltapi.reception"
"""Our server's ASGI extension: a `Reception`."""


class Reception:
    """One request as it comes in."""

    def __init__(self, drop: Callable[[], None]) -> None:
        """
        Args:
            drop: Tells whoever counts that what comes of the request from now on is not kept.
        """
        self.drop = drop
        self.refusal: SaltApiError | None = None
        """Why no more of it is taken."""


def drop_rest(scope: Any) -> None:
    """Note that of what comes of a request from now on nothing is kept."""
    reception = (scope.get("extensions") or {}).get(RECEPTION)
    if reception is not None:
        reception.drop()


def is_paced(scope: Any) -> bool:
    """Return whether the server ends a request that comes too slowly."""
    return RECEPTION in (scope.get("extensions") or {})


def refuse(cycle: RequestResponseCycle, error: SaltApiError) -> None:
    """Let the application, which waits for the rest of a request, answer it with *error*."""
    reception: Any = cycle.scope["extensions"][RECEPTION]
    reception.refusal = error
    cycle.transport = _Leaving(cycle.transport)  # type: ignore[assignment]
    cycle.message_event.set()


def received(cycle: RequestResponseCycle, app: Any, begin_stream: Callable[[], None]) -> Any:
    """
    Return the ASGI application *app*, which is told when its request is refused.

    Args:
        cycle: The request and its answer.
        app: Gets the refusal as the error that receiving a message ends with.
        begin_stream: Called when the answer turns out to be a stream.
    """
    reception: Any = cycle.scope["extensions"][RECEPTION]

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        async def receive_or_fail() -> Any:
            message = await receive()
            if reception.refusal is not None:
                raise reception.refusal
            return message

        async def send_noting(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                kinds = [text for name, text in headers if name.lower() == b"content-type"]
                if kinds and kinds[0].decode("latin-1").startswith(STREAM_TYPES):
                    begin_stream()
                if reception.refusal is not None:
                    message = {**message, "headers": [*headers, (b"connection", b"close")]}
            await send(message)

        await app(scope, receive_or_fail, send_noting)

    return answer


class _Leaving:
    """
    The transport of a request that was refused while it came in.

    To close it while the client sends would make the kernel throw the answer away; so it ends with
    the time that connections may be idle.
    """

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.is_closing = transport.is_closing
        self.write = transport.write

    def close(self) -> None:
        """Say that nothing more will be sent."""
        with contextlib.suppress(OSError):  # the client has gone already
            if self._transport.can_write_eof():
                self._transport.write_eof()
