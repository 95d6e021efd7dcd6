"""`/events`: the bus as server-sent events (0.8.4, "/events")."""

from saltapi import errors
from saltapi.engine.events.encodings import CLASSIC, CLASSIC_IDS, Writer
from saltapi.engine.events.streams import SSE_TYPE
from saltapi.netapi._http import answers
from saltapi.netapi._http.event_stream import serve_events
from saltapi.netapi.rest_tornado.bodies import NotLoggedIn
from saltapi.netapi.rest_tornado.handler import endpoint, raw
from saltapi.netapi.rest_tornado.listening import Listening


class EventsSaltAPIHandler(Listening):
    """`/events`: the bus as server-sent events."""

    @endpoint
    @raw
    async def get(self, in_path: str | None = None) -> None:
        """
        Send every event of the bus from now on.

        With `?since=<id>`, or the header `Last-Event-ID`, each event has an id, and what came
        after that id is sent first; with an empty id they begin now.
        """
        since = self.request.headers.get("Last-Event-ID", self.query("since"))
        token = self.listener_token(in_path)
        try:
            caller = await self.api.identify(token, peer=self.peer)
        except errors.AuthenticationFailed as error:
            raise NotLoggedIn(str(error)) from error
        self.set_header("Content-Type", SSE_TYPE)
        for name, value in answers.STREAM_HEADERS.items():
            self.set_header(name, value)
        if self.request.method == "HEAD":
            self.finish()
            return
        chunked = self.request.version == "HTTP/1.1"
        if not chunked:
            self.clear_header("Connection")
        stream = await self.api.listen(caller, since=since or None)
        writer = Writer(CLASSIC if since is None else CLASSIC_IDS)
        await self.go_on(
            stream,
            lambda socket: serve_events(stream, socket, writer, chunked=chunked),
        )
