"""
The last highstates of minions, beyond the life of a process.

What the bus shows of them is kept in a file of this machine, gathered, and is there again after a
restart. What ran while nobody listened, or before there was a file, is read from the job cache: the
newest jobs only, in the background.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from typing import Any, TypeAlias

import msgpack

from saltapi.bridge.bus.job_starts import jid_at, time_of
from saltapi.bridge.jobs import job_events
from saltapi.bridge.jobs.job_cache import JobCache
from saltapi.bridge.jobs.past_jobs import PastJobs
from saltapi.bridge.jobs.state_results import Counts, counts_of
from saltapi.bridge.worker.job_index import Load, Search
from saltapi.engine.fleet.minion import LastHighstate, LastJob, is_highstate, is_test
from saltapi.engine.fleet.registry import MinionRegistry
from saltapi.engine.jobs.loads import facts_of, is_of_master
from saltapi.engine.store.sqlite import SqliteStore
from saltapi.engine.store.store import ALL_ITEMS
from saltapi.errors import JobCacheUnavailable, StoreUnavailable
from saltapi.types import Jid, MinionId

log = logging.getLogger(__name__)

KIND = "highstate"
KEEP_SECONDS = 180 * 86_400.0
"""For so long the last highstate of a minion is known."""
GATHER_SECONDS = 1.0
"""How long highstates are gathered before they are written together."""
LOOK_BACK_SECONDS = 7 * 86_400.0
"""How far the job cache is looked through where nothing was kept."""
OVERLAP_SECONDS = 3_600.0
"""How far where something was: who returns late returns to an earlier job."""
JOBS_LIMIT = 500
"""So many highstates are read from it, the newest."""
INDEX_SECONDS = 120.0
"""How long the index of the job cache is waited for."""
RETURNS_AT_ONCE = 100
"""So many returns are looked at before others have their turn."""

Found: TypeAlias = dict[MinionId, LastHighstate]


class Highstates:
    """Keeps the last highstates of a registry, and gives it those of before."""

    def __init__(
        self,
        registry: MinionRegistry,
        store: SqliteStore,
        past_jobs: PastJobs,
        cache: JobCache,
    ) -> None:
        """
        Args:
            registry: Learns of highstates from the bus.
            store: What all processes of this machine share.
            past_jobs: Finds jobs in the job cache.
            cache: The job cache.
        """
        self._registry = registry
        self._store = store
        self._past_jobs = past_jobs
        self._cache = cache
        self._gathered: dict[MinionId, LastHighstate | None] = {}
        self._writing: asyncio.Task[None] | None = None
        self._recalling: asyncio.Task[None] | None = None
        registry.on_highstate = self._note

    def start(self) -> None:
        """Begin to bring back what was known; idempotent."""
        if self._recalling is None:
            self._recalling = asyncio.create_task(self.recall(), name="saltapi-highstates")

    async def close(self) -> None:
        """Write what is gathered; idempotent."""
        tasks = [task for task in (self._recalling, self._writing) if task is not None]
        self._recalling = self._writing = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._write()

    async def recall(self) -> None:
        """Give the registry what was kept, and then what the job cache has since."""
        try:
            kept = {
                minion: _unpacked(value)
                for minion, value in (await self._store.items(KIND, limit=ALL_ITEMS)).items()
            }
        except StoreUnavailable:  # which has been logged
            kept = {}
        self._registry.recall(kept)
        now = time.time()
        latest = min(max((found.job.at for found in kept.values()), default=0.0), now)
        since = max(latest - OVERLAP_SECONDS, now - LOOK_BACK_SECONDS)
        try:
            if self._cache.readable:
                await self._catch_up(jid_at(since))
        except JobCacheUnavailable as error:
            log.warning("Not all last highstates are known: %s", error)

    async def _catch_up(self, since: Jid) -> None:
        """Take highstates from the job cache, the newest first."""
        await self._past_jobs.until_whole(INDEX_SECONDS)
        wanted = Search(fun="state.*", since=since)
        before: Jid | None = None
        read = 0
        while read < JOBS_LIMIT:
            part = await self._past_jobs.search(wanted, before)
            for jid, load in part.jobs.items():
                if load and _is_highstate(load) and read < JOBS_LIMIT:
                    read += 1
                    await self._take(jid)
            if part.last is None:
                return
            before = part.last

    async def _take(self, jid: Jid) -> None:
        load = await self._cache.load(jid)  # the index does not tell who has written it
        returns = await self._cache.returns(jid)
        found: Found = {}
        for number, (minion, data) in enumerate(returns.items(), 1):
            if isinstance(data, Mapping) and "return" in data:
                found[minion] = _of_return(jid, load, data)
            if number % RETURNS_AT_ONCE == 0:
                await asyncio.sleep(0)
        for minion in self._registry.recall(found):
            self._note(minion, found[minion])

    def _note(self, minion: MinionId, found: LastHighstate | None) -> None:
        self._gathered[minion] = found
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_soon(), name="saltapi-highstates-kept")

    async def _write_soon(self) -> None:
        while self._gathered:
            await asyncio.sleep(GATHER_SECONDS)
            await self._write()

    async def _write(self) -> None:
        """Write what is gathered; what cannot be written is known to this process alone."""
        written = dict(self._gathered)
        if not written:
            return
        values = {
            minion: None if found is None else _packed(found) for minion, found in written.items()
        }
        with contextlib.suppress(StoreUnavailable):  # which has been logged
            await self._store.put_all(KIND, values, expire=time.time() + KEEP_SECONDS)
        for minion, found in written.items():
            if self._gathered.get(minion) is found:
                self._gathered.pop(minion, None)


def _is_highstate(load: Load) -> bool:
    facts = facts_of(load)
    return is_highstate(facts["fun"], _arguments(facts))


def _arguments(facts: Mapping[str, Any]) -> Any:
    """Return the arguments of a job; of one that a minion began, they are those of its return."""
    return facts["arg"] if facts["arg"] is not None else facts["fun_args"]


def _of_return(jid: Jid, load: Load, data: Mapping[str, Any]) -> LastHighstate:
    facts = facts_of(load)
    fun, user = str(facts["fun"]), facts["user"]
    job = LastJob(
        jid,
        (fun,),
        fun,
        user if isinstance(user, str) and is_of_master(load) else None,
        job_events.has_failed(data),
        time_of(jid) or time.time(),
    )
    return LastHighstate(job, counts_of(data["return"]), is_test(_arguments(facts)))


def _packed(found: LastHighstate) -> bytes:
    job, counts = found.job, found.counts
    fields = (job.jid, job.funs, job.fun, job.user, job.failed, job.at)
    return bytes(msgpack.packb([*fields, counts and counts.plain(), found.test]))


def _unpacked(value: bytes) -> LastHighstate:
    jid, funs, fun, user, failed, at, counts, test = msgpack.unpackb(value)
    job = LastJob(jid, tuple(funs), fun, user, failed, at)
    return LastHighstate(job, None if counts is None else Counts(**counts), test)
