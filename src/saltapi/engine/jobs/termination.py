"""Ending a job's processes on its minions: terminate, and kill what does not end of it."""

import asyncio
import enum
from dataclasses import dataclass

from saltapi.bridge.jobs.job_events import FIND_JOB, says_running
from saltapi.bridge.jobs.jobs import JobRequest
from saltapi.bridge.jobs.registered import RegisteredJob
from saltapi.bridge.jobs.states import MinionState
from saltapi.engine.audit import activity
from saltapi.engine.jobs.service import JobService
from saltapi.errors import Conflict, NoMinionsMatched
from saltapi.types import Credentials, MinionId, Session

GRACE_SECONDS = 2.0
"""How long processes have to end after they were told to, before they are killed."""


class Outcome(enum.StrEnum):
    """What became of a job on one minion."""

    RETURNED = "returned"
    """It has returned before it could be ended."""
    TERMINATED = "terminated"
    KILLED = "killed"
    NOT_RUNNING = "not_running"
    """The minion does not run the job, and has not returned."""
    STILL_RUNNING = "still_running"
    """It runs on, although it was killed."""
    NO_RESPONSE = "no_response"
    REFUSED = "refused"
    """The minion has answered that it cannot; it may lack the function."""


@dataclass(frozen=True, slots=True)
class _Asker:
    """Publishes functions about one job as its user."""

    job_service: JobService
    session: Session
    job: RegisteredJob

    async def ask(self, fun: str, minions: list[MinionId]) -> dict[MinionId, object]:
        """Return what *minions* return from `fun(jid)`; those that stay silent are left out."""
        if not minions:
            return {}
        request = JobRequest(
            tgt=minions,
            tgt_type="list",
            fun=fun,
            arg=(self.job.jid,),
            credentials=Credentials(token=self.session.token),
        )
        act = {"client": "local", "fun": fun, "tgt": minions, "tgt_type": "list"}
        try:
            async with (
                activity.acting("command", arguments=request.arg, **act),
                await self.job_service.client.jobs.start(request) as asked,
            ):
                return {found.minion: found.data async for found in asked if not found.silent}
        except NoMinionsMatched:
            return {}


async def end(
    job_service: JobService, session: Session, job: RegisteredJob
) -> dict[MinionId, Outcome]:
    """
    Let all minions that have not returned end the job; return what became of it on each.

    `saltutil.term_job` first; where the job then still runs, `saltutil.kill_job`.

    Raises:
        Conflict: The job is one of the master's, which it cannot end.
        AuthorizationFailed: The user may not run these functions there.
        What else publishing raises.
    """
    if job.kind != "local":
        raise Conflict("Only jobs of minions can be ended; this one runs in the master.")
    asker = _Asker(job_service, session, job)
    before = job.outstanding
    outcomes = dict.fromkeys(before, Outcome.NO_RESPONSE)
    told = await asker.ask("saltutil.term_job", before)
    ending = []
    for minion, data in told.items():
        outcomes[minion] = _first_outcome(data)
        if outcomes[minion] is Outcome.TERMINATED:
            ending.append(minion)
    if ending:
        await asyncio.sleep(GRACE_SECONDS)
        stubborn = await _running(asker, [m for m in ending if m not in job.returns])
        killed = await asker.ask("saltutil.kill_job", stubborn)
        left = set(await _running(asker, stubborn)) - job.returns.keys()
        for minion in stubborn:
            gone = minion in killed and minion not in left
            outcomes[minion] = Outcome.KILLED if gone else Outcome.STILL_RUNNING
    for minion in before:
        if minion in job.returns:
            outcomes[minion] = Outcome.RETURNED
    ended = {Outcome.TERMINATED: MinionState.TERMINATED, Outcome.KILLED: MinionState.KILLED}
    job.silent.update({m: ended[what] for m, what in outcomes.items() if what in ended})
    if all(what not in {Outcome.STILL_RUNNING, Outcome.REFUSED} for what in outcomes.values()):
        await job_service.silence.settle(job, job.silent, ended=True)
    return outcomes


async def _running(asker: _Asker, minions: list[MinionId]) -> list[MinionId]:
    found = await asker.ask(FIND_JOB, minions)
    return [m for m, data in found.items() if isinstance(data, dict) and says_running(data)]


def _first_outcome(data: object) -> Outcome:
    """Read what `saltutil.term_job` returns: a sentence if it has sent the signal, else ''."""
    answer = data.get("return") if isinstance(data, dict) else None
    if not isinstance(data, dict) or data.get("retcode") or not isinstance(answer, str):
        return Outcome.REFUSED
    return Outcome.TERMINATED if answer.startswith("Signal ") else Outcome.NOT_RUNNING
