"""Whether this process can serve: the master, what Salt keeps things in, the event bus."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.engine.store.idempotency import Idempotency
from saltapi.errors import MasterUnavailable, SaltApiError

KEPT_SECONDS = 2.0
"""How long an answer is repeated: probes come from several places."""
PROBE_TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. What is not `required` may fail while others serve."""

    ok: bool
    detail: dict[str, Any]
    required: bool = True


class Probe:
    """Asks something whether it answers, and repeats what came of it for a moment."""

    def __init__(self, ask: Callable[[], Awaitable[object]], *, loads: bool = False) -> None:
        """
        Args:
            ask: Returns if it answers, raises `SaltApiError` if not.
            loads: Whether asking for the first time loads modules, which may take long.
        """
        self._question = ask
        self._loads = loads
        self._asking: asyncio.Task[bool] | None = None
        self._asked_at = 0.0

    async def ok(self) -> bool:
        """Return whether it answers, within `PROBE_TIMEOUT_SECONDS`."""
        if self._asking is None or (
            self._asking.done() and time.monotonic() - self._asked_at >= KEPT_SECONDS
        ):
            self._asking = asyncio.create_task(self._ask())
        done, _ = await asyncio.wait({self._asking}, timeout=PROBE_TIMEOUT_SECONDS)
        if not done:
            return self._loads
        return self._asking.result()

    def close(self) -> None:
        """Stop asking; idempotent."""
        if self._asking is not None:
            self._asking.cancel()

    async def _ask(self) -> bool:
        try:
            await self._question()
        except SaltApiError:
            return False
        finally:
            self._loads = False
            self._asked_at = time.monotonic()
        return True


class Health:
    """Looks after one engine."""

    def __init__(self, client: AsyncAPIClient, idempotency: Idempotency) -> None:
        """
        Args:
            client: The engine.
            idempotency: Knows whether keys of commands were lost.
        """
        self._client = client
        self._idempotency = idempotency
        self._master = Probe(self._ask_master)
        self._job_cache = Probe(client.job_cache.probe, loads=True)
        self._token_store = Probe(client.token_store.probe, loads=True)
        self.stopping = False
        """Set by whoever stops the service: no new requests are to come."""

    async def checks(self) -> dict[str, Check]:
        """Return what was looked at, by name, within `PROBE_TIMEOUT_SECONDS`."""
        bus, functions = self._client.bus, self._client.functions
        lane = {"workers": functions.workers, "used": functions.usable}
        age = {"age_seconds": round(bus.age_seconds, 3)}
        probes = (self._master, self._job_cache, self._token_store)
        master, job_cache, token_store = await asyncio.gather(*(probe.ok() for probe in probes))
        return {
            "service": Check(not self.stopping, {"stopping": self.stopping}),
            "master": Check(master, {}),
            "event_bus": Check(bus.connected, age),
            "job_cache": Check(job_cache, {}),
            "token_store": Check(token_store, {}),
            "store": Check(await self._store_is_whole(), {}, required=False),
            "function_workers": Check(not functions.failing, lane, required=False),
        }

    def close(self) -> None:
        """Stop asking; idempotent."""
        for probe in (self._master, self._job_cache, self._token_store):
            probe.close()

    async def _store_is_whole(self) -> bool:
        try:
            await self._idempotency.store.look()
        except SaltApiError:
            return False
        return not self._idempotency.lost

    async def _ask_master(self) -> None:
        if not self._client.channels.all_in_use:
            await self._client.master.ping()
        elif not await self._client.channels.master_listens():  # a ping would wait
            raise MasterUnavailable("The Salt master is not available.")


def is_ready(checks: dict[str, Check]) -> bool:
    """Return whether everything that is required is well."""
    return all(check.ok for check in checks.values() if check.required)
