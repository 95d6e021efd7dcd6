"""
Brings the index of the job cache up to date with `salt.returners.local_cache`, in bounded steps.

A job is a directory named by the hash of its jid, in one of 256 directories whose time of change
tells whether jobs have come or gone. Of a job that is there, only the load can change, and hardly
ever does (a command in batches writes its jid's load again): the newest loads are looked at each
time, the others in turn.
"""

import hashlib
import logging
import os
import time
from collections.abc import Iterator

import salt.payload
import salt.utils.jid

from saltapi.bridge.worker.job_index import JobIndex, Load
from saltapi.types import Jid, Opts

log = logging.getLogger(__name__)

LOAD_FILE = ".load.p"
LOADS_PER_STEP = 50
"""So many files are read in one step; 100 names in a directory count as one."""
NEWEST_JOBS = 500
"""So many loads are looked at each time, the newest."""
JOBS_IN_TURN = 250
"""So many of the others."""
PENDING_JOBS = 250
"""So many jobs that have no load yet."""
SETTLED_SECONDS = 0.1
"""A directory that changed later than this before it was listed may have changed again since."""
LOOK_AGAIN_SECONDS = 1.0
"""How often what is known is looked at again, at most."""
KEY_DIGITS = 15
"""What of a hash is the key: numbers of 60 bits."""


class JobScan:
    """Looks through the job cache of a master."""

    def __init__(self, index: JobIndex, opts: Opts) -> None:
        """
        Args:
            index: What is brought up to date.
            opts: The master's options.
        """
        self.index = index
        self.root = os.path.join(opts["cachedir"], "jobs")
        self._hash_type = opts["hash_type"]
        self._listed: set[str] = set()
        """What of the directories that have just changed was listed in this round of steps."""
        self._look_again_at = 0.0
        self._turn = 0
        self._tops_in_turn: Iterator[str] = iter(())

    def step(self) -> bool:
        """Take some of what is new; return whether all of it is known now."""
        versions = self._versions()
        with self.index.changing(self._source()):
            known = self.index.tops()
            for name in known.keys() - versions.keys():
                self.index.remove(self.index.keys(*_range(name)))
                self.index.remove_top(name)
            left = LOADS_PER_STEP
            for name, version in versions.items():
                if name in self._listed or known.get(name) == version != 0:
                    continue
                left = self._take(name, version, left)
                if left <= 0:
                    return False
            self._look_again(versions)
            if not self.index.complete:
                self.index.note("complete", "1")
        self._listed.clear()
        return True

    def read(self, jid: Jid) -> Load | None:
        """Return the load of a job, as the index has it; None if there is none."""
        return _read(os.path.join(self.root, self._path(jid)))[1]

    def _versions(self) -> dict[str, int]:
        """Return the directories of jobs, each with the time of its last change; 0 if just now."""
        latest = time.time() - SETTLED_SECONDS
        versions = {}
        for name in _names(self.root):
            if len(name) == 2 and _is_hex(name):
                try:
                    status = os.stat(os.path.join(self.root, name))
                except OSError:
                    continue
                versions[name] = status.st_mtime_ns if status.st_mtime < latest else 0
        return versions

    def _source(self) -> str:
        try:
            status = os.stat(self.root)
        except FileNotFoundError:
            return f"{self.root} {self._hash_type}"
        return f"{self.root} {self._hash_type} {status.st_dev} {status.st_ino}"

    def _take(self, top: str, version: int, left: int) -> int:
        """Take the jobs of a directory; return how much of *left* is left, 0 or less to go on."""
        names = {
            key: name
            for name in _names(os.path.join(self.root, top))
            if (key := _key(top + name)) is not None
        }
        left -= 1 + len(names) // 100
        known = self.index.keys(*_range(top))
        self.index.remove(known - names.keys())
        for key in names.keys() - known:
            if left <= 0:
                return left
            left -= 1
            self._put(key, os.path.join(top, names[key]))
        self.index.top(top, version)
        self._listed.add(top)
        return left

    def _put(self, key: int, path: str) -> None:
        version, load = _read(os.path.join(self.root, path))
        if version is None or load is None or self._path(load["jid"]) != path:
            self.index.pend(key, path, version)
        else:
            self.index.put(key, load["jid"], version, load)

    def _look_again(self, versions: dict[str, int]) -> None:
        """Look at what the times of the directories do not tell."""
        for key, path, version in self.index.pending(PENDING_JOBS):
            if version != _version(os.path.join(self.root, path)):
                self._put(key, path)
        if time.monotonic() < self._look_again_at:
            return
        self._look_again_at = time.monotonic() + LOOK_AGAIN_SECONDS
        in_turn = self.index.after(self._turn, JOBS_IN_TURN)
        self._turn = in_turn[-1][0] if in_turn else 0
        for key, jid, known in {*self.index.newest(NEWEST_JOBS), *in_turn}:
            path = self._path(jid)
            if known != _version(os.path.join(self.root, path)):
                self._put(key, path)
        top = next(self._tops_in_turn, None)
        if top is None:
            self._tops_in_turn = iter(sorted(versions))
        elif top in versions:  # it is listed next time
            self.index.forget_pending(*_range(top))
            self.index.top(top, 0)

    def _path(self, jid: Jid) -> str:
        return str(salt.utils.jid.jid_dir(jid, None, self._hash_type))


def _read(directory: str) -> tuple[int | None, Load | None]:
    """Return version and load of a job, without what it has returned; None for what it has not."""
    version = _version(directory)
    if version is None:
        return None, None
    try:
        with open(os.path.join(directory, LOAD_FILE), "rb") as file:
            load = salt.payload.loads(file.read())
        jid = str(load["jid"])
    except Exception:
        log.exception("The job cache has a load that cannot be read: %s", directory)
        return version, None
    return version, {"jid": jid, **{k: v for k, v in load.items() if k not in {"jid", "return"}}}


def _version(directory: str) -> int | None:
    """Return a number that differs for another load; None if there is none."""
    try:
        status = os.stat(os.path.join(directory, LOAD_FILE))
    except OSError:
        return None
    return (status.st_mtime_ns ^ status.st_ino << 20 ^ status.st_size) & 0x7FFF_FFFF_FFFF_FFFF


def key_of(jid: Jid) -> int:
    """Return the key of a job that has no directory."""
    return int(hashlib.sha256(jid.encode("utf-8", "replace")).hexdigest()[:KEY_DIGITS], 16)


def _key(path: str) -> int | None:
    """Return the key of a job; None for what is no job's directory."""
    digits = path[:KEY_DIGITS]
    return int(digits, 16) if len(digits) == KEY_DIGITS and _is_hex(digits) else None


def _range(top: str) -> tuple[int, int]:
    missing = KEY_DIGITS - len(top)
    return int(top + "0" * missing, 16), int(top + "f" * missing, 16)


def _is_hex(text: str) -> bool:
    return all(character in "0123456789abcdef" for character in text)


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):  # it has just expired
        return []
