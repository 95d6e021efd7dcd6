"""What is told of the steps of an orchestration: in its document, and as records of a stream."""

import zlib
from dataclasses import dataclass
from typing import Any, NamedTuple

from saltapi.bridge.jobs.orchestrations import Orchestration, Step
from saltapi.bridge.jobs.registered import RegisteredJob
from saltapi.engine.jobs import cursors
from saltapi.engine.jobs.service import JobService
from saltapi.engine.jobs.state_records import StateTeller
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


class Seen(NamedTuple):
    """What a listener has been told of the steps."""

    steps: dict[int, tuple[int, bool]]
    """By its number, of each step: how many jobs it had started, and whether it had ended."""
    jobs: dict[Jid, str]
    """By its jid, of each job: the cursor behind the last return of a minion."""


def seen_of(text: str) -> Seen:
    """Return what a cursor says of steps; that nothing was seen if it says nothing of the kind."""
    try:
        steps, jobs = cursors.unpacked(text) if text else ([], {})
        return Seen(
            {int(number): (int(started), ended is True) for number, started, ended in steps},
            {str(jid): str(cursor) for jid, cursor in jobs.items()},
        )
    except (ValueError, TypeError, AttributeError, RecursionError, zlib.error):
        return Seen({}, {})


@dataclass(slots=True)
class _Child:
    """A job of a step, and what was told of it."""

    job: RegisteredJob
    values: Values
    seen: set[MinionId]
    maker: cursors.CursorMaker
    told: int = 0
    """How many of its returns have been looked at."""


class StepTeller:
    """Makes the records of the steps of one stream."""

    def __init__(
        self, job_service: JobService, session: Session, job: RegisteredJob, teller: StateTeller
    ) -> None:
        """
        Args:
            job_service: Knows the jobs of the steps.
            session: Who listens: of other users' jobs it is not told what minions return.
            job: The orchestration, or any other job, of which there is nothing to tell.
            teller: Makes the cursors of the stream, and shows what the orchestration returned.
        """
        self._job_service = job_service
        self._session = session
        self._job = job
        self._values = teller.values
        self._maker = teller.maker
        seen, known = seen_of(self._maker.steps), known_steps(job, self._values)
        steps = [] if known is None else known.steps
        self._told = {s.number: seen.steps[s.number] for s in steps if s.number in seen.steps}
        self._jobs = {jid: seen.jobs[jid] for s in steps for jid in s.jids if jid in seen.jobs}
        """What was told of each job, as a cursor."""
        self._children: dict[Jid, _Child | None] = {}

    async def news(self) -> list[Record]:
        """Return what has become known of the steps since, each with its cursor."""
        steps = known_steps(self._job, self._values)
        if steps is None:
            return []
        some: list[Record] = []
        for step in steps.steps:
            before = self._told.get(step.number)
            now = (len(step.jids), step.ended)
            if before[0] != now[0] if before else not step.ended:
                self._told[step.number] = now[0], False
                some.append(self._record(step, "started" if step.jids else "begun"))
            for jid in step.jids:
                some += await self._returns(step, jid)
            if step.ended and (before is None or not before[1]):
                self._told[step.number] = now
                some.append(self._record(step, "ended"))
        return some

    async def _returns(self, step: Step, jid: Jid) -> list[Record]:
        """Return what the minions of a step's job have returned since, if the listener may see."""
        if jid not in self._children:
            self._children[jid] = await self._child(jid)
        child = self._children[jid]
        if child is None:
            return []
        some: list[Record] = []
        for found in list(child.job.returns.values())[child.told : child.told + RECORDS_AT_ONCE]:
            child.told += 1
            if found.minion in child.seen:
                continue
            child.maker.saw(found.minion)
            self._jobs[jid] = child.maker.cursor()
            of_minion = {"jids": [jid], "minion": found.minion, **await child.values.shown(found)}
            some.append({**self._record(step, "returned"), **of_minion})
        if child.told < len(child.job.returns):
            self._job.changed()
        return some

    async def _child(self, jid: Jid) -> _Child | None:
        job = self._job_service.registry.get(jid)
        if job is None or job.kind != "local":
            return None
        if not await self._job_service.may_see(self._session, job):
            return None
        values = Values(self._job_service, self._session, job, masked=self._values.masked)
        seen = cursors.read(self._jobs.get(jid), job.base).minions
        return _Child(job, values, seen, cursors.CursorMaker(job.base, seen))

    def _record(self, step: Step, event: str) -> Record:
        steps = [[number, *told] for number, told in self._told.items()]
        self._maker.steps = cursors.packed([steps, self._jobs])
        named = {"id": self._maker.cursor(), "jid": self._job.jid, "event": event}
        return {"type": "step", **named, **shown(step)}


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
