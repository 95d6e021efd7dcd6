"""`/stats`: what this process counts, with `collect_stats`."""

from fastapi import Request, Response

from saltapi.netapi._http.answers import process_statistics
from saltapi.netapi.rest_asgi.classic import documents
from saltapi.netapi.rest_asgi.classic.route import Operation, answered, caller_alone
from saltapi.netapi.rest_asgi.protection import READS
from saltapi.netapi.rest_asgi.requests import engine_of


async def show_statistics(request: Request) -> Response:
    """
    Show what this process counts.

    An empty mapping without `collect_stats`. Needs a session unless the config lets anybody in
    (`stats_disable_auth`). `/metrics` tells more, of all processes.
    """
    engine = engine_of(request)
    if not engine.section.stats_disable_auth:
        await caller_alone(request)
    if not engine.section.collect_stats:
        return await answered(request, {})
    metrics = engine.metrics
    return await answered(
        request,
        process_statistics(
            engine.name,
            metrics.started_at,
            metrics.statuses,
            metrics.in_flight,
            engine.api.listeners,
        ),
    )


STATS = [
    Operation(
        "GET",
        show_statistics,
        READS,
        tag="operations",
        session=True,
        answer="Requests by status, and listeners.",
        content=documents.STATISTICS,
    )
]
