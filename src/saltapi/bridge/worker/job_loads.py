"""
The loads in the master's job cache (`salt.returners.local_cache`), each read from its file once.

Salt opens every one of them for each list of jobs. A runner's load holds what the runner returned
as well, so that lists of jobs grow with the lists that were made before.
"""

import logging
import os
import pickle
from collections.abc import Iterator
from typing import Any, TypeAlias

import salt.payload

log = logging.getLogger("saltapi.worker")

LOAD_FILE = ".load.p"
LIMIT_BYTES = 16 * 1024 * 1024
_Version: TypeAlias = tuple[int, int, int]


def remember(returners: Any) -> None:
    """Let `local_cache` of *returners* (a loader) read no load twice."""
    if "local_cache.get_jids" in returners:
        returners["local_cache.get_jids"].__globals__["_walk_through"] = JobLoads()


class JobLoads:
    """Walks through a job cache as `_walk_through` of Salt's `local_cache` does."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        """
        Args:
            limit_bytes: How much of what was read is kept; the rest is read again next time.
        """
        self._limit_bytes = limit_bytes
        self._kept: dict[str, tuple[_Version, bytes]] = {}

    def __call__(self, job_dir: str) -> Iterator[tuple[str, dict[str, Any], str, str]]:
        """
        Yield `(jid, load, directory, name in it)` of each job under *job_dir*.

        The load comes without `return`, which no list of jobs shows.
        """
        kept: dict[str, tuple[_Version, bytes]] = {}
        kept_bytes = 0
        for top in _names(job_dir):
            directory = os.path.join(job_dir, top)
            for final in _names(directory):
                path = os.path.join(directory, final, LOAD_FILE)
                found = self._read(path)
                if found is None:
                    continue
                if kept_bytes + len(found[1]) <= self._limit_bytes:
                    kept[path] = found
                    kept_bytes += len(found[1])
                load = pickle.loads(found[1])  # noqa: S301 - our own
                yield load["jid"], load, directory, final
        self._kept = kept

    def _read(self, path: str) -> tuple[_Version, bytes] | None:
        """Return the version and the pickled load of a file; None if it has none."""
        try:
            status = os.stat(path)
            version = status.st_ino, status.st_mtime_ns, status.st_size
            known = self._kept.get(path)
            if known is not None and known[0] == version:
                return known
            with open(path, "rb") as file:
                data = file.read()
        except OSError:  # it is not there, or has just expired
            return None
        try:
            load = salt.payload.loads(data)
            return version, pickle.dumps({"jid": load["jid"], **_without_return(load)})
        except Exception:
            log.exception("The job cache has a load that cannot be read: %s", path)
            return None


def _without_return(load: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in load.items() if key != "return"}


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):  # the job has just expired
        return []
