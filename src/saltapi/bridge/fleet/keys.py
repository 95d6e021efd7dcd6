"""
The minions' keys as the master keeps them, read by Salt's own `salt.key.Key`.

A minion has at most one key that is accepted, pending or rejected, and beside it denied ones: keys
that somebody else has come with under its id.
"""

import asyncio
import copy
import enum
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import salt.key

from saltapi.bridge.salt_line import SALT_LINE
from saltapi.bridge.workers.functions import obstacle_to
from saltapi.types import MinionId, Opts

log = logging.getLogger(__name__)
T = TypeVar("T")

LISTING_SECONDS = 5.0
"""How long a listing holds where the directories of keys do not show that something changed."""


class KeyState(enum.StrEnum):
    """What the master thinks of a key."""

    ACCEPTED = "accepted"
    PENDING = "pending"
    REJECTED = "rejected"
    DENIED = "denied"
    """Another key of this id was there before."""


DIRECTORIES = {
    KeyState.ACCEPTED: "minions",
    KeyState.PENDING: "minions_pre",
    KeyState.REJECTED: "minions_rejected",
    KeyState.DENIED: "minions_denied",
}
"""What Salt calls them, in what its functions take and return."""


class KeyEntry(NamedTuple):
    """A key, or all denied keys of one id."""

    minion: MinionId
    state: KeyState


class Fingerprint(NamedTuple):
    """
    The fingerprint of a key, in the two ways in which Salt writes it.

    Salt 3008 hashes the whole text on the master and what is between its first and its last line
    on the minion, so that people who compare the two find another key (saltstack/salt#69970).
    """

    shown: str
    """What `salt-call --local key.finger` says on the minion, and 3007 on the master."""
    whole: str
    """What `salt-key -F` of some 3008 says."""

    def is_same(self, text: str) -> bool:
        """Return whether *text* is the fingerprint, in one way or the other."""
        return text.strip().lower() in self

    @classmethod
    def of(cls, pem: bytes, hash_type: str) -> "Fingerprint":
        """Return the fingerprint of a key (`salt.utils.crypt.pem_finger`)."""
        lines = [line for line in pem.splitlines(keepends=True) if line.strip()]
        inner = b"".join(lines[1:-1]).replace(b"\r\n", b"\n")
        return cls(*(_pairs(hashlib.new(hash_type, data).hexdigest()) for data in (inner, pem)))


def _pairs(digits: str) -> str:
    return ":".join(digits[place : place + 2] for place in range(0, len(digits), 2))


class KeyStore:
    """Reads the keys where this process may read the master's files."""

    def __init__(self, opts: Opts) -> None:
        """
        Args:
            opts: The master's options; not changed.
        """
        self._opts = opts
        self._key: Any = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="saltapi-keys")
        self._listing: list[KeyEntry] = []
        self._seen: tuple[int, ...] | None = None
        self._fresh_until = float("-inf")

    @property
    def readable(self) -> bool:
        """Whether this process may read what the master keeps."""
        return obstacle_to(self._opts) is None

    async def listing(self) -> list[KeyEntry]:
        """Return all keys, in the order of their ids."""
        return await self._call(self._list)

    async def fingerprints(self, entries: Iterable[KeyEntry]) -> dict[KeyEntry, list[Fingerprint]]:
        """Return the fingerprints of *entries*; a list is empty where the key has gone."""
        wanted = list(entries)
        return await self._call(lambda: {entry: self._fingerprints(entry) for entry in wanted})

    def changed(self) -> None:
        """Note that a key has changed, as the bus says."""
        self._seen = None
        self._fresh_until = float("-inf")

    def close(self) -> None:
        """Give the thread back; idempotent."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _call(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def _salts(self) -> Any:
        if self._key is None:
            self._key = salt.key.Key({"__role": "master", **copy.deepcopy(self._opts)})
        return self._key

    def _list(self) -> list[KeyEntry]:
        seen = self._times()
        if seen != self._seen or time.monotonic() > self._fresh_until:
            found = self._salts().list_keys()
            self._listing = sorted(
                KeyEntry(str(minion), state)
                for state, directory in DIRECTORIES.items()
                for minion in found.get(directory, ())
            )
            self._seen, self._fresh_until = seen, time.monotonic() + LISTING_SECONDS
            if seen:
                self._fresh_until = float("inf")
        return self._listing

    def _times(self) -> tuple[int, ...]:
        """Return when the directories of keys have changed; nothing if they are elsewhere."""
        if self._opts.get("key_cache") or self._opts.get("keys.cache_driver") not in {
            None,
            "localfs_key",
        }:
            return ()
        try:
            places = [self._directory(state) for state in DIRECTORIES]
            return tuple(place.stat().st_mtime_ns for place in places)
        except OSError:
            return ()

    def _directory(self, state: KeyState) -> Path:
        key = self._salts()
        return Path(getattr(key, "pki_dir", None) or self._opts["pki_dir"], DIRECTORIES[state])

    def _fingerprints(self, entry: KeyEntry) -> list[Fingerprint]:
        try:
            return [Fingerprint.of(pem, str(self._opts["hash_type"])) for pem in self._pems(entry)]
        except Exception:  # whatever stands in a file that anybody may send
            log.exception("The key of %r cannot be read.", entry.minion)
            return []

    def _pems(self, entry: KeyEntry) -> list[bytes]:
        if SALT_LINE < 3008:
            path = self._directory(entry.state) / os.path.basename(entry.minion)
            return [path.read_bytes()] if path.is_file() else []
        cache = self._salts().cache
        if entry.state is KeyState.DENIED:
            return [str(pem).encode() for pem in cache.fetch("denied_keys", entry.minion) or ()]
        found = cache.fetch("keys", entry.minion) or {}
        if found.get("state") != entry.state:
            return []
        return [str(found["pub"]).encode()]
