"""
One request through CherryPy: what stands around every handler.

The address is checked, the answer's format chosen, the handler called, and what it returns, or
the error that it raises, written in that format. Handlers take and return plain values.
"""

import contextlib
import functools
import http.cookies
import inspect
import logging
import traceback
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import cherrypy

from saltapi import errors, formats, trace
from saltapi.config import RestCherrypyConfig
from saltapi.engine.store.idempotency import Keyed
from saltapi.masking import redact
from saltapi.netapi._http import answers, keys
from saltapi.netapi._http.admission import check_admitted
from saltapi.netapi._http.bodies import read_body
from saltapi.netapi._http.exchange import Exchange
from saltapi.netapi._http.logs import log_access, one_line, without_token
from saltapi.netapi._http.proxies import believe
from saltapi.netapi._http.threads import Application
from saltapi.types import Opts

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

    from saltapi.netapi.rest_cherrypy.router import Router

Handler = Callable[..., Any]

log = logging.getLogger(__name__)

PREFLIGHT_SECONDS = 1400
EXCHANGE = "saltapi.exchange"
"""Where the WSGI environ has the `Exchange`."""


class CherrypyApplication(Application[RestCherrypyConfig]):
    """The module of one master config as a WSGI application."""

    def __init__(self, opts: Opts, section: RestCherrypyConfig, name: str) -> None:
        super().__init__(opts, section, name)
        self.cherrypy_app: Callable[..., Iterable[bytes]] | None = None
        """CherryPy's application around the handlers; set by `app.get_app`."""
        self.router: Router | None = None
        """Who answers at which path; set by `app.get_app`."""

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer one request and log it, without the tokens that its URL may hold."""
        current = trace.Trace()
        trace.current.set(current)
        status = "-"
        believe(environ, self.section.trusted_proxies, self.engine.login_proxy)
        exchange = Exchange(self.engine, environ, current)
        environ[EXCHANGE] = exchange

        def noting_start_response(line: str, headers: Any, *rest: Any) -> Any:
            nonlocal status
            status = line.partition(" ")[0]
            own = {"X-Request-Id": current.request_id, **current.missing_headers()}
            return start_response(line, [*headers, *own.items()], *rest)

        assert self.cherrypy_app is not None  # noqa: S101 - set before anybody is let in
        assert self.router is not None  # noqa: S101 - set with the other
        route = self.router.template(environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", ""))
        try:
            return self.cherrypy_app(environ, noting_start_response)
        finally:
            exchange.end(route, int(status) if status.isdigit() else None)
            log_access(environ, status, exchange.seconds)

    def is_known(self, environ: "WSGIEnvironment") -> bool:
        """
        Return whether the client of a request may send a body as long as bodies may be at all.

        It may with a session, and where who it is stands in the body.
        """
        assert self.router is not None  # noqa: S101 - set before anybody is let in
        resource, _ = self.router.find(environ["SCRIPT_NAME"], environ["PATH_INFO"])
        believe(environ, self.section.trusted_proxies, self.engine.login_proxy)
        cookie: http.cookies.SimpleCookie = http.cookies.SimpleCookie()
        if self.section.enable_sessions:
            with contextlib.suppress(http.cookies.CookieError):
                cookie.load(environ.get("HTTP_COOKIE", ""))
        headers = {
            "X-Auth-Token": environ.get("HTTP_X_AUTH_TOKEN", ""),
            "Authorization": environ.get("HTTP_AUTHORIZATION", ""),
        }
        morsel = cookie.get(answers.COOKIE)
        tokens = answers.session_tokens(
            headers, None if morsel is None else morsel.value, self.engine.api.takes
        )
        peer = environ.get("REMOTE_ADDR") or ""
        try:
            check_admitted(environ, self.section, takes_cookies=False)
            if resource.takes_strangers:
                return True
            if not tokens:
                return False
            token = (
                tokens[0] if len(tokens) == 1 else self.call(lambda api: api.token_among(tokens))
            )
            return bool(self.call(lambda api: api.identify(token, peer=peer)))
        except errors.SaltApiError:
            return False

    def path(self, path: str) -> str:
        """Return the URL path of *path* below where the WSGI server has put us."""
        mounted = str(cherrypy.request.script_name)
        prefix = self.section.root_prefix.rstrip("/")
        return (mounted if mounted == prefix else mounted + prefix) + path

    # What a request has

    @property
    def peer(self) -> str:
        """The address that the request comes from."""
        return str(cherrypy.request.remote.ip)

    @property
    def token(self) -> str:
        """The session token of the request: from a header before the cookie; "" without one."""
        cookie = None
        if self.section.enable_sessions and answers.COOKIE in cherrypy.request.cookie:
            cookie = cherrypy.request.cookie[answers.COOKIE].value
        tokens = answers.session_tokens(cherrypy.request.headers, cookie, self.engine.api.takes)
        if len(tokens) < 2:
            return next(iter(tokens), "")
        return self.call(lambda api: api.token_among(tokens))

    @property
    def bearer(self) -> str:
        """The bearer token of the request, if it is one that stands for somebody here; else ""."""
        header = cherrypy.request.headers.get("Authorization", "")
        return answers.bearer_of(header, self.engine.api.takes)

    def body(self) -> Any:
        """
        Return the request's body, decoded by its Content-Type; None if there is none.

        Raises:
            BodyTooLarge, NotAcceptable, BadRequest
        """
        return self.decoder(is_hook=False)()

    def decoder(self, *, is_hook: bool) -> Callable[[], Any]:
        """
        Return what decodes the request's body as `body` does, in whichever thread.

        That of a hook (*is_hook*) may be anything, also no form where it is called one.
        """
        raw: bytes = cherrypy.request.saltapi_body
        content_type = cherrypy.request.headers.get("Content-Type", "")
        return lambda: formats.decode(content_type, raw, is_hook=is_hook) if raw else None

    def keyed(self, body: Any) -> Keyed | None:
        """
        Return what stands for the request with its idempotency key; None if it has none.

        The answer has the header that says so if it is that of a request before.

        Raises:
            BadRequest: It cannot be a key.
        """
        environ = cherrypy.request.wsgi_environ
        key = keys.wsgi_keyed(self.engine.idempotency, environ, body)
        cherrypy.request.saltapi_key = key
        return key

    # What an answer has

    def answer(self, handler: Handler, resource: Any, path: Any, query: Any) -> Any:
        """Return the bytes of what *handler* returns, or of the error that it raises."""
        accept = cherrypy.request.headers.get("Accept")
        try:
            environ = {**cherrypy.request.wsgi_environ, "wsgi.input": cherrypy.request.rfile}
            cherrypy.request.saltapi_body = read_body(environ, self.section.max_request_body_size)
            self._add_cors_headers()
            check_admitted(
                environ,
                self.section,
                takes_cookies=self.section.enable_sessions,
                gives_cookie=resource.gives_cookie,
            )
            is_raw = getattr(handler, "is_raw", False)
            if not is_raw and self.wants_app():
                return self.serve_app()  # whatever the page keeps in its parameters
            arguments = _bound(handler, resource, path, query)
            if is_raw:
                return handler(*arguments.args, **arguments.kwargs)
            media_type = formats.negotiate(accept)
            value = handler(*arguments.args, **arguments.kwargs)
            key = getattr(cherrypy.request, "saltapi_key", None)
            cherrypy.response.headers.update(keys.replayed(key))
        except errors.SaltApiError as error:
            return self.error(error.status, str(error), error)
        except cherrypy.CherryPyException:
            raise
        except Exception:
            log.exception("An unexpected error occurred. %s", trace.current.get())
            sentence = traceback.format_exc() if self.section.debug else answers.UNEXPECTED
            return self.error(500, redact(sentence), errors.SaltApiError(sentence))
        if isinstance(value, bytes):
            return value
        return self.written(media_type, formats.encode(media_type, value))

    def error(self, status: int, sentence: str, error: errors.SaltApiError | None = None) -> bytes:
        """Return an error's body in a format that the client accepts, HTML only if it asks."""
        level = logging.WARNING if status >= 500 or self.section.debug else logging.INFO
        log.log(level, "%d %s %s", status, one_line(without_token(sentence)), trace.current.get())
        if error is not None:
            cherrypy.request.wsgi_environ[EXCHANGE].note(error)
        cherrypy.response.status = status
        cherrypy.response.headers.update(answers.error_headers(status, error))
        # CherryPy may have stopped reading headers before it came to this one.
        accept = cherrypy.request.wsgi_environ.get("HTTP_ACCEPT")
        return self.written(*answers.error_body(accept, status, sentence, error))

    def set_cookie(self, token: str, expire: float | None) -> None:
        """Hand the browser its session token, until *expire* (epoch seconds); None takes it."""
        secure = cherrypy.request.scheme == "https"
        morsel = answers.session_cookie(token, expire, path=self.path("") or "/", secure=secure)
        cherrypy.response.cookie[answers.COOKIE] = morsel

    def serve_app(self) -> Any:
        """Return the page of the single-page app; it is never stored, so that its streams end."""
        if not self.section.app:
            raise errors.NotFound(not_found())
        cherrypy.response.headers["Cache-Control"] = "no-store"
        return cherrypy.lib.static.serve_file(self.section.app, content_type="text/html")

    def preflight(self) -> bytes:
        """Answer an OPTIONS request: what may be sent here, and from where."""
        headers = cherrypy.response.headers
        request = cherrypy.request.headers
        asked = request.get("Access-Control-Request-Method")
        if asked and headers.get("Access-Control-Allow-Origin"):
            headers["Access-Control-Allow-Methods"] = "GET, POST"
            headers["Access-Control-Allow-Headers"] = (
                "Content-Type, Idempotency-Key, X-Auth-Token, X-Requested-With"
            )
            headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
        headers.pop("Content-Type", None)
        return b""

    def _add_cors_headers(self) -> None:
        headers = cherrypy.response.headers
        origin = cherrypy.request.headers.get("Origin")
        headers["Vary"] = "Accept, Accept-Encoding, Origin"
        headers.update(answers.cors_headers(origin, self.section.cors_origins))

    def wants_app(self) -> bool:
        """Return whether a browser asks for a page where there is a single-page app."""
        return bool(
            self.section.app
            and cherrypy.request.method in {"GET", "HEAD"}
            and answers.wants_page(cherrypy.request.headers.get("Accept"))
        )

    def written(self, content_type: str, body: bytes) -> bytes:
        """Return *body*, compressed if the client takes that, and set the headers for it."""
        headers = cherrypy.response.headers
        headers["Content-Type"] = content_type
        headers["X-Content-Type-Options"] = "nosniff"
        if answers.wants_gzip(cherrypy.request.headers.get("Accept-Encoding"), len(body)):
            body = answers.compressed(body)
            headers["Content-Encoding"] = "gzip"
        headers["Content-Length"] = str(len(body))
        return body


def endpoint(handler: Handler) -> Handler:
    """Make a handler of plain values one that CherryPy can call."""

    @functools.wraps(handler)
    def called(resource: Any, /, *path: str, **query: Any) -> Any:
        application: CherrypyApplication = resource.application
        return application.answer(handler, resource, path, query)

    return called


def raw(handler: Handler) -> Handler:
    """Mark a handler that writes its response itself: files and streams."""
    handler.is_raw = True  # type: ignore[attr-defined]
    return handler


def _bound(handler: Handler, resource: Any, path: Any, query: Any) -> inspect.BoundArguments:
    try:
        return inspect.signature(handler).bind(resource, *path, **query)
    except TypeError:
        raise errors.NotFound(not_found()) from None


def not_found() -> str:
    """Return the sentence for a path at which there is nothing."""
    path = cherrypy.request.script_name + cherrypy.request.path_info
    return f"The path '{path}' was not found."
