"""
Jobs of masters that are lost, as far as the event log knows them.

A master is lost when none of its doors has answered for a while and nobody writes its events. What
had returned before is in the log; of the rest nobody knows more, and it is said to be lost, too.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

from saltapi.bridge.bus.events import Event
from saltapi.bridge.bus.job_starts import Source, epoch_of, time_of
from saltapi.bridge.jobs import job_events
from saltapi.bridge.jobs.job_events import JobReturned, JobStarted
from saltapi.bridge.jobs.registered import RegisteredJob, returned
from saltapi.bridge.jobs.states import MinionState
from saltapi.errors import MasterUnavailable, StoreUnavailable

if TYPE_CHECKING:  # they need nats-py, which only those have who want it
    from collections.abc import Collection

    from saltapi.engine.events.log.log import EventLog
    from saltapi.engine.jobs.masters.masters import Masters
    from saltapi.engine.jobs.service import JobService
    from saltapi.types import Jid, Session

LOST_SECONDS = 15.0
"""So long a master is asked in vain before it is taken for lost: doors are started again."""
SEARCH_SECONDS = 10.0
"""How long the log is read for one job."""
KEPT_SECONDS = 5.0
"""How long what was found is not looked for again."""
KEPT_JOBS = 100


class LostJobs:
    """Finds jobs of masters that are lost, for the job service beside its `changes`."""

    def __init__(self, masters: Masters, event_log: EventLog, job_service: JobService) -> None:
        """
        Args:
            masters: Tells which masters do not answer.
            event_log: What they have written.
            job_service: Shows what is found, to those who may see it.
        """
        self._masters = masters
        self._log = event_log
        self._registry = job_service.registry
        self._jobs: OrderedDict[Jid, tuple[float, RegisteredJob]] = OrderedDict()
        self._changes = job_service.changes
        job_service.changes = self

    async def look(self, master: str, jid: Jid) -> bool:
        """
        Return whether a job is known though its master is lost; `JobService` finds it then.

        Raises:
            MasterUnavailable: The log holds too much that was written since the job was started.
        """
        if self._masters.away_seconds(master) < LOST_SECONDS:
            return False
        if self._kept(jid) is not None:
            return True
        try:
            if await self._log.is_written(master):
                return False
            job = await self._read(master, jid)
        except StoreUnavailable:
            return False
        if not job.fun:
            return False
        job.settle(dict.fromkeys(job.outstanding, MinionState.MASTER_LOST))
        self._jobs[jid] = time.monotonic(), job
        while len(self._jobs) > KEPT_JOBS:
            self._jobs.popitem(last=False)
        return True

    async def find(self, session: Session, jid: Jid) -> RegisteredJob | None:
        """Return the job of a change, or one of a lost master: the master here knows neither."""
        return await self._changes.find(session, jid) or self._kept(jid)

    async def learn(self, only: Jid | None = None) -> None:
        """Take note of how far changes are (`Changes.learn`)."""
        await self._changes.learn(only)

    async def ended(self) -> Collection[Jid]:
        """Return the changes that have ended (`Changes.ended`)."""
        return await self._changes.ended()

    async def past(self, jid: Jid) -> RegisteredJob | None:
        """Return the job of a change, for a list (`Changes.past`)."""
        return await self._changes.past(jid)

    def _kept(self, jid: Jid) -> RegisteredJob | None:
        found_at, job = self._jobs.get(jid, (0.0, None))
        if job is not None and time.monotonic() - found_at > KEPT_SECONDS:
            del self._jobs[jid]
            return None
        return job

    async def _read(self, master: str, jid: Jid) -> RegisteredJob:
        """Return what the log knows of a job."""
        job = self._registry.new(jid, "local")
        job.source, job.vouched = Source.READ, False
        deadline = time.monotonic() + SEARCH_SECONDS
        prefix = f"salt/job/{jid}/"
        async for logged in self._log.written(master, since=time_of(jid) or time.time()):
            if logged.tag.startswith(prefix):
                _take(job, Event("", logged.tag, logged.payload))
            if time.monotonic() > deadline:
                raise MasterUnavailable(
                    f"The master {master} does not answer, and its events are too many to be read."
                )
        return job


def _take(job: RegisteredJob, event: Event) -> None:
    found = job_events.read(event)
    if isinstance(found, JobStarted) and not job.fun:
        job.describe(found.data)
        job.expect(found.minions)
    elif isinstance(found, JobReturned) and "return" in found.data:
        at = epoch_of(found.data.get("_stamp"))
        kept = Event(event.id, event.tag, event.payload)
        job.take(
            replace(returned(found.minion, found.data, arrived_at=at), event=kept, value=None),
            kept.size_bytes,
        )
