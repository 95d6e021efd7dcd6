"""Whether this process can serve: the master, its event bus, the function workers."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.errors import SaltApiError

KEPT_SECONDS = 2.0
"""How long an answer of the master is repeated: probes come from several places."""
PING_TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. What is not `required` may fail while others serve."""

    ok: bool
    detail: dict[str, Any]
    required: bool = True


class Health:
    """Looks after one engine."""

    def __init__(self, client: AsyncAPIClient) -> None:
        self._client = client
        self._ping: asyncio.Task[bool] | None = None
        self._pinged_at = 0.0
        self.stopping = False
        """Set by whoever stops the service: no new requests are to come."""

    async def checks(self) -> dict[str, Check]:
        """Return what was looked at, by name, within `PING_TIMEOUT_SECONDS`."""
        bus, functions = self._client.bus, self._client.functions
        lane = {"workers": functions.workers, "used": functions.usable}
        age = {"age_seconds": round(bus.age_seconds, 3)}
        return {
            "service": Check(not self.stopping, {"stopping": self.stopping}),
            "master": Check(await self._master_answers(), {}),
            "event_bus": Check(bus.connected, age),
            "function_workers": Check(not functions.failing, lane, required=False),
        }

    def close(self) -> None:
        """Stop asking the master; idempotent."""
        if self._ping is not None:
            self._ping.cancel()

    async def _master_answers(self) -> bool:
        if self._ping is None or (
            self._ping.done() and time.monotonic() - self._pinged_at >= KEPT_SECONDS
        ):
            self._ping = asyncio.create_task(self._ask())
        return await asyncio.shield(self._ping)

    async def _ask(self) -> bool:
        try:
            async with asyncio.timeout(PING_TIMEOUT_SECONDS):
                if self._client.channels.all_in_use:  # a ping would wait behind real work
                    return await self._client.channels.master_listens()
                await self._client.master.ping()
        except (SaltApiError, TimeoutError):
            return False
        finally:
            self._pinged_at = time.monotonic()
        return True


def is_ready(checks: dict[str, Check]) -> bool:
    """Return whether everything that is required is well."""
    return all(check.ok for check in checks.values() if check.required)
