"""
Jobs as a session may know them: from the registry of what the bus shows, and from the job cache.

A user sees the jobs that this user started, and all jobs if the master would let the user run
`event_acl.JOB_READERS`; administrators see all. Who has started a job is what was recorded when it
was started here, else what the first `new` event said, else what the job cache says where no minion
can have written it.

What the registry does not know any more is read from the master's job cache: in this process where
it may read the master's files, by the same rule; else by the runner functions with the user's
token, and the master decides.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from typing import Any

from saltapi.bridge.bus.job_starts import Source
from saltapi.bridge.jobs.jobs import Job, JobRequest
from saltapi.bridge.jobs.past_jobs import PastJobs
from saltapi.bridge.jobs.registered import RegisteredJob, returned
from saltapi.bridge.jobs.registry import JobRegistry
from saltapi.bridge.jobs.states import JobState, MinionState
from saltapi.bridge.worker.job_index import Part, Search
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.engine.events.acl import JOB_READERS
from saltapi.engine.jobs.changes import Changes, NoChanges
from saltapi.engine.jobs.endings import Endings
from saltapi.engine.jobs.loads import facts_of, is_of_master
from saltapi.engine.jobs.owners import OWNER_SECONDS, JobOwners
from saltapi.engine.jobs.silence import Silence
from saltapi.engine.sessions.administrators import Administrators
from saltapi.engine.store.doubts import Doubts
from saltapi.engine.store.store import ShareUsed, Store
from saltapi.errors import (
    CommandTimeout,
    JobCacheUnavailable,
    MasterUnavailable,
    NotFound,
    OutcomeUnknown,
    SaltApiError,
    Stopping,
    StoreUnavailable,
    WorkerFailed,
)
from saltapi.interfaces import FUNCTION_KINDS
from saltapi.lowstate import Command, checked_jid
from saltapi.types import Credentials, Jid, MinionId, Session

log = logging.getLogger(__name__)

SEES_ALL_SECONDS = 5.0
SEES_ALL_SESSIONS = 1_000


class JobService:
    """Finds jobs for sessions, and follows them to their end."""

    def __init__(
        self,
        client: AsyncAPIClient,
        store: Store,
        *,
        jobs: int,
        limit_bytes: int,
        administrators: Administrators,
    ) -> None:
        """
        Args:
            client: Whose bus shows the jobs.
            store: What the processes on this machine share.
            jobs: How many jobs are kept in memory.
            limit_bytes: How many bytes all of them may take.
            administrators: Tells who sees all jobs, and all of them.
        """
        self.client = client
        self.master_id = str(client.opts.get("id", "master"))
        self.registry = JobRegistry(
            client.hub,
            master_id=self.master_id,
            jobs=jobs,
            limit_bytes=limit_bytes,
            syndics=client.jobs.order_masters,
            masters_users={"root", str(client.opts.get("user"))},
        )
        self.cache = client.job_cache
        self.past_jobs = PastJobs(client.opts, client.job_cache)
        self.stopping = False
        keep_seconds = client.opts.get("keep_jobs_seconds") or OWNER_SECONDS
        self.owners = JobOwners(store, seconds=float(keep_seconds))
        self.silence = Silence(
            client.hub.outages, store, seconds=float(keep_seconds), is_syndic=client.jobs.is_syndic
        )
        self._endings = Endings(self.silence)
        self.registry.on_ending = self._endings.begin
        self._doubts = Doubts(store)
        client.jobs.jids.ask(self.owners.claim)
        self.administrators = administrators
        self._eauths = sorted(client.opts.get("external_auth") or {})
        self._followers: dict[RegisteredJob, asyncio.Task[None]] = {}
        self._loading: dict[Jid, asyncio.Task[RegisteredJob | None]] = {}
        self._sees_all: dict[str, tuple[float, bool]] = {}
        self.changes: Changes = NoChanges()
        """Those in stages, if anybody sees to them."""

    @property
    def is_partial(self) -> bool:
        """Whether lists may leave out past jobs: no index yet, or it cannot be read."""
        return self.cache.readable and (self.past_jobs.partial or self.cache.hangs)

    def start(self) -> None:
        """Begin to keep up with the job cache; idempotent."""
        self.past_jobs.start()

    def end_streams(self) -> None:
        """Let whoever waits for a job know that the service stops."""
        self.stopping = True
        for job in self.registry.jobs():
            job.changed()

    async def close(self) -> None:
        """Stop following jobs; idempotent. They go on."""
        self.end_streams()
        tasks = [*self._followers.values(), *self._loading.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._endings.close()
        await self.past_jobs.close()
        self.registry.close()

    async def get(self, session: Session, jid: Jid, *, keep: bool = True) -> RegisteredJob:
        """
        Return a job that *session* may see; *keep* as for `known`.

        Raises:
            InvalidChunk: *jid* cannot be a job id.
            NotFound: There is no such job, or it is none of this user's business.
            JobCacheUnavailable: It is none of late, and Salt's job cache does not answer.
            OutcomeUnknown: The master may still publish it.
        """
        job = await self.known(session, checked_jid(jid), keep=keep)
        if job is None and await self._doubts.has(session, jid):
            raise OutcomeUnknown(
                f"It is not known yet whether the master has published the job {jid}; ask again.",
                jids=(jid,),
            )
        if job is None or not await self.may_see(session, job):
            raise NotFound(f"There is no job {jid} that you may see.")
        if job.batch is not None:
            with contextlib.suppress(StoreUnavailable):
                await self.changes.learn(jid)
        await self.silence.recall(job)
        return job

    async def may_see(self, session: Session, job: RegisteredJob) -> bool:
        """Return whether *session* may see *job*."""
        return await self.is_own(session, job) or await self.sees_all(session)

    async def is_own(self, session: Session, job: RegisteredJob) -> bool:
        """
        Return whether the user of *session* has started *job*.

        The master's records hold a name and not the eauth system that it comes from. Where there
        are several systems, and for the names of the master's own account and of root, a name
        alone is not enough. A narrowed token has what it has started itself.
        """
        if session.narrowed is not None:
            return await self.owners.is_of_machine(job.jid, session.machine)
        if not job.vouched and (job.user == session.name or job.source is not Source.READ):
            await self._vouch(job)
        if job.user != session.name or not job.user or not job.vouched:
            return False
        if job.eauth is None:
            if not self._is_ambiguous(session):
                return True
            await self._take_record(job)
        return (job.user, job.eauth) == (session.name, session.eauth)

    async def is_recorded(self, job: RegisteredJob) -> bool:
        """Return whether function, arguments and target of *job* are what was started here."""
        if job.source is Source.OURS:
            return True
        owned = None
        with contextlib.suppress(SaltApiError):
            owned = await self.owners.find(job.jid)
        if owned is None:
            return False
        if job.tgt is None and owned.target is not None:  # the job cache has lost it
            job.tgt, job.tgt_type, job.delimiter = owned.target
        return owned.is_of(job)

    async def sees_all(self, session: Session) -> bool:
        """Return whether the user of *session* may see all jobs."""
        if await self.administrators.includes(session):
            return True
        now = time.monotonic()
        known = self._sees_all.get(session.token)
        if known is None or now - known[0] > SEES_ALL_SECONDS:
            allows = self.client.permissions.runner
            verdicts = [await allows(session, name, {}) for name in JOB_READERS]
            if len(self._sees_all) >= SEES_ALL_SESSIONS:
                self._sees_all.clear()
            known = now, all(verdict.allowed for verdict in verdicts)
            self._sees_all[session.token] = known
        return known[1]

    async def begin(self, session: Session, job: RegisteredJob) -> None:
        """
        Register a job that is about to be started here: nobody's events can take its place.

        Raises:
            StoreUnavailable: It cannot be noted whose it is, and a name alone does not tell.
        """
        job.own(session.name, session.eauth)
        job.growing = True  # until it is known who is expected to return
        self.registry.add(job)
        try:
            await self.owners.note(session, job)
        except ShareUsed:
            log.warning("Whose job %s is will not be known elsewhere: too many jobs.", job.jid)
        except StoreUnavailable:
            if self._is_ambiguous(session):
                self.registry.remove(job)
                raise

    async def record(self, session: Session, job: RegisteredJob) -> None:
        """Record a job that was started here; where that cannot be done, it goes on without."""
        with contextlib.suppress(StoreUnavailable, ShareUsed):
            await self.owners.note(session, job)

    async def doubt(self, session: Session, job: RegisteredJob) -> None:
        """Note that nobody knows whether the master publishes *job*, however late."""
        with contextlib.suppress(StoreUnavailable):
            await self._doubts.note(session, [job.jid], None)

    def begun(self, job: RegisteredJob, published: Job) -> None:
        """Note that the job *job*, which `begin` has registered, was published."""
        if published.jid != job.jid:  # a job cache of the master's made one of its own
            self.registry.remove(job)
            job.jid = published.jid
            self.registry.add(job)
        job.growing = self.client.jobs.order_masters
        job.expect(published.minions)
        job.miss(published.missing)

    def _is_ambiguous(self, session: Session) -> bool:
        """Return whether the name of a user alone does not tell who it is."""
        local = session.name in {"root", self.client.opts.get("user")}
        return len(self._eauths) > 1 or (local and session.eauth != "pam")

    async def _vouch(self, job: RegisteredJob) -> None:
        """Find out whose a job is of which events contradict each other, or the cache is unsure."""
        if await self._take_record(job) or job.source is not Source.HEARD:
            return
        load = await self.cache.load(job.jid) if self.cache.readable else {}
        if is_of_master(load):  # but a minion's event can add to its minions (`store_minions`)
            self._describe(job, {**load, "Minions": None})
        job.vouched = True

    async def _take_record(self, job: RegisteredJob) -> bool:
        """Take who has started *job*, if that was recorded, and return whether it was."""
        owned = None
        with contextlib.suppress(SaltApiError):
            owned = await self.owners.find(job.jid) if job.jid else None
        if owned is None:
            return False
        if job.user != owned.name:
            log.warning("Job %s was started by another user than its records say.", job.jid)
        job.user, job.eauth, job.vouched = owned.name, owned.eauth, True
        return True

    def follow(self, session: Session, job: RegisteredJob, published: Job | None = None) -> None:
        """
        Wait for the rest of the minions, and find out about the silent ones, once for all.

        Args:
            session: Who may ask the silent minions.
            job: The job.
            published: What follows it, where this process has published it just now.
        """
        waits = job.kind == "local" and job.state is JobState.RUNNING and job.jid
        if job.batch is not None:  # of which the stages are followed
            return
        if (not waits and published is None) or job in self._followers:
            if published is not None:
                published.close()
            return
        job.held += 1
        task = asyncio.create_task(self._follow(session, job, published))
        self._followers[job] = task
        task.add_done_callback(lambda done: self._let_go(job, done))

    async def wait(self, session: Session, job: RegisteredJob, seconds: float) -> None:
        """Return when *job* is not running any more, at the latest after *seconds*."""
        with contextlib.suppress(TimeoutError, Stopping):
            async with asyncio.timeout(seconds):
                await self.ended(session, job)

    async def ended(self, session: Session, job: RegisteredJob) -> None:
        """
        Return when *job* is not running any more.

        Raises:
            Stopping: The service stops before.
        """
        self.follow(session, job)
        while job.state is JobState.RUNNING:
            if self.stopping:
                raise Stopping("The service is stopping; go on at the job's URL.")
            await job.pulse().wait()

    async def values(self, session: Session, job: RegisteredJob) -> dict[MinionId, Any]:
        """Return the values that the job cache has; for those that the registry left out."""
        found: dict[str, Any] = {}
        with contextlib.suppress(JobCacheUnavailable):  # they are shown as left out
            for jid in job.jids:
                found |= await self._cached_returns(session, jid)
        return {m: data.get("return") for m, data in found.items() if isinstance(data, Mapping)}

    async def search(self, session: Session, wanted: Search, before: Jid | None) -> Part:
        """Return past jobs that may be wanted, older than *before*, the newest first."""
        if self.cache.readable:
            return await self.past_jobs.search(wanted, before)
        found = await self._ask_runner(session, "jobs.list_jobs")
        jids = sorted(found, reverse=True) if isinstance(found, dict) else []
        return Part({jid: found[jid] for jid in jids if before is None or jid < before}, None)

    def past(self, jid: Jid, info: Mapping[str, Any]) -> RegisteredJob:
        """Return the job that an entry of a list is about, without minions and returns."""
        job = self.registry.new(jid, "local")
        job.source = Source.READ
        self._describe(job, info)
        # What a function returned is in its load: see `is_of_master`.
        job.vouched = job.kind == "local"
        return job

    def _let_go(self, job: RegisteredJob, done: asyncio.Task[None]) -> None:
        self._followers.pop(job, None)
        job.held -= 1
        if not done.cancelled() and (error := done.exception()) is not None:
            log.error("Job %s cannot be followed any more.", job.jid, exc_info=error)
            job.settle({})

    async def _follow(self, session: Session, job: RegisteredJob, published: Job | None) -> None:
        if (following := published) is None:
            asks = Credentials(token=session.token)
            request = JobRequest(job.tgt, job.fun, asks, tgt_type=job.tgt_type, jid=job.jid)
            following = self.client.jobs.follow(request, list(job.minions), list(job.returns))
        silent: dict[MinionId, MinionState] = {}
        async with following:
            async for found in following:
                if found.silent and not found.missing:
                    silent[found.minion] = found.state
                elif not found.silent:  # already registered, unless the registry began after it
                    job.take(returned(found.minion, found.data, arrived_at=time.time()), 0)
        job.miss(following.missing)
        if silent:  # what the bus did not bring may have reached the cache
            with contextlib.suppress(JobCacheUnavailable):
                self._take_cached(job, await self._cached_returns(session, job.jid))
        await self.silence.settle(job, silent)

    async def known(self, session: Session, jid: Jid, *, keep: bool = True) -> RegisteredJob | None:
        """
        Return a job, whosever it is; None if there is none that *session* can find.

        Without *keep* one that is read takes no place in the registry, and is not followed.
        """
        if jid not in self._loading:
            job = self.registry.get(jid) or await self.changes.find(session, jid)
            if job is not None:
                return job
            if not (keep and self.cache.readable):  # nobody else may share a user's token
                return await self._load(session, jid, keep=keep)
        if jid not in self._loading:
            self._loading[jid] = asyncio.create_task(self._load(session, jid))
            self._loading[jid].add_done_callback(lambda _: self._loading.pop(jid, None))
        return await asyncio.shield(self._loading[jid])

    async def _load(self, session: Session, jid: Jid, *, keep: bool = True) -> RegisteredJob | None:
        """Return the job that the job cache has; it is registered while minions are outstanding."""
        job = self.registry.new(jid, "local")
        job.vouched = False
        if keep and self.cache.readable:
            self.registry.add(job)  # before the cache is read, so that no return is lost between
        try:
            if self.cache.readable:
                load = await self.cache.load(jid)
                returns = await self.cache.returns(jid) if load else {}
            else:
                load = await self._ask_runner(session, "jobs.list_job", jid=jid) or {}
                load = {} if "Error" in load else load
                returns = load.get("Result") or {}
            known = self.registry.get(jid)
            if known is not None and known.fun:  # it has begun meanwhile
                return known
            if not load:
                self.registry.remove(job)
                return None
            job.source = Source.READ
            self._describe(job, load)
            self._take_cached(job, returns)
            job.vouched = (
                await self._take_record(job)
                or is_of_master(load)
                or not self.cache.readable  # the master lets this user read all of them
            )
            if job.state is not JobState.RUNNING:
                self.registry.remove(job)
        except BaseException:
            self.registry.remove(job)
            raise
        return job

    def _describe(self, job: RegisteredJob, load: Mapping[str, Any]) -> None:
        """Take a load of the job cache, or an entry as the runner functions format it."""
        job.describe(facts_of(load))
        if (kind := str(job.fun).partition(".")[0]) in FUNCTION_KINDS:
            job.kind = kind
        minions = [self.master_id] if job.kind in FUNCTION_KINDS else load.get("Minions")
        if isinstance(minions, list):
            job.expect([name for name in minions if isinstance(name, str)])

    def _take_cached(self, job: RegisteredJob, returns: Mapping[str, Any]) -> None:
        for minion, data in returns.items():
            if isinstance(data, Mapping) and isinstance(minion, str):
                if job.arg is None:
                    job.describe({"fun_args": data.get("fun_args")})
                job.take(returned(minion, data, arrived_at=None), 0)

    async def _cached_returns(self, session: Session, jid: Jid) -> dict[str, Any]:
        if self.cache.readable:
            return await self.cache.returns(jid)
        found = await self._ask_runner(session, "jobs.list_job", jid=jid)
        result = found.get("Result") if isinstance(found, dict) else None
        return result if isinstance(result, dict) else {}

    async def _ask_runner(self, session: Session, fun: str, **kwargs: Any) -> Any:
        command = Command("runner", fun, Credentials(token=session.token), kwargs=kwargs)
        try:
            return await self.client.run_command(command)
        except (MasterUnavailable, CommandTimeout, WorkerFailed) as error:
            raise JobCacheUnavailable(f"Salt's job cache cannot be read: {error}") from error
        except SaltApiError as error:
            log.info("The job cache cannot be read by %s: %s", fun, error)
            return None
