"""
What stands around every request: its id, the address check, headers for all answers, the log.

Pure ASGI, outside of FastAPI, so that it holds for whatever answers.
"""

import logging
import time
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import Message, Receive, Scope, Send

from saltapi import errors, trace
from saltapi.config import RestAsgiConfig
from saltapi.engine.engine import Engine
from saltapi.netapi._http import answers
from saltapi.netapi._http.admission import check_admitted
from saltapi.netapi._http.exchange import WEBSOCKET, Exchange
from saltapi.netapi._http.logs import log_access
from saltapi.netapi._http.origins import check_handshake
from saltapi.netapi.rest_asgi.console.pages import Files
from saltapi.netapi.rest_asgi.environ import believed
from saltapi.netapi.rest_asgi.paths import located
from saltapi.netapi.rest_asgi.problems import error_response, unexpected
from saltapi.netapi.rest_asgi.protection import Protection
from saltapi.netapi.rest_asgi.requests import without_foreign_bearer
from saltapi.netapi.rest_asgi.ticketed import with_token

log = logging.getLogger(__name__)

EXPOSED_HEADERS = f"{answers.EXPOSED_HEADERS}, Location, Retry-After, X-Salt-Jid"
COMPRESSED_TYPES = ("application/json", "application/x-yaml", "application/problem", "text/html")
DENIAL = "websocket.http.response"
"""The ASGI extension by which a WebSocket is refused with an answer of ours."""


class Middleware:
    """The outermost ASGI application of the module."""

    def __init__(self, app: FastAPI, engine: Engine[RestAsgiConfig]) -> None:
        """
        Args:
            app: Answers what comes through; it has all its routes.
            engine: What all requests share.
        """
        self._app = app
        self.protected = Protection(app, engine)
        self._files = Files(app.routes)
        self._engine = engine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        section = self._engine.section
        scope, environ = believed(scope, section.trusted_proxies, self._engine.login_proxy)
        current = trace.Trace(context=trace_context(scope))
        trace.current.set(current)
        answer = _Answer(self._engine, scope, send, current)
        # Servers drop the body of an answer to HEAD themselves.
        inner = {**scope, **located(scope, self._engine.section.root_prefix)}
        inner.setdefault("state", {})
        if scope.get("method") == "HEAD":
            inner |= {"method": "GET", "saltapi.head": True}
        inner["app"] = self._app
        exchange = Exchange(
            self._engine, environ, current, method=str(scope.get("method", WEBSOCKET))
        )
        try:
            await self._engine.start()  # already done where the server speaks lifespan
            await self._answer(inner, environ, receive, answer)
        finally:
            status = None if answer.status == NOT_ANSWERED else int(answer.status)
            exchange.end(route_of(inner), status, answer.after_seconds)
            log_access(environ, answer.status, exchange.seconds)

    async def _answer(
        self, scope: Scope, environ: dict[str, Any], receive: Receive, answer: "_Answer"
    ) -> None:
        connection = HTTPConnection(scope)
        section = self._engine.section
        try:
            check_admitted(
                environ,
                section,
                takes_cookies=section.enable_sessions,
                gives_cookie=scope["path"].removeprefix(scope["saltapi.base"]) == "/login",
            )
            if scope["type"] == "websocket":
                check_handshake(environ, section.cors_origins)
        except errors.SaltApiError as error:
            await error_response(connection, error)(scope, receive, answer.send)
            return
        if (file := self._files.answer(scope)) is not None:
            await file(scope, receive, answer.send)
            return
        try:
            if "HTTP_COOKIE" in environ:
                scope = await without_foreign_bearer(scope)
            await self.protected(await with_token(self._engine, scope), receive, answer.send)
        except errors.SaltApiError as error:
            await error_response(connection, error)(scope, receive, answer.send)
        except Exception:
            log.exception("An unexpected error occurred. %s", trace.current.get())
            if answer.status == NOT_ANSWERED:
                await unexpected(connection)(scope, receive, answer.send)


NOT_ANSWERED = "-"


def trace_context(scope: Scope) -> trace.TraceContext:
    """Return the trace that a request belongs to; a new one if it says none."""
    headers = HTTPConnection(scope).headers
    found = trace.TraceContext.read(headers.getlist("traceparent"), headers.getlist("tracestate"))
    return found or trace.TraceContext.begin()


def route_of(scope: Scope) -> str | None:
    """Return the template of the URL that a request was for; None if there is none."""
    path: str | None = getattr(scope.get("route"), "path", None)
    return f"/v1{path}" if path is not None and scope["saltapi.v1"] else path


class _Answer:
    """Takes what the application sends, adds what every answer has, and passes it on."""

    def __init__(
        self, engine: Engine[RestAsgiConfig], scope: Scope, send: Send, current: trace.Trace
    ) -> None:
        self.status = NOT_ANSWERED
        self._send = send
        self._current = current
        request = HTTPConnection(scope)
        self._accept_encoding = request.headers.get("Accept-Encoding")
        self._cors_headers = answers.cors_headers(
            request.headers.get("Origin"), engine.section.cors_origins, EXPOSED_HEADERS
        )
        self._names_server = engine.section.server_header
        self._start: Message | None = None
        self._can_say_why = scope["type"] == "http" or DENIAL in (scope.get("extensions") or {})
        self._made_at = time.monotonic()
        self.after_seconds: float | None = None
        """How long it took until the answer began."""

    async def send(self, message: Message) -> None:
        """Send one ASGI message."""
        kind = message["type"]
        if kind in {"http.response.start", "websocket.http.response.start", "websocket.accept"}:
            self.status = str(message.get("status", 101))
            self.after_seconds = time.monotonic() - self._made_at
            self._add_headers(message)
            if kind == "http.response.start" and self._may_compress(message):
                self._start = message
                return
        elif kind == "http.response.body" and self._start is not None:
            start, self._start = self._start, None
            message = await self._compressed(start, message)
            await self._send(start)
        elif kind == "websocket.close" and self.status == NOT_ANSWERED:
            self.status = "403"
        if kind.startswith(DENIAL) and not self._can_say_why:
            if kind != f"{DENIAL}.start":
                return
            message = {"type": "websocket.close", "code": 1008}
        await self._send(message)

    def _add_headers(self, message: Message) -> None:
        message.setdefault("headers", [])
        headers = MutableHeaders(raw=_as_list(message))
        headers["X-Request-Id"] = self._current.request_id
        headers.update(self._current.missing_headers())
        if self._current.context is not None:
            headers["traceresponse"] = self._current.context.traceparent
        headers["X-Content-Type-Options"] = "nosniff"
        if self._names_server:
            headers["Server"] = answers.SERVER
        headers["Vary"] = "Accept, Accept-Encoding, Origin"
        for name, value in self._cors_headers.items():
            headers[name] = value

    def _may_compress(self, message: Message) -> bool:
        headers = MutableHeaders(raw=message["headers"])
        return headers.get("Content-Type", "").startswith(COMPRESSED_TYPES) and (
            "Content-Encoding" not in headers
        )

    async def _compressed(self, start: Message, message: Message) -> Message:
        body = message.get("body", b"")
        if message.get("more_body") or not answers.wants_gzip(self._accept_encoding, len(body)):
            return message
        body = await answers.compressed_on_loop(body)
        headers = MutableHeaders(raw=start["headers"])
        headers["Content-Encoding"] = "gzip"
        headers["Content-Length"] = str(len(body))
        return {**message, "body": body}


def _as_list(message: Message) -> list[tuple[bytes, bytes]]:
    headers = message["headers"] = list(message["headers"])
    return headers
