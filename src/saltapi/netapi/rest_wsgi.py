"""
A minimalist REST API for Salt (0.8.4, "rest_wsgi").

Lowstate with credentials in every chunk comes as JSON in a POST to `/`; `{"return": […]}` goes
back. `saltapi` serves it on `port`; any WSGI server can serve `application` (PEP 3333), which
then reads the master config that the environment variable `SALT_MASTER_CONFIG` names.
"""

import http
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from saltapi import config, errors, formats
from saltapi.engine.monitoring.metrics import CONTENT_TYPE
from saltapi.engine.sessions.addresses import check_address
from saltapi.engine.sessions.caller import Caller
from saltapi.netapi._http import keys, monitoring
from saltapi.netapi._http.admission import check_readable
from saltapi.netapi._http.answers import UNEXPECTED, bearer_of, flattened
from saltapi.netapi._http.bodies import read_body
from saltapi.netapi._http.cheroot import Server
from saltapi.netapi._http.exchange import Exchange
from saltapi.netapi._http.proxies import believe
from saltapi.netapi._http.serving import url_at
from saltapi.netapi._http.threads import Application
from saltapi.process.module import Standalone, virtual
from saltapi.trace import Trace, current
from saltapi.types import Opts

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

log = logging.getLogger(__name__)

__opts__: Opts = {}
"""The master's options, put here by the loader."""

NAME = __name__.rpartition(".")[2]


def __virtual__() -> str | tuple[bool, str]:
    """Run when the master config has a section of this module's name with a port in it."""
    return virtual(__opts__, NAME)


@dataclass(slots=True)
class Answer:
    """What is answered: *body* is bytes, or a value that is written as JSON."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


class RestWsgi(Application[config.RestWsgiConfig]):
    """The WSGI application of one master config."""

    def __init__(self, opts: Opts, section: config.RestWsgiConfig) -> None:
        super().__init__(opts, section, NAME)
        self._urls = {"/"}
        if section.monitoring_urls:
            self._urls |= {*monitoring.PROBES, "/metrics"}

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer one request; everything that goes wrong becomes a JSON error."""
        trace = Trace()
        current.set(trace)
        believe(environ, self.section.trusted_proxies, self.engine.login_proxy)
        exchange = Exchange(self.engine, environ, trace)
        path = _path(environ)
        try:
            answer = self._answer(environ)
        except errors.SaltApiError as error:
            exchange.note(error)
            answer = _error_answer(error)
            if isinstance(error, errors.MethodNotAllowed):
                answer.headers["Allow"] = "POST" if path == "/" else "GET, HEAD"
        except Exception:
            log.exception("Request %s ended in an unexpected error.", trace.request_id)
            unexpected = errors.SaltApiError(UNEXPECTED)
            exchange.note(unexpected)
            answer = _error_answer(unexpected)
        exchange.end(path if path in self._urls else None, answer.status)
        log.info(
            "%s %s %s %d %.0f ms %s",
            environ.get("REMOTE_ADDR") or "-",
            _printable(environ["REQUEST_METHOD"]),
            _printable(path),
            answer.status,
            exchange.seconds * 1000,
            trace,
        )
        answer.headers["X-Request-Id"] = trace.request_id
        answer.headers.update(trace.missing_headers())
        return _respond(environ, start_response, answer)

    def _answer(self, environ: "WSGIEnvironment") -> "Answer":
        # The body is read whatever comes of it: left on the connection, it would be taken for the
        # next request.
        body = read_body(environ, self.section.max_request_body_size)
        check_readable(environ)
        path, method = _path(environ), environ["REQUEST_METHOD"]
        if path not in self._urls:
            raise errors.NotFound("There is only one URL here: POST to /.")
        if path != "/":
            return self._watched(environ, path)
        if method != "POST":
            raise errors.MethodNotAllowed("Only POST is taken here.")
        content_type = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
        if content_type != formats.JSON_TYPE:
            raise errors.NotAcceptable(f"JSON required: send Content-Type: {formats.JSON_TYPE}.")
        if not body:
            raise errors.BadRequest("The body is empty: send a lowstate as JSON.")
        lowstate = formats.load_json(body)
        peer = environ.get("REMOTE_ADDR", "")
        key = keys.wsgi_keyed(self.engine.idempotency, environ, lowstate)
        bearer = bearer_of(environ.get("HTTP_AUTHORIZATION", ""), self.engine.api.takes)
        caller = Caller(peer, bearer=bearer)
        results = self.call(lambda api: api.run(lowstate, caller, keyed=key))
        return Answer(200, {"return": flattened(lowstate, results)}, keys.replayed(key))

    def _watched(self, environ: "WSGIEnvironment", path: str) -> "Answer":
        """Return the answer of a URL of `monitoring_urls`."""
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            raise errors.MethodNotAllowed("Only GET is taken here.")
        peer = environ.get("REMOTE_ADDR", "")
        check_address(self.section.authorized_ips, peer)
        if path in monitoring.PROBES:
            return Answer(*self.thread.call(monitoring.PROBES[path]))
        token = environ.get("HTTP_X_AUTH_TOKEN", "") or bearer_of(
            environ.get("HTTP_AUTHORIZATION", ""), self.engine.api.takes
        )
        text = self.thread.call(lambda engine: monitoring.metrics_text(engine, token, peer))
        return Answer(200, text, {"Content-Type": CONTENT_TYPE})


def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Answer for any WSGI server, with the config that `SALT_MASTER_CONFIG` names."""
    try:
        app = _standalone.get(__opts__)
    except errors.CannotStart as error:
        log.error("%s cannot start: %s", NAME, error)  # noqa: TRY400 - the text says it all
        sentence = "The API's configuration is wrong; its log says what to change."
        return _respond(environ, start_response, _error_answer(errors.SaltApiError(sentence)))
    return app(environ, start_response)


def start() -> None:
    """
    Serve until the process is told to stop.

    Raises:
        CannotStart: An option is wrong, or the address cannot be bound.
    """
    section = config.RestWsgiConfig.parse(__opts__[NAME])
    app = RestWsgi(__opts__, section)
    server = make_server(app, section)
    app.serve(server, url_at(section.host, section.port))


def make_server(app: RestWsgi, section: config.RestWsgiConfig) -> Server:
    """
    Return a server that is bound and ready to `serve`.

    Raises:
        CannotStart: The address cannot be bound.
    """
    return app.listen(
        config.EngineConfig.of(__opts__),
        threads=section.threads,
        # As Salt's: `localhost` is the IPv4 address; names may stand for another one first.
        host="127.0.0.1" if section.host == "localhost" else None,
    )


def _application(opts: Opts) -> RestWsgi:
    return RestWsgi(opts, config.RestWsgiConfig.behind_server(opts, NAME))


_standalone = Standalone(_application)


def _respond(
    environ: "WSGIEnvironment",
    start_response: "StartResponse",
    answer: Answer,
) -> list[bytes]:
    payload = answer.body
    if not isinstance(payload, bytes):
        payload = formats.dump_json(payload)
    headers = {
        "Content-Type": formats.JSON_TYPE,
        **answer.headers,
        "Content-Length": str(len(payload)),
    }
    phrase = http.HTTPStatus(answer.status).phrase
    start_response(f"{answer.status} {phrase}", list(headers.items()))
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else payload]


def _error_answer(error: errors.SaltApiError) -> Answer:
    answer = Answer(error.status, {"status": error.status, "return": str(error)})
    if error.completed:
        answer.body["completed"] = list(error.completed)
    if error.retry_after_seconds is not None:
        answer.headers["Retry-After"] = str(error.retry_after_seconds)
    return answer


def _path(environ: "WSGIEnvironment") -> str:
    return environ.get("PATH_INFO") or "/"


def _printable(text: str) -> str:
    """Return *text* so that it cannot look like a line of the log of its own."""
    return text.encode("unicode_escape").decode("ascii")
