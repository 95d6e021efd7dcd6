"""
Whose the jobs are that were started here, and what was started: for all processes, and restarts.

What a minion or another client of the master's can make the event bus and the job cache say does
not change it. Of the command only a digest is kept, so that what others say can be checked.
"""

import hashlib
import json
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from saltapi.bridge.jobs.registered import RegisteredJob
from saltapi.engine.store.store import Store
from saltapi.errors import SaltApiError
from saltapi.types import Jid, Session

KIND = "job-owner"
CLAIM_KIND = "job-claim"
OWNER_SECONDS = 7 * 86_400.0
"""How long it is known at most who has started a job."""
CLAIM_SECONDS = 300.0
"""How long a jid of a client's is nobody else's; after that its time is over anyway."""
RECORDS_LIMIT = 50_000
"""So many jobs of one process are kept, the latest."""
TARGET_LIMIT_CHARACTERS = 1_000
"""Longer targets are not kept."""


@dataclass(frozen=True, slots=True)
class Owned:
    """What was recorded of one job: who has started it, and what it was."""

    name: str
    eauth: str
    command: str
    """The digest of function and arguments."""
    target: list[Any] | None
    """`[tgt, tgt_type, delimiter]`; None if it was too long."""
    machine: str = ""
    """The id of the narrowed token that it was started with, if it was."""
    parent: Jid = ""
    """The change of which the job is a stage; "" for all others."""
    master: str = ""
    """The master that has published it; "" where masters share nothing."""

    def is_of(self, job: RegisteredJob) -> bool:
        """Return whether what is known of *job* is what was started."""
        target = [job.tgt, job.tgt_type, job.delimiter]
        return self.target == target and self.command == digest([job.fun, job.arg])


class JobOwners:
    """Keeps who has started which job."""

    def __init__(self, store: Store, *, seconds: float = OWNER_SECONDS) -> None:
        """
        Args:
            store: Where it is kept.
            seconds: How long; the job cache forgets jobs, too.
        """
        self._store = store
        self._seconds = min(seconds, OWNER_SECONDS)
        self._kept: deque[Jid] = deque()
        self.master = ""
        """What other masters call this one; "" where they cannot be asked."""

    async def note(self, session: Session, job: RegisteredJob) -> None:
        """
        Record that the user of *session* starts *job*.

        Raises:
            StoreUnavailable
            ShareUsed: The user has too many jobs.
        """
        target: list[Any] | None = [job.tgt, job.tgt_type, job.delimiter]
        if len(json.dumps(target, default=repr)) > TARGET_LIMIT_CHARACTERS:
            target = None
        facts = {
            "name": session.name,
            "eauth": session.eauth,
            "command": digest([job.fun, job.arg]),
            "target": target,
            "machine": "" if session.narrowed is None else session.machine,
            "parent": job.parent,
        }
        if self.master:
            facts["master"] = self.master
        value = json.dumps(facts, default=repr).encode()
        expire = time.time() + self._seconds
        await self._store.put(KIND, job.jid, value, expire=expire, owner=session.owner)
        self._kept.append(job.jid)
        if len(self._kept) > RECORDS_LIMIT:
            await self._store.remove(KIND, self._kept.popleft())

    async def find(self, jid: Jid) -> Owned | None:
        """
        Return what was recorded of a job; None if it was not started here, or long ago.

        Raises:
            StoreUnavailable
        """
        found = await self._store.get(KIND, jid)
        try:
            return None if found is None else Owned(**json.loads(found))
        except (ValueError, TypeError):  # of a version before
            return None

    async def elsewhere(self, jid: Jid) -> str | None:
        """
        Return the master that has published a job, if that is another one, and can be asked.

        Raises:
            StoreUnavailable
        """
        owned = await self.find(jid) if self.master else None
        return None if owned is None or owned.master == self.master else owned.master or None

    async def is_of_machine(self, jid: Jid, machine: str) -> bool:
        """Return whether a job was started with the narrowed token *machine*, as is known."""
        try:
            found = await self.find(jid) if jid else None
        except SaltApiError:
            return False
        return found is not None and found.machine == machine

    async def claim(self, jid: Jid) -> bool:
        """Return whether a jid is somebody's; it is the caller's if not (`Jids.ask`)."""
        expire = time.time() + CLAIM_SECONDS
        claimed = await self._store.add(CLAIM_KIND, jid, b"1", expire=expire)
        return claimed is not None or await self._store.get(KIND, jid) is not None


def digest(value: Any) -> str:
    """Return a text that differs for what is not the same command."""
    text = json.dumps(_in_order(value), default=repr)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _in_order(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {"": [[repr(key), _in_order(value[key])] for key in sorted(value, key=repr)]}
    return list(map(_in_order, value)) if isinstance(value, list | tuple) else value
