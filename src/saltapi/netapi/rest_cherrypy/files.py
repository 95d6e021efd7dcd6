"""Files that are served as they are: the single-page app, its assets, and the icon."""

from typing import Any

import cherrypy
from cherrypy.lib.static import serve_file

from saltapi import errors
from saltapi.netapi._http.files import file_below
from saltapi.netapi.rest_cherrypy.application import endpoint, not_found, raw
from saltapi.netapi.rest_cherrypy.resource import Resource


class Static(Resource):
    """`static_path`: the files below `static`."""

    below = "/{path}"

    @endpoint
    @raw
    def GET(self, *path: str, **_query: Any) -> Any:
        """Return a file; directories are not listed."""
        file = file_below(self.application.section.static or "", path)
        if file is None:
            raise errors.NotFound(not_found())
        cherrypy.response.headers["X-Content-Type-Options"] = "nosniff"
        return serve_file(str(file))


class App(Resource):
    """`app_path`: the single-page app, whatever follows in the URL."""

    below = "/{path}"

    @endpoint
    @raw
    def GET(self, *_path: str, **_query: Any) -> Any:
        """Return the page."""
        return self.application.serve_app()


class Favicon(Resource):
    """`/favicon.ico`."""

    @endpoint
    @raw
    def GET(self, **_query: Any) -> Any:
        """Return the icon that `favicon` names."""
        if not self.application.section.favicon:
            raise errors.NotFound("There is no icon: set favicon.")
        return serve_file(self.application.section.favicon)
