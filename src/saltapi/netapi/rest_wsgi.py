"""
A minimalist REST API for Salt (0.8.4, "rest_wsgi").

Lowstate with credentials in every chunk comes as JSON in a POST to `/`; `{"return": […]}` goes
back. `saltapi` serves it on `port`; any WSGI server can serve `application` (PEP 3333), which
then reads the master config that the environment variable `SALT_MASTER_CONFIG` names.
"""

import http
import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from saltapi import config, errors, formats
from saltapi.engine.sessions.caller import Caller
from saltapi.netapi._http.admission import check_readable
from saltapi.netapi._http.answers import flattened
from saltapi.netapi._http.bodies import read_body
from saltapi.netapi._http.cheroot import Server
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


class RestWsgi(Application[config.RestWsgiConfig]):
    """The WSGI application of one master config."""

    def __init__(self, opts: Opts, section: config.RestWsgiConfig) -> None:
        super().__init__(opts, section, NAME)

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer one request; everything that goes wrong becomes a JSON error."""
        trace = Trace()
        current.set(trace)
        started = time.monotonic()
        headers: dict[str, str] = {}
        believe(environ, self.section.trusted_proxies)
        try:
            status, body = 200, {"return": self._run(environ)}
        except errors.SaltApiError as error:
            status, body = error.status, _error_body(error.status, str(error))
            headers = _error_headers(error)
            if error.completed:
                body["completed"] = list(error.completed)
        except Exception:
            log.exception("Request %s ended in an unexpected error.", trace.request_id)
            status, body = 500, _error_body(500, "An unexpected error occurred")
        log.info(
            "%s %s %s %d %.0f ms %s",
            environ.get("REMOTE_ADDR") or "-",
            _printable(environ["REQUEST_METHOD"]),
            _printable(_path(environ)),
            status,
            (time.monotonic() - started) * 1000,
            trace,
        )
        headers["X-Request-Id"] = trace.request_id
        headers.update(trace.missing_headers())
        return _respond(environ, start_response, status, body, headers)

    def _run(self, environ: "WSGIEnvironment") -> list[Any]:
        # The body is read whatever comes of it: left on the connection, it would be taken for the
        # next request.
        body = read_body(environ, self.section.max_request_body_size)
        check_readable(environ)
        if _path(environ) != "/":
            raise errors.NotFound("There is only one URL here: POST to /.")
        if environ["REQUEST_METHOD"] != "POST":
            raise errors.MethodNotAllowed("Only POST is taken here.")
        content_type = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
        if content_type != formats.JSON_TYPE:
            raise errors.NotAcceptable(f"JSON required: send Content-Type: {formats.JSON_TYPE}.")
        if not body:
            raise errors.BadRequest("The body is empty: send a lowstate as JSON.")
        lowstate = formats.load_json(body)
        peer = environ.get("REMOTE_ADDR", "")
        results = self.call(lambda api: api.run(lowstate, Caller(peer)))
        return flattened(lowstate, results)


def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Answer for any WSGI server, with the config that `SALT_MASTER_CONFIG` names."""
    try:
        app = _standalone.get(__opts__)
    except errors.CannotStart as error:
        log.error("%s cannot start: %s", NAME, error)  # noqa: TRY400 - the text says it all
        body = _error_body(500, "The API's configuration is wrong; its log says what to change.")
        return _respond(environ, start_response, 500, body, {})
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
    status: int,
    body: dict[str, Any],
    headers: dict[str, str],
) -> list[bytes]:
    payload = formats.dump_json(body)
    headers = {
        **headers,
        "Content-Type": formats.JSON_TYPE,
        "Content-Length": str(len(payload)),
    }
    start_response(f"{status} {http.HTTPStatus(status).phrase}", list(headers.items()))
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else payload]


def _error_body(status: int, sentence: str) -> dict[str, Any]:
    return {"status": status, "return": sentence}


def _error_headers(error: errors.SaltApiError) -> dict[str, str]:
    headers = {}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, errors.MethodNotAllowed):
        headers["Allow"] = "POST"
    return headers


def _path(environ: "WSGIEnvironment") -> str:
    return environ.get("PATH_INFO") or "/"


def _printable(text: str) -> str:
    """Return *text* so that it cannot look like a line of the log of its own."""
    return text.encode("unicode_escape").decode("ascii")
