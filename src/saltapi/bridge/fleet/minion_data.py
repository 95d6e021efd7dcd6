"""
What the master has cached of its minions: grains, and on 3007 the pillar beside them.

Read through `salt.cache`, whichever driver keeps it. Grains are large and many, so that of all
minions only what `Summary` has is kept; the rest is read when somebody asks for it.
"""

import asyncio
import copy
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from sys import intern
from typing import Any, NamedTuple, TypeVar

import salt.cache
import salt.utils.data

from saltapi.bridge.salt_line import SALT_LINE
from saltapi.bridge.workers.functions import obstacle_to
from saltapi.types import MinionId, Opts

log = logging.getLogger(__name__)
T = TypeVar("T")

ADDRESSES_LIMIT = 32
"""So many addresses of a minion are looked at."""
TEXT_CHARACTERS = 100


class Summary(NamedTuple):
    """What is kept of each minion's data."""

    os: str | None
    salt_version: str | None
    addresses: tuple[str, ...]
    updated: float | None
    """When the master has written it, in epoch seconds; None where the driver does not say."""


class MinionData:
    """Reads the cache where this process may read the master's files, in a thread of its own."""

    def __init__(self, opts: Opts) -> None:
        """
        Args:
            opts: The master's options; not changed.
        """
        self._opts = opts
        self._cache: Any = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="saltapi-minion-data")

    def readable(self) -> bool:
        """Return whether there is a cache that this process may read; looks at files."""
        return bool(self._opts.get("minion_data_cache")) and obstacle_to(self._opts) is None

    async def summaries(self, minions: Iterable[MinionId] | None) -> dict[MinionId, Summary]:
        """Return what is kept of these minions, or of all; those without data are left out."""

        def read() -> dict[MinionId, Summary]:
            names = self._names() if minions is None else list(minions)
            found = {name: self._summary(name) for name in names}
            return {name: summary for name, summary in found.items() if summary is not None}

        return await self._call(read)

    async def grains(self, minions: Iterable[MinionId]) -> dict[MinionId, dict[str, Any]]:
        """Return all grains of these minions; empty ones where there are none."""
        names = list(minions)
        return await self._call(lambda: {name: self._grains(name) for name in names})

    async def with_grain(
        self, minions: Iterable[MinionId], expression: str, delimiter: str
    ) -> frozenset[MinionId]:
        """Return which minions have a grain like *expression* (`os:Debian`), as targets mean it."""
        names = list(minions)

        def read() -> frozenset[MinionId]:
            match = salt.utils.data.subdict_match
            return frozenset(
                name for name in names if match(self._grains(name), expression, delimiter=delimiter)
            )

        return await self._call(read)

    async def pillar(self, minion: MinionId) -> dict[str, Any] | None:
        """Return the pillar of a minion; None if the master has not cached it."""

        def read() -> dict[str, Any] | None:
            if "/" in minion or minion in {"", ".", ".."}:
                return None
            try:
                place = ("pillar", minion) if SALT_LINE >= 3008 else self._place(minion)
                found = self._salts().fetch(*place) or {}
            except Exception:
                log.info("The cached pillar of %r cannot be read.", minion, exc_info=True)
                return None
            pillar = found if SALT_LINE >= 3008 else found.get("pillar")
            return dict(pillar) if isinstance(pillar, Mapping) and pillar else None

        return await self._call(read)

    def close(self) -> None:
        """Give the thread back; idempotent."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _call(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def _salts(self) -> Any:
        if self._cache is None:
            self._cache = salt.cache.factory(copy.deepcopy(self._opts))
        return self._cache

    def _names(self) -> list[MinionId]:
        try:
            found = self._salts().list("grains" if SALT_LINE >= 3008 else "minions") or ()
        except Exception:  # whatever a driver raises
            log.exception("The cached data of minions cannot be listed.")
            return []
        return [str(name) for name in found]

    def _place(self, minion: MinionId) -> tuple[str, str]:
        return ("grains", minion) if SALT_LINE >= 3008 else (f"minions/{minion}", "data")

    def _grains(self, minion: MinionId) -> dict[str, Any]:
        if "/" in minion or minion in {"", ".", ".."}:
            return {}
        try:
            found = self._salts().fetch(*self._place(minion)) or {}
        except Exception:
            log.info("The cached data of %r cannot be read.", minion, exc_info=True)
            return {}
        grains = found if SALT_LINE >= 3008 else found.get("grains")
        return dict(grains) if isinstance(grains, Mapping) else {}

    def _summary(self, minion: MinionId) -> Summary | None:
        grains = self._grains(minion)
        if not grains:
            return None
        try:
            updated = self._salts().updated(*self._place(minion))
        except Exception:  # noqa: BLE001 - a driver that does not know
            updated = None
        listed = [grains.get(key) for key in ("ipv4", "ipv6")]
        addresses = [
            intern(text)
            for texts in listed
            if isinstance(texts, list)
            for text in texts
            if isinstance(text, str)
        ]
        return Summary(
            _text(grains.get("os")),
            _text(grains.get("saltversion")),
            tuple(addresses[:ADDRESSES_LIMIT]),
            float(updated) if isinstance(updated, int | float) else None,
        )


def grain_at(grains: Mapping[str, Any], path: str, delimiter: str = ":") -> Any:
    """Return the grain at *path* (`ip4_interfaces:eth0`); None if there is none."""
    return salt.utils.data.traverse_dict_and_list(dict(grains), path, None, delimiter=delimiter)


def _text(value: Any) -> str | None:
    return intern(str(value)[:TEXT_CHARACTERS]) if value else None
