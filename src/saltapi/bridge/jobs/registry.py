"""
The jobs of late with what their minions returned, in memory: what the bus shows is kept.

Bounded by count and by bytes; the oldest jobs are forgotten first. What is gone is still in the
master's job cache.
"""

import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from saltapi.bridge.bus.events import Event
from saltapi.bridge.bus.hub import Hub
from saltapi.bridge.bus.job_starts import epoch_of
from saltapi.bridge.bus.tags import Kind
from saltapi.bridge.jobs import job_events, orchestrations, state_results
from saltapi.bridge.jobs.job_events import FIND_JOB, FunctionEvent, JobReturned, JobStarted
from saltapi.bridge.jobs.registered import RegisteredJob, returned
from saltapi.bridge.worker import pieces
from saltapi.types import Jid, MinionId

log = logging.getLogger(__name__)

ENDING = frozenset({"saltutil.term_job", "saltutil.kill_job"})
"""Functions that end the job that their argument names."""
QUESTIONS_LIMIT = 1_000
"""So many of the latest `saltutil.find_job` are remembered."""
NO_USER = "UNKNOWN"
"""Whom the events of wheel functions name that an orchestration runs."""
ORCHESTRATIONS_LIMIT = 100
"""The steps of so many of the latest orchestrations are followed."""
JOB_SHARE = 4
"""One job's returns may take this part of the bytes of all; of more, values are left out."""
HIDDEN_FUNCTIONS = ("runner.jobs.",)
"""Functions that only look jobs up: noting them would bury the jobs."""
LARGE_BYTES = 16 * 1024
"""Of a larger event it is looked first whether it is about such a function."""


class JobRegistry:
    """Follows the hub; knows the jobs that the bus has shown."""

    def __init__(
        self,
        hub: Hub,
        *,
        master_id: MinionId,
        jobs: int,
        limit_bytes: int,
        syndics: bool = False,
        masters_users: Collection[str] = (),
    ) -> None:
        """
        Args:
            hub: Where the events come from.
            master_id: Who returns what runner and wheel functions return.
            jobs: How many jobs are kept.
            limit_bytes: How many bytes of all jobs together are kept.
            syndics: Whether other masters may add minions to a job.
            masters_users: As whom orchestrations start their jobs.
        """
        self._syndics = syndics
        self._master_id = master_id
        self._limit_jobs = jobs
        self._limit_bytes = limit_bytes
        self._jobs: OrderedDict[Jid, RegisteredJob] = OrderedDict()
        self._size_bytes = 0
        self._questions: OrderedDict[Jid, Jid] = OrderedDict()
        self._masters_users = masters_users
        self._orchestrations: deque[RegisteredJob] = deque(maxlen=ORCHESTRATIONS_LIMIT)
        self.on_ending: Callable[[RegisteredJob], None] = lambda _job: None
        """Learns of a job that its minions are told to end."""
        self._starts = hub.starts
        self._stop = hub.watch_jobs(self._on_event)

    def __len__(self) -> int:
        return len(self._jobs)

    def close(self) -> None:
        """Stop following the hub; idempotent."""
        self._stop()

    def get(self, jid: Jid) -> RegisteredJob | None:
        """Return the job, None if it is not known or forgotten."""
        return self._jobs.get(jid)

    def jobs(self) -> list[RegisteredJob]:
        """Return all jobs."""
        return list(self._jobs.values())

    def new(self, jid: Jid, kind: str) -> RegisteredJob:
        """Return a job that is not in the registry."""
        job = RegisteredJob(jid, kind, limit_bytes=self._limit_bytes // JOB_SHARE)
        job.growing = self._syndics and kind == "local"
        return job

    def open(self, jid: Jid, kind: str) -> RegisteredJob:
        """Return the job; a new one if it is not known."""
        job = self._jobs.get(jid)
        if job is None:
            job = self.new(jid, kind)
            self.add(job)
        return job

    def add(self, job: RegisteredJob) -> None:
        """Put a job into the registry, in place of another of its id."""
        if known := self._jobs.get(job.jid):
            self.remove(known)
        self._jobs[job.jid] = job
        self._grow(job.size_bytes)
        job.on_growth = self._grow
        self._forget_oldest(job)

    def remove(self, job: RegisteredJob) -> None:
        """Forget a job; idempotent."""
        if self._jobs.get(job.jid) is job:
            del self._jobs[job.jid]
            job.on_growth = None
            self._grow(-job.size_bytes)

    def _grow(self, size_bytes: int) -> None:
        self._size_bytes += size_bytes

    def _forget_oldest(self, keep: RegisteredJob) -> None:
        for _ in range(len(self._jobs)):
            if len(self._jobs) <= self._limit_jobs and self._size_bytes <= self._limit_bytes:
                return
            oldest = next(iter(self._jobs.values()))
            if oldest.held or oldest is keep:
                self._jobs.move_to_end(oldest.jid)
            else:
                self.remove(oldest)

    def _on_event(self, event: Event) -> None:
        try:
            if event.parts.syndics:
                self._join(event)
                return
            if event.parts.part == state_results.PROGRESS:
                self._state(event)
                return
            if event.parts.part == orchestrations.BEGUN and event.parts.kind is Kind.RUNNER:
                self._step(event)
                return
            if _is_long_list(event):
                return
            found = job_events.read(event)
            if found is None:
                return
            if isinstance(found, JobStarted):
                self._started(found, event)
            elif isinstance(found, JobReturned):
                self._returned(found, event)
            else:
                self._function(found, event)
        except Exception:  # what one event holds must not stop the reader of all
            log.exception("An event with tag %r cannot be registered.", event.tag)

    def _join(self, event: Event) -> None:
        """Expect the minions that a master below expects of a job of ours."""
        job = self._jobs.get(str(event.parts.jid))
        if self._syndics and job is not None and job.growing:
            job.join(job_events.names(event.data.get("minions")))
            self._forget_oldest(job)

    def _started(self, found: JobStarted, event: Event) -> None:
        if found.data.get("fun") == FIND_JOB:
            asked = self._named(found)
            if asked is not None and self._starts.believes(event):
                asked.asked(found.minions, at=_time_of(event))
                self._questions[found.jid] = asked.jid
            while len(self._questions) > QUESTIONS_LIMIT:
                self._questions.popitem(last=False)
            return
        if found.data.get("fun") in ENDING and self._starts.believes(event):
            ending = self._named(found)
            if ending is not None:
                self.on_ending(ending)
        self._begin(found.jid, "local", event, found.minions)

    def _named(self, found: JobStarted) -> RegisteredJob | None:
        """Return the job that the first argument of another one names."""
        arg = found.data.get("arg")
        return self._jobs.get(str(arg[0])) if isinstance(arg, list) and arg else None

    def _begin(self, jid: Jid, kind: str, event: Event, minions: Iterable[MinionId]) -> None:
        """Register the job that *event* announces; the first that is known of a job counts."""
        known, believed = self._jobs.get(jid), self._starts.believes(event)
        if known is not None and known.batch is not None:  # it is published in stages alone
            return
        if known is not None and known.fun:
            if not believed:
                known.contradict(event.data)
        elif believed:
            job = self.open(jid, kind)
            job.describe(event.data)
            job.expect(minions)
            self._forget_oldest(job)
            self._adopt(job, event.data)

    def _returned(self, found: JobReturned, event: Event) -> None:
        asked = self._questions.get(found.jid)
        if asked is not None:
            job = self._jobs.get(asked)
            if job is not None:
                running = job_events.says_running(found.data)
                job.answered(found.minion, running=running, at=_time_of(event))
            return
        job = self._jobs.get(found.jid)
        if job is not None and job.batch is None and "return" in found.data:
            self._take(job, found.minion, event)

    def _state(self, event: Event) -> None:
        job = self._jobs.get(str(event.parts.jid))
        found = state_results.read(event) if job is not None and job.batch is None else None
        if job is not None and found is not None:
            job.tell(*found, event)
            self._forget_oldest(job)

    def _step(self, event: Event) -> None:
        """Note that a step of an orchestration begins; of those within others, the outermost."""
        for job in self._orchestrating():
            if event.parts.jid in orchestrations.ids_of(job.jid, job.arg):
                if job.orchestration is not None and job.orchestration.begin(event.data):
                    job.changed()
                return

    def _adopt(self, job: RegisteredJob, data: Mapping[str, Any]) -> None:
        """Take a job that is announced for one of an orchestration's, where it is like one."""
        for whole in self._orchestrating():
            users = self._masters_users if job.kind == "local" else {whole.user, NO_USER}
            if (
                whole is not job
                and data.get("user") in users
                and whole.orchestration is not None
                and whole.orchestration.announced(job.jid, job.kind, data)
            ):
                job.watcher, job.parent = whole, whole.jid
                job.changed()
                return

    def _orchestrating(self) -> list[RegisteredJob]:
        return [job for job in self._orchestrations if not job.returns and job.jid in self._jobs]

    def _function(self, found: FunctionEvent, event: Event) -> None:
        if str(found.data.get("fun")).startswith(HIDDEN_FUNCTIONS):
            return
        if not found.ended:
            self._begin(found.jid, found.kind, event, [self._master_id])
            job = self._jobs.get(found.jid)
            if job is not None and job.orchestration and job not in self._orchestrations:
                running = self._orchestrating()
                self._orchestrations = deque([*running, job], maxlen=ORCHESTRATIONS_LIMIT)
            return
        job = self._jobs.get(found.jid)
        if job is not None and "return" in found.data:
            self._take(job, self._master_id, event)

    def _take(self, job: RegisteredJob, minion: MinionId, event: Event) -> None:
        kept = Event(event.id, event.tag, event.payload)  # without what was decoded of it
        found = returned(minion, event.data, arrived_at=epoch_of(event.data.get("_stamp")))
        job.take(replace(found, event=kept, value=None), kept.size_bytes)
        self._forget_oldest(job)


def _is_long_list(event: Event) -> bool:
    """Return whether it is a long list of jobs, which would take long to decode for nothing."""
    return (
        event.parts.kind is Kind.RUNNER
        and len(event.payload) > LARGE_BYTES
        and str(pieces.peeked(event.payload, "fun")).startswith(HIDDEN_FUNCTIONS)
    )


def _time_of(event: Event) -> float:
    return epoch_of(event.data.get("_stamp")) or time.time()
