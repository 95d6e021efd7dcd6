"""
What stands around the handlers of rest_cherrypy's URLs.

The order of what is checked is that of rest_cherrypy: the size of the body, the parameters of the
URL, what the client accepts; then the handler, which asks for the session before it looks at what
the body says.
"""

import copy
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute, APIRouter
from starlette.requests import HTTPConnection

from saltapi import errors, formats
from saltapi.engine.limits.requests import RequestClass
from saltapi.engine.operations.api import Api
from saltapi.engine.sessions.caller import Caller
from saltapi.netapi._http import answers
from saltapi.netapi._http.encoding import encoded
from saltapi.netapi.rest_asgi.console import pages
from saltapi.netapi.rest_asgi.console.pages import wants_console
from saltapi.netapi.rest_asgi.problems import no_such_path
from saltapi.netapi.rest_asgi.protection import costs
from saltapi.netapi.rest_asgi.requests import (
    SESSION_SCHEMES,
    caller_of,
    engine_of,
    read_body,
)
from saltapi.netapi.rest_asgi.single_page_app import app_page, wants_app

Endpoint = Callable[..., Awaitable[Response]]
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


@dataclass(frozen=True)
class Operation:
    """One method of a URL."""

    method: str
    endpoint: Endpoint
    """A coroutine function; what it takes beside the request stands in the URL."""
    cost: RequestClass
    """The class of its requests."""
    below: str = ""
    """What follows the URL, as in FastAPI: `/{mid:segment}`."""
    tag: str = "classic"
    session: bool = False
    """Whether it wants one; for the document, the endpoint itself asks for it."""
    status: int = 200
    answer: str = "What Salt's module answers."
    """What the answer is, in words."""
    content: Mapping[str, Any] = field(default_factory=dict)
    """What it looks like, as OpenAPI has it, by media type."""
    responses: Mapping[int | str, Any] = field(default_factory=dict)
    """What else may be answered."""
    body: Mapping[str, Any] | None = None
    """What the request's body looks like, by media type."""

    def add_to(self, router: APIRouter, path: str, allowed: str) -> None:
        """
        Let *router* answer it.

        Args:
            router: Gets a route.
            path: The URL path, without a slash at its end.
            allowed: The methods that the URL takes, for the header `Allow`.
        """
        responses = {self.status: {"content": dict(self.content)}, **self.responses}
        extra = {"requestBody": {"content": dict(self.body)}} if self.body is not None else None
        summary, _, description = (self.endpoint.__doc__ or "").strip().partition("\n\n")
        router.add_api_route(
            f"{path}{self.below}" or "/",
            costs(self.cost)(self.endpoint),
            methods=[self.method],
            operation_id=getattr(self.endpoint, "__name__", None),
            tags=[self.tag],
            summary=summary.rstrip("."),
            description=description,
            status_code=self.status,
            response_class=Response,
            response_description=self.answer,
            responses=responses,
            dependencies=[Depends(scheme) for scheme in SESSION_SCHEMES] if self.session else [],
            openapi_extra=extra,
            route_class_override=Route,
        )
        route = router.routes[-1]
        assert isinstance(route, Route)  # noqa: S101 - it was just made
        route.allowed = allowed


def raw(endpoint: Endpoint) -> Endpoint:
    """Mark a handler that writes its response itself, whatever the client accepts."""
    endpoint.is_raw = True  # type: ignore[attr-defined]
    return endpoint


class Route(APIRoute):
    """A route that checks what rest_cherrypy does before the handler is called."""

    allowed = ""
    """What the header `Allow` says."""

    def get_route_handler(self) -> Handler:
        """Return FastAPI's handler with the checks around it."""
        described = self.dependant
        # The ways to send a token are for the document; the endpoints look for it themselves.
        self.dependant = copy.copy(described)
        self.dependant.dependencies = []
        handle = super().get_route_handler()
        self.dependant = described
        is_raw = getattr(self.endpoint, "is_raw", False)
        known = {parameter.alias for parameter in self.dependant.query_params}

        async def handler(request: Request) -> Response:
            await read_body(request)
            if not is_raw:
                add_header(request, "Allow", self.allowed)
                if wants_app(request):  # whatever the page keeps in its parameters
                    return await app_page(request)
                if wants_console(request):
                    return await pages.page(request, request.headers.get("If-None-Match"))
                if request.method == "GET":
                    _check_parameters(request, known)
                accept = request.headers.get("Accept")
                request.state.media_type = formats.negotiate(accept)
            return await handle(request)

        return handler


def parameters(connection: HTTPConnection) -> dict[str, str]:
    """
    Return the parameters in the URL of *connection*.

    Raises:
        NotFound: They are not UTF-8.
    """
    query = connection.scope["query_string"]
    if not query:
        return {}
    try:
        return dict(parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict"))
    except ValueError:
        raise errors.NotFound("The parameters in the URL are not UTF-8.") from None


def _check_parameters(request: Request, known: Iterable[str]) -> None:
    """Refuse a parameter that the URL does not know; 404, as Salt's module does."""
    if set(parameters(request)) - set(known):
        raise no_such_path(request)


async def caller_alone(request: Request) -> tuple[Api, Caller]:
    """
    Return the operations and who asks, where the answer is for this user alone.

    To be called before the body is looked at: to strangers all requests are 401.

    Raises:
        AddressRefused, AuthenticationFailed, MasterUnavailable
    """
    add_header(request, "Cache-Control", "private")
    return engine_of(request).api, await caller_of(request)


def add_header(connection: HTTPConnection, name: str, text: str) -> None:
    """Let the answer have a header, also if it is an error."""
    state = connection.state
    if not hasattr(state, "headers"):
        state.headers = {}
    state.headers[name] = text


async def answered(request: Request, value: Any, status: int = 200) -> Response:
    """Return the response that says *value* in the format that the client likes best."""
    media_type = request.state.media_type
    body = await encoded(media_type, value)
    headers = {**getattr(request.state, "headers", {}), "Content-Type": media_type}
    return Response(body, status, headers)


def with_cookie(request: Request, response: Response, token: str, expire: float | None) -> Response:
    """Let *response* hand the browser its token until *expire* (epoch seconds); None takes it."""
    secure = request.url.scheme == "https"
    path = request.scope["saltapi.base"] or "/"
    cookie = answers.session_cookie(token, expire, path=path, secure=secure)
    response.headers.append("Set-Cookie", cookie.OutputString())
    return response
