"""What is told of the steps of an orchestration: in its document, and as records of a stream."""

from typing import Any

from saltapi.bridge.jobs.orchestrations import Orchestration, Step
from saltapi.bridge.jobs.registered import RegisteredJob
from saltapi.engine.jobs.service import JobService
from saltapi.engine.jobs.values import Values
from saltapi.types import Jid, MinionId, Session

Record = dict[str, Any]

RECORDS_AT_ONCE = 100


def known_steps(job: RegisteredJob, values: Values) -> Orchestration | None:
    """Return what is known of the steps of *job*, with what it has returned."""
    steps = job.orchestration
    if steps is not None and job.returns:
        steps.end(values.result())
    return steps


def shown(step: Step) -> Record:
    """Return what is known of a step."""
    return {
        "number": step.number,
        "kind": step.kind,
        "name": step.name,
        "tgt": step.tgt,
        "tgt_type": step.tgt_type,
        "jids": list(step.jids),
        "state_id": step.id,
        "ended": step.ended,
        "result": step.result,
        "comment": step.comment,
        "duration_ms": step.duration_ms,
        "start": step.start,
    }


class StepTeller:
    """Makes the records of the steps of one stream."""

    def __init__(
        self, job_service: JobService, session: Session, job: RegisteredJob, values: Values
    ) -> None:
        """
        Args:
            job_service: Knows the jobs of the steps.
            session: Who listens: of other users' jobs it is not told what minions return.
            job: The orchestration, or any other job, of which there is nothing to tell.
            values: Its return, as the listener may see it.
        """
        self._job_service = job_service
        self._session = session
        self._job = job
        self._values = values
        self._told: dict[int, tuple[int, bool]] = {}
        self._children: dict[Jid, tuple[RegisteredJob, Values] | None] = {}
        self._returned: dict[Jid, int] = {}

    async def news(self) -> list[Record]:
        """Return what has become known of the steps since."""
        steps = known_steps(self._job, self._values)
        if steps is None:
            return []
        some: list[Record] = []
        for step in steps.steps:
            before = self._told.get(step.number)
            now = (len(step.jids), step.ended)
            if before[0] != now[0] if before else not step.ended:
                some.append(self._record(step, "started" if step.jids else "begun"))
            for jid in step.jids:
                some += await self._returns(step, jid)
            if step.ended and (before is None or not before[1]):
                some.append(self._record(step, "ended"))
            self._told[step.number] = now
        return some

    async def _returns(self, step: Step, jid: Jid) -> list[Record]:
        """Return what the minions of a step's job have returned since, if the listener may see."""
        if jid not in self._children:
            self._children[jid] = await self._child(jid)
        known = self._children[jid]
        if known is None:
            return []
        child, values = known
        told = self._returned.get(jid, 0)
        some: list[Record] = []
        for found in list(child.returns.values())[told : told + RECORDS_AT_ONCE]:
            of_minion = {"jids": [jid], "minion": found.minion, **await values.shown(found)}
            some.append({**self._record(step, "returned"), **of_minion})
        self._returned[jid] = told + len(some)
        if self._returned[jid] < len(child.returns):
            self._job.changed()
        return some

    async def _child(self, jid: Jid) -> tuple[RegisteredJob, Values] | None:
        child = self._job_service.registry.get(jid)
        if child is None or child.kind != "local":
            return None
        if not await self._job_service.may_see(self._session, child):
            return None
        masked = self._values.masked
        return child, Values(self._job_service, self._session, child, masked=masked)

    def _record(self, step: Step, event: str) -> Record:
        return {"type": "step", "jid": self._job.jid, "event": event, **shown(step)}


async def tree(
    job_service: JobService, session: Session, job: RegisteredJob, values: Values
) -> list[Record]:
    """Return the steps of an orchestration, each with those of its jobs that *session* may see."""
    steps = known_steps(job, values)
    found = []
    for step in steps.steps if steps is not None else ():
        jobs = []
        for jid in step.jids:
            child = job_service.registry.get(jid)
            if child is not None and await job_service.may_see(session, child):
                jobs.append(_brief(child))
        found.append({**shown(step), "jobs": jobs})
    return found


def _brief(child: RegisteredJob) -> Record:
    failed: list[MinionId] = child.failed
    return {
        "jid": child.jid,
        "url": f"/v1/jobs/{child.jid}",
        "fun": child.fun,
        "state": str(child.state),
        "expected": len(child.minions),
        "returned": len(child.returns),
        "failed": len(failed),
    }
