"""`/livez`, `/readyz` and `/metrics`, with `monitoring_urls`."""

from typing import Any, ClassVar

import cherrypy

from saltapi import formats
from saltapi.engine.monitoring.metrics import CONTENT_TYPE
from saltapi.netapi._http import monitoring
from saltapi.netapi.rest_cherrypy.application import endpoint, raw
from saltapi.netapi.rest_cherrypy.resource import Resource


class _Probe(Resource):
    """Base of those that need no session; their answer is JSON, whatever the client accepts."""

    probe: ClassVar[str]

    @endpoint
    @raw
    def GET(self, **_query: Any) -> Any:
        """Say how it stands."""
        cherrypy.response.status, value = self.application.thread.call(
            monitoring.PROBES[self.probe]
        )
        return self.application.written(formats.JSON_TYPE, formats.dump_json(value))


class Livez(_Probe):
    """`/livez`: whether the process works."""

    probe = "/livez"


class Readyz(_Probe):
    """`/readyz`: whether requests should come here."""

    probe = "/readyz"


class Metrics(Resource):
    """`/metrics`: numbers for Prometheus."""

    @endpoint
    @raw
    def GET(self, **_query: Any) -> Any:
        """Return the numbers; needs a session unless the config lets the address in."""
        token, peer = self.application.token, self.application.peer
        text = self.application.thread.call(
            lambda engine: monitoring.metrics_text(engine, token, peer)
        )
        return self.application.written(CONTENT_TYPE, text)
