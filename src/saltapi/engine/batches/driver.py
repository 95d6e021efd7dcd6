"""
Who sees one change through: stage after stage, as long as what failed stays within the limits.

What is about to happen is noted before it does. A stage is published once: of one that may have
been published it is looked for the job, and without it the change ends there.
"""

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass, replace

from saltapi.bridge.jobs import salt_batches
from saltapi.bridge.jobs.batches import DONE, Batch, BatchState, Reason, Stage, StageState
from saltapi.bridge.jobs.jobs import Job
from saltapi.bridge.jobs.registered import RegisteredJob
from saltapi.bridge.jobs.states import JobState, MinionState
from saltapi.engine.audit import activity
from saltapi.engine.batches.kept import LIFE_SECONDS, KeptBatches, LeaseLost
from saltapi.engine.batches.requests import question, stage_request, whole_request
from saltapi.engine.batches.views import BatchViews
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.engine.jobs.service import JobService
from saltapi.engine.store.outcomes import is_unknown
from saltapi.engine.store.store import ShareUsed
from saltapi.errors import (
    AuthenticationFailed,
    AuthorizationFailed,
    BadRequest,
    NoMinionsMatched,
    SaltApiError,
    StoreUnavailable,
)
from saltapi.lowstate.stages import plan_of
from saltapi.types import Session

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
"""How often it is looked for orders, and said that somebody drives the change."""
RETRY_SECONDS = 5.0
"""When it is tried again what was not taken: the master is away, or the disk is full."""
DOUBT_SECONDS = 10.0
"""How long it is looked for a job that may have been published."""
PROGRESS_SECONDS = 5.0
"""How often the master's bus is told how far a stage is."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What every driver needs."""

    job_service: JobService
    kept: KeptBatches
    views: BatchViews


class Driver:
    """Drives one change on the running event loop."""

    def __init__(self, tools: Tools, batch: Batch, written: bytes, asked: Job | None) -> None:
        """
        Args:
            tools: What it works with.
            batch: The change; nobody else writes it.
            written: How it is kept now.
            asked: The question who is there, if it was just published.
        """
        self.batch = batch
        self.publishing = asyncio.Lock()
        """Held while it would not be known what has happened if it ended there."""
        self.failed = False
        """Whether it has ended by an error that nobody expects."""
        self._plan = plan_of(batch.plan)
        self._tools = tools
        self._written = written
        self._asked = asked
        self._news = asyncio.Event()
        self._saving = asyncio.Lock()

    async def run(self) -> None:
        """Return when the change has ended, or is another's."""
        going = asyncio.create_task(self._go())
        ticking = asyncio.create_task(self._tick())
        try:
            await asyncio.wait({going, ticking}, return_when=asyncio.FIRST_COMPLETED)
            for task in (going, ticking):
                if task.done():
                    task.result()
        except LeaseLost:
            log.warning("The change %s is another process's now.", self.batch.jid)
        except Exception:
            log.exception("The change %s cannot go on here.", self.batch.jid)
            self.failed = True
        finally:
            for task in (going, ticking):
                task.cancel()
            await asyncio.gather(going, ticking, return_exceptions=True)
            if self._asked is not None:
                self._asked.close()

    async def obey(self, order: str, name: str = "") -> None:
        """Take an order: `pause`, `resume` or `stop`."""
        batch = self.batch
        if batch.ended:
            return
        batch.order = name or batch.order
        if order == "stop":
            self._halt(Reason.ASKED)
        elif order == "pause" and batch.state in {BatchState.ASKING, BatchState.RUNNING}:
            self._pause(Reason.ASKED)
        elif order == "resume" and batch.state is BatchState.PAUSED:
            batch.state, batch.reason, batch.lent = BatchState.RUNNING, None, False
        await self._save()
        self._news.set()

    # What is noted

    async def _save(self) -> None:
        """Note how far it is, and tell of it; raises `LeaseLost`."""
        while True:
            try:
                async with self._saving:
                    self._written = await self._tools.kept.save(self.batch, self._written)
            except (StoreUnavailable, ShareUsed):
                await asyncio.sleep(RETRY_SECONDS)
            else:
                break
        self._tools.views.show(self.batch)

    async def _tick(self) -> None:
        kept, jid = self._tools.kept, self.batch.jid
        while True:
            await asyncio.sleep(TICK_SECONDS)
            with contextlib.suppress(StoreUnavailable):
                if not await kept.lease(jid):
                    raise LeaseLost
                order = await kept.take_order(jid)
                if order is not None:
                    await self.obey(order[1], order[0])

    def _halt(self, reason: str) -> None:
        if self.batch.state is not BatchState.STOPPING:
            self.batch.state, self.batch.reason = BatchState.STOPPING, reason

    def _pause(self, reason: str) -> None:
        if self.batch.state is not BatchState.STOPPING:
            self.batch.state, self.batch.reason = BatchState.PAUSED, reason

    async def _announce(self, what: salt_batches.What) -> None:
        if salt_batches.KNOWN:
            with contextlib.suppress(SaltApiError):
                tag, data = salt_batches.event_of(self.batch, what)
                await self._tools.job_service.client.bus.fire(tag, data)

    # The course

    async def _go(self) -> None:
        batch = self.batch
        if not batch.stages:
            await self._divide()
        else:
            await self._announce("new")  # the master may have been restarted
        for stage in batch.stages:
            if stage.state is StageState.STARTING:
                await self._find_out(stage)
            while stage.state is StageState.PENDING and await self._may_begin():
                await self._begin(stage)
            if stage.state is StageState.RUNNING:
                await self._see_through(stage)
            if stage.state is StageState.PENDING:
                stage.state = StageState.NOT_RUN
        await self._end()

    async def _divide(self) -> None:
        """Find out who is there, and divide them into stages."""
        batch = self.batch
        session = await self._session_or_pause()
        if session is None:
            return
        while self._asked is None:
            try:
                self._asked = await self._client.jobs.start(question(whole_request(batch, session)))
            except NoMinionsMatched:
                break
            except SaltApiError as error:
                if not await self._try_again(error):
                    return
        answers = [] if self._asked is None else [found async for found in self._asked]
        if self._asked is not None:
            self._asked.close()
        there = {found.minion for found in answers if not found.silent}
        batch.silent = {found.minion: str(found.state) for found in answers if found.silent}
        batch.silent = {m: why for m, why in batch.silent.items() if m not in batch.unknown}
        batch.minions = [minion for minion in batch.matched if minion in there]
        batch.minions += sorted(there - {*batch.matched})
        try:
            ends = self._plan.ends(len(batch.minions))
        except BadRequest as error:
            self._halt(error.code)
            return
        firsts = [0, *ends]
        batch.stages = [Stage(first, end) for first, end in zip(firsts, ends, strict=False)]
        if batch.state is BatchState.ASKING:
            batch.state = BatchState.RUNNING
        if not batch.stages:
            self._halt(Reason.NO_MINIONS)
        await self._save()
        await self._announce("new")

    async def _may_begin(self) -> bool:
        """Return True when the next stage may begin, False when none will any more."""
        batch = self.batch
        while True:
            self._news.clear()
            now = time.time()
            if batch.state is BatchState.STOPPING:
                return False
            if now > batch.started_at + LIFE_SECONDS:
                self._halt(Reason.TOO_LATE)
                await self._save()
                return False
            if batch.state is BatchState.PAUSED or now < batch.next_at:
                waits = LIFE_SECONDS if batch.state is BatchState.PAUSED else batch.next_at - now
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(waits):
                        await self._news.wait()
                continue
            if await self._session() is None:
                self._pause(Reason.SESSION_EXPIRED)
                await self._save()
                continue
            return True

    async def _begin(self, stage: Stage) -> None:
        """Publish a stage; it stays pending if it is sure that it was not."""
        session = await self._session()
        if session is None:
            return
        async with self.publishing:
            await self._publish(session, stage)
        if stage.state is StageState.STARTING:
            await self._find_out(stage)
        await self._announce("progress")

    async def _publish(self, session: Session, stage: Stage) -> None:
        batch, job_service = self.batch, self._tools.job_service
        stage.jid, stage.state = self._client.jobs.new_jid(), StageState.STARTING
        stage.started_at, batch.reason = time.time(), None
        minions = batch.minions_of(stage)
        await self._save()  # nothing is published that is not noted
        request = stage_request(batch, session, stage)
        job = job_service.registry.new(stage.jid, "local")
        job.parent = batch.jid
        facts = {"fun": batch.fun, "arg": batch.arg, "tgt": minions, "tgt_type": "list"}
        job.describe({**facts, "kwargs": dict(request.extra)})
        act = {"client": "local", "fun": batch.fun, "tgt": minions, "tgt_type": "list"}
        try:
            async with activity.acting("command", arguments=tuple(batch.arg), **act):
                await job_service.begin(session, job)
                self._tools.views.adopt(self._whole, job)
                published = await self._client.jobs.start(request)
        except SaltApiError as error:
            job_service.registry.remove(job)
            await self._not_begun(session, stage, error, job)
            return
        job_service.begun(job, published)
        stage.jid, stage.state = job.jid, StageState.RUNNING
        job_service.follow(session, job, published)
        await self._save()

    async def _not_begun(
        self, session: Session, stage: Stage, error: SaltApiError, job: RegisteredJob
    ) -> None:
        """Note why a stage has not begun, or that nobody knows."""
        if is_unknown(error):
            await self._tools.job_service.doubt(session, job)
            return
        stage.state, stage.jid, stage.started_at = StageState.PENDING, "", None
        if isinstance(error, NoMinionsMatched):
            minions = self.batch.minions_of(stage)
            stage.missing = dict.fromkeys(minions, str(MinionState.UNKNOWN))
            stage.state = StageState.RUNNING
        elif isinstance(error, AuthenticationFailed):
            self._pause(Reason.SESSION_EXPIRED)
        elif isinstance(error, AuthorizationFailed):
            self._halt(Reason.NOT_PERMITTED)
        elif isinstance(error, BadRequest):
            self._halt(error.code)
        else:
            self.batch.reason = error.code
            self.batch.next_at = time.time() + RETRY_SECONDS
        await self._save()

    async def _find_out(self, stage: Stage) -> RegisteredJob | None:
        """Return the job of a stage that may have been published; None if nobody knows of it."""
        deadline = time.monotonic() + DOUBT_SECONDS
        while (job := await self._job_of(stage)) is None:
            if time.monotonic() > deadline:
                minions = self.batch.minions_of(stage)
                stage.state, stage.ended_at = StageState.OUTCOME_UNKNOWN, time.time()
                stage.missing = dict.fromkeys(minions, str(MinionState.OUTCOME_UNKNOWN))
                self._halt(Reason.OUTCOME_UNKNOWN)
                await self._save()
                return None
            await asyncio.sleep(TICK_SECONDS)
        if stage.state is not StageState.RUNNING:
            stage.state = StageState.RUNNING
            await self._save()
        return job

    async def _see_through(self, stage: Stage) -> None:
        """Wait until the minions of a stage have returned, and judge what came of it."""
        job = await self._find_out(stage) if stage.jid else None
        if job is None and stage.jid:
            return
        while job is not None:
            session = await self._session_or_pause()
            if session is None:
                break
            self._tools.job_service.follow(session, job)
            await self._until_ended(job)
            if not job.missing or await self._session() is not None:
                break
            job.settled = False  # those that were silent could not be asked
        if job is not None:
            stage.failed = list(job.failed)
            stage.missing = {minion: str(why) for minion, why in job.missing.items()}
        self._judge(stage)
        await self._save()
        await self._announce("progress")

    def _judge(self, stage: Stage) -> None:
        batch = self.batch
        stage.state, stage.ended_at = StageState.COMPLETE, time.time()
        batch.next_at = stage.ended_at + self._plan.wait_seconds
        if not self._plan.allows(batch.failures, len(batch.minions)):
            stage.state = StageState.FAILED
            self._halt(Reason.MAX_FAILED)

    async def _until_ended(self, job: RegisteredJob) -> None:
        told, due = len(job.returns), time.monotonic() + PROGRESS_SECONDS
        while job.state is JobState.RUNNING:
            pulse = job.pulse()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PROGRESS_SECONDS):
                    await pulse.wait()
            if time.monotonic() > due and told != len(job.returns):
                told, due = len(job.returns), time.monotonic() + PROGRESS_SECONDS
                await self._announce("progress")

    async def _end(self) -> None:
        # A copy: others see that it has ended when all of it is noted.
        batch = self.batch = replace(self.batch, ended_at=time.time())
        if all(stage.state in DONE for stage in batch.stages) and batch.state in {
            BatchState.RUNNING,
            BatchState.PAUSED,
        }:
            batch.state, batch.reason = BatchState.COMPLETE, None
        elif batch.reason == Reason.ASKED:
            batch.state = BatchState.STOPPED
        else:
            batch.state = BatchState.HALTED
        token = await self._tools.kept.token(batch.jid)
        await self._save()
        await self._announce("complete" if batch.state is BatchState.COMPLETE else "halted")
        if batch.lent:
            await self._client.sessions.revoke(token)

    # Whose it is

    async def _session(self) -> Session | None:
        """Return the session that it runs with; None if that has ended."""
        batch = self.batch
        token = await self._tools.kept.token(batch.jid)
        try:
            session = await self._client.sessions.check(token, fresh=True)
        except AuthenticationFailed:
            return None
        except SaltApiError:  # the master looks at it again
            return Session(token, batch.user, batch.eauth, 0.0, float("inf"))
        return session if (session.name, session.eauth) == (batch.user, batch.eauth) else None

    async def _session_or_pause(self) -> Session | None:
        """Return the session, waiting for another one if it has ended; None to give it up."""
        while True:
            self._news.clear()
            session = await self._session()
            if session is not None or self.batch.state is BatchState.STOPPING:
                return session
            self._pause(Reason.SESSION_EXPIRED)
            await self._save()
            await self._news.wait()

    async def _try_again(self, error: SaltApiError) -> bool:
        """Return after a while whether to try again what ended with *error*."""
        if isinstance(error, AuthorizationFailed | BadRequest):
            denied = isinstance(error, AuthorizationFailed)
            self._halt(Reason.NOT_PERMITTED if denied else error.code)
        await asyncio.sleep(0 if self.batch.state is BatchState.STOPPING else RETRY_SECONDS)
        return self.batch.state is not BatchState.STOPPING

    async def _job_of(self, stage: Stage) -> RegisteredJob | None:
        """Return the job of a stage; None if nobody has heard of it."""
        batch, owner = self.batch, Session("", self.batch.user, self.batch.eauth, 0.0, 0.0)
        session = await self._session() or owner
        try:
            job = await self._tools.job_service.known(session, stage.jid)
        except SaltApiError:
            return None
        if job is not None:
            job.own(batch.user, batch.eauth)
            self._tools.views.adopt(self._whole, job)
        return job

    @property
    def _whole(self) -> RegisteredJob:
        return self._tools.views.show(self.batch)

    @property
    def _client(self) -> AsyncAPIClient:
        return self._tools.job_service.client
