"""
Lists of the jobs in `salt.returners.local_cache`, from the index in place of the files.

Salt opens every job's file for each list of jobs. A runner's load holds what the runner returned as
well, so that lists of jobs grow with the lists that were made before.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from saltapi.bridge.worker.job_index import FILE, JobIndex
from saltapi.bridge.worker.job_scan import JobScan
from saltapi.types import Opts

log = logging.getLogger("saltapi.worker")

Found: TypeAlias = tuple[str, dict[str, Any], str, str]
Walk: TypeAlias = Callable[[str], Iterator[Found]]


def remember(returners: Any, opts: Opts) -> None:
    """Let `local_cache` of *returners* (a loader) find the jobs by the index."""
    if "local_cache.get_jids" in returners:
        known = returners["local_cache.get_jids"].__globals__
        if not isinstance(known["_walk_through"], JobLoads):
            known["_walk_through"] = JobLoads(opts, known["_walk_through"])


def index_path(opts: Opts) -> Path:
    """Return where the index of a master's job cache is."""
    return Path(opts["cachedir"], "saltapi", FILE)


class JobLoads:
    """Walks through a job cache as `_walk_through` of Salt's `local_cache` does."""

    def __init__(self, opts: Opts, salts: Walk) -> None:
        """
        Args:
            opts: The master's options.
            salts: What does it where the index does not know all jobs.
        """
        self._scan = JobScan(JobIndex(index_path(opts)), opts)
        self._salts = salts

    def __call__(self, job_dir: str) -> Iterator[Found]:
        """
        Yield `(jid, load, "", "")` of each job under *job_dir*.

        The load comes without `return`, which no list of jobs shows. Where Salt has the directory
        and the name in it, nothing stands: no list of jobs asks for them.
        """
        found = self._found() if job_dir == self._scan.root else None
        if found is None:
            yield from self._salts(job_dir)
        else:
            yield from found

    def _found(self) -> list[Found] | None:
        index = self._scan.index
        try:
            while not self._scan.step():
                pass
            if index.omits:
                return None
            jobs = [
                (jid, self._scan.read(jid) if load is None else load) for jid, load in index.loads()
            ]
        except (sqlite3.Error, OSError) as error:
            log.warning("The index of the job cache cannot be used: %s", error)
            return None
        return [(jid, load, "", "") for jid, load in jobs if load is not None]
