"""What is below `/v1`: one module for each subject, each with a `router`."""

from fastapi import APIRouter

from saltapi.netapi.rest_asgi.v1 import (
    audit,
    batches,
    check,
    event_cursors,
    events,
    functions,
    jobs,
    keys,
    login,
    logout,
    minions,
    run,
    tokens,
    whoami,
)

ROUTERS: list[APIRouter] = [
    run.router,
    jobs.router,
    batches.router,
    events.router,
    event_cursors.router,
    whoami.router,
    check.router,
    audit.router,
    minions.router,
    keys.router,
    login.router,
    logout.router,
    functions.router,
    tokens.router,
]
"""In the order in which the OpenAPI document has them."""
