"""What `/livez`, `/readyz` and `/metrics` answer, whichever module has them."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from saltapi.engine.engine import Engine
from saltapi.engine.monitoring.health import is_ready
from saltapi.engine.sessions.addresses import address_allowed

Answer: TypeAlias = tuple[int, dict[str, Any]]
"""Status and value."""
Probe: TypeAlias = Callable[[Engine[Any]], Coroutine[Any, Any, Answer]]


async def livez(_engine: Engine[Any]) -> Answer:
    """Return status and value of `/livez`: this loop turns."""
    return 200, {"alive": True}


async def readyz(engine: Engine[Any]) -> Answer:
    """Return status and value of `/readyz`: 503 while requests should go elsewhere."""
    checks = await engine.health.checks()
    ready = is_ready(checks)
    shown = {
        name: {"ok": check.ok, "required": check.required, "details": check.detail}
        for name, check in checks.items()
    }
    return 200 if ready else 503, {"ready": ready, "checks": shown}


async def metrics_text(engine: Engine[Any], token: str, peer: str) -> bytes:
    """
    Return what `/metrics` says, of all processes of the module, in Prometheus' text format.

    Args:
        engine: What all requests share.
        token: The session token; "" without one.
        peer: The address that the request comes from.

    Raises:
        AuthenticationFailed: A session is needed, unless the config lets the address in.
        AddressRefused, MasterUnavailable
    """
    section = engine.section
    listed = bool(section.metrics_addresses) and address_allowed(section.metrics_addresses, peer)
    if not (section.metrics_disable_auth or listed):
        await engine.api.identify(token, peer=peer)
    return await engine.shared_metrics.text()


PROBES: dict[str, Probe] = {"/livez": livez, "/readyz": readyz}
"""The URLs that need no session, and whose answer is JSON."""
