"""
The URLs that speak WebSocket (0.8.4, "All Events", "Formatted Events", "/ws").

What is said on the connection is in `saltapi.netapi._http.websockets`.
"""

from saltapi.engine.events.streams import EventStream, LiveViewStream
from saltapi.engine.sessions.caller import Caller
from saltapi.netapi._http import websockets
from saltapi.netapi._http.websockets import Dialect
from saltapi.netapi.rest_tornado.handler import endpoint, raw
from saltapi.netapi.rest_tornado.listening import Listening

ALL_EVENTS = Dialect("websocket-bare")
FORMATTED_EVENTS = Dialect("view-bare", behind=b"\n\n")
PREFIXED_EVENTS = Dialect("view-data", before=b"data: ", behind=b"\n\n")


class _WebsocketHandler(Listening):
    """Base of all three."""

    @endpoint
    @raw
    async def get(self, in_path: str | None = None) -> None:
        """Open the WebSocket (101); it begins when the client says that it is ready."""
        protocol, headers = websockets.accept(self.environ, cors_origins=self.section.cors_origins)
        dialect = self._dialect()
        caller = await self.api.identify(self.listener_token(in_path), peer=self.peer)
        stream = await self._open(caller)
        self.set_status(101)
        self.clear_header("Content-Type")
        for name, value in headers:
            self.set_header(name, value)
        await self.go_on(
            stream,
            lambda socket: websockets.serve_websocket(stream, protocol, socket, dialect),
        )

    async def _open(self, caller: Caller) -> EventStream | LiveViewStream:
        return await self.api.listen(caller)

    def _dialect(self) -> Dialect:
        raise NotImplementedError


class AllEventsHandler(_WebsocketHandler):
    """`/all_events/<token>`: each event as bare JSON."""

    def _dialect(self) -> Dialect:
        return ALL_EVENTS


class FormattedEventsHandler(_WebsocketHandler):
    """
    `/formatted_events/<token>`: jobs and minions as they change.

    With `?data` each message begins with `data: `, as the 0.8.4 documentation shows it.
    """

    async def _open(self, caller: Caller) -> EventStream | LiveViewStream:
        return await self.api.view(caller, minions="dict")

    def _dialect(self) -> Dialect:
        return FORMATTED_EVENTS if self.query("data") is None else PREFIXED_EVENTS


class WebsocketEndpoint(_WebsocketHandler):
    """`/ws`: the bus, or with `format_events` the view, as in rest_cherrypy."""

    async def _open(self, caller: Caller) -> EventStream | LiveViewStream:
        if self.query("format_events") is None:
            return await self.api.listen(caller)
        return await self.api.view(caller)

    def _dialect(self) -> Dialect:
        formatted = self.query("format_events") is not None
        return websockets.VIEW if formatted else websockets.EVENTS
