"""
The limits in front of the application: each request is counted, and holds a slot of its class.

Pure ASGI, so that it holds for every route, each of which declares the class of its requests. A
request with a body takes its slot when the body has come: a client that sends slowly holds nobody
up.
"""

import contextlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Message, Receive, Scope, Send

from saltapi.config import RestAsgiConfig
from saltapi.engine.engine import Engine
from saltapi.engine.limits.requests import RequestClass
from saltapi.engine.sessions.forms import may_be_in_url
from saltapi.errors import SaltApiError
from saltapi.netapi._http.answers import listener_token
from saltapi.netapi.rest_asgi.problems import error_response
from saltapi.netapi.rest_asgi.requests import identify, peer_of, token_of

if TYPE_CHECKING:
    from saltapi.bridge.requests.turns import FairSlots

WEBSOCKET = "WEBSOCKET"
"""What stands for the method of a request that opens one."""
LOGINS, COMMANDS, READS, STREAMS = RequestClass
QUERY_FIELDS = 100
Declared = tuple[RequestClass | None, str]
"""What `costs` gets."""
EndpointT = TypeVar("EndpointT", bound=Callable[..., Any])


def costs(what: RequestClass | None, *, waiting: str = "") -> Callable[[EndpointT], EndpointT]:
    """
    Declare the class of a route's requests, at its handler; every route has one.

    Args:
        what: The class; None for what watches over the service, and must answer also when there is
            too much else to do.
        waiting: The parameter in the URL with which a request takes as long as a short stream.
    """

    def declare(endpoint: EndpointT) -> EndpointT:
        endpoint.costs = what, waiting  # type: ignore[attr-defined]
        return endpoint

    return declare


class Classes:
    """The class of each request, as its route declares it."""

    def __init__(self, routes: list[BaseRoute]) -> None:
        """
        Take all routes of the application.

        Raises:
            AttributeError: One of them declares no class.
        """
        self._fixed: dict[tuple[str, str], Declared] = {}
        self._others: list[tuple[str, re.Pattern[str], Declared]] = []
        for context in iter_route_contexts(routes):
            declared: Declared = context.endpoint.costs  # type: ignore[union-attr]
            for method in context.methods or [WEBSOCKET]:
                if "{" in str(context.path):
                    self._others.append((method, context.path_regex, declared))
                else:
                    self._fixed[method, str(context.path)] = declared

    def of(self, method: str, path: str, query: str = "") -> RequestClass | None:
        """
        Return the class of a request; None for one without limits.

        Args:
            method: The HTTP method; `WEBSOCKET` to open one.
            path: The path that routes are found by.
            query: What follows it in the URL.
        """
        if method == "OPTIONS":
            return None
        declared = self._fixed.get((method, path))
        if declared is None:
            found = (
                of for taken, regex, of in self._others if taken == method and regex.match(path)
            )
            declared = next(found, ({"GET": READS, WEBSOCKET: STREAMS}.get(method, COMMANDS), ""))
        what, waiting = declared
        return STREAMS if waiting and f"{waiting}=" in query else what


class Protection:
    """The application behind the limits of the module."""

    def __init__(self, app: FastAPI, engine: Engine[RestAsgiConfig]) -> None:
        """
        Args:
            app: Answers what comes through; it has all its routes.
            engine: What all requests share.
        """
        self._app = app
        self._classes = Classes(app.routes)
        self._engine = engine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Answer one request.

        Raises:
            TooManyRequests, ServiceBusy: There is no place for it; it is not answered yet.
        """
        connection = HTTPConnection(scope)
        method = WEBSOCKET if scope["type"] == "websocket" else scope["method"]
        path = scope["path"].removeprefix(scope["root_path"])
        query = scope["query_string"].decode("latin-1")
        found = self._classes.of(method, path, query)
        if found is None:
            await self._app(scope, receive, send)
            return
        user = None if found is LOGINS else await self._user(connection, path, query)
        limits = self._engine.limits
        whose = limits.count(user, peer_of(connection))
        slot = _Slot(limits.slots[found], whose)
        guarded = _Guarded(connection, receive, send, slot)
        try:
            if not _has_body(connection):
                await slot.take()
            await self._app(scope, guarded.receive, guarded.send)
        finally:
            slot.give_back()

    async def _user(self, connection: HTTPConnection, path: str, query: str) -> str | None:
        """Return whose session the request has; None without a valid one."""
        in_url = [path.rpartition("/")[2]]
        if "token=" in query:
            with contextlib.suppress(ValueError):  # so many fields that the handler refuses them
                values = parse_qs(query, max_num_fields=QUERY_FIELDS)
                in_url += values.get("token", []) + values.get("salt_token", [])
        section = self._engine.section
        token = listener_token(section, token_of(connection), *filter(may_be_in_url, in_url))
        if not self._engine.api.takes(token):
            return None
        try:
            session = (await identify(connection, token)).known()
        except SaltApiError:  # the handler says so
            return None
        return f"{session.name} {session.eauth}"


def _has_body(connection: HTTPConnection) -> bool:
    headers = connection.headers
    return "Transfer-Encoding" in headers or headers.get("Content-Length", "0") != "0"


class _Slot:
    """One slot that one request may hold."""

    def __init__(self, slots: "FairSlots", whose: str) -> None:
        self._slots = slots
        self._whose = whose
        self._is_held = False
        self.is_asked_for = False

    async def take(self) -> None:
        """Take it, after waiting for it; once."""
        if not self.is_asked_for:
            self.is_asked_for = True
            await self._slots.acquire(self._whose)
            self._is_held = True

    def give_back(self) -> None:
        """Give it back, if it was taken."""
        if self._is_held:
            self._is_held = False
            self._slots.release(self._whose)


class _Guarded:
    """What a request with a body receives and sends."""

    def __init__(
        self, connection: HTTPConnection, receive: Receive, send: Send, slot: _Slot
    ) -> None:
        self._connection = connection
        self._receive = receive
        self._send = send
        self._slot = slot
        self._is_answered = False
        self._refusal: Response | None = None

    async def receive(self) -> Message:
        """
        Receive an ASGI message; the end of the body only with a slot.

        Raises:
            TooManyRequests, ServiceBusy: There is no slot.
        """
        message = await self._receive()
        is_end = message["type"] == "http.request" and not message.get("more_body")
        if is_end and not self._is_answered:
            try:
                await self._slot.take()
            except SaltApiError as error:
                self._refusal = error_response(self._connection, error)
                raise
        return message

    async def send(self, message: Message) -> None:
        """Send an ASGI message; in place of the answer to a request without a slot the refusal."""
        is_first, self._is_answered = not self._is_answered, True
        if self._refusal is None:
            await self._send(message)
        elif is_first:  # FastAPI makes 400 of what it meets while it reads a body
            await self._refusal(self._connection.scope, self._receive, self._send)
