"""
Runs: a lowstate of a session on its way, whose results can be read as they come.

A run does not need its reader: who goes away finds its jobs at their URLs. The chunks run in
order; one that cannot be started, or breaks off, ends the run.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from saltapi.bridge.jobs.jobs import JobRequest
from saltapi.bridge.jobs.registered import RegisteredJob, returned
from saltapi.bridge.jobs.states import MinionState
from saltapi.bridge.requests import targets
from saltapi.engine.audit import activity
from saltapi.engine.batches.batches import Batches
from saltapi.engine.commands.batch import batch_returns, up
from saltapi.engine.commands.job_requests import job_request
from saltapi.engine.jobs.records import Record, as_error, brief, document, records
from saltapi.engine.jobs.service import JobService
from saltapi.engine.jobs.state_records import Progress
from saltapi.engine.operations.api import Api
from saltapi.engine.operations.orchestrations import telling_steps
from saltapi.engine.operations.state_events import telling_states
from saltapi.engine.sessions.caller import Caller
from saltapi.engine.store.outcomes import is_unknown
from saltapi.errors import NoMinionsMatched, OutcomeUnknown, SaltApiError, Stopping
from saltapi.interfaces import FUNCTION_KINDS, Kind
from saltapi.lowstate import Command, chunks_from
from saltapi.types import Jid, Opts, Session


@dataclass(frozen=True, slots=True)
class Prepared:
    """Checked commands of a session; `jids` has those that are known, by chunk."""

    session: Session
    commands: tuple[Command, ...]

    @property
    def jids(self) -> tuple[Jid | None, ...]:
        """The id of each chunk's job, None where only the master makes it."""
        return tuple(command.jid for command in self.commands)


class Part:
    """One chunk of a run."""

    def __init__(
        self, index: int, command: Command | None, job: RegisteredJob | None = None
    ) -> None:
        self.index = index
        self.command = command
        self.job = job
        """What has become of it; None while it waits for the chunks before it."""
        self.error: SaltApiError | None = None
        self.begun = False
        """Whether it may have been started."""
        self.only_started = command is not None and not command.interface.waits
        """Whether the chunk asks for no results."""


class Run:
    """Started commands. `records` and `document` can be read by anybody, at any time."""

    def __init__(
        self, job_service: JobService, session: Session, parts: list[Part], *, whole: bool
    ) -> None:
        """Use `Runs.start` or `Runs.resume`."""
        self._whole = whole
        self.session = session
        self.parts = parts
        self._job_service = job_service
        self._pulse = asyncio.Event()

    @property
    def jids(self) -> tuple[Jid | None, ...]:
        """The id of each chunk's job, None where it has none or it is not known yet."""
        return tuple(_jid_of(part) for part in self.parts)

    async def records(
        self, *, progress: Progress = "none", fold: bool = False
    ) -> AsyncIterator[list[Record]]:
        """
        Yield the records of all chunks, each with its `chunk`, in order; some at a time.

        Args:
            progress: What is told of the states that minions run.
            fold: Whether summaries have equal returns once.
        """
        for part in self.parts:
            try:
                job = await self.started(part)
            except SaltApiError as error:
                yield [{"type": "error", "chunk": part.index, "error": error}]
                return
            if part.only_started:
                begun = {"chunk": part.index, **brief(job), "expected": sorted(job.minions)}
                yield [{"type": "job", **begun}, {"type": "summary", **begun, "complete": False}]
                continue
            async for some in records(
                self._job_service,
                self.session,
                job,
                whole=self._whole,
                progress=progress,
                fold=fold,
            ):
                yield [{"type": each["type"], "chunk": part.index, **each} for each in some]
                if some[-1]["type"] == "error":
                    return

    async def document(self, *, fold: bool = False) -> Record:
        """
        Return all facts when every chunk has ended: `complete` and `results`, by chunk.

        Args:
            fold: Whether equal returns are shown once.
        """
        results: list[Record] = []
        complete = True
        for part in self.parts:
            try:
                job = await self.started(part)
                if not part.only_started:
                    await self._job_service.ended(self.session, job)
                found = await document(
                    self._job_service, self.session, job, whole=self._whole, fold=fold
                )
            except SaltApiError as error:
                results.append({"chunk": part.index, "error": error})
                return {"complete": False, "results": results}
            results.append({"chunk": part.index, **found})
            if job.error is not None:
                results[-1]["error"] = as_error(job.error)
                return {"complete": False, "results": results}
            complete = complete and (found["complete"] or part.only_started)
        return {"complete": complete, "results": results}

    async def started(self, part: Part) -> RegisteredJob:
        """
        Return the job of a chunk as soon as it has one.

        Raises:
            OutcomeUnknown: It is not known whether it was started.
            SaltApiError: The chunk was not started.
        """
        while part.job is None:
            if part.error is not None:
                raise part.error
            if self._job_service.stopping:
                raise unknown(part, "The service is stopping") if part.begun else not_started()
            await self._pulse.wait()
        return part.job

    def changed(self) -> None:
        """Wake whoever waits for a chunk to start."""
        self._pulse.set()
        self._pulse = asyncio.Event()


class Runs:
    """Starts runs, and sees them through."""

    def __init__(self, api: Api, job_service: JobService, batches: Batches) -> None:
        """
        Args:
            api: Checks what is to be run.
            job_service: Where the jobs are registered.
            batches: Sees to changes in stages.
        """
        self._api = api
        self._batches = batches
        self._job_service = job_service
        self._client = job_service.client
        self._driving: dict[asyncio.Task[None], Run] = {}

    @property
    def running(self) -> int:
        """How many runs are on their way."""
        return len(self._driving)

    async def prepare(self, value: Any, caller: Caller, *, progress: Progress = "none") -> Prepared:
        """
        Return the checked commands of a lowstate; nothing is run.

        Args:
            value: The decoded body: a chunk, or a list of them; without `client` it is `local`.
            caller: Who asks, with a session.
            progress: What is to be told of states: minions that run some tell of each of them.

        Raises:
            BadRequest: There is nothing to run.
            Conflict: A chunk's jid is refused (`Jids.claim`).
            What else `Api.run` raises before it runs anything.
        """
        session = caller.known()
        chunks = [{"client": "local", **chunk} for chunk in chunks_from(value)]
        commands = await self._api.commands(chunks, caller)
        await self._client.jobs.jids.claim(command.jid for command in commands)
        if progress != "none":
            commands = list(map(telling_states, commands))
        for index, command in enumerate(commands):
            commands[index] = command = telling_steps(command, self._client.jobs.new_jid())
            if command.jid is None and command.interface.our_jid:
                commands[index] = replace(command, jid=self._client.jobs.new_jid())
        return Prepared(session, tuple(commands))

    async def start(self, prepared: Prepared) -> Run:
        """
        Start the commands and return the run as soon as the first one is published.

        Raises:
            What publishing the first one raises: then nothing has been run.
        """
        parts = [Part(index, command) for index, command in enumerate(prepared.commands)]
        run = Run(self._job_service, prepared.session, parts, whole=True)
        task = asyncio.create_task(self._drive(run))
        self._driving[task] = run
        task.add_done_callback(self._driving.pop)
        try:
            await run.started(parts[0])
        except SaltApiError as error:
            error.index = 0 if len(parts) > 1 else None
            raise
        return run

    async def resume(self, session: Session, jids: Sequence[Jid]) -> Run:
        """
        Return the run whose chunks made the jobs *jids*, as far as they were published.

        Raises:
            NotFound: One of them is not known, or is none of this user's business.
        """
        jobs = [await self._job_service.get(session, jid) for jid in jids]
        parts = [Part(n, None, job) for n, job in enumerate(jobs)]
        return Run(self._job_service, session, parts, whole=False)

    def end_streams(self) -> None:
        """Let whoever reads a run know that the service stops."""
        for run in self._driving.values():
            run.changed()
            for part in run.parts:
                if part.job is not None:
                    part.job.changed()

    async def close(self) -> None:
        """Stop seeing runs through: chunks that have not begun are not started; idempotent."""
        tasks = list(self._driving)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _drive(self, run: Run) -> None:
        for part in run.parts:
            if self._job_service.stopping:
                part.error = not_started()
                run.changed()
                return
            part.begun = True
            try:
                assert part.command is not None  # noqa: S101 - only a resumed run has none
                async with (
                    activity.acting(**activity.facts_of(part.command)),
                    self._client.sessions.looking_again(
                        part.command.credentials.token or run.session.token
                    ),
                ):
                    await self._run_part(run, part, part.command)
            except Exception as error:  # noqa: BLE001 - it is handed to the reader
                part.error = as_error(error)
                if part.job is None and is_unknown(error):
                    part.error = unknown(part, str(part.error).rstrip("."))
                part.error.index = part.index if len(run.parts) > 1 else None
                if part.job is not None:
                    part.job.fail(part.error)
                return
            finally:
                run.changed()

    async def _run_part(self, run: Run, part: Part, command: Command) -> None:
        interface = command.interface
        if interface.kind is Kind.SSH:
            await self._ssh(run, part, command)
        elif command.stages is not None:
            self._begin(run, part, job := await self._batches.start(command))
            if not part.only_started:
                await _ended(job)
        elif interface.kind in FUNCTION_KINDS:
            await (self._function if interface.waits else self._function_async)(run, part, command)
        else:
            await (self._local if interface.our_jid else self._local_batch)(run, part, command)

    async def _local(self, run: Run, part: Part, command: Command) -> None:
        session, credentials = run.session, command.credentials
        request = job_request(command, credentials)
        if command.client == "local_subset":
            request = await self._client.subset_request(command, credentials)
        job = self._job_service.registry.new(str(request.jid), "local")
        job.describe(what_is_asked(self._client.opts, request))
        await self._job_service.begin(session, job)
        try:
            published = await self._client.jobs.start(request)
        except BaseException as error:
            self._job_service.registry.remove(job)
            if is_unknown(error) and not request.lends:
                await self._job_service.doubt(session, job)
            raise
        self._job_service.begun(job, published)
        self._begin(run, part, job)
        self._job_service.follow(session, job, published)
        if not part.only_started:
            await _ended(job)

    async def _local_batch(self, run: Run, part: Part, command: Command) -> None:
        """Run a batch: a job for each part of it, and none for the whole."""
        request = job_request(command, command.credentials)
        minions = await up(self._client.jobs, request)
        if not minions:
            raise NoMinionsMatched(
                "No minion of the target has answered a test.ping in time; nothing was run."
            )
        job = self._job_service.registry.new("", "local")
        self._own(job, command, run.session)
        job.expect(minions)
        self._begin(run, part, job)
        silent = dict.fromkeys(minions, MinionState.NOT_RUN)
        async for found in batch_returns(self._client.jobs, command, request, minions):
            if found.silent:
                silent[found.minion] = found.state
            else:
                job.take(returned(found.minion, found.data, arrived_at=time.time()), 0)
        job.settle(silent)

    async def _ssh(self, run: Run, part: Part, command: Command) -> None:
        """Run a command of salt-ssh, which tells of all hosts at its end."""
        found = await self._client.run_command(command)
        if not isinstance(found, dict) or not found:
            raise NoMinionsMatched("No host of the roster matches the target; nothing was run.")
        job = self._job_service.registry.new("", "ssh")
        self._own(job, command, run.session)
        job.expect(map(str, found))
        for host, data in found.items():
            facts = data if isinstance(data, dict) and "return" in data else {"return": data}
            job.take(returned(str(host), facts, arrived_at=time.time()), 0)
        job.settle({})
        self._begin(run, part, job)

    async def _function(self, run: Run, part: Part, command: Command) -> None:
        """Run a runner or wheel function; it has begun when its `new` event comes."""
        jid = self._client.jobs.new_jid()
        recording: list[asyncio.Task[None]] = []

        def started(jid: Jid) -> None:
            if part.job is None:
                job = self._job_service.registry.open(jid, command.client)
                self._own(job, command, run.session)
                job.expect([self._job_service.master_id])
                self._begin(run, part, job)
                recording.append(asyncio.create_task(self._job_service.record(run.session, job)))

        stop = self._client.hub.watch_job(jid, lambda _event: started(jid))
        try:
            call = self._client.call_function(command, jid=jid, started=started)
            data = await self._client.jobs.tallies.counted(command, call)
        finally:
            stop()
            await asyncio.gather(*recording)
        started(str(data["jid"]))
        assert part.job is not None  # noqa: S101 - by the line above
        part.job.take(returned(self._job_service.master_id, data, arrived_at=time.time()), 0)
        part.job.settle({})

    async def _function_async(self, run: Run, part: Part, command: Command) -> None:
        found = await self._client.run_command(command)
        job = self._job_service.registry.open(str(found["jid"]), command.interface.kind.value)
        self._own(job, command, run.session)
        job.expect([self._job_service.master_id])
        self._begin(run, part, job)
        await self._job_service.record(run.session, job)

    def _own(self, job: RegisteredJob, command: Command, session: Session) -> None:
        fun: Any = command.fun
        tgt_type = command.tgt_type
        if job.kind in FUNCTION_KINDS:
            fun, tgt_type = f"{job.kind}.{fun}", ""
        if not job.fun:  # else the bus has told of it
            arg = [*command.args, *([dict(command.kwargs)] if command.kwargs else [])]
            job.describe({"fun": fun, "arg": arg, "tgt": command.tgt, "tgt_type": tgt_type})
        job.own(session.name, session.eauth)

    def _begin(self, run: Run, part: Part, job: RegisteredJob) -> None:
        part.job = job
        run.changed()


def what_is_asked(opts: Opts, request: JobRequest) -> dict[str, Any]:
    """Return what a `new` event of the job that *request* starts will say of it."""
    try:
        tgt, tgt_type = targets.resolve(opts, request.tgt, request.tgt_type)
    except targets.UnknownNodegroup:  # it will not start, and not everybody is told why
        tgt, tgt_type = request.tgt, request.tgt_type
    facts = {"fun": request.fun, "arg": list(request.arg), "tgt": tgt, "tgt_type": tgt_type}
    return {**facts, "kwargs": dict(request.extra)}


def unknown(part: Part, why: str) -> OutcomeUnknown:
    """Return the error that says that nobody knows whether *part* was started."""
    jid = _jid_of(part)
    look = f"the job {jid}" if jid else "the list of jobs"
    return OutcomeUnknown(
        f"{why}: it is not known whether this chunk was started. Look at {look}.",
        jids=(jid,) if jid else (),
    )


def not_started() -> Stopping:
    """Return the error of a chunk that is not started any more."""
    error = Stopping("The service is stopping; this chunk was not started.")
    error.sent = False
    return error


async def _ended(job: RegisteredJob) -> None:
    while not job.settled:
        await job.pulse().wait()


def _jid_of(part: Part) -> Jid | None:
    if part.job is not None:
        return part.job.jid or None
    return part.command.jid if part.command is not None else None
