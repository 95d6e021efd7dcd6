"""What all URLs have in common."""

from typing import Any, NoReturn

import cherrypy

from saltapi import errors
from saltapi.engine.sessions.caller import Caller
from saltapi.netapi.rest_cherrypy.application import CherrypyApplication, endpoint, not_found, raw


class Resource:
    """Base of all URLs: a class is a URL, its methods are named after HTTP's."""

    gives_cookie = False
    """Whether an answer may have the session cookie."""
    below = ""
    """What may follow in the URL, as in a template: `/{jid}`."""
    takes_strangers = False
    """Whether a body may be long before it is known whose it is: that stands in the body."""

    def __init__(self, application: CherrypyApplication) -> None:
        self.application = application

    @endpoint
    @raw
    def OPTIONS(self, *_path: str, **_query: Any) -> Any:
        """Say what may be sent here (the Fetch standard's preflight)."""
        return self.application.preflight()

    @endpoint
    @raw
    def refuse(self, *_path: str, **_query: Any) -> NoReturn:
        """Answer a method that there is not."""
        raise errors.MethodNotAllowed("Specified method is invalid for this resource.")

    def _path_argument(self, values: tuple[str, ...], name: str) -> str | None:
        """Return the one segment that may follow the URL, or None."""
        if len(values) > 1:
            raise errors.NotFound(f"There is at most one {name} in this URL.")
        return values[0] if values else None

    def _caller(self) -> Caller:
        """
        Return who asks, where the answer is for this user alone.

        To be called before the body is looked at: to strangers all requests are 401.

        Raises:
            AddressRefused, AuthenticationFailed, MasterUnavailable
        """
        cherrypy.response.headers["Cache-Control"] = "private"
        token, peer = self.application.token, self.application.peer
        return self.application.call(lambda api: api.identify(token, peer=peer))


class Nowhere(Resource):
    """Every URL that there is not; a single-page app may have it for itself."""

    @endpoint
    @raw
    def refuse(self, *_path: str, **_query: Any) -> Any:
        """Answer any method: 404 also to those who accept nothing that we have."""
        if self.application.wants_app():
            return self.application.serve_app()
        raise errors.NotFound(not_found())
