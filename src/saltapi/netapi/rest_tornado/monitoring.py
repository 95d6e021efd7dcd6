"""`/livez`, `/readyz` and `/metrics`, with `monitoring_urls`."""

from typing import ClassVar

from saltapi import formats
from saltapi.engine.monitoring.metrics import CONTENT_TYPE
from saltapi.netapi._http import monitoring
from saltapi.netapi.rest_tornado.handler import BaseSaltAPIHandler, endpoint, raw


class _Probe(BaseSaltAPIHandler):
    """Base of those that need no session; their answer is JSON, whatever the client accepts."""

    probe: ClassVar[str]

    @endpoint
    @raw
    async def get(self) -> None:
        """Say how it stands."""
        status, value = await monitoring.PROBES[self.probe](self.application.engine)
        self.set_status(status)
        await self.write_body(formats.JSON_TYPE, formats.dump_json(value))


class LivezHandler(_Probe):
    """`/livez`: whether the process works."""

    probe = "/livez"


class ReadyzHandler(_Probe):
    """`/readyz`: whether requests should come here."""

    probe = "/readyz"


class MetricsHandler(BaseSaltAPIHandler):
    """`/metrics`: numbers for Prometheus."""

    @endpoint
    @raw
    async def get(self) -> None:
        """Return the numbers; needs a session unless the config lets the address in."""
        engine = self.application.engine
        text = await monitoring.metrics_text(engine, self.token, self.peer)
        await self.write_body(CONTENT_TYPE, text)
