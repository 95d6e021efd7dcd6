"""
The client interfaces: one lowstate chunk in, one result out (0.8.4, "Client interfaces").

`AsyncAPIClient` does the work on the running event loop; `APIClient` (beside, in `blocking`) offers
the same methods to code that blocks. Shapes of results are those of the installed Salt
(`salt.netapi.NetapiClient`).
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, Literal, Self

from saltapi.bridge.bus.bus import Bus
from saltapi.bridge.bus.hub import Hub
from saltapi.bridge.jobs.clearance import Clearance
from saltapi.bridge.jobs.job_cache import JobCache
from saltapi.bridge.jobs.jobs import JobRequest, Jobs, Return
from saltapi.bridge.jobs.live_view import LiveView
from saltapi.bridge.jobs.presence import Presence
from saltapi.bridge.permissions.narrowing import check_function, check_whole
from saltapi.bridge.permissions.permissions import Permissions
from saltapi.bridge.permissions.returners import Returners
from saltapi.bridge.permissions.tokens import TokenStore
from saltapi.bridge.requests.calls import MasterCalls
from saltapi.bridge.requests.channels import Channels
from saltapi.bridge.requests.master import Master
from saltapi.bridge.requests.signatures import Signatures
from saltapi.bridge.workers.functions import FunctionLane, LaneFull
from saltapi.bridge.workers.ssh import SshLane
from saltapi.config import EngineConfig
from saltapi.engine.commands.batch import delimiter_of, run_batch
from saltapi.engine.commands.job_requests import job_request
from saltapi.engine.commands.shapes import shape, wheel_shape
from saltapi.engine.sessions.logins import LoginThrottle
from saltapi.engine.sessions.sessions import Sessions
from saltapi.errors import InvalidChunk, NoMinionsMatched
from saltapi.formats import arguments
from saltapi.lowstate import Command, check, check_argument_names, takes_long
from saltapi.trace import note_jid, note_silent
from saltapi.types import Chunk, Credentials, Jid, MinionId, Opts, Token

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_SECONDS = 10.0


class AsyncAPIClient:
    """
    Runs lowstate chunks on the master and its minions.

    Use it as `async with AsyncAPIClient(opts) as client`, or call `start` and `close`. One client
    serves any number of commands at once and belongs to the event loop it was started on.
    """

    def __init__(self, opts: Opts) -> None:
        """
        Args:
            opts: The master's options, as `saltapi.config.load` or a netapi module's
                `__opts__` has them; not changed.

        Raises:
            CannotStart: An option of the engine has a value that it cannot have.
        """
        self.opts = opts
        self.config = EngineConfig.of(opts)
        self.hub = Hub.of(opts, self.config)
        self.bus = Bus(
            opts,
            on_event=self.hub.dispatch,
            on_lost=self._master_lost,
            on_connected=self.hub.connected,
            is_behind=lambda: self.hub.share.is_behind,
        )
        self.channels = Channels(
            opts,
            limit=self.config.api_master_channels,
            queue_requests=self.config.api_master_queue_requests,
        )
        self.master = Master(opts, self.channels)
        self.calls = MasterCalls(self.hub, self.master)
        self.presence = Presence(opts)
        self.permissions = Permissions(opts)
        clearance = Clearance(
            opts,
            self.permissions,
            lambda token: self.sessions.check(token),
            lambda credentials: self.sessions.for_master(credentials),
            Returners(self.config.netapi_returners),
        )
        self.token_store = TokenStore(opts)
        self.jobs = Jobs(
            opts, self.hub, self.master, self.presence, clearance, self.token_store.lent
        )
        self.job_cache = JobCache(opts)
        self.jobs.jids.ask(self.job_cache.has)
        self.view = LiveView(
            self.hub, connected=self.presence.connected, ask_grains=self._read_grains
        )
        self.sessions = Sessions(
            opts,
            self.master,
            self.token_store,
            cache_seconds=self.config.api_session_cache_seconds,
        )
        self.login_throttle = LoginThrottle(self.config.api_login_failures)
        self.functions = FunctionLane(opts, self.config)
        self.signatures = Signatures(opts)
        self.ssh_lane = SshLane(opts, self.config)
        self._background: set[asyncio.Future[Any]] = set()

    async def start(self) -> None:
        """Connect to the master; returns also when it is not there (yet)."""
        await self.bus.start()
        await self.functions.start()

    async def close(self) -> None:
        """Let go of the master, end listeners and workers; idempotent."""
        self.end_streams()
        for task in tuple(self._background):
            task.cancel()
        self.calls.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await self.sessions.close()
        await self.ssh_lane.close()
        await self.functions.close()
        await self.bus.close()
        await self.channels.close()
        self.token_store.close()
        self.permissions.close()
        self.job_cache.close()

    def end_streams(self) -> None:
        """End everybody who listens; they are told that the service stops."""
        self.hub.close("The service is stopping.")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def run(self, chunk: Chunk) -> Any:
        """
        Run one chunk and return its result; for `local_batch` an async iterator of results.

        Raises:
            InvalidChunk, ClientDisabled: The chunk is wrong; nothing was run.
            Conflict: Its `jid` is refused (`Jids.claim`); nothing was run.
            AuthenticationFailed, AuthorizationFailed: The credentials, or what they permit.
            MasterUnavailable, MasterBusy, CommandTimeout, MalformedAnswer, WorkerFailed
        """
        if takes_long([chunk]):
            command = await asyncio.to_thread(check, chunk, self.config)
        else:
            command = check(chunk, self.config)
        await self.jobs.jids.claim([command.jid])
        return await self.run_command(command)

    async def run_command(self, command: Command) -> Any:
        """Same as `run`, for a chunk that `lowstate.check` has seen, whose jid is claimed."""
        result = getattr(self, f"_{command.interface.name}")(command)
        return await self.jobs.tallies.counted(command, result)

    async def local(self, tgt: Any, fun: Any, arg: Any = (), **low: Any) -> Any:
        """Run an execution module function on minions and return `{minion: return}`."""
        return await self.run({**low, "client": "local", "tgt": tgt, "fun": fun, "arg": arg})

    async def local_async(self, tgt: Any, fun: Any, arg: Any = (), **low: Any) -> Any:
        """Start a function on minions and return `{"jid": …, "minions": […]}` at once."""
        return await self.run({**low, "client": "local_async", "tgt": tgt, "fun": fun, "arg": arg})

    async def local_subset(self, tgt: Any, fun: Any, arg: Any = (), **low: Any) -> Any:
        """Run a function on a random few of the minions that have it; shape as `local`."""
        return await self.run({**low, "client": "local_subset", "tgt": tgt, "fun": fun, "arg": arg})

    async def local_batch(
        self, tgt: Any, fun: Any, arg: Any = (), **low: Any
    ) -> AsyncIterator[dict[str, Any]]:
        """Run a function on a few minions at a time; an async iterator of `{minion: return}`."""
        chunk = {**low, "client": "local_batch", "tgt": tgt, "fun": fun, "arg": arg}
        batch: AsyncIterator[dict[str, Any]] = await self.run(chunk)
        return batch

    async def runner(self, fun: str, **low: Any) -> Any:
        """Run a runner function on the master and return what it returns."""
        return await self.run({**low, "client": "runner", "fun": fun})

    async def runner_async(self, fun: str, **low: Any) -> Any:
        """Start a runner function and return `{"tag": "salt/run/<jid>", "jid": …}`."""
        return await self.run({**low, "client": "runner_async", "fun": fun})

    async def wheel(self, fun: str, **low: Any) -> Any:
        """Run a wheel function in the master and return `{"tag": …, "data": {…}}`."""
        return await self.run({**low, "client": "wheel", "fun": fun})

    async def wheel_async(self, fun: str, **low: Any) -> Any:
        """Start a wheel function and return `{"tag": "salt/wheel/<jid>", "jid": …}`."""
        return await self.run({**low, "client": "wheel_async", "fun": fun})

    async def ssh(self, tgt: Any, fun: Any, arg: Any = (), **low: Any) -> Any:
        """Run a function by salt-ssh and return `{host: {…}}`."""
        return await self.run({**low, "client": "ssh", "tgt": tgt, "fun": fun, "arg": arg})

    async def returns(self, command: Command) -> AsyncIterator[Return]:
        """
        Yield each minion's `Return` of a local command as it comes, the silent ones last.

        Raises:
            NoMinionsMatched and what else `run` raises.
        """
        async with (
            self.sessions.for_command(command.credentials) as credentials,
            await self.jobs.start(job_request(command, credentials)) as job,
        ):
            async for found in job:
                yield found

    async def _local(self, command: Command) -> dict[str, Any]:
        try:
            async with self.sessions.for_command(command.credentials) as credentials:
                return await self._collect(job_request(command, credentials), command.full_return)
        except NoMinionsMatched:
            return {}

    async def _collect(self, request: JobRequest, full_return: bool) -> dict[str, Any]:
        async with await self.jobs.start(request) as job:
            return {found.minion: shape(found, full_return) async for found in job}

    async def _local_async(self, command: Command) -> dict[str, Any]:
        try:
            async with self.sessions.for_command(command.credentials) as credentials:
                job = await self.jobs.publish(job_request(command, credentials))
        except NoMinionsMatched:
            return {}
        return {"jid": job.jid, "minions": list(job.minions)}

    async def _local_subset(self, command: Command) -> dict[str, Any]:
        try:
            async with self.sessions.for_command(command.credentials) as credentials:
                few = await self.subset_request(command, credentials)
                return await self._collect(few, command.full_return)
        except NoMinionsMatched:
            return {}

    async def subset_request(self, command: Command, credentials: Credentials) -> JobRequest:
        """
        Return what is to be published for `local_subset`: the minions are chosen.

        Raises:
            NoMinionsMatched: No minion of the target has the function.
        """
        request = job_request(command, credentials)
        await self.jobs.clearance.clear(request)
        ask = replace(request, fun="sys.list_functions", arg=(), ret="", jid=None, client="")
        ask = replace(ask, extra=delimiter_of(request))
        async with await self.jobs.start(ask) as job:
            answers = [found async for found in job]
        silent = [found.minion for found in answers if found.silent]
        note_silent(silent)
        functions = {found.minion: found.data.get("return") for found in answers}
        able = [
            minion
            for minion, names in functions.items()
            if isinstance(names, list) and command.fun in names
        ]
        chosen = secrets.SystemRandom().sample(able, min(command.subset, len(able)))
        if not chosen:
            if silent:
                raise NoMinionsMatched(
                    f"{len(silent)} minions of the target did not say in time whether they have"
                    " the function, and no other one has it; nothing was run. Raise 'timeout' and"
                    " 'gather_job_timeout'."
                )
            raise NoMinionsMatched("No minion of the target has the function.")
        return replace(request, tgt=chosen, tgt_type="list")

    async def _local_batch(self, command: Command) -> AsyncIterator[dict[str, Any]]:
        async with self.sessions.for_command(command.credentials) as credentials:
            request = job_request(command, credentials)
            async for element in run_batch(self.jobs, command, request):
                yield element

    async def _read_grains(self, token: Token, minions: list[MinionId]) -> dict[str, Any]:
        tgt, tgt_type = (minions, "list") if minions else ("*", "glob")
        grains: dict[str, Any] = await self.local(
            tgt, "grains.items", tgt_type=tgt_type, token=token
        )
        return grains

    async def _runner(self, command: Command) -> Any:
        data = await self.call_function(command)
        if command.full_return:
            return {"data": data, "tag": f"salt/run/{data['jid']}/ret"}
        return data.get("return")

    async def call_function(
        self,
        command: Command,
        *,
        jid: Jid | None = None,
        started: Callable[[Jid], None] = lambda _jid: None,
    ) -> dict[str, Any]:
        """
        Run a runner or wheel function and return the data of its `ret` event.

        Args:
            command: The function; `runner` or `wheel`.
            jid: The job's id in the fast lane; the master makes one of its own.
            started: Called with the jid that the master has made for a runner function.
        """
        if command.client == "wheel":
            answer: dict[str, Any] = (await self._wheel(command, jid))["data"]
            return answer
        timeout = command.timeout_seconds
        seconds = self.config.rest_timeout if timeout is None else timeout
        async with self.sessions.for_command(command.credentials) as credentials:
            fun, args, kwargs = await self._cleared("runner", command, credentials)
            data = await self._by_lane("runner", fun, args, kwargs, credentials, seconds, jid)
            if data is None:
                data = await self.calls.runner(
                    fun, args, kwargs, credentials, timeout_seconds=seconds, started=started
                )
        note_jid(str(data["jid"]))
        return data

    async def _runner_async(self, command: Command) -> dict[str, Any]:
        async with self.sessions.for_command(command.credentials) as credentials:
            fun, args, kwargs = await self._cleared("runner", command, credentials)
            jid = await self.master.runner(fun, args, kwargs, credentials)
        note_jid(jid)
        return {"tag": f"salt/run/{jid}", "jid": jid}

    async def _wheel(self, command: Command, jid: Jid | None = None) -> dict[str, Any]:
        async with self.sessions.for_command(command.credentials) as credentials:
            fun, args, kwargs = await self._cleared("wheel", command, credentials)
            data = await self._by_lane("wheel", fun, args, kwargs, credentials, None, jid)
            if data is None:
                return await self.calls.wheel(fun, kwargs, credentials)
        note_jid(str(data["jid"]))
        tag = f"salt/wheel/{data['jid']}"
        return {"tag": tag, "data": wheel_shape({**data, "tag": tag})}

    async def _wheel_async(self, command: Command) -> dict[str, Any]:
        async with self.sessions.for_command(command.credentials) as credentials:
            fun, args, kwargs = await self._cleared("wheel", command, credentials)
            data = await self._by_lane("wheel", fun, args, kwargs, credentials, None)
            if data is not None:
                jid = data["jid"]
            else:
                user = command.credentials.username
                if credentials.token is not None:
                    session = credentials.session or await self.sessions.check(credentials.token)
                    user = session.name
                jid = await self.calls.start_wheel(fun, kwargs, credentials, user or "")
        note_jid(jid)
        return {"tag": f"salt/wheel/{jid}", "jid": jid}

    async def _ssh(self, command: Command) -> Any:
        async with self.sessions.for_command(command.credentials) as credentials:
            if credentials.session is not None:
                check_whole(credentials.session, "use ssh")
            return await self.ssh_lane.run(dict(command.chunk or {}), credentials)

    async def _cleared(
        self, kind: Literal["runner", "wheel"], command: Command, credentials: Credentials
    ) -> tuple[str, list[Any], dict[str, Any]]:
        """Same as `function_call`, if what the session is narrowed to lets it run."""
        fun, args, kwargs = await self.function_call(kind, command)
        await check_function(self.permissions, credentials.session, kind, fun, args, kwargs)
        return fun, args, kwargs

    async def function_call(
        self, kind: str, command: Command
    ) -> tuple[str, list[Any], dict[str, Any]]:
        """
        Return function, positional and keyword arguments as the master is to have them.

        `name=value` texts in `arg` become keyword arguments, and those that the function does
        not take are dropped (`RunnerClient._reformat_low`). Wheel functions get all arguments
        by name: only so is what the master checks the same as what it runs.

        Raises:
            InvalidChunk: There is no such runner function (the master would start it and never
                say that it ended), or an argument does not fit.
        """
        fun = str(command.fun)
        if arguments.takes_long(command.args):
            args, named = await asyncio.to_thread(arguments.read, command.args)
        else:
            args, named = arguments.read(command.args)
        kwargs = {**named, **(command.kwargs or {})}
        check_argument_names(named)
        signature = await self.signatures.find(kind, fun)
        if signature is None and kind == "runner" and self.signatures.loaded:
            raise InvalidChunk(f"'{fun}' is not available.", key="fun")
        if kind == "wheel" and args:
            names = signature.names if signature is not None else ()
            if len(args) > len(names):
                raise InvalidChunk(f"'{fun}' does not take {len(args)} arguments.", key="arg")
            kwargs = {**dict(zip(names, args, strict=False)), **kwargs}
            args = []
        if signature is not None:
            kwargs = signature.accepted(kwargs)
        if kind == "wheel" and not kwargs.keys().isdisjoint({"arg", "kwarg"}):
            # The master would read them as all arguments, and check others than it runs.
            raise InvalidChunk(
                "An argument of a wheel function cannot be named 'arg' or 'kwarg'.", key="kwarg"
            )
        return fun, args, kwargs

    async def _by_lane(
        self,
        kind: Literal["runner", "wheel"],
        fun: str,
        args: list[Any],
        kwargs: dict[str, Any],
        credentials: Credentials,
        seconds: float | None,
        jid: Jid | None = None,
    ) -> dict[str, Any] | None:
        """Return the `ret` data of a function run in the fast lane; None if it goes elsewhere."""
        if not self.functions.takes(fun):
            return None
        try:
            return await self.functions.call(
                kind, fun, args, kwargs, credentials, timeout_seconds=seconds, jid=jid
            )
        except LaneFull:
            return None

    def _master_lost(self) -> None:
        """Start afresh with a master that went away: old connections lead nowhere."""
        self.hub.gap()
        task = asyncio.ensure_future(self.channels.reset())
        self._background.add(task)
        task.add_done_callback(self._background.discard)
