"""
The master's job cache, read in this process where it may read the master's files.

The same functions of the same returner as in `salt.runners.jobs`; who may see what is decided
by the caller.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import salt.loader
import salt.utils.jid

from saltapi.bridge.workers.deadlines import DEADLINE_SECONDS, Deadlines
from saltapi.bridge.workers.functions import obstacle_to
from saltapi.errors import JobCacheUnavailable
from saltapi.types import Jid, MinionId, Opts

TIME_DIGITS = 20
"""What of a jid is the time; with `unique_jid` the id of a process follows."""
NO_JID = "1" * TIME_DIGITS
"""Nobody's."""
LONG_DEADLINE_SECONDS = 30.0
"""How long it may take to read what all minions of a job returned, or all jobs."""
RETURN_FILE = "return.p"
"""What `local_cache` calls it."""
LISTING_SECONDS = 2.0
"""How long a listing of the whole cache may be repeated."""


class JobCache:
    """
    Reads jobs by the returner that `ext_job_cache`, else `master_job_cache`, names.

    Every method raises `JobCacheUnavailable` if the returner fails or does not answer in time.
    """

    def __init__(self, opts: Opts) -> None:
        self._opts = opts
        self.name = str(opts.get("ext_job_cache") or opts.get("master_job_cache") or "local_cache")
        self._listing: tuple[float, dict[Jid, dict[str, Any]]] | None = None
        self.calls = _lane("saltapi-job-cache", self._loaded, DEADLINE_SECONDS)
        self._long_calls = _lane("saltapi-job-cache-all", self._loaded, LONG_DEADLINE_SECONDS)
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
        found = await self._call("get_load", jid)
        return dict(found) if isinstance(found, Mapping) else {}

    async def returns(self, jid: Jid) -> dict[str, Any]:
        """Return what the minions of a job returned: `{minion: {"return": …, …}}`."""
        found = await self._call("get_jid", jid, lane=self._long_calls)
        return dict(found) if isinstance(found, Mapping) else {}

    async def returned_at(self, jid: Jid, minion: MinionId) -> float | None:
        """Return when a minion's return was written; None if there is none. For `is_files`."""

        def look(_returners: Any) -> float | None:
            if not minion or minion != os.path.basename(minion) or minion in {".", ".."}:
                return None
            jobs = os.path.join(self._opts["cachedir"], "jobs")
            directory = salt.utils.jid.jid_dir(jid, jobs, self._opts["hash_type"])
            try:
                return os.stat(os.path.join(directory, minion, RETURN_FILE)).st_mtime
            except (OSError, ValueError):
                return None

        found = await self.calls.call(look)
        return None if found is None else float(found)

    async def listing(self) -> dict[Jid, dict[str, Any]]:
        """Return all jobs as `jobs.list_jobs` shows them."""
        if self._listing is None or time.monotonic() - self._listing[0] > LISTING_SECONDS:
            found = await self._call("get_jids", lane=self._long_calls)
            self._listing = (time.monotonic(), dict(found) if isinstance(found, Mapping) else {})
        return self._listing[1]

    async def probe(self) -> None:
        """Return if the job cache answers."""
        if self.readable:
            await self.load(NO_JID)

    @property
    def hangs(self) -> bool:
        """Whether a call into it does not end."""
        return bool(self.calls.hanging or self._long_calls.hanging)

    @property
    def keeps_returns(self) -> bool:
        """Whether what minions return is kept (`salt.utils.job.store_job`)."""
        return bool(self._opts.get("job_cache", True) or self._opts.get("ext_job_cache"))

    def close(self) -> None:
        """Give the threads back; idempotent."""
        self.calls.close()
        self._long_calls.close()

    def _loaded(self) -> Any:
        opts = {"grains": {}, **self._opts}
        return salt.loader.returners(opts, salt.loader.minion_mods(opts))

    async def _call(self, name: str, *args: Any, lane: Deadlines[Any] | None = None) -> Any:
        lane = lane or self.calls
        return await lane.call(lambda returners: returners[f"{self.name}.{name}"](*args))


def _lane(name: str, make: Callable[[], Any], seconds: float) -> Deadlines[Any]:
    def unavailable() -> JobCacheUnavailable:
        return JobCacheUnavailable("Salt's job cache does not answer. Try again.")

    return Deadlines(name, make, unavailable, seconds=seconds)
