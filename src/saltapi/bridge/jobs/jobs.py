"""
Jobs: publish, collect what the minions return, and find out about those that stay silent.

A job's jid is ours and its watcher is registered before the publish, so that no return can be
missed. What a job waits for, and how long, follows `LocalClient.get_iter_returns`: after
`timeout` the silent minions are asked with `saltutil.find_job`; as long as one of them says
that it still runs the job, it is waited for.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, Self

from saltapi.bridge.bus.events import Event
from saltapi.bridge.bus.hub import Hub
from saltapi.bridge.bus.tags import Kind
from saltapi.bridge.bus.wake import Wake
from saltapi.bridge.jobs import state_results
from saltapi.bridge.jobs.jids import REFUSED, Jids
from saltapi.bridge.jobs.job_events import FIND_JOB, has_failed, says_running
from saltapi.bridge.jobs.presence import Presence
from saltapi.bridge.jobs.states import MinionState
from saltapi.bridge.jobs.tallies import Tallies, outcome_of
from saltapi.bridge.requests import targets
from saltapi.bridge.requests.master import Master
from saltapi.errors import Conflict, NoMinionsMatched, SaltApiError
from saltapi.trace import note_jid
from saltapi.types import Credentials, Jid, MinionId, Opts, Published, ReturnData

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Return:
    """
    What one minion of a job has to say.

    `data` is the data of its return event, empty for a minion that stayed silent. `missing` is
    set for a name in a list target that the master does not know.
    """

    jid: Jid
    minion: MinionId
    state: MinionState
    data: ReturnData
    missing: bool = False

    @property
    def silent(self) -> bool:
        """Whether the minion did not return."""
        return self.state in {MinionState.NOT_CONNECTED, MinionState.NO_RESPONSE}


@dataclass(frozen=True, slots=True)
class JobRequest:
    """
    One command for minions, checked and complete; times in seconds.

    One that `lends` is published with a token that is good as long as somebody waits for it. The
    `client` interface is "" for questions of our own, which are not counted.
    """

    tgt: str | list[str]
    fun: str | list[str]
    credentials: Credentials
    tgt_type: str = "glob"
    arg: tuple[Any, ...] = ()
    ret: str = ""
    jid: Jid | None = None
    timeout_seconds: float | None = None
    gather_job_timeout_seconds: float | None = None
    extra: tuple[tuple[str, Any], ...] = ()
    lends: bool = False
    client: str = ""


class Clears(Protocol):
    """Says what may be published; `saltapi.bridge.jobs.clearance.Clearance`."""

    async def clear(self, request: JobRequest) -> JobRequest:
        """Return *request* as it may be published."""

    async def check_absence(self, request: JobRequest) -> None:
        """Return if whoever asks may know that no minion matches."""


class Jobs:
    """Starts jobs and follows them over the hub."""

    def __init__(
        self,
        opts: Opts,
        hub: Hub,
        master: Master,
        presence: Presence,
        clearance: Clears,
        lend: Callable[[Credentials], AbstractAsyncContextManager[Credentials]] = nullcontext,
    ) -> None:
        """
        Args:
            opts: The master's options.
            hub: Where the minions' returns come.
            master: Publishes.
            presence: Knows which minions are connected.
            clearance: Is asked before anything is published.
            lend: Returns credentials for one publication (`TokenStore.lent`).
        """
        self._lend = lend
        self._opts = opts
        self.clearance = clearance
        self.hub = hub
        self._master = master
        self.presence = presence
        self.tallies = Tallies()
        self.jids = Jids(opts, hub)
        self.order_masters = bool(opts.get("order_masters"))
        self.syndic_wait_seconds = float(opts.get("syndic_wait", 5)) if self.order_masters else 0.0

    async def publish(self, request: JobRequest) -> Published:
        """
        Publish *request* and return the job, without waiting for anything.

        Raises:
            NoMinionsMatched and what else `Master.publish` raises.
        """
        try:
            published = await self.publish_as(request, self._jid(request))
        except Exception as error:
            self.tallies.job(request.client, outcome_of(error))
            raise
        self.tallies.job(request.client, "started")
        note_jid(published.jid)
        return published

    async def start(self, request: JobRequest) -> "Job":
        """
        Publish *request* and return the job to collect its returns from; close it when done.

        Raises:
            NoMinionsMatched and what else `Master.publish` raises.
        """
        job = Job(self, request, self._jid(request))
        try:
            job.published(await self.publish_as(request, job.jid))
        except BaseException as error:
            job.end(outcome_of(error))
            job.close()
            raise
        return job

    def follow(
        self, request: JobRequest, minions: Collection[MinionId], returned: Collection[MinionId]
    ) -> "Job":
        """
        Return a job that was published before, to wait for the rest of its minions; close it.

        Args:
            request: The command, with its jid; who may ask the silent minions.
            minions: The minions that are expected to return.
            returned: Those of them that have.
        """
        job = Job(self, request, str(request.jid))
        job.resume(minions, returned)
        return job

    def timeout_seconds(self, request: JobRequest) -> float:
        """Return how long the request waits before silent minions are asked."""
        if request.timeout_seconds is None:
            return float(self._opts["timeout"])
        return request.timeout_seconds

    def gather_job_timeout_seconds(self, request: JobRequest) -> float:
        """Return how long silent minions have to say that they still run the job."""
        if request.gather_job_timeout_seconds is None:
            return float(self._opts["gather_job_timeout"])
        return request.gather_job_timeout_seconds

    def is_syndic(self, minion: MinionId) -> bool:
        """Return whether *minion* is a syndic, which returns nothing itself."""
        return self.order_masters and self.presence.is_syndic(minion)

    def new_jid(self) -> Jid:
        """Return a jid as the installed Salt makes them."""
        return self.jids.new()

    def _jid(self, request: JobRequest) -> Jid:
        if request.jid is None:
            return self.new_jid()
        if self.hub.watches(request.jid):
            raise Conflict(REFUSED)
        return request.jid

    async def publish_as(self, request: JobRequest, jid: Jid) -> Published:
        """
        Same as `publish`, under a *jid* that the caller made with `new_jid`.

        Everything that is published passes here, and is cleared before.
        """
        request = await self.clearance.clear(request)
        try:
            return await self._publish(request, jid)
        except NoMinionsMatched:
            await self.clearance.check_absence(request)
            raise

    async def _publish(self, request: JobRequest, jid: Jid) -> Published:
        tgt, tgt_type = targets.resolve(self._opts, request.tgt, request.tgt_type)
        external = self._opts.get("ext_job_cache")
        lend = self._lend if request.lends else nullcontext
        async with lend(request.credentials) as credentials:
            return await self._master.publish(
                jid=jid,
                tgt=tgt,
                tgt_type=tgt_type,
                fun=request.fun,
                arg=list(request.arg),
                credentials=credentials,
                ret=",".join(filter(None, (request.ret, external))),
                extra=dict(request.extra),
                to_seconds=self.timeout_seconds(request) if self.order_masters else None,
            )


class Job:
    """A published job. Iterate over it for each return as it comes."""

    def __init__(self, jobs: Jobs, request: JobRequest, jid: Jid) -> None:
        """Use `Jobs.start`."""
        self.jid = jid
        self.minions: set[MinionId] = set()
        """The minions that are expected to return; syndics may add some."""
        self.missing: set[MinionId] = set()
        """Names in a list target that the master does not know."""
        self._jobs = jobs
        self._request = request
        self._states: dict[MinionId, MinionState] = {}
        self._pending: set[MinionId] = set()
        self._arrived: list[Return] = []
        self._wake = Wake()
        self._stop_watching = jobs.hub.watch_job(jid, self._on_event)
        self._stop_listening: Callable[[], None] | None = None
        self._probe: asyncio.Task[None] | None = None
        self._patience: dict[MinionId, float] = {}
        self._some_run = True
        self._outcome: str | None = None

    def published(self, published: Published) -> None:
        """Take what the master answered to the publish."""
        if published.jid != self.jid:  # a job cache of the master's made one of its own
            self._stop_watching()
            self.jid = published.jid
            self._stop_watching = self._jobs.hub.watch_job(self.jid, self._on_event)
        self._expect(published.minions)
        self.missing.update(published.missing)
        note_jid(self.jid)

    def resume(self, minions: Collection[MinionId], returned: Collection[MinionId]) -> None:
        """Take what is known of a job that was published before."""
        self._states.update(dict.fromkeys(returned, MinionState.RETURNED))
        self._expect(minions)

    def state(self, minion: MinionId) -> MinionState:
        """Return what is known of *minion* now."""
        return self._states.get(minion, MinionState.WAITING)

    @property
    def pending(self) -> set[MinionId]:
        """The minions that have not returned yet."""
        return set(self._pending)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def end(self, outcome: str) -> None:
        """Count what became of the job, once."""
        if self._outcome is None:
            self._outcome = outcome
            self._jobs.tallies.job(self._request.client, outcome)

    def close(self) -> None:
        """Stop following the job; idempotent. The minions go on with it."""
        self.end("left")
        self._stop_watching()
        if self._stop_listening is not None:
            self._stop_listening()
        if self._probe is not None:
            self._probe.cancel()

    async def __aiter__(self) -> AsyncIterator[Return]:
        """Yield every minion's `Return` once: those that came as they come, then the silent."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        check_at = started + self._jobs.timeout_seconds(self._request)
        while True:
            for found in self._take_arrived():
                yield found
            pending = self._pending
            now = loop.time()
            if not pending and now >= started + self._jobs.syndic_wait_seconds:
                break
            if self._probe is not None and self._probe.done():
                self._probe = None
                check_at = now + self._jobs.gather_job_timeout_seconds(self._request)
                check_at += self._jobs.syndic_wait_seconds
            if self._probe is None and now >= check_at:
                if self._some_run and pending:
                    self._some_run = False
                    self._probe = asyncio.create_task(self._ask(sorted(pending)))
                    self._probe.add_done_callback(lambda _: self._wake.set())
                elif all(now >= self._patience.get(minion, 0) for minion in pending):
                    break
                else:
                    check_at = max(self._patience.get(minion, 0) for minion in pending)
            await self._wait(None if self._probe is not None else check_at - loop.time())
        await self._give_up()
        self.end("incomplete" if any(found.silent for found in self._arrived) else "complete")
        for found in self._take_arrived():
            yield found

    def _take_arrived(self) -> list[Return]:
        arrived, self._arrived = self._arrived, []
        return arrived

    async def _wait(self, seconds: float | None) -> None:
        """Wait until something happens to the job, at most *seconds*."""
        if self._arrived:
            return
        if seconds is not None and self._jobs.syndic_wait_seconds and not self._pending:
            seconds = min(seconds, self._jobs.syndic_wait_seconds)
        await self._wake.wait(seconds)

    def _on_event(self, event: Event) -> None:
        tag = event.parts
        if tag.syndics:  # whom this master expects is in its answer to the publish
            if self._jobs.order_masters:
                self._add_minions(event.data)
            return
        if tag.part == state_results.PROGRESS:
            told = state_results.read(event)
            if told is not None and told[0] in self._pending:
                self._runs(told[0])
            return
        if tag.kind is not Kind.JOB or tag.part != "ret" or tag.name is None:
            return
        data = event.data
        minion = data.get("id")
        if not isinstance(minion, str) or tag.name != minion:
            log.warning("A return of job %s names another minion than its tag.", self.jid)
            return
        if "return" not in data or _final(self.state(minion)):
            return
        state = MinionState.FAILED if has_failed(data) else MinionState.RETURNED
        self._arrive(Return(self.jid, minion, state, data))
        self._wake.set()

    def _add_minions(self, data: dict[str, Any]) -> None:
        """Take the minions that a syndic expects to return."""
        for key, take in (("minions", self._expect), ("missing", self.missing.update)):
            value = data.get(key)
            if isinstance(value, list):
                take([name for name in value if isinstance(name, str)])
        self._wake.set()

    def _expect(self, minions: Collection[MinionId]) -> None:
        self.minions.update(minions)
        self._pending.update(m for m in minions if not _final(self.state(m)))

    def _runs(self, minion: MinionId) -> None:
        """Wait longer: *minion* has just said that it is at it, asked or unasked."""
        timeout = self._jobs.timeout_seconds(self._request)
        self._states[minion] = MinionState.RUNNING
        self._patience[minion] = asyncio.get_running_loop().time() + timeout
        self._some_run = True

    def _arrive(self, found: Return) -> None:
        self._states[found.minion] = found.state
        self._pending.discard(found.minion)
        self._arrived.append(found)
        self._jobs.tallies.returned(self._request.client, None if found.silent else found.data)

    async def _ask(self, minions: list[MinionId]) -> None:
        """Publish `saltutil.find_job`; answers that come later are taken as they come."""
        request = JobRequest(
            tgt=minions,
            tgt_type="list",
            fun=FIND_JOB,
            arg=(self.jid,),
            credentials=self._request.credentials,
        )

        def on_answer(event: Event) -> None:
            minion = event.data.get("id")
            if (
                isinstance(minion, str)
                and (event.parts.part, event.parts.name) == ("ret", minion)
                and says_running(event.data)
                and not _final(self.state(minion))
            ):
                self._expect([minion])
                self._runs(minion)
                self._wake.set()

        jid = self._jobs.new_jid()
        if self._stop_listening is not None:  # whoever did not answer then is asked again now
            self._stop_listening()
        self._stop_listening = self._jobs.hub.watch_job(jid, on_answer)
        try:
            await self._jobs.publish_as(request, jid)
        except SaltApiError as error:
            log.info("The silent minions of job %s could not be asked: %s", self.jid, error)

    async def _give_up(self) -> None:
        """Let the silent minions arrive as such; who returns in the last moment still counts."""
        presence = self._jobs.presence
        missing = self.missing - self._states.keys() - self._pending
        gone = await presence.not_connected(self._pending | missing)
        for minion in sorted(self._pending | (missing - self._states.keys())):
            if presence.is_syndic(minion):
                continue
            state = MinionState.NOT_CONNECTED if minion in gone else MinionState.NO_RESPONSE
            self._arrive(Return(self.jid, minion, state, {}, missing=minion in missing))


def _final(state: MinionState) -> bool:
    return state not in {MinionState.WAITING, MinionState.RUNNING}
