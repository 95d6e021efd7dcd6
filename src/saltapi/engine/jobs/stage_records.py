"""What is told of a change in stages: in documents, and as records of a stream."""

from typing import Any

from saltapi.bridge.jobs.batches import Batch, BatchState, StageState
from saltapi.bridge.jobs.registered import RegisteredJob
from saltapi.engine.jobs.times import time_text
from saltapi.types import MinionId

Record = dict[str, Any]

NOT_BEGUN = frozenset({StageState.PENDING, StageState.STARTING, StageState.NOT_RUN})


def shown(batch: Batch) -> Record:
    """Return how far a change is, with its stages."""
    return {
        "state": str(batch.state),
        "reason": batch.reason,
        "max_failed": batch.plan.get("max_failed"),
        "wait_seconds": float(batch.plan.get("wait") or 0),
        "failures": batch.failures,
        "next": time_text(batch.next_at) if _waits(batch) else None,
        "not_run": batch.left_out,
        "stages": [stage_shown(batch, number) for number in range(1, len(batch.stages) + 1)],
    }


def stage_shown(batch: Batch, number: int) -> Record:
    """Return what is known of one stage, counted from 1."""
    stage = batch.stages[number - 1]
    return {
        "number": number,
        "of": len(batch.stages),
        "state": str(stage.state),
        "jid": stage.jid or None,
        "url": f"/v1/jobs/{stage.jid}" if stage.jid else None,
        "minions": batch.minions_of(stage),
        "failed": list(stage.failed),
        "missing": dict(stage.missing),
        "start": None if stage.started_at is None else time_text(stage.started_at),
        "end": None if stage.ended_at is None else time_text(stage.ended_at),
    }


class StageTeller:
    """Makes the records of a change of one stream: what has changed since the last ones."""

    def __init__(self, job: RegisteredJob, seen: set[str]) -> None:
        """
        Args:
            job: The job of the change, or any other one, of which there is nothing to tell.
            seen: The minions whose returns the listener has: of stages that have ended and are all
                of such it has been told.
        """
        self._job = job
        self._told: dict[int, StageState] = {}
        self._told_state: tuple[Any, ...] = (BatchState.RUNNING, None)
        self._number_of: dict[MinionId, int] = {}
        if job.batch is not None:
            for number, stage in enumerate(job.batch.stages, 1):
                if stage.ended_at is not None and seen.issuperset(job.batch.minions_of(stage)):
                    self._told[number] = stage.state

    def before(self, minion: MinionId) -> list[Record]:
        """Return what is to be told before the return of *minion*: that its stage has begun."""
        batch = self._job.batch
        if batch is None:
            return []
        if not self._number_of:
            for number, stage in enumerate(batch.stages, 1):
                self._number_of |= dict.fromkeys(batch.minions_of(stage), number)
        number = self._number_of.get(minion, 0)
        if number in self._told:
            return []
        some = self._until(batch, number - 1)
        if number:
            some.append(self._record(batch, number, StageState.RUNNING))
        return some

    def news(self) -> list[Record]:
        """Return what is to be told when all returns are: of the stages, and how the whole is."""
        batch = self._job.batch
        if batch is None:
            return []
        some = self._until(batch, len(batch.stages))
        now = (batch.state, batch.reason)
        if batch.stages and not batch.ended and now != self._told_state:
            self._told_state = now
            some.append({"type": "batch", "jid": self._job.jid, **brief(batch)})
        return some

    def _until(self, batch: Batch, last: int) -> list[Record]:
        """Return what has not been told of the stages up to number *last*, in order."""
        some: list[Record] = []
        for number, stage in enumerate(batch.stages[: max(last, 0)], 1):
            if stage.state in NOT_BEGUN:
                break
            if number not in self._told:
                some.append(self._record(batch, number, StageState.RUNNING))
            if stage.ended_at is None:
                break
            if self._told[number] is not stage.state:
                some.append(self._record(batch, number, stage.state))
        return some

    def _record(self, batch: Batch, number: int, state: StageState) -> Record:
        self._told[number] = state
        found = stage_shown(batch, number)
        of_stage = {"stage_jid": found.pop("jid"), **found, "state": str(state)}
        if state is StageState.RUNNING:
            of_stage |= {"failed": [], "missing": {}, "end": None}
        return {"type": "stage", "jid": self._job.jid, **of_stage}


def brief(batch: Batch) -> Record:
    """Return how far a change is, without its stages."""
    found = shown(batch)
    return {key: found[key] for key in ("state", "reason", "failures", "next", "not_run")}


def _waits(batch: Batch) -> bool:
    return batch.state is BatchState.RUNNING and any(
        stage.state is StageState.PENDING for stage in batch.stages
    )
