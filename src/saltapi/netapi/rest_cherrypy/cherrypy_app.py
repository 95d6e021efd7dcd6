"""CherryPy's application around our handlers: its hooks, and its own errors written as ours."""

from typing import Any

import cherrypy
from cherrypy._cprequest import Request as CherrypyRequest
from cherrypy.lib import cpstats  # noqa: F401 - importing it makes the tool

from saltapi import formats
from saltapi.netapi.rest_cherrypy.application import CherrypyApplication
from saltapi.netapi.rest_cherrypy.router import Router


def cherrypy_app(application: CherrypyApplication, router: Router) -> cherrypy.Application:
    """Return the WSGI application that lets *router* choose who answers."""
    made = cherrypy.Application(
        application,
        script_name=None,  # what the WSGI server says
        config={
            "/": {
                "request.dispatch": router,
                "request.process_request_body": False,
                "request.methods_with_bodies": (),
                "tools.trailing_slash.on": False,
                "tools.log_headers.on": False,
                "tools.cpstats.on": application.section.collect_stats,
            }
        },
    )
    made.request_class = Request
    cherrypy.log.event_filter = made.log.event_filter = False
    made.log.access_log.propagate = False  # we write a line for each request
    return made


def error_page(status: str, message: str, **_: Any) -> bytes:
    """Write CherryPy's own errors (a missing Host, a range that there is not) as ours."""
    application: CherrypyApplication = cherrypy.request.app.root
    return application.error(int(status[:3]), message)


def without_padding() -> None:
    """Take off the blanks that CherryPy adds to short errors for browsers of long ago."""
    response = cherrypy.serving.response
    if response.headers.get("Content-Type") in formats.OUTPUT_TYPES and response.status != 200:
        body = response.collapse_body()
        if body.endswith(b"  "):
            response.body = [body.rstrip(b" ")]
            response.headers["Content-Length"] = str(len(response.body[0]))


class Request(CherrypyRequest):  # type: ignore[misc]
    """A request whose errors are ours from its first header on, before any config counts."""

    error_page = {"default": error_page}  # noqa: RUF012 - CherryPy's name and type
    show_tracebacks = False
    hooks = CherrypyRequest.hooks.copy()
    hooks.attach("before_finalize", without_padding)

    def process_query_string(self) -> None:
        """Read the parameters; who gets the single-page app may have any in the URL."""
        application: CherrypyApplication = self.app.root
        if not application.wants_app():
            super().process_query_string()
