"""The URLs of rest_cherrypy (0.8.4, "REST URI Reference", and Salt's own module), on ASGI."""

from collections.abc import Iterable

from fastapi import APIRouter

from saltapi.config import RestAsgiConfig
from saltapi.netapi.rest_asgi.classic import (
    commands,
    files,
    hooks,
    listening,
    lookups,
    sessions,
    stats,
)
from saltapi.netapi.rest_asgi.classic.route import Operation


def add_routes(router: APIRouter, section: RestAsgiConfig) -> None:
    """Let *router* answer these URLs, as the options want them."""
    prefix = section.root_prefix.rstrip("/")
    for path, operations in urls(section).items():
        for operation in operations:
            taken = {other.method for other in operations if other.below == operation.below}
            operation.add_to(router, prefix + path.rstrip("/"), ", ".join(allowed_methods(taken)))
        if operations is listening.WEBSOCKET:
            for below in ("", "/{token:segment}"):
                router.add_api_websocket_route(prefix + path + below, listening.websocket)


METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE")


def allowed_methods(declared: Iterable[str]) -> list[str]:
    """Return the methods that a URL takes whose routes declare these; HEAD goes with GET."""
    found = {*declared, "OPTIONS"}
    return [name for name in METHODS if name in found or (name == "HEAD" and "GET" in found)]


def urls(section: RestAsgiConfig) -> dict[str, list[Operation]]:
    """Return what there is by URL path: `/` first, and what is below another path before that."""
    found = {
        "/run": commands.RUN,
        "/token": sessions.TOKEN,
        "/keys": lookups.KEYS,
        "/events": listening.EVENTS,
        "/ws": listening.WEBSOCKET,
        "/stats": stats.STATS,
        "/favicon.ico": files.FAVICON,
        section.app_path: files.APP,
        section.webhook_url: hooks.HOOK,
    }
    if section.static:
        found[section.static_path] = files.STATIC
    if section.enable_sessions:
        found |= {
            "/login": sessions.LOGIN,
            "/logout": sessions.LOGOUT,
            "/minions": lookups.MINIONS,
            "/jobs": lookups.JOBS,
        }
    found.pop("/", None)
    deepest_first = sorted(found, key=lambda path: -path.count("/"))
    return {"/": commands.ROOT, **{path: found[path] for path in deepest_first}}
