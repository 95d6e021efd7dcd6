"""
The master's job cache, read in this process where it may read the master's files.

The same functions of the same returner as in `salt.runners.jobs`; who may see what is decided
by the caller.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import salt.loader

from saltapi.bridge.workers.functions import obstacle_to
from saltapi.types import Jid, Opts

log = logging.getLogger(__name__)
T = TypeVar("T")

TIME_DIGITS = 20
"""What of a jid is the time; with `unique_jid` the id of a process follows."""
LISTING_SECONDS = 2.0
"""How long a listing of the whole cache may be repeated."""


class JobCache:
    """Reads jobs by the returner that `ext_job_cache`, else `master_job_cache`, names."""

    def __init__(self, opts: Opts) -> None:
        self._opts = opts
        self.name = str(opts.get("ext_job_cache") or opts.get("master_job_cache") or "local_cache")
        self._returners: Any = None
        self._listing: tuple[float, dict[Jid, dict[str, Any]]] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="saltapi-job-cache")
        self._readable: bool | None = None

    @property
    def readable(self) -> bool:
        """Whether this process may read what the master keeps."""
        if self._readable is None:
            self._readable = obstacle_to(self._opts) is None
        return self._readable

    @property
    def is_files(self) -> bool:
        """Whether it is the master's own, of files."""
        return self.name == "local_cache"

    async def has(self, jid: Jid) -> bool:
        """Return whether there is a job of this id, with its suffix or without, as far as seen."""
        if not self.readable:
            return False
        return any([await self.load(each) for each in {jid, jid[:TIME_DIGITS]}])

    async def load(self, jid: Jid) -> dict[str, Any]:
        """Return the load of a job, with `Minions`; empty if there is none."""
        found = await self._call(lambda: self._function("get_load")(jid))
        return dict(found) if isinstance(found, Mapping) else {}

    async def returns(self, jid: Jid) -> dict[str, Any]:
        """Return what the minions of a job returned: `{minion: {"return": …, …}}`."""
        found = await self._call(lambda: self._function("get_jid")(jid))
        return dict(found) if isinstance(found, Mapping) else {}

    async def listing(self) -> dict[Jid, dict[str, Any]]:
        """Return all jobs as `jobs.list_jobs` shows them."""
        if self._listing is None or time.monotonic() - self._listing[0] > LISTING_SECONDS:
            found = await self._call(lambda: self._function("get_jids")())
            self._listing = (time.monotonic(), dict(found) if isinstance(found, Mapping) else {})
        return self._listing[1]

    def close(self) -> None:
        """Give the thread back; idempotent."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _function(self, name: str) -> Callable[..., Any]:
        if self._returners is None:
            opts = {"grains": {}, **self._opts}
            self._returners = salt.loader.returners(opts, salt.loader.minion_mods(opts))
        function: Callable[..., Any] = self._returners[f"{self.name}.{name}"]
        return function

    async def _call(self, function: Callable[[], T]) -> T | None:
        def in_thread() -> T | None:
            try:
                return function()
            except Exception:
                log.exception("The job cache cannot be read.")
                return None

        return await asyncio.get_running_loop().run_in_executor(self._thread, in_thread)
