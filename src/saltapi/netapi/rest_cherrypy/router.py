"""
From a URL path to what answers there.

CherryPy's own dispatcher walks through the attributes of objects, so that more can be reached
than was meant (`/GET/__self__/login`). Here only what stands in a table can be reached.
"""

from collections.abc import Mapping
from typing import Any

import cherrypy

METHODS = ("GET", "HEAD", "OPTIONS", "POST")


class Router:
    """CherryPy's `request.dispatch`: chooses the handler of a request."""

    def __init__(self, prefix: str, table: Mapping[str, Any], nowhere: Any) -> None:
        """
        Args:
            prefix: `root_prefix`, what stands in front of every path.
            table: Resources by URL path, with methods named after HTTP's.
            nowhere: The resource for every other path.
        """
        self._prefix = _segments(prefix)
        self._paths = {resource: prefix.rstrip("/") + path for path, resource in table.items()}
        self._table = {_segments(path): resource for path, resource in table.items()}
        self._nowhere = nowhere
        self._longest = max(map(len, self._table))

    def __call__(self, path_info: str) -> None:
        """Set the handler of the current request, and the header `Allow`."""
        request = cherrypy.serving.request
        request.config = {**cherrypy.config, **request.app.config["/"]}
        if request.method == "OPTIONS" and path_info == "/*":  # of the whole server
            path_info = "/"
        resource, rest = self.find(request.script_name, path_info)
        method = resource.refuse
        if resource is not self._nowhere:
            allowed = [name for name in METHODS if _method(resource, name)]
            cherrypy.serving.response.headers["Allow"] = ", ".join(allowed)
            method = _method(resource, request.method.upper()) or method
        request.handler = cherrypy.dispatch.LateParamPageHandler(method, *rest)

    def find(self, script_name: str, path: str) -> tuple[Any, list[str]]:
        """
        Return the resource at *path*, and the segments of it that are left.

        Args:
            script_name: Where the WSGI server has mounted us; `root_prefix` may be that place
                (mod_wsgi), or be below it.
            path: What follows in the URL.
        """
        segments = _segments(path)
        if segments[: len(self._prefix)] == self._prefix:
            segments = segments[len(self._prefix) :]
        elif _segments(script_name) != self._prefix:
            return self._nowhere, []
        for length in range(min(self._longest, len(segments)), -1, -1):
            resource = self._table.get(segments[:length])
            if resource is not None and (length or not segments):
                # An encoded slash is part of a name; cheroot leaves it as it is.
                return resource, [text.replace("%2F", "/") for text in segments[length:]]
        return self._nowhere, []

    def template(self, script_name: str, path: str) -> str | None:
        """Return the template of the URL at *path*, None if there is nothing."""
        resource, rest = self.find(script_name, path)
        known = self._paths.get(resource)
        return known and known.rstrip("/") + resource.below if rest else known


def _segments(path: str) -> tuple[str, ...]:
    return tuple(segment for segment in path.split("/") if segment)


def _method(resource: Any, name: str) -> Any:
    name = "GET" if name == "HEAD" else name
    return getattr(resource, name, None) if name in METHODS else None
