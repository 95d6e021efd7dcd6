"""The URLs that go on: `/events` and `/ws` (0.8.4)."""

from collections.abc import Callable
from typing import Any

import cherrypy

from saltapi import errors
from saltapi.engine.events.encodings import CLASSIC, CLASSIC_IDS, Writer
from saltapi.engine.events.streams import EventStream, LiveViewStream
from saltapi.netapi._http import answers, websockets
from saltapi.netapi._http.event_stream import serve_events
from saltapi.netapi.rest_cherrypy.application import endpoint, raw
from saltapi.netapi.rest_cherrypy.events import EventIterator
from saltapi.netapi.rest_cherrypy.resource import Resource
from saltapi.netapi.rest_cherrypy.sockets import HANDOVER, Handover

STREAM_HEADERS = {"Content-Type": CLASSIC.media_type, **answers.STREAM_HEADERS}


class _Listening(Resource):
    """What both have in common: where the token comes from."""

    below = "/{token}"

    def _token(self, path: tuple[str, ...], query: dict[str, Any]) -> str:
        """
        Return the session token: of the headers or cookie, else of the URL if that is allowed.

        Raises:
            BadRequest: The URL has a parameter that is not known here.
        """
        in_path = self._path_argument(path, "token")
        in_query = [query.pop(name, None) for name in ("token", "salt_token")]
        if query:
            raise errors.BadRequest(f"Unknown parameter {next(iter(query))!r} in the URL.")
        return answers.listener_token(
            self.application.section, self.application.token, in_path, *in_query
        )

    @property
    def _handover(self) -> Handover | None:
        """The way to the socket; None under a server that does not give it away."""
        handover: Handover | None = cherrypy.request.wsgi_environ.get(HANDOVER)
        return handover

    def _open(self, stream: EventStream | LiveViewStream, use: Callable[[], Any]) -> Any:
        """Return what *use* returns; close *stream*, which was just opened, if that fails."""
        try:
            return use()
        except BaseException:
            self.application.thread.call(lambda _: stream.aclose())
            raise


class Events(_Listening):
    """`/events`: the bus as server-sent events."""

    @endpoint
    @raw
    def GET(self, *path: str, since: str | None = None, **query: Any) -> Any:
        """
        Send every event of the bus from now on.

        With `?since=<id>`, or the header `Last-Event-ID`, each event has an id, and what came
        after that id is sent first; with an empty id they begin now.
        """
        token, peer = self._token(path, query), self.application.peer
        since = cherrypy.request.headers.get("Last-Event-ID", since)
        caller = self.application.call(lambda api: api.identify(token, peer=peer))
        if cherrypy.request.method == "HEAD":
            cherrypy.response.headers.update(STREAM_HEADERS)
            return b""
        stream = self.application.call(lambda api: api.listen(caller, since=since or None))
        writer = Writer(CLASSIC if since is None else CLASSIC_IDS)
        return self._open(stream, lambda: self._send(stream, writer))

    def _send(self, stream: EventStream, writer: Writer) -> Any:
        cherrypy.response.headers.update(STREAM_HEADERS)
        handover, loop = self._handover, self.application.thread.loop
        if handover is None:
            cherrypy.response.stream = True
            return EventIterator(stream, loop, writer)
        chunked = handover.chunked
        handover.take(lambda socket: serve_events(stream, socket, writer, chunked=chunked), loop)
        return b""


class WebsocketEndpoint(_Listening):
    """`/ws`: the bus, or with `format_events` a view of jobs and minions, as a WebSocket."""

    @endpoint
    @raw
    def GET(self, *path: str, **query: Any) -> Any:
        """Open the WebSocket (101); it begins when the client says that it is ready."""
        formatted = query.pop("format_events", None) is not None
        token, peer = self._token(path, query), self.application.peer
        handover = self._handover
        if handover is None:
            raise errors.NotSupported(
                "This server cannot open a WebSocket: run the module by saltapi, or use /events."
            )
        protocol, headers = websockets.accept(
            cherrypy.request.wsgi_environ, cors_origins=self.application.section.cors_origins
        )
        caller = self.application.call(lambda api: api.identify(token, peer=peer))
        stream: EventStream | LiveViewStream
        if formatted:
            stream = self.application.call(lambda api: api.view(caller))
        else:
            stream = self.application.call(lambda api: api.listen(caller))
        cherrypy.response.status = 101
        cherrypy.response.headers.pop("Content-Type", None)
        cherrypy.response.headers.update(dict(headers))
        self._open(
            stream,
            lambda: handover.take(
                lambda socket: websockets.serve_websocket(stream, protocol, socket),
                self.application.thread.loop,
            ),
        )
        return b""
