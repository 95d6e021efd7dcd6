"""`/stats`: what the module counts."""

from typing import Any

from saltapi.netapi.rest_tornado.door import BaseSaltAPIHandler, endpoint


class StatsSaltAPIHandler(BaseSaltAPIHandler):
    """`/stats`: what this process counts, with `collect_stats`."""

    @endpoint
    async def get(self) -> Any:
        """Return requests by status and listeners; an empty mapping without `collect_stats`."""
        if not self.section.stats_disable_auth:
            await self.api.session(self.token, peer=self.peer)
        if not self.section.collect_stats:
            return {}
        application = self.application
        statuses = {str(status): n for status, n in sorted(application.statuses.items())}
        return {
            "rest_tornado": {
                "Start Time": application.started_at,
                "Requests": sum(application.statuses.values()),
                "Requests In Flight": len(application.in_flight),
                "Statuses": statuses,
                "Listeners": self.api.listeners,
            }
        }
