"""Which minions are connected, as far as the process may see."""

import asyncio
import logging
import os
import time

import salt.cache
import salt.utils.minions

from saltapi.bridge.salt_line import SALT_LINE
from saltapi.types import MinionId, Opts

log = logging.getLogger(__name__)

CONNECTED_CACHE_SECONDS = 5.0


class Presence:
    """Tells silent minions that are gone from silent ones that are there."""

    def __init__(self, opts: Opts) -> None:
        self._opts = opts
        self._connected: frozenset[MinionId] = frozenset()
        self._read_at = float("-inf")
        self._lock = asyncio.Lock()

    async def not_connected(self, minions: set[MinionId]) -> set[MinionId]:
        """
        Return those of *minions* that the master has known and that hold no connection to it.

        Follows `LocalClient.get_cli_event_returns`: without the minion data cache, or when no
        connection at all is seen, nobody is called disconnected.
        """
        if not minions or not self._opts.get("minion_data_cache"):
            return set()
        connected = await self.connected()
        gone = minions - connected
        if not connected or not gone:
            return set()
        return await asyncio.to_thread(self._known, gone)

    async def connected(self) -> frozenset[MinionId]:
        """Return the minions that hold a connection to the master, as far as can be seen."""
        async with self._lock:
            if time.monotonic() - self._read_at > CONNECTED_CACHE_SECONDS:
                self._connected = await asyncio.to_thread(self._read_connected)
                self._read_at = time.monotonic()
        return self._connected

    def is_syndic(self, minion: MinionId) -> bool:
        """Return whether *minion* is a syndic, which is never reported as silent."""
        return os.path.exists(os.path.join(self._opts["syndic_dir"], os.path.basename(minion)))

    def _read_connected(self) -> frozenset[MinionId]:
        try:
            return frozenset(salt.utils.minions.CkMinions(self._opts).connected_ids())
        except OSError as error:
            log.info("The connected minions cannot be read: %s", error)
            return frozenset()

    def _known(self, minions: set[MinionId]) -> set[MinionId]:
        cache = salt.cache.factory(self._opts)
        if SALT_LINE >= 3008:
            return {minion for minion in minions if cache.contains("grains", minion)}
        return {minion for minion in minions if cache.contains(f"minions/{minion}", "data")}
