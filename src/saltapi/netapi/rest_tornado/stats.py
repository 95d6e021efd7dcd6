"""`/stats`: what the module counts."""

from typing import Any

from saltapi.netapi._http.answers import process_statistics
from saltapi.netapi.rest_tornado.handler import BaseSaltAPIHandler, endpoint


class StatsSaltAPIHandler(BaseSaltAPIHandler):
    """`/stats`: what this process counts, with `collect_stats`."""

    @endpoint
    async def get(self) -> Any:
        """Return requests by status and listeners; an empty mapping without `collect_stats`."""
        if not self.section.stats_disable_auth:
            await self.api.identify(self.token, peer=self.peer)
        if not self.section.collect_stats:
            return {}
        application = self.application
        metrics = application.engine.metrics
        return process_statistics(
            "rest_tornado",
            metrics.started_at,
            metrics.statuses,
            len(application.in_flight),
            self.api.listeners,
        )
