"""What the URLs that go on have in common: where the token comes from, and the connection."""

from collections.abc import Callable, Coroutine
from typing import Any

from saltapi.engine.events.streams import EventStream, LiveViewStream
from saltapi.netapi._http.answers import listener_token
from saltapi.netapi._http.sockets import DetachedSocket, start_serving
from saltapi.netapi.rest_tornado.handler import BaseSaltAPIHandler

TOKEN_PARAMETERS = ("token", "salt_token")


class Listening(BaseSaltAPIHandler):
    """Base of the URLs that go on."""

    def listener_token(self, in_path: str | None) -> str:
        """Return the token: of the headers or cookie, else of the URL if that is allowed."""
        in_query = (self.query(name) for name in TOKEN_PARAMETERS)
        return listener_token(self.section, self.token, in_path, *in_query)

    async def go_on(
        self,
        stream: EventStream | LiveViewStream,
        serve: Callable[[DetachedSocket], Coroutine[Any, Any, None]],
    ) -> None:
        """Let *serve* have the connection when the headers have been sent; it closes *stream*."""
        try:
            socket = await self.hand_over()
        except BaseException:
            await stream.aclose()
            raise
        if socket is None:
            await stream.aclose()
        else:
            start_serving(serve, socket)
