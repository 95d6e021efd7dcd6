"""
Why a minion is silent: one code, one sentence, the facts in the order of their times, and a next
step.

It is answered from what is known already: keys, connections, the bus, the jobs, the job cache. A
session learns of minions and jobs what it may see of them, and one answer stands for all else:
whether there is such a minion or job does not show.
"""

import asyncio
import contextlib
import time
from typing import Any
from urllib.parse import quote

from saltapi.bridge.bus.job_starts import Source
from saltapi.bridge.bus.outages import Outage
from saltapi.bridge.fleet.keys import KeyState
from saltapi.bridge.jobs.job_events import FIND_JOB
from saltapi.bridge.jobs.jobs import JobRequest
from saltapi.bridge.jobs.registered import RegisteredJob
from saltapi.bridge.jobs.states import JobState
from saltapi.engine.audit import activity
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.engine.fleet import facts, unmatched
from saltapi.engine.fleet.codes import SENTENCES, Code
from saltapi.engine.fleet.facts import Case
from saltapi.engine.fleet.listing import Minions
from saltapi.engine.fleet.minion import Minion
from saltapi.engine.jobs.service import JobService
from saltapi.engine.jobs.times import time_text
from saltapi.errors import JobCacheUnavailable, NoMinionsMatched, NotFound
from saltapi.types import Credentials, Jid, MinionId, Session

Record = dict[str, Any]
NO_JID = "0" * 20
"""What a minion is asked for that is asked whether it is there at all."""
ASK_SECONDS = 15.0
"""How long it has to answer, at most."""
SLACK_SECONDS = 1.0
"""How far the times of files and of events may be apart."""
KEY_CODES = {
    KeyState.PENDING: Code.KEY_PENDING,
    KeyState.REJECTED: Code.KEY_REJECTED,
    KeyState.DENIED: Code.KEY_DENIED,
}


class Whys:
    """Says why minions are silent."""

    def __init__(self, client: AsyncAPIClient, minions: Minions, jobs: JobService) -> None:
        """
        Args:
            client: Its bus, and what asks minions.
            minions: The fleet as sessions see it.
            jobs: The jobs as sessions see them.
        """
        self._client = client
        self._minions = minions
        self._jobs = jobs
        opts = client.opts
        self._ports = f"{opts.get('publish_port') or 4505} and {opts.get('ret_port') or 4506}"
        gather_seconds = float(opts.get("gather_job_timeout") or 10)
        self._ask_seconds = min(gather_seconds, ASK_SECONDS)
        self._patience_seconds = float(opts.get("timeout") or 5) + gather_seconds

    async def why(
        self, session: Session, minion: MinionId, jid: Jid | None = None, *, ask: bool = False
    ) -> Record:
        """
        Return why a minion is silent: `code`, `sentence`, `facts`, `next`.

        Args:
            session: Who wants to know.
            minion: The minion.
            jid: The job that it has not returned; None for why it is silent at all.
            ask: Whether it is asked, with `saltutil.find_job`, as this session.

        Raises:
            InvalidChunk: *jid* cannot be a job id.
            JobCacheUnavailable, OutcomeUnknown: As `JobService.get`.
            AuthorizationFailed, MasterUnavailable: It cannot be asked.
        """
        case, code = await self._case(session, minion)
        job: RegisteredJob | None = None
        if case is not None and jid is not None:
            try:
                job = await self._jobs.get(session, jid)
            except NotFound:
                whole = await self._jobs.sees_all(session)
                case, code = None, Code.UNKNOWN_JOB if whole else Code.NOT_PERMITTED
        if case is None:
            return told(code, minion, jid)
        if ask:
            case.answered = await self._ask(session, minion, jid or NO_JID)
            case.connected = self._minions.fleet.connected(minion)
        facts.of_minion(case)
        facts.of_outages(case, self._client.hub.outages, 0.0 if job is None else job.started_at)
        code = self._at_all(case) if job is None else await self._of_job(case, job)
        return told(code, minion, jid, case, self._ports)

    async def _case(self, session: Session, name: MinionId) -> tuple[Case | None, Code]:
        """Return what is known of a minion; None, with the code, if the session may not see it."""
        fleet = self._minions.fleet
        await fleet.refresh()
        sight = await self._minions.sight(session, [name])
        minion = fleet.registry.minions.get(name)
        if minion is not None and not self._minions.is_seen(sight, minion):
            minion = None
        if minion is None and self._client.jobs.order_masters and sight.minion(name):
            minion = Minion(name)  # it may be of a master below
        if minion is None:
            hides_nothing = sight.minion(name) and sight.shows_keys
            return None, Code.UNKNOWN_MINION if hides_nothing else Code.NOT_PERMITTED
        states = await fleet.key_states(name) if fleet.readable else set()
        if not sight.shows_keys:
            states &= {KeyState.ACCEPTED}
        case = Case(
            session, sight, minion, frozenset(states), fleet.readable, fleet.connected(name)
        )
        return case, Code.CONNECTED

    def _at_all(self, case: Case) -> Code:
        """Return why a minion is silent, whatever the job."""
        if not self._client.bus.connected:
            case.details = " and is not heard now"
            return Code.MASTER_AWAY
        if (code := self._key_code(case)) is not None:
            return code
        minion = case.minion
        case.details = _since(minion)
        if case.connected is False:
            return Code.KEY_DENIED if KeyState.DENIED in case.states else Code.NOT_CONNECTED
        if case.answered is False or minion.is_silent:
            return Code.NO_RESPONSE
        return Code.NOT_ASKED if case.connected is None else Code.CONNECTED

    def _key_code(self, case: Case) -> Code | None:
        """Return what the minion's key has to do with it; None if it is accepted."""
        if KeyState.ACCEPTED in case.states or not case.keys_known:
            return None
        if not case.states:
            syndics = self._client.jobs.order_masters
            return Code.BEHIND_SYNDIC if syndics else Code.KEY_MISSING
        return next(KEY_CODES[state] for state in KEY_CODES if state in case.states)

    async def _of_job(self, case: Case, job: RegisteredJob) -> Code:
        """Return why a minion has not returned a job, or how it has."""
        name = case.minion.id
        facts.of_job(case, job)
        gave_up_at = await self._jobs.silence.gave_up_at(job)
        if gave_up_at is not None:
            case.facts.add(gave_up_at, "Nobody waited for the rest of the job any more.")
        if (code := await self._returned(case, job, gave_up_at)) is not None:
            return code
        if job.kind != "local":
            case.details = f"it is a {job.kind} function, which runs in the master"
            return Code.NOT_MATCHED
        if self._client.jobs.is_syndic(name):
            case.details = "it is a syndic, which passes on what minions of a master below return"
            return Code.NOT_MATCHED
        if job.minions and name not in job.minions:
            return await self._unmatched(case, job)
        code = Code(self._jobs.silence.reason(job, name))
        if code in (Code.TERMINATED, Code.KILLED, Code.NOT_RUN, Code.OUTCOME_UNKNOWN):
            return code
        if (key := self._key_code(case)) is not None:
            return key
        if code is Code.RUNNING and case.connected is not False:
            case.details = facts.how_far_text(job, name)
            return code
        asked = name in job.answers
        if code in (Code.NO_RESPONSE, Code.NOT_CONNECTED) and not asked:
            late_at = job.started_at + self._patience_seconds
            if job.state is JobState.RUNNING and time.time() < late_at and case.connected:
                return Code.WAITING
            silent = case.answered is False or case.minion.is_silent
            code = Code.NO_RESPONSE if silent else Code.NOT_ASKED
        if case.connected is False:
            case.details = _since(case.minion)
            return Code.KEY_DENIED if KeyState.DENIED in case.states else Code.NOT_CONNECTED
        if code is Code.MASTER_AWAY:
            case.details = " after the job was published"
        if code is Code.NOT_CONNECTED:  # so it was then
            case.details = " when the job was given up"
        if code is Code.NO_RESPONSE:
            case.details = _since(case.minion)
        return code

    async def _returned(
        self, case: Case, job: RegisteredJob, gave_up_at: float | None
    ) -> Code | None:
        """Return how the minion has returned the job; None if it has not."""
        name = case.minion.id
        found = job.returns.get(name)
        at = None if found is None else found.arrived_at
        heard = at is not None
        if not heard:
            cached, at = await self._cached(case.session, job, name)
            if found is None and not cached:
                return None
        failed = ", and says that it failed" if found is not None and found.failed else ""
        case.facts.add(at, f"It returned the job{failed}.")
        if at is not None:
            case.details = f", {max(at - job.started_at, 0.0):.1f} s after it began"
        if gave_up_at is not None and at is not None and at > gave_up_at:
            return Code.RETURNED_LATE
        missed = self._client.hub.outages.since(job.started_at)
        in_gap = any(_within(at, outage) for outage in missed)
        if at is None:
            in_gap = bool(missed) and job.source is not Source.READ
        return Code.RETURNED_IN_GAP if in_gap and not heard else Code.RETURNED

    async def _cached(
        self, session: Session, job: RegisteredJob, minion: MinionId
    ) -> tuple[bool, float | None]:
        """Return whether the job cache has a minion's return, and since when if it tells that."""
        cache, at = self._jobs.cache, None
        if job.kind != "local" or not job.jid:
            return False, None
        if cache.readable and cache.is_files:
            with contextlib.suppress(JobCacheUnavailable):
                at = await cache.returned_at(job.jid, minion)
            return at is not None, at
        return minion in await self._jobs.values(session, job), None

    async def _unmatched(self, case: Case, job: RegisteredJob) -> Code:
        """Return why a job was not for the minion."""
        if (code := self._key_code(case)) is not None:
            return code
        about = await unmatched.parts_of(
            self._minions, case.session, case.sight, job, case.minion.id
        )
        for what in about:
            case.facts.add(None, what)
        case.details = "its target did not match it when it was published"
        return Code.NOT_MATCHED

    async def _ask(self, session: Session, minion: MinionId, jid: Jid) -> bool:
        """Ask the minion whether it runs a job; return whether it has answered in time."""
        request = JobRequest(
            tgt=[minion],
            tgt_type="list",
            fun=FIND_JOB,
            arg=(jid,),
            credentials=Credentials(token=session.token),
            timeout_seconds=ASK_SECONDS,
        )
        act = {"client": "local", "fun": FIND_JOB, "tgt": [minion], "tgt_type": "list"}
        with contextlib.suppress(NoMinionsMatched, TimeoutError):
            async with (
                activity.acting("command", arguments=request.arg, **act),
                await self._client.jobs.start(request) as asked,
                asyncio.timeout(self._ask_seconds),
            ):
                async for found in asked:
                    return not found.silent
        return False


def told(
    code: Code,
    minion: MinionId,
    jid: Jid | None,
    case: Case | None = None,
    ports: str = "",
) -> Record:
    """Return the answer: code, sentence, facts in order, and what to do next."""
    sentence, step = SENTENCES[code]
    words = {
        "minion": minion,
        "quoted": quote(minion, safe=""),
        "jid": jid or "",
        "details": "" if case is None else case.details,
        "ports": ports,
    }
    return {
        "code": str(code),
        "sentence": sentence.format(**words),
        "facts": [] if case is None else case.facts.told(),
        "next": step.format(**words),
    }


def _within(at: float | None, outage: Outage) -> bool:
    end = float("inf") if outage.end is None else outage.end
    return at is not None and outage.begin - SLACK_SECONDS <= at <= end + SLACK_SECONDS


def _since(minion: Minion) -> str:
    if minion.seen_at is None:
        return "; it was never seen"
    return f"; it was last seen at {time_text(minion.seen_at)}"
