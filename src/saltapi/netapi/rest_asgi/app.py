"""The application: FastAPI with the routes of the module, in the frame that is around them all."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Match

import saltapi
from saltapi import errors, trace
from saltapi.config import RestAsgiConfig
from saltapi.engine.engine import Engine
from saltapi.netapi._http import answers
from saltapi.netapi._http.logs import one_line, without_token
from saltapi.netapi.rest_asgi import classic, documentation, operations
from saltapi.netapi.rest_asgi.console import pages
from saltapi.netapi.rest_asgi.elsewhere import answerer_of
from saltapi.netapi.rest_asgi.landing import pages as landing
from saltapi.netapi.rest_asgi.middleware import Middleware
from saltapi.netapi.rest_asgi.problems import error_response, no_such_path, unexpected
from saltapi.netapi.rest_asgi.single_page_app import app_page, wants_app
from saltapi.netapi.rest_asgi.v1 import ROUTERS, login
from saltapi.process import lifecycle
from saltapi.process.module import Standalone
from saltapi.types import Opts

log = logging.getLogger(__name__)

SECTION = "rest_asgi"
WRONG_METHOD = "Specified method is invalid for this resource."


class Application(Middleware):
    """The module as an ASGI application; `engine` is what its requests share."""

    def __init__(self, api: FastAPI, engine: Engine[RestAsgiConfig]) -> None:
        super().__init__(api, engine)
        self.api = api
        self.engine = engine


def create_app(opts: Opts, name: str = SECTION) -> Application:
    """
    Return the module as an ASGI application for the section *name* of the master config.

    Raises:
        CannotStart: An option is wrong.
    """
    section = RestAsgiConfig.parse(opts.get(name) or {})
    engine = Engine(opts, section, name, watches_jobs=True, processes=lifecycle.processes)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await engine.start()
        reading = asyncio.create_task(pages.prepared(), name="saltapi-console")
        try:
            yield
        finally:
            await reading
            await engine.close()

    api = FastAPI(
        title="saltapi",
        version=saltapi.__version__,
        lifespan=lifespan,
        openapi_url=None,  # `documentation` has it
        redirect_slashes=False,
        exception_handlers={
            errors.SaltApiError: _on_error,
            RequestValidationError: _on_invalid,
            HTTPException: _on_http_error,
            Exception: _on_unexpected,
        },
    )
    api.state.engine = engine
    prefix = section.root_prefix.rstrip("/")
    classic.add_routes(api.router, section)
    if section.monitoring_urls:
        api.include_router(operations.router, prefix=prefix)
    api.include_router(documentation.router, prefix=prefix)
    api.include_router(pages.routes(section))
    for router in ROUTERS:
        api.include_router(router, prefix=f"{prefix}/v1")
    api.include_router(landing.router, prefix=f"{prefix}/v1")
    logins = engine.browser_logins
    is_offered = logins is not None and bool(logins.offered)
    api.include_router(login.begin_router, prefix=f"{prefix}/v1", include_in_schema=is_offered)
    application = Application(api, engine)
    if engine.masters is not None:
        engine.masters.answerer = answerer_of(engine, application)
    return application


async def _on_error(connection: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, errors.SaltApiError)  # noqa: S101 - what it is registered for
    debug = connection.app.state.engine.section.debug
    level = logging.WARNING if error.status >= 500 or debug else logging.INFO
    sentence = one_line(without_token(str(error)))
    log.log(level, "%d %s %s", error.status, sentence, trace.current.get())
    return error_response(connection, error)


async def _on_unexpected(connection: HTTPConnection, _error: Exception) -> Response:
    """Answer an error of ours; it is logged by whoever gets it next."""
    return unexpected(connection)


async def _on_invalid(connection: HTTPConnection, error: Exception) -> Response:
    """Say what is wrong with the first field that is."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what it is registered for
    return await _on_error(connection, invalid(error.errors()))


def invalid(found: Any) -> errors.SaltApiError:
    """Return the error that says what pydantic has found wrong with a request."""
    first = found[0]
    where, *names = first["loc"]
    field = ".".join(map(str, names))
    place = "the body" if where == "body" else f"the {where} parameters"
    about = f"{field} in {place}" if field else place
    text = str(first["msg"]).removeprefix("Value error, ").rstrip(".")
    return errors.InvalidField(f"{about[0].upper()}{about[1:]}: {text}.", key=field or None)


async def _on_http_error(connection: HTTPConnection, error: Exception) -> Response:
    """Answer what Starlette refuses: no such URL, no such method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    if error.status_code == 404:
        if wants_app(connection):
            return await app_page(connection)
        return await _on_error(connection, no_such_path(connection))
    if error.status_code != 405:
        return await _on_error(connection, errors.BadRequest(str(error.detail)))
    assert isinstance(connection, Request)  # noqa: S101 - WebSockets have no method
    allowed = ", ".join(allowed_methods(connection))
    if connection.method == "OPTIONS":
        return preflight(connection, allowed)
    response = await _on_error(connection, errors.MethodNotAllowed(WRONG_METHOD))
    response.headers["Allow"] = allowed
    return response


standalone = Standalone(create_app)
"""The module for another server."""
PREFLIGHT_SECONDS = 1400


def allowed_methods(request: Request) -> list[str]:
    """Return the methods that the request's URL takes."""
    found: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        if route.methods and route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods
    return classic.allowed_methods(found)


def preflight(request: Request, allowed: str) -> Response:
    """Answer an OPTIONS request: what may be sent here, and from where (the Fetch standard)."""
    headers = {"Allow": allowed}
    asked = request.headers.get("Access-Control-Request-Method")
    origins = request.app.state.engine.section.cors_origins
    if asked and answers.cors_headers(request.headers.get("Origin"), origins):
        headers["Access-Control-Allow-Methods"] = allowed
        headers["Access-Control-Allow-Headers"] = (
            "Accept, Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match,"
            " Last-Event-ID, X-Auth-Token, X-Requested-With"
        )
        headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
    return Response(b"", 200, headers)
