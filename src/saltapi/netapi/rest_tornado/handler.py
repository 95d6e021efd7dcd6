"""
One request through Tornado: what stands around every handler.

The address is checked, the body collected, the answer's format chosen, the handler called, and
what it returns, or the error that it raises, written in that format. Handlers take and return
plain values, on the event loop; nothing here waits for anything but the network.
"""

import asyncio
import contextlib
import functools
import logging
import traceback
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn

from tornado.httputil import HTTPServerRequest
from tornado.iostream import StreamClosedError
from tornado.web import Application as TornadoApplication
from tornado.web import HTTPError, RequestHandler

from saltapi import errors, formats, trace
from saltapi.config import RestTornadoConfig
from saltapi.engine.engine import Engine
from saltapi.engine.operations.api import Api
from saltapi.engine.sessions.caller import Caller
from saltapi.engine.store.idempotency import Keyed
from saltapi.masking import redact
from saltapi.netapi._http import answers, keys
from saltapi.netapi._http.admission import check_admitted
from saltapi.netapi._http.bodies import decoded
from saltapi.netapi._http.encoding import encoded
from saltapi.netapi._http.exchange import Exchange, template
from saltapi.netapi._http.logs import log_access, one_line, without_token
from saltapi.netapi._http.proxies import believe
from saltapi.netapi._http.sockets import DetachedSocket
from saltapi.netapi.rest_tornado.bodies import BodyHandler, NotLoggedIn
from saltapi.netapi.rest_tornado.requests import environ_of
from saltapi.netapi.rest_tornado.streams import detached_socket
from saltapi.process import lifecycle
from saltapi.types import Opts

log = logging.getLogger(__name__)

Handler = Callable[..., Awaitable[Any]]

METHODS = ("GET", "HEAD", "OPTIONS", "POST")


class Application(TornadoApplication):  # type: ignore[misc]
    """The module of one master config as a Tornado application."""

    def __init__(
        self,
        handlers: list[Any],
        opts: Opts,
        section: RestTornadoConfig,
        name: str,
        *,
        nowhere: type[RequestHandler],
    ) -> None:
        """
        Args:
            handlers: URL patterns with their handlers.
            opts: The master's options.
            section: The module's options.
            name: The name of the section.
            nowhere: The handler of every other URL.
        """
        super().__init__(handlers, default_handler_class=nowhere)
        self.opts = opts
        self.section = section
        self.engine = Engine(opts, section, name, processes=lifecycle.processes)
        """To be started on the loop that serves."""
        self.in_flight: set[BaseSaltAPIHandler] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def begin(self, handler: "BaseSaltAPIHandler") -> None:
        """Note that a request is being answered."""
        self.in_flight.add(handler)
        self._idle.clear()

    def end(self, handler: "BaseSaltAPIHandler") -> None:
        """Note that a request has been answered, or is a stream now; idempotent."""
        self.in_flight.discard(handler)
        if not self.in_flight:
            self._idle.set()

    async def wait_idle(self) -> None:
        """Return when no request is being answered."""
        await self._idle.wait()

    def log_request(self, handler: RequestHandler) -> None:
        """Write the line that a request ends with, without the tokens that its URL may hold."""
        assert isinstance(handler, BaseSaltAPIHandler)  # noqa: S101 - there are no others
        handler.log_end()


def endpoint(handler: Handler) -> Callable[..., Awaitable[None]]:
    """Make a handler of plain values one that Tornado can call."""

    @functools.wraps(handler)
    async def called(resource: Any, *path: str) -> None:
        await resource.answer(handler, path)

    return called


def raw(handler: Handler) -> Handler:
    """Mark a handler that writes its response itself."""
    handler.is_raw = True  # type: ignore[attr-defined]
    return handler


class BaseSaltAPIHandler(BodyHandler):
    """Base of all URLs: a class is a URL, its methods are named after HTTP's."""

    application: Application
    gives_cookie = False
    """Whether an answer may have the session cookie."""

    def __init__(
        self,
        application: Application,
        request: HTTPServerRequest,
        *,
        route: str | None = None,
        **options: Any,
    ) -> None:
        """Same as Tornado's; *route* is the template of the URL."""
        self.trace = trace.Trace()
        self._route = route
        self._is_complete = False
        self._key: Keyed | None = None
        self._token = ""
        self.environ = environ_of(request)
        """The request in the words of CGI; where a trusted proxy sent it, as its client did."""
        believe(self.environ, application.section.trusted_proxies, application.engine.login_proxy)
        if "HTTP_AUTHORIZATION" in self.environ:
            request.headers["Authorization"] = self.environ["HTTP_AUTHORIZATION"]
        self.exchange = Exchange(application.engine, self.environ, self.trace)
        """The request and its answer, for the audit log and the metrics."""
        super().__init__(application, request, **options)

    # What a request has

    @property
    def section(self) -> RestTornadoConfig:
        """The module's options."""
        return self.application.section

    @property
    def api(self) -> Api:
        """The operations."""
        return self.application.engine.api

    @property
    def peer(self) -> str:
        """The address that the request comes from."""
        return str(self.environ["REMOTE_ADDR"])

    @property
    def token(self) -> str:
        """The session token of the request: from a header before the cookie; "" without one."""
        return self._token

    @property
    def bearer(self) -> str:
        """The bearer token of the request, if it is one that stands for somebody here; else ""."""
        header = self.request.headers.get("Authorization", "")
        return answers.bearer_of(header, self.api.takes)

    @property
    def route(self) -> str | None:
        """The template of the URL; None if there is none."""
        return self._route and template(self._route, whole=any(self.path_args or ()))

    @property
    def accept(self) -> str | None:
        """The header `Accept`."""
        value: str | None = self.request.headers.get("Accept")
        return value

    def query(self, name: str) -> str | None:
        """Return the first value of a parameter in the URL; None without it."""
        values = self.request.query_arguments.get(name)
        return values[0].decode("utf-8", "replace") if values else None

    async def body(self, *, is_hook: bool = False) -> Any:
        """
        Return the request's body, decoded by its Content-Type; None if there is none.

        Forms are taken as they are: their values stay texts. The body of a hook (*is_hook*) may be
        anything, also no form where it is called one.

        Raises:
            NotAcceptable, BadRequest
        """
        raw = self.raw_body
        if not raw:
            return None
        content_type = self.request.headers.get("Content-Type", "")
        return await decoded(content_type, raw, reads_arguments=False, is_hook=is_hook)

    def keyed(self, body: Any) -> Keyed | None:
        """
        Return what stands for the request with its idempotency key; None if it has none.

        The answer has the header that says so if it is that of a request before.

        Raises:
            BadRequest: There are several keys, or it cannot be one.
        """
        request = self.request
        values = request.headers.get_list(keys.KEY_HEADER)
        self._key = keys.keyed(
            self.application.engine.idempotency,
            values,
            request.method,
            request.path,
            request.query,
            body,
        )
        return self._key

    async def caller(self) -> Caller:
        """
        Return who asks, where the answer is for this user alone.

        Raises:
            NotLoggedIn: There is no session.
            AddressRefused, MasterUnavailable
        """
        self.set_header("Cache-Control", "private")
        try:
            return await self.api.identify(self.token, peer=self.peer)
        except errors.AuthenticationFailed as error:
            raise NotLoggedIn(str(error)) from error

    # What happens around a handler

    async def prepare(self) -> None:
        """Begin, before the body has come."""
        trace.current.set(self.trace)
        self.application.begin(self)
        await super().prepare()

    def set_default_headers(self) -> None:
        """Set what every answer has."""
        self.set_header("X-Request-Id", self.trace.request_id)
        self.set_header("Vary", "Accept, Accept-Encoding, Origin")
        self.set_header("X-Content-Type-Options", "nosniff")
        origin = self.request.headers.get("Origin")
        if origin is None and "*" in self.section.cors_origins:
            self.set_header("Access-Control-Allow-Origin", "*")  # as Salt's module does
        for name, value in answers.cors_headers(origin, self.section.cors_origins).items():
            self.set_header(name, value)

    async def find_token(self) -> str:
        """Return the session token that the request means; "" without one."""
        cookie = self.get_cookie(answers.COOKIE)
        tokens = answers.session_tokens(dict(self.request.headers.items()), cookie, self.api.takes)
        return await self.api.token_among(tokens)

    async def answer(self, handler: Handler, path: tuple[str, ...]) -> None:
        """Write what *handler* returns, or the error that it raises."""
        if self.is_refused:
            return
        self.end_body()
        self._is_complete = True
        try:
            self.check_size()
            check_admitted(self.environ, self.section, gives_cookie=self.gives_cookie)
            self._token = await self.find_token()
            if getattr(handler, "is_raw", False):
                await handler(self, *path)
                return
            media_type = formats.negotiate(self.accept, _in_order(self.accept))
            value = await handler(self, *path)
            for name, text in (self.trace.missing_headers() | keys.replayed(self._key)).items():
                self.set_header(name, text)
            if isinstance(value, bytes):
                self.finish(value)
            else:
                body = await encoded(media_type, value, flow_leaves=True)
                await self.write_body(media_type, body)
        except NotLoggedIn as error:
            self.exchange.note(error)
            self.redirect("/login")
        except errors.SaltApiError as error:
            await self._fail_with_results(error)
        except Exception:
            log.exception("An unexpected error occurred. %s", self.trace)
            sentence = traceback.format_exc() if self.section.debug else answers.UNEXPECTED
            self.fail(500, redact(sentence), errors.SaltApiError(sentence))

    def hand_cookie(self, token: str, expire: float | None) -> None:
        """Hand the browser its session token, until *expire* (epoch seconds); None takes it."""
        secure = self.environ["wsgi.url_scheme"] == "https"
        cookie = answers.session_cookie(token, expire, path="/", secure=secure)
        self.add_header("Set-Cookie", cookie.OutputString())

    def fail(
        self,
        status: int,
        sentence: str,
        error: errors.SaltApiError | None = None,
        *,
        written: tuple[str, bytes] | None = None,
        lingers: bool = False,
    ) -> None:
        """
        Answer with an error in a format that the client accepts, HTML only if it asks.

        Args:
            status: The HTTP status.
            sentence: What the client is told.
            error: The error, if it is one of ours.
            written: Type and bytes of the body, if it has been written already.
            lingers: Whether the connection ends a moment later: the client, which still sends,
                gets to read the answer.
        """
        level = logging.WARNING if status >= 500 or self.section.debug else logging.INFO
        log.log(level, "%d %s %s", status, one_line(without_token(sentence)), self.trace)
        if error is not None:
            self.exchange.note(error)
        self.set_status(status)
        for name, value in answers.error_headers(status, error).items():
            self.set_header(name, value)
        if status == 405:
            self.set_header("Allow", ", ".join(self._allowed()))
        if written is None:
            written = answers.error_body(self.accept, status, sentence, error)
        content_type, body = written
        self.set_header("Content-Type", content_type)
        if lingers:
            self.finish_later(body)
        else:
            self.finish(body)

    async def _fail_with_results(self, error: errors.SaltApiError) -> None:
        """Answer with an error; the results that were there before may be large."""
        written = None
        if error.completed:
            written = await asyncio.to_thread(
                answers.error_body, self.accept, error.status, str(error), error
            )
        self.fail(error.status, str(error), error, written=written)

    def write_error(self, status_code: int, **_: Any) -> None:
        """Write Tornado's own errors (a method that there is not) as ours."""
        sentences = {
            400: "The request is malformed.",
            405: "Specified method is invalid for this resource.",
        }
        self.fail(status_code, sentences.get(status_code, answers.UNEXPECTED))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log errors of ours; Tornado's own text would show the URL, with the token in it."""
        if not isinstance(value, HTTPError):
            log.error("An unexpected error occurred. %s", self.trace, exc_info=(typ, value, tb))

    def on_finish(self) -> None:
        """Let go of what the request held."""
        self.application.end(self)
        self.end_body()

    def on_connection_close(self) -> None:
        """Note that nobody waits for the answer; a request that was not complete gets none."""
        if not self._is_complete:
            self.exchange.end(self.route, self.get_status() if self.is_refused else None)
        super().on_connection_close()
        self.application.end(self)

    def log_end(self) -> None:
        """Write the line that the request ends with, and count it."""
        status = self.get_status()
        self.exchange.end(self.route, status)
        log_access(self.environ, str(status), self.exchange.seconds)

    async def hand_over(self) -> DetachedSocket | None:
        """
        Send status and headers, and return the connection, which is the caller's then.

        It returns None if the client has gone already.
        """
        self.log_end()
        self.on_finish()
        with contextlib.suppress(StreamClosedError):
            await self.flush()
        return detached_socket(self.detach())

    async def write_body(self, content_type: str, body: bytes) -> None:
        """Answer with *body*, compressed if the client takes that."""
        self.set_header("Content-Type", content_type)
        if answers.wants_gzip(self.request.headers.get("Accept-Encoding"), len(body)):
            self.set_header("Content-Encoding", "gzip")
            body = await answers.compressed_on_loop(body)
        self.finish(body)

    def _allowed(self) -> list[str]:
        kind, none = type(self), BaseSaltAPIHandler.refuse
        has = {"GET": kind.get is not none, "POST": kind.post is not none, "OPTIONS": True}
        return [name for name in METHODS if has[name if name != "HEAD" else "GET"]]

    # Methods

    @endpoint
    @raw
    async def refuse(self, *_path: str) -> NoReturn:
        """Answer a method that there is not."""
        raise errors.MethodNotAllowed("Specified method is invalid for this resource.")

    get = post = put = delete = patch = refuse

    async def head(self, *path: str) -> None:
        """Answer as GET does, without the body."""
        await self.get(*path)

    @endpoint
    @raw
    async def options(self, *_path: str) -> None:
        """Say what may be sent here (the Fetch standard's preflight)."""
        self.clear_header("Content-Type")
        wanted = self.request.headers.get("Access-Control-Request-Headers")
        if wanted:
            self.set_header("Access-Control-Allow-Headers", wanted)
        self.set_header("Access-Control-Expose-Headers", "X-Auth-Token, X-Request-Id")
        self.set_header("Access-Control-Allow-Methods", "OPTIONS, GET, POST")
        self.set_header("Allow", ", ".join(self._allowed()))
        self.set_status(204)
        self.finish()


def _in_order(accept: str | None) -> Sequence[str]:
    """Return the output types, those first that the client names first, as Salt's module does."""
    ranges = [part.partition(";")[0].strip().lower() for part in (accept or "").split(",")]

    def position(media_type: str) -> int:
        names = {media_type, f"{media_type.partition('/')[0]}/*", "*/*"}
        return next((i for i, name in enumerate(ranges) if name in names), len(ranges))

    return sorted(formats.OUTPUT_TYPES, key=position)
