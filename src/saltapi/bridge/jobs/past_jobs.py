"""
The jobs of the job cache, the newest first, from an index that is kept up to date meanwhile.

Where the job cache is files, the index learns what is new from them (`bridge.worker.job_scan`). Any
other returner can only list all of its jobs: it is asked when somebody wants to know, and not again
before it has rested.
"""

import asyncio
import contextlib
import logging
import sqlite3
import time
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from saltapi import seldom
from saltapi.bridge.jobs.job_cache import JobCache
from saltapi.bridge.worker.job_index import JobIndex, Load, Part, Search
from saltapi.bridge.worker.job_loads import index_path
from saltapi.bridge.worker.job_scan import JobScan, key_of
from saltapi.bridge.workers.process import WorkerProcess
from saltapi.errors import JobCacheUnavailable, SaltApiError
from saltapi.types import Jid, Opts

log = logging.getLogger(__name__)
T = TypeVar("T")

INTERVAL_SECONDS = 10.0
"""How often files are looked for that nobody has asked for."""
FRESH_SECONDS = 2.0
"""How old what is known may be when somebody asks."""
WAIT_SECONDS = 0.03
"""How long who asks waits for what is new; jobs of late are known from the bus anyway."""
FIRST_WAIT_SECONDS = 2.0
"""How long the first one waits after the start; what the index has by then is the answer."""
REST_FACTOR = 10
"""For so many times as long as its list took, a returner is not asked for it again."""
CHANGES_PER_STEP = 200
STEPS_HERE = 5
"""So many steps are taken in this process; Python would hold up its loop by many more."""
WORK_SECONDS = 1.0
"""For so long the other process works until it says how far it is."""
WORKER_TIMEOUT_SECONDS = 60.0
WORKER_MIB = 512


class PastJobs:
    """Looks up jobs in the index, which it keeps up to date from `start` to `close`."""

    def __init__(self, opts: Opts, cache: JobCache) -> None:
        """
        Args:
            opts: The master's options.
            cache: The job cache.
        """
        self._opts = opts
        self._cache = cache
        self._index = JobIndex(index_path(opts))
        self._scan = JobScan(self._index, opts)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="saltapi-job-index")
        self._searched = JobIndex(index_path(opts))
        """The same file for who asks, in a thread that no change of it keeps."""
        self._searching = ThreadPoolExecutor(max_workers=1, thread_name_prefix="saltapi-job-search")
        self._first_until = 0.0
        self._task: asyncio.Task[None] | None = None
        self._asked = asyncio.Event()
        self._done = asyncio.Event()
        self._done_at = float("-inf")
        self.partial = True
        """Whether jobs may be missing: the index is only being made, leaves out the oldest, or
        cannot be used."""

    def start(self) -> None:
        """Begin to keep up with the job cache; idempotent."""
        if self._task is None and self._cache.readable:
            self._first_until = time.monotonic() + FIRST_WAIT_SECONDS
            self._task = asyncio.create_task(self._keep_up())

    async def close(self) -> None:
        """Let go of the index; idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        with contextlib.suppress(RuntimeError):  # the threads are gone
            await self._in_thread(self._index.close)
            await self._in_thread(self._searched.close, self._searching)
        self._thread.shutdown(wait=False)
        self._searching.shutdown(wait=False)

    async def search(self, wanted: Search, before: Jid | None) -> Part:
        """
        Return some jobs older than *before* that may be wanted; none if the index cannot be used.

        Loads that are not in the index are read from the job cache.
        """
        await self._be_fresh()
        try:
            part = await self._in_thread(
                lambda: self._searched.search(wanted, before), self._searching
            )
        except (sqlite3.Error, OSError) as error:
            self._failed(error)
            return Part({}, None)
        jobs: dict[Jid, Load | None] = dict(part.jobs)
        for jid in [jid for jid, load in jobs.items() if load is None]:
            try:
                jobs[jid] = await self._cache.load(jid)
            except JobCacheUnavailable:
                self.partial = True
                break
        return Part({jid: load for jid, load in jobs.items() if load}, part.last)

    async def until_whole(self, seconds: float) -> None:
        """Return when no jobs are missing, or after *seconds*: the oldest may be left out."""
        self.start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.partial and self._task is not None:
                    self._done.clear()
                    self._asked.set()
                    await self._done.wait()

    async def _be_fresh(self) -> None:
        """Wait a moment for what is new, unless that was just looked for."""
        self.start()
        if self._task is None or time.monotonic() - self._done_at < FRESH_SECONDS:
            return
        self._done.clear()
        self._asked.set()
        first = self._first_until - time.monotonic() if self.partial else 0.0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(first, WAIT_SECONDS)):
                await self._done.wait()

    async def _keep_up(self) -> None:
        is_files, warm = self._cache.is_files, not self._cache.is_files
        while True:
            self._asked.clear()
            began = time.monotonic()
            try:
                await (self._take_files() if is_files else self._take_list())
                self.partial = await self._in_thread(self._is_partial)
                rest_seconds = REST_FACTOR * (time.monotonic() - began)
            except (sqlite3.Error, OSError, SaltApiError) as error:
                if not _is_busy(error):
                    self._failed(error)
                rest_seconds = FRESH_SECONDS
            self._done_at = time.monotonic()
            self._done.set()
            if not is_files:
                await asyncio.sleep(rest_seconds)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL_SECONDS if is_files else None):
                    await self._asked.wait()
            if not warm:  # Salt's modules are loaded before somebody waits for a job to be read
                warm = True
                with contextlib.suppress(JobCacheUnavailable):
                    await self._cache.probe()

    async def _take_files(self) -> None:
        """Take what is new among the files: a little of it here, much in another process."""
        for _ in range(STEPS_HERE):
            if await self._in_thread(self._scan.step):
                return
        worker = await WorkerProcess.start("jobs", self._opts, memory_limit_mib=WORKER_MIB)
        try:
            question, done = {"seconds": WORK_SECONDS}, False
            while not done:
                answer = await worker.ask(question, timeout_seconds=WORKER_TIMEOUT_SECONDS)
                done = answer["done"]
        finally:
            await worker.stop()

    async def _take_list(self) -> None:
        """Take what has changed in the list of all jobs, in steps."""
        listed = await self._cache.listing()
        source = f"returner {self._cache.name}"
        known = await self._in_thread(lambda: self._known(source))
        changes = ((jid, load) for jid, load in listed.items() if known.get(jid) != _version(load))
        while some := list(islice(changes, CHANGES_PER_STEP)):
            await self._in_thread(partial(self._put, source, some))
        gone = iter(known.keys() - listed.keys())
        while others := list(islice(gone, CHANGES_PER_STEP)):
            await self._in_thread(partial(self._remove, source, others))
        await self._in_thread(lambda: self._complete(source))

    def _known(self, source: str) -> dict[Jid, int]:
        with self._index.changing(source):
            return self._index.versions()

    def _put(self, source: str, some: list[tuple[Jid, Load]]) -> None:
        with self._index.changing(source):
            for jid, load in some:
                self._index.put(key_of(jid), jid, _version(load), load)

    def _remove(self, source: str, jids: list[Jid]) -> None:
        with self._index.changing(source):
            self._index.remove(map(key_of, jids))

    def _complete(self, source: str) -> None:
        with self._index.changing(source):
            self._index.note("complete", "1")

    def _is_partial(self) -> bool:
        return not self._index.complete or self._index.omits

    def _failed(self, error: Exception) -> None:
        self.partial = True
        seldom.warning(log, "job_index", "The index of the job cache cannot be used: %s", error)

    async def _in_thread(
        self, function: Callable[[], T], thread: ThreadPoolExecutor | None = None
    ) -> T:
        return await asyncio.get_running_loop().run_in_executor(thread or self._thread, function)


def _is_busy(error: Exception) -> bool:
    """Return whether all that is wrong is that another process changes the index."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _version(load: Mapping[str, Any]) -> int:
    """Return a number that differs for another entry of a list."""
    return zlib.crc32(repr(load).encode("utf-8", "replace"))
