"""`/stats`: what CherryPy and cheroot count."""

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from cherrypy.lib import cpstats  # noqa: F401 - it makes `logging.statistics`

from saltapi.masking import redact
from saltapi.netapi._http.logs import without_token
from saltapi.netapi.rest_cherrypy.application import endpoint
from saltapi.netapi.rest_cherrypy.resource import Resource


class Stats(Resource):
    """`/stats`: what the server counts, with `collect_stats`."""

    @endpoint
    def GET(self) -> Any:
        """Return CherryPy's and cheroot's statistics; an empty mapping without `collect_stats`."""
        if not self.application.section.stats_disable_auth:
            self._caller()
        if not self.application.section.collect_stats:
            return {}
        statistics: dict[str, Any] = logging.statistics  # type: ignore[attr-defined]
        return _shown(statistics, statistics)


def _shown(value: Any, scope: Mapping[str, Any]) -> Any:
    """
    Return *value* as it is now, without the tokens that the request lines in it may hold.

    Args:
        value: A number, a text, a function of *scope* that returns one, or more of these.
        scope: The mapping that it stands in.
    """
    if isinstance(value, dict):
        return {str(key): _shown(item, value) for key, item in value.copy().items()}
    if isinstance(value, list | tuple):
        return [_shown(item, scope) for item in value]
    if callable(value):
        try:
            return _shown(value(scope), scope)
        except ArithmeticError:  # a rate, before any time has passed
            return 0
    return redact(without_token(unquote(value))) if isinstance(value, str) else value
