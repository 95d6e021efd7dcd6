"""
Why minions have not returned a job, as far as the bus tells.

The reasons are for everybody who may see the job. What takes more than that, keys and connections,
is told by `saltapi.engine.fleet.why`, in the same words.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from saltapi.bridge.bus.outages import Outages
from saltapi.bridge.jobs.registered import RegisteredJob
from saltapi.bridge.jobs.states import JobState, MinionState
from saltapi.engine.store.store import ShareUsed, Store
from saltapi.errors import SaltApiError, StoreUnavailable
from saltapi.types import MinionId

KIND = "job-gave-up"
CERTAIN = frozenset(
    {
        MinionState.TERMINATED,
        MinionState.KILLED,
        MinionState.NOT_RUN,
        MinionState.OUTCOME_UNKNOWN,
        MinionState.MASTER_LOST,
    }
)
COARSE = frozenset({MinionState.NOT_CONNECTED, MinionState.NO_RESPONSE})
REASONS_LIMIT_BYTES = 65_536
"""What other processes are told of reasons; where it is more, they find them by themselves."""
TELL_SECONDS = 1.0
"""How long the end of a job waits until they are told."""


class Silence:
    """Tells why minions are silent, and since when nobody waits for them."""

    def __init__(
        self,
        outages: Outages,
        store: Store,
        *,
        seconds: float,
        is_syndic: Callable[[MinionId], bool] = lambda _minion: False,
    ) -> None:
        """
        Args:
            outages: When the bus was not heard.
            store: What the processes on this machine share.
            seconds: How long it is known when a job was given up.
            is_syndic: Tells who only passes on what others return.
        """
        self.outages = outages
        self._is_syndic = is_syndic
        self.started_at: Callable[[MinionId], float | None] = lambda _minion: None
        """Returns when a minion has last said that it has started; set by who knows the fleet."""
        self._store = store
        self._seconds = seconds

    def reason(self, job: RegisteredJob, minion: MinionId) -> MinionState:
        """
        Return why a minion has not returned *job*; `no_response` if nothing tells.

        Args:
            job: A job that waits or waited for the minion.
            minion: One that has not returned.
        """
        known = job.silent.get(minion)
        if known in CERTAIN:
            return known
        if minion in job.minions and minion not in job.base:
            return MinionState.BEHIND_SYNDIC
        reply, told = job.replies.get(minion), job.progress.minions.get(minion)
        started_at = self.started_at(minion)
        missed = self.outages.since(job.started_at)
        if started_at is not None and started_at > job.started_at:
            came_back = any(outage.begin <= started_at for outage in missed)  # with the master
            if not came_back and (reply is None or not reply.running or reply.at < started_at):
                return MinionState.RESTARTED
        if (reply is not None and reply.running) or job.answers.get(minion) is MinionState.RUNNING:
            return MinionState.RUNNING
        if reply is None and told is not None and job.asked_at is None:
            return MinionState.RUNNING
        asked = minion in job.answers
        if missed and (reply is not None or not asked):
            return MinionState.MASTER_AWAY
        if reply is None:
            return known if known in COARSE else MinionState.NO_RESPONSE
        ran = reply.ran or told is not None
        return MinionState.RETURN_LOST if ran else MinionState.NOT_RECEIVED

    def reasons(
        self, job: RegisteredJob, silent: Mapping[MinionId, MinionState]
    ) -> dict[MinionId, MinionState]:
        """Return for each minion of *silent* the reason, its own where no better one is known."""
        found = {}
        for minion, coarse in silent.items():
            reason = self.reason(job, minion)
            found[minion] = coarse if reason in COARSE else reason
        return found

    async def settle(
        self, job: RegisteredJob, silent: Mapping[MinionId, MinionState], *, ended: bool = False
    ) -> None:
        """
        Settle *job*, with the best reasons that are known, and let all processes know.

        Args:
            job: A job that nobody waits for any more.
            silent: Who has not returned, with what is known in any case.
            ended: Whether it was ended on its minions, so that no process waits any more.
        """
        self._excuse_syndics(job)
        if not ended:
            job.silent |= await self._told_of_ends(job)
        reasons, at = self.reasons(job, silent), time.time()
        if job.jid and (job.outstanding or job.growing):
            with contextlib.suppress(StoreUnavailable, ShareUsed, TimeoutError):
                async with asyncio.timeout(TELL_SECONDS):
                    value, expire = _told(at, reasons, ended=ended), at + self._seconds
                    await self._store.put(KIND, job.jid, value, expire=expire)
        job.settle(reasons, at=at)

    async def recall(self, job: RegisteredJob) -> None:
        """Settle *job* as another process has, if nobody waits for it here."""
        waits = job.kind == "local" and job.jid and job.state is JobState.RUNNING
        if not waits or job.held or job.batch is not None:
            return
        found = await self._found(job)
        if found and not job.held:
            self._settle_as(job, found)

    async def recall_end(self, job: RegisteredJob) -> None:
        """Settle *job*, whoever waits for it, if another process has ended it on its minions."""
        found = await self._found(job)
        if found and found.get("ended"):
            self._settle_as(job, found)

    async def gave_up_at(self, job: RegisteredJob) -> float | None:
        """Return when nobody waited for the rest of *job* any more, in this process or another."""
        if job.gave_up_at is None and (found := await self._found(job)):
            job.gave_up_at = found["at"]
        return job.gave_up_at

    async def _found(self, job: RegisteredJob) -> dict[str, Any] | None:
        """Return what a process has told that has settled *job*: `at`, and perhaps `silent`."""
        found = None
        with contextlib.suppress(SaltApiError):
            found = await self._store.get(KIND, job.jid)
        return json.loads(found) if found else None

    def _settle_as(self, job: RegisteredJob, found: Mapping[str, Any]) -> None:
        self._excuse_syndics(job)
        told = found.get("silent", {})
        coarse = dict.fromkeys(job.outstanding, MinionState.NO_RESPONSE)
        known = {m: MinionState(why) for m, why in told.items() if m in coarse}
        job.settle({**self.reasons(job, coarse), **known}, at=found["at"])

    async def _told_of_ends(self, job: RegisteredJob) -> dict[MinionId, MinionState]:
        """Return on which of the silent minions another process has ended *job*, and how."""
        found = await self._found(job) if job.jid and job.outstanding else None
        told = {m: MinionState(why) for m, why in (found or {}).get("silent", {}).items()}
        return {m: why for m, why in told.items() if why in CERTAIN and m not in job.returns}

    def _excuse_syndics(self, job: RegisteredJob) -> None:
        job.excuse([minion for minion in job.outstanding if self._is_syndic(minion)])


def _told(at: float, reasons: Mapping[MinionId, MinionState], *, ended: bool) -> bytes:
    """Return what other processes are told of a job that nobody waits for since then."""
    facts = {"at": at, "ended": ended}
    value = json.dumps({**facts, "silent": reasons}).encode()
    if len(value) > REASONS_LIMIT_BYTES:
        value = json.dumps(facts).encode()
    return value
