"""The jobs that stand for changes in stages: whatever process sees to a change, they tell of it."""

from saltapi.bridge.jobs.batches import Batch
from saltapi.bridge.jobs.registered import RegisteredJob
from saltapi.bridge.jobs.states import MinionState
from saltapi.engine.jobs.service import JobService
from saltapi.types import Jid, MinionId, Session


class BatchViews:
    """Keeps one job for each change up to date: its facts, and what minions return."""

    def __init__(self, job_service: JobService) -> None:
        """
        Args:
            job_service: Knows the jobs of the stages.
        """
        self._job_service = job_service
        self._open: dict[Jid, RegisteredJob] = {}

    @property
    def open(self) -> list[Batch]:
        """The changes that have not ended, as far as they are known here."""
        return [job.batch for job in self._open.values() if job.batch is not None]

    def find(self, jid: Jid) -> RegisteredJob | None:
        """Return the job of a change, if it is in memory."""
        job = self._job_service.registry.get(jid)
        return job if job is not None and job.batch is not None else None

    async def load(self, batch: Batch, session: Session) -> RegisteredJob:
        """Return the job of a change, with what the minions of its stages have returned."""
        job = self.find(batch.jid)
        if job is not None:
            return job
        children = [
            await self._job_service.known(session, stage.jid) for stage in batch.stages if stage.jid
        ]
        job = self.show(batch)
        for child in children:
            if child is not None:
                self.adopt(job, child)
        return job

    def show(self, batch: Batch) -> RegisteredJob:
        """Return the job of a change, with the facts *batch* unless later ones are known."""
        job = self.find(batch.jid)
        if job is None:
            job = self._new(batch)
        elif job.batch is not None and job.batch.version > batch.version:
            return job
        job.batch = batch
        job.started_at = batch.started_at
        self._catch_up(job, batch)
        if batch.ended:
            job.settle(silent_of(batch))
            job.ended_at = batch.ended_at
        if batch.ended and self._open.pop(batch.jid, None) is not None:
            job.held -= 1
        job.changed()
        return job

    def catch_up(self) -> None:
        """Let changes learn of their stages' jobs that have been heard of since."""
        for job in self._open.values():
            if job.batch is not None:
                self._catch_up(job, job.batch)

    def adopt(self, job: RegisteredJob, child: RegisteredJob) -> None:
        """Let *job* learn what happens to *child*, the job of one of its stages; idempotent."""
        if child.whole is job:
            return
        child.whole, child.parent = job, job.jid
        for found in list(child.returns.values()):
            job.take(found, 0 if found.event is None else found.event.size_bytes)

    def _catch_up(self, job: RegisteredJob, batch: Batch) -> None:
        for stage in batch.stages:
            child = self._job_service.registry.get(stage.jid) if stage.jid else None
            if child is not None:
                self.adopt(job, child)

    def past(self, batch: Batch) -> RegisteredJob:
        """Return the job of a change without minions and returns, for a list; it is not kept."""
        job = self._job_service.registry.new(batch.jid, "local")
        job.batch = batch
        job.started_at = batch.started_at
        facts = {"fun": batch.fun, "arg": batch.arg, "tgt": batch.tgt, "tgt_type": batch.tgt_type}
        job.describe({**facts, "kwargs": dict(batch.extra)})
        job.own(batch.user, batch.eauth)
        return job

    def _new(self, batch: Batch) -> RegisteredJob:
        job = self.past(batch)
        job.growing = True  # until it has ended, whoever has returned
        job.unknown.update(batch.unknown)
        job.expect(batch.matched)
        self._job_service.registry.add(job)
        if not batch.ended:
            job.held += 1
            self._open[batch.jid] = job
        return job


def silent_of(batch: Batch) -> dict[MinionId, MinionState]:
    """Return who will not return, and why."""
    found = {minion: MinionState(why) for minion, why in batch.silent.items()}
    for stage in batch.stages:
        found |= {minion: MinionState(why) for minion, why in stage.missing.items()}
    return found | dict.fromkeys(batch.left_out, MinionState.NOT_RUN)
