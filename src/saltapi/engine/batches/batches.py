"""Changes in stages: begun, found, paused, resumed, stopped; and taken over from who has died."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from saltapi.bridge.bus.events import Event
from saltapi.bridge.jobs import salt_batches
from saltapi.bridge.jobs.batches import Batch, BatchState, Reason
from saltapi.bridge.jobs.clearance import REFUSED
from saltapi.bridge.jobs.jobs import Job, JobRequest
from saltapi.bridge.jobs.registered import RegisteredJob
from saltapi.engine.batches.driver import Driver, Tools
from saltapi.engine.batches.kept import KeptBatches, LeaseLost, Order
from saltapi.engine.batches.requests import question
from saltapi.engine.batches.views import BatchViews
from saltapi.engine.commands.job_requests import job_request
from saltapi.engine.jobs import termination
from saltapi.engine.jobs.owners import OWNER_SECONDS
from saltapi.engine.jobs.service import JobService
from saltapi.engine.jobs.termination import Outcome
from saltapi.engine.store.sqlite import SqliteStore
from saltapi.errors import (
    AuthorizationFailed,
    BadRequest,
    Conflict,
    InvalidChunk,
    MasterUnavailable,
    SaltApiError,
    Stopping,
    StoreUnavailable,
    TooManyRequests,
)
from saltapi.lowstate import Command
from saltapi.types import Jid, MinionId, Session

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""How often it is looked for changes of other processes, and for those that nobody drives."""
ORDER_SECONDS = 15.0
"""How long it is waited for an order to be taken: a process that died is replaced meanwhile."""
CLOSE_SECONDS = 10.0
"""How long a stage that is being published is waited for when the service stops."""
RETRY_AFTER_SECONDS = 60
PAST_SECONDS = 5.0
"""How long it holds which changes have ended; those of this process, and news, are known anyway."""


class Batches:
    """The changes in stages of one master, as one process sees them."""

    def __init__(
        self,
        job_service: JobService,
        store: SqliteStore,
        *,
        limit: int,
        begin_audit: Callable[[Jid], None] = lambda _jid: None,
    ) -> None:
        """
        Args:
            job_service: Publishes and follows the stages.
            store: What all processes of the master's modules share.
            limit: How many changes may be on their way at once.
            begin_audit: Lets what happens in this task be written into the audit log.
        """
        self._job_service = job_service
        self._client = job_service.client
        keep_seconds = self._client.opts.get("keep_jobs_seconds") or OWNER_SECONDS
        self._kept = KeptBatches(store, seconds=min(float(keep_seconds), OWNER_SECONDS))
        self._views = BatchViews(job_service)
        self._tools = Tools(job_service, self._kept, self._views)
        self._limit = limit
        self._begin_audit = begin_audit
        self._drivers: dict[Jid, tuple[Driver, asyncio.Task[None]]] = {}
        self._versions: dict[Jid, int] = {}
        self._given_up: set[Jid] = set()
        self._polling: asyncio.Task[None] | None = None
        self._stopping = False
        self._learning = asyncio.Lock()
        self._past: tuple[float, frozenset[Jid]] = float("-inf"), frozenset()
        job_service.changes = self
        self._client.hub.observe(self._on_event)

    @property
    def driven(self) -> int:
        """How many changes this process sees to."""
        return len(self._drivers)

    def open(self) -> None:
        """Begin to see to changes that nobody drives; idempotent."""
        if self._polling is None:
            self._polling = asyncio.create_task(self._poll())

    async def close(self) -> None:
        """Hand the changes over: another process goes on with them, or this one's successor."""
        self._stopping = True
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
        await asyncio.gather(*map(self._hand_over, list(self._drivers)))

    async def start(self, command: Command) -> RegisteredJob:
        """
        Begin the change that *command* asks for and return its job, which goes on by itself.

        When it returns nothing but a question who is there has been published.

        Raises:
            AuthorizationFailed: The master would not run it on the whole target, or the session
                is a token's for machines.
            InvalidChunk: It cannot be kept, or has too many stages.
            NoMinionsMatched, TooManyRequests, StoreUnavailable, MasterUnavailable
        """
        plan, credentials = command.stages, command.credentials
        assert plan is not None  # noqa: S101 - nothing else comes here
        session = credentials.session
        if session is None:
            raise BadRequest("A change in stages needs a session: log in and send the token.")
        _check_keeps(session)
        if self._stopping:
            raise _unsent(Stopping("The service is stopping; nothing was run."))
        request = job_request(replace(command, stages=None), credentials)
        _check_keepable(request)
        await self._check(session, request)
        if len(await self._kept.active()) >= self._limit:
            raise TooManyRequests(
                f"{self._limit} changes are on their way, and no more are possible now.",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )
        cleared = await self._client.jobs.clearance.clear(request)
        try:
            asked = await self._client.jobs.start(question(cleared))
        except (MasterUnavailable, Stopping) as error:
            raise _unsent(error) from error
        try:
            plan.ends(len(asked.minions))
            batch = _batch(self._client.jobs.new_jid(), session, request, asked, command)
            token = session.token
            if self._client.sessions.is_lent(token):
                token = await self._client.token_store.copied(token)
                batch.lent = token != session.token
            written = await self._kept.create(batch, token)
        except BaseException:
            asked.close()
            raise
        job = self._views.show(batch)
        await self._job_service.record(session, job)
        self._drive(batch, written, asked)
        self.open()
        return job

    async def start_async(self, command: Command) -> dict[str, Any]:
        """Same as `start`, and return what `local_async` does: jid and minions."""
        job = await self.start(command)
        return {"jid": job.jid, "minions": list(job.minions)}

    async def order(self, session: Session, jid: Jid, order: Order) -> RegisteredJob:
        """
        Pause, resume or stop a change, and return its job when that was taken note of.

        Resumed by whoever has begun it, it goes on with this session.

        Raises:
            NotFound: There is no such job that *session* may see.
            AuthorizationFailed: It is another user's.
            Conflict: It is no change in stages, has ended, or its user has to resume it.
        """
        job = await self._job_service.get(session, jid)
        if job.batch is None:
            raise Conflict("This job does not run in stages; DELETE ends it.")
        own = await self._job_service.is_own(session, job)
        if not own and not await self._job_service.administrators.includes(session):
            raise AuthorizationFailed("Only who has begun a change, and administrators, may do so.")
        kept = await self._kept.find(jid)
        if kept is None or kept[0].ended:
            raise Conflict("This change has ended.")
        if order == "resume":
            _check_keeps(session)
            if own:
                await self._kept.set_token(kept[0], session.token)
            elif kept[0].reason == Reason.SESSION_EXPIRED:
                raise Conflict("The session of its user has expired; only they can resume it.")
        name = await self._kept.give_order(jid, order)
        deadline = time.monotonic() + ORDER_SECONDS
        while kept is not None and time.monotonic() < deadline:
            if kept[0].order == name or kept[0].ended:
                break
            await asyncio.sleep(POLL_SECONDS / 5)
            kept = await self._kept.find(jid)
        if kept is not None and jid not in self._drivers:
            self._views.show(kept[0])
        return await self._job_service.get(session, jid)

    async def end(
        self, session: Session, job: RegisteredJob
    ) -> tuple[RegisteredJob, dict[MinionId, Outcome]]:
        """
        Stop a change, and let the minions of the stage that runs end its job.

        Raises:
            What `order` and `termination.end` raise.
        """
        job = await self.order(session, job.jid, "stop")
        outcomes: dict[MinionId, Outcome] = {}
        for stage in job.batch.stages if job.batch is not None else ():
            child = await self._job_service.known(session, stage.jid) if stage.jid else None
            if child is not None and child.outstanding and not child.settled:
                outcomes |= await termination.end(self._job_service, session, child)
        return job, outcomes

    # Who drives what

    def _drive(self, batch: Batch, written: bytes, asked: Job | None) -> None:
        driver = Driver(self._tools, batch, written, asked)
        task = asyncio.create_task(driver.run())
        self._drivers[batch.jid] = driver, task
        task.add_done_callback(lambda _: self._driven(driver))

    def _driven(self, driver: Driver) -> None:
        jid = driver.batch.jid
        self._drivers.pop(jid, None)
        if driver.failed:
            self._given_up.add(jid)

    async def _hand_over(self, jid: Jid) -> None:
        if jid not in self._drivers:
            return
        driver, task = self._drivers[jid]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS), driver.publishing:
                task.cancel()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with contextlib.suppress(StoreUnavailable):
            await self._kept.release(jid)

    async def _poll(self) -> None:
        while True:
            try:
                if await self._kept.exists():
                    await self._look()
            except SaltApiError as error:
                log.warning("Changes in stages cannot be looked for: %s", error)
            except Exception:
                log.exception("Changes in stages cannot be looked for.")
            await asyncio.sleep(POLL_SECONDS)

    async def _look(self) -> None:
        """Learn how far the changes of others are, and take over what nobody drives."""
        await self.learn()
        known = {*await self._kept.active(), *(batch.jid for batch in self._views.open)}
        for jid in known - self._drivers.keys() - self._given_up:
            if not await self._kept.is_leased(jid):
                await self._take_over(jid)

    async def learn(self, only: Jid | None = None) -> None:
        """
        Take note of how far the changes of other processes are.

        Args:
            only: One that is asked for; all without. One that this process drives, or that has
                ended, costs nothing.

        Raises:
            StoreUnavailable
        """
        if only is not None:
            job = self._views.find(only)
            if job is not None and job.batch is not None and not self._is_current(job.batch):
                await self._read(only)
        elif await self._kept.exists():
            async with self._learning:
                news = await self._kept.news()
                self._views.catch_up()
                for jid in news.keys() - self._drivers.keys():
                    if self._versions.get(jid) != news[jid].version and await self._read(jid):
                        self._versions[jid] = news[jid].version
                self._versions = {jid: v for jid, v in self._versions.items() if jid in news}

    def _is_current(self, batch: Batch) -> bool:
        return batch.ended or batch.jid in self._drivers

    async def _read(self, jid: Jid) -> tuple[Batch, bytes] | None:
        """Show what is kept of a change of another process's, and return it."""
        kept = await self._kept.find(jid)
        if kept is not None and jid not in self._drivers:
            batch = kept[0]
            await self._views.load(batch, Session("", batch.user, batch.eauth, 0.0, 0.0))
            self._views.show(batch)
        return kept

    async def _take_over(self, jid: Jid) -> None:
        """Go on with a change that nobody drives, or note its end."""
        kept = await self._read(jid)
        if kept is None:
            await self._forget(jid)
        elif kept[0].ended:
            await self._kept.clear(kept[0])
        elif await self._kept.lease(jid):
            await self._go_on(*kept)

    async def _go_on(self, batch: Batch, written: bytes) -> None:
        log.warning("Going on with the change %s, which nobody drives.", batch.jid)
        batch.driver = self._kept.me
        try:
            written = await self._kept.save(batch, written)
        except LeaseLost:
            return
        self._begin_audit(batch.jid)
        self._drive(batch, written, None)

    async def _forget(self, jid: Jid) -> None:
        """Let a change end that is kept no more."""
        await self._kept.forget(jid)
        job = self._views.find(jid)
        if job is not None and job.batch is not None and not job.batch.ended:
            job.batch.state, job.batch.reason = BatchState.HALTED, "store_unavailable"
            self._views.show(job.batch)

    async def ended(self) -> frozenset[Jid]:
        """
        Return the changes that have ended, also before this process began.

        Raises:
            StoreUnavailable
        """
        if time.monotonic() - self._past[0] > PAST_SECONDS and await self._kept.exists():
            self._past = time.monotonic(), await self._kept.past()
        return self._past[1]

    async def past(self, jid: Jid) -> RegisteredJob | None:
        """
        Return the job of a change without minions and returns; None if nothing is kept of it.

        Raises:
            StoreUnavailable
        """
        kept = await self._kept.find(jid)
        return None if kept is None else self._views.past(kept[0])

    async def find(self, session: Session, jid: Jid) -> RegisteredJob | None:
        """Return the job of a change, from what is kept of it; None if there is none."""
        if not await self._kept.exists():
            return None
        kept = await self._kept.find(jid)
        return None if kept is None else await self._views.load(kept[0], session)

    def _on_event(self, event: Event) -> None:
        """Stop what the master says is halted: somebody has run `batch.stop`."""
        if not event.tag.startswith(salt_batches.PREFIX):
            return
        jid = salt_batches.is_stopped(event)
        if jid is not None and jid in self._drivers and not self._drivers[jid][0].batch.ended:
            task = asyncio.ensure_future(self._kept.give_order(jid, "stop"))
            task.add_done_callback(_passed_over)

    async def _check(self, session: Session, request: JobRequest) -> None:
        """Return if the master would run *request*, as far as this process can know."""
        found = await self._client.permissions.local(
            session,
            request.fun,
            request.arg,
            request.tgt,
            request.tgt_type,
            delimiter=dict(request.extra).get("delimiter"),
        )
        if not found.allowed and not found.unknown:
            raise AuthorizationFailed(REFUSED)


def _passed_over(done: asyncio.Future[str]) -> None:
    if not done.cancelled() and done.exception() is not None:
        log.warning("A change that the master has halted could not be told so.")


def _check_keeps(session: Session) -> None:
    """
    Return if the token of *session* may be kept for a change to go on with.

    Raises:
        AuthorizationFailed: It is one for machines, of which nothing but a hash is ever kept.
    """
    if session.machine:
        raise AuthorizationFailed("A token for machines cannot run changes in stages; log in.")


def _batch(jid: Jid, session: Session, request: JobRequest, asked: Job, command: Command) -> Batch:
    assert command.stages is not None  # noqa: S101 - as in `start`
    minions: list[MinionId] = []
    if command.tgt_type == "list":  # in the client's order
        names = command.tgt if isinstance(command.tgt, list) else command.tgt.split(",")
        minions = [name for name in dict.fromkeys(names) if name in asked.minions]
    minions += sorted(asked.minions - {*minions})
    return Batch(
        jid=command.jid or jid,
        user=session.name,
        eauth=session.eauth,
        fun=request.fun,
        arg=list(request.arg),
        tgt=request.tgt,
        tgt_type=request.tgt_type,
        ret=request.ret,
        timeout_seconds=request.timeout_seconds,
        gather_job_timeout_seconds=request.gather_job_timeout_seconds,
        extra=[list(pair) for pair in request.extra],
        plan=dict(command.stages.value),
        matched=minions,
        unknown=sorted(asked.missing),
        started_at=time.time(),
    )


def _check_keepable(request: JobRequest) -> None:
    """Return if *request* can be kept as JSON; it is to be the same when it is published."""
    facts = [request.fun, list(request.arg), request.tgt, [list(pair) for pair in request.extra]]
    try:
        same = json.loads(json.dumps(facts, allow_nan=False)) == facts
    except (TypeError, ValueError, RecursionError):
        same = False
    if not same:
        raise InvalidChunk(
            "With 'batch' all arguments must be what JSON has: texts, numbers, true, false, null,"
            " lists, and mappings with texts for keys.",
            key="arg",
        )


def _unsent(error: MasterUnavailable | Stopping) -> MasterUnavailable | Stopping:
    """Return *error*, which says that nothing was run: a question does not count."""
    error.sent = False
    return error
