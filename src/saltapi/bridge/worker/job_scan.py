"""
Brings the index of the job cache up to date with `salt.returners.local_cache`, in bounded steps.

A job is a directory named by the hash of its jid, in one of 256 directories whose time of change
tells whether jobs have come or gone. Of a job that is there, the load can change, and hardly ever
does (a command in batches writes its jid's load again), and minions return: the newest jobs are
looked at each time, the others in turn.
"""

import hashlib
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import salt.payload
import salt.utils.jid

from saltapi.bridge.worker import pieces
from saltapi.bridge.worker.job_index import JobIndex, Load
from saltapi.interfaces import FUNCTION_KINDS
from saltapi.types import Jid, MinionId, Opts

log = logging.getLogger(__name__)

LOAD_FILE = ".load.p"
MINIONS_FILE = ".minions.p"
NO_MINIONS = {"jid", "endtime", "nocache"}
"""What else is in the directory of a job (`local_cache`), beside what begins with a dot."""
LOADS_PER_STEP = 200
"""So many jobs are read in one step; 100 names in a directory count as one."""
SMALL_LOAD_BYTES = 16 * 1024
"""Of a larger load what was returned is not even read: lists of jobs have all jobs there."""
NEWEST_JOBS = 500
"""So many jobs are looked at each time, the newest."""
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


@dataclass(frozen=True, slots=True)
class Found:
    """What the directory of a job has."""

    version: int | None
    """Differs when there is something else; None if there is no load."""
    load: Load | None
    """Without what was returned; None if it cannot be read."""
    minions: list[MinionId] | None = None
    """Whom it was published for, and who has returned; None if that is not known."""
    whole: bool = False
    """Whether all of them have returned."""


@dataclass(slots=True)
class Round:
    """How far it was looked at all directories."""

    versions: dict[str, int]
    listed: set[str] = field(default_factory=set)
    """What of the directories that have just changed was listed."""
    top: str = ""
    """The directory that is being taken."""
    names: dict[int, str] = field(default_factory=dict)
    """What is in it, by the keys."""


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
        self._master_id = str(opts.get("id", "master"))
        self._syndics = bool(opts.get("order_masters"))
        self._round: Round | None = None
        self._look_again_at = 0.0
        self._turn = 0
        self._tops_in_turn: Iterator[str] = iter(())

    def step(self) -> bool:
        """Take some of what is new; return whether all of it is known now."""
        if self._round is None:
            self._round = Round(self._versions())
        try:
            done = self._step(self._round)
        except BaseException:
            self._round = None
            raise
        if done:
            self._round = None
        return done

    def _step(self, now: Round) -> bool:
        with self.index.changing(self._source()):
            known = self.index.tops()
            for name in known.keys() - now.versions.keys():
                self.index.remove(self.index.keys(*_range(name)))
                self.index.remove_top(name)
            left = LOADS_PER_STEP
            for name, version in now.versions.items():
                if name in now.listed or known.get(name) == version != 0:
                    continue
                left = self._take(now, name, left)
                if left <= 0:
                    return False
            self._look_again(now.versions)
            if not self.index.complete:
                self.index.note("complete", "1")
        return True

    def read(self, jid: Jid) -> Load | None:
        """Return the load of a job, as the index has it; None if there is none."""
        return self._found(self._path(jid)).load

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

    def _take(self, now: Round, top: str, left: int) -> int:
        """Take the jobs of a directory; return how much of *left* is left, 0 or less to go on."""
        if now.top != top:
            now.top, now.names = top, _jobs(self.root, top)
            left -= 1 + len(now.names) // 100
        known = self.index.keys(*_range(top))
        self.index.remove(known - now.names.keys())
        for key in now.names.keys() - known:
            if left <= 0:
                return left
            left -= 1
            self._put(key, f"{top}/{now.names[key]}", new=True)
        self.index.top(top, now.versions[top])
        now.listed.add(top)
        return left

    def _put(self, key: int, path: str, *, new: bool = False) -> None:
        found = self._found(path)
        load = found.load
        if found.version is None or load is None or self._path(load["jid"]) != path:
            self.index.pend(key, path, found.version)
        else:
            self.index.put(
                key,
                load["jid"],
                found.version,
                load,
                minions=found.minions,
                whole=found.whole,
                new=new,
            )

    def _found(self, path: str) -> Found:
        """Return what the directory of a job has."""
        directory = f"{self.root}/{path}"
        version = _version(directory)
        if version is None:
            return Found(None, None)
        try:
            load = _unpacked(f"{directory}/{LOAD_FILE}", without="return")
            load["jid"] = str(load["jid"])
        except Exception:
            log.exception("The job cache has a load that cannot be read: %s", directory)
            return Found(version, None)
        if self._syndics:  # masters below may add minions at any time
            return Found(version, load)
        found = Found(version, load)
        if str(load.get("fun")).partition(".")[0] in FUNCTION_KINDS:
            return replace(found, minions=[self._master_id, *_returned(directory)])
        return _with_minions(found, directory)

    def _look_again(self, versions: dict[str, int]) -> None:
        """Look at what the times of the directories do not tell."""
        for key, path, version in self.index.pending(PENDING_JOBS):
            if version != _version(f"{self.root}/{path}"):
                self._put(key, path)
        if time.monotonic() < self._look_again_at:
            return
        self._look_again_at = time.monotonic() + LOOK_AGAIN_SECONDS
        in_turn = self.index.after(self._turn, JOBS_IN_TURN)
        self._turn = in_turn[-1][0] if in_turn else 0
        for key, jid, known in {*self.index.newest(NEWEST_JOBS), *in_turn}:
            path = self._path(jid)
            if known != _version(f"{self.root}/{path}"):
                self._put(key, path)
        top = next(self._tops_in_turn, None)
        if top is None:
            self.index.tidy()
            self._tops_in_turn = iter(sorted(versions))
        elif top in versions:  # it is listed next time
            self.index.forget_pending(*_range(top))
            self.index.top(top, 0)

    def _path(self, jid: Jid) -> str:
        return str(salt.utils.jid.jid_dir(jid, None, self._hash_type))


def _with_minions(found: Found, directory: str) -> Found:
    """Return *found* with the minions of the job, where they can be told."""
    returned = _returned(directory)
    try:
        expected = _unpacked(f"{directory}/{MINIONS_FILE}")
    except Exception:  # noqa: BLE001 - they are written after the load; whoever asks sees
        return found
    if not isinstance(expected, list) or found.load is None:
        return found
    minions = {str(minion) for minion in expected}
    whole = bool(minions) and minions <= returned and not found.load.get("missing")
    return replace(found, minions=sorted(minions | returned), whole=whole)


def _returned(directory: str) -> set[MinionId]:
    """Return the minions that have returned to a job."""
    return {name for name in _names(directory) if not name.startswith(".")} - NO_MINIONS


def _unpacked(path: str, *, without: str = "") -> Any:
    """Return what a file has; a mapping perhaps without one of its keys."""
    with open(path, "rb") as file:
        data = file.read()
    if without and len(data) > SMALL_LOAD_BYTES:
        return pieces.loads_without(data, without)
    found = salt.payload.loads(data)
    if without:
        found.pop(without, None)
    return found


def _version(directory: str) -> int | None:
    """Return a number that differs for another load or another return; None if there is none."""
    try:
        load, job = os.stat(f"{directory}/{LOAD_FILE}"), os.stat(directory)
    except OSError:
        return None
    mixed = load.st_mtime_ns ^ load.st_ino << 20 ^ load.st_size ^ job.st_mtime_ns << 1
    return mixed & 0x7FFF_FFFF_FFFF_FFFF


def _jobs(root: str, top: str) -> dict[int, str]:
    """Return the names in a directory of jobs, by their keys."""
    names = {name: _key(top + name) for name in _names(os.path.join(root, top))}
    return {key: name for name, key in names.items() if key is not None}


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
