"""
The fast lane: runner and wheel functions in worker processes whose loaders stay warm.

The way through the master forks and loads all modules for every call. Here a few processes keep
them loaded and make the same checks, fire the same events and store the same jobs as the master
does (`ClearFuncs.runner`, `ClearFuncs.wheel`, `SyncClientMixin.low`).
"""

import asyncio
import fnmatch
import logging
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Literal, TypeVar

import salt.utils.jid

from saltapi.bridge.bus.endpoints import tcp_end, unix_end
from saltapi.bridge.workers.process import WorkerProcess
from saltapi.config import EngineConfig
from saltapi.errors import CommandTimeout, WorkerFailed
from saltapi.types import Credentials, Jid, Opts

log = logging.getLogger(__name__)

T = TypeVar("T")

WAIT_FOR_WORKER_SECONDS = 1.0
CALLS_PER_WORKER = 1000
"""After so many calls a worker is replaced, which bounds what Salt leaks."""
MAX_REST_SECONDS = 60.0
"""The longest pause before another try to start a worker when that failed."""
RECHECK_FILES_SECONDS = 60.0
PROBE_INTERVAL_SECONDS = 1.0
"""How long the master's event socket is trusted to be there."""


class LaneFull(Exception):
    """No worker is free: go through the master instead."""


class FunctionLane:
    """Runs quick runner and wheel functions in up to `function_workers` processes."""

    def __init__(self, opts: Opts, config: EngineConfig) -> None:
        self._opts = opts
        self._config = config
        self._workers: set[WorkerProcess] = set()
        self._idle: asyncio.LifoQueue[WorkerProcess] = asyncio.LifoQueue()
        self._starting: set[asyncio.Task[None]] = set()
        self._running: set[asyncio.Task[dict[str, Any]]] = set()
        self._stopping: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._rest_until = 0.0
        self._obstacle: str | None = None
        self._check_files_at: float | None = 0.0
        """When the master's files are looked at next; None once they could be used."""
        self._probe_at = 0.0
        self._closed = False
        self.calls_total = 0
        """How many functions were run in a worker."""
        self.fallbacks_total = 0
        """How many could have been, and went through the master because no worker was free."""

    @property
    def workers(self) -> int:
        """How many worker processes are alive."""
        return sum(worker.alive for worker in self._workers)

    @property
    def failing(self) -> bool:
        """Whether the last attempt to start a worker has failed."""
        return self._failures > 0

    @property
    def usable(self) -> bool:
        """Whether functions may run here, as far as the config and the master's files go."""
        return self._config.function_workers > 0 and self._may_use_files()

    async def start(self) -> None:
        """Find out whether the lane can be used; workers start with the first calls."""
        self._may_use_files()

    async def close(self) -> None:
        """End all workers; idempotent."""
        self._closed = True
        for task in self._starting | self._running:
            task.cancel()
        await asyncio.gather(*self._starting, *self._running, return_exceptions=True)
        workers, self._workers = self._workers, set()
        await asyncio.gather(*self._stopping, *(worker.stop() for worker in workers))

    def takes(self, fun: str) -> bool:
        """Return whether *fun* may run here: it is configured, and we may do what it does."""
        return (
            self._config.function_workers > 0
            and any(fnmatch.fnmatchcase(fun, name) for name in self._config.fast_functions)
            and self._may_use_files()
        )

    async def call(
        self,
        client: Literal["runner", "wheel"],
        fun: str,
        args: list[Any],
        kwargs: dict[str, Any],
        credentials: Credentials,
        *,
        timeout_seconds: float | None = None,
        jid: Jid | None = None,
    ) -> dict[str, Any]:
        """
        Return the data of the function's `ret` event.

        It is `{"fun": "runner.jobs.list_jobs", "jid", "user", "fun_args", "return", "success",
        "_stamp"}`. A function that fails is no error: `success` is False then.

        Args:
            client: Which kind of function it is.
            fun: Its name.
            args: Positional arguments, as the master would get them.
            kwargs: Named arguments; a runner function is not given those it does not take.
            credentials: Who asks.
            timeout_seconds: How long to wait; the function itself may go on until
                `function_timeout`, when its worker is ended.
            jid: The id of the job; a new one if it is None.

        Raises:
            AuthenticationFailed: The credentials are wrong.
            AuthorizationFailed: They are right, but do not allow this.
            InvalidChunk: There is no such function.
            CommandTimeout: No result came in time.
            WorkerFailed: The worker crashed or grew over its memory limit.
            LaneFull: No worker is free, or the master is not there; the function was not run.
        """
        request = {
            "client": client,
            "fun": fun,
            "args": args,
            "kwargs": kwargs,
            "credentials": credentials.as_load(),
            "jid": jid or salt.utils.jid.gen_jid(self._opts),
        }
        try:
            if not await self._master_listens():
                raise LaneFull  # noqa: TRY301 - it is counted like the other one
            worker = await self._acquire()
        except LaneFull:
            self.fallbacks_total += 1
            raise
        self.calls_total += 1
        # A caller who leaves must not take the worker along: the function may be half way.
        running = _keep(self._run(worker, request), self._running)
        # That caller does not see its error, and the worker's fate is dealt with already.
        running.add_done_callback(lambda done: done.cancelled() or done.exception())
        done, _ = await asyncio.wait({running}, timeout=timeout_seconds)
        if not done:
            raise CommandTimeout(f"'{fun}' gave no result within {timeout_seconds:g} s.")
        if running.cancelled():
            raise WorkerFailed(f"'{fun}' was ended because the API stops.")
        return running.result()

    async def _run(self, worker: WorkerProcess, request: dict[str, Any]) -> dict[str, Any]:
        retire = False
        try:
            reply = await worker.ask(request, timeout_seconds=self._config.function_timeout)
            retire = reply["retire"]
            return dict(reply["data"])
        finally:
            if not worker.alive:
                self._workers.discard(worker)
                self._forget_process(request["jid"])
            elif retire or worker.calls >= CALLS_PER_WORKER or worker.over_memory_limit:
                self._workers.discard(worker)
                _keep(worker.stop(), self._stopping)
            else:
                self._idle.put_nowait(worker)

    async def _acquire(self) -> WorkerProcess:
        """Return a free worker; start another one if there is none and there may be more."""
        try:
            async with asyncio.timeout(WAIT_FOR_WORKER_SECONDS):
                while not self._closed:
                    if self._idle.empty():
                        self._grow()
                        if not self._workers:
                            break  # they only just start, which takes longer than the master
                    worker = await self._idle.get()
                    if worker.alive:
                        return worker
                    self._workers.discard(worker)
        except TimeoutError:
            pass
        raise LaneFull

    def _grow(self) -> None:
        """Start another worker, one at a time, unless there are enough or it failed just now."""
        rests = asyncio.get_running_loop().time() < self._rest_until
        if not self._starting and len(self._workers) < self._config.function_workers and not rests:
            _keep(self._start_worker(), self._starting)

    async def _start_worker(self) -> None:
        try:
            worker = await WorkerProcess.start(
                "functions", self._opts, memory_limit_mib=self._config.function_worker_memory_mib
            )
        except WorkerFailed as error:
            self._failures += 1
            rest = min(2.0**self._failures, MAX_REST_SECONDS)
            self._rest_until = asyncio.get_running_loop().time() + rest
            log.error("%s The next try is in %d s; the master does its work.", error, rest)  # noqa: TRY400
            return
        self._failures = 0
        self._workers.add(worker)
        self._idle.put_nowait(worker)

    def _forget_process(self, jid: Jid) -> None:
        """Remove the note of a running job that a killed worker left in the master's cache."""
        Path(self._opts["cachedir"], "proc", jid).unlink(missing_ok=True)

    async def _master_listens(self) -> bool:
        """Return whether the master takes events; without it a function's would be lost."""
        now = asyncio.get_running_loop().time()
        if now < self._probe_at:
            return True
        try:
            if self._opts.get("ipc_mode") == "tcp":
                _, writer = await asyncio.open_connection(*tcp_end(self._opts, "pull"))
            else:
                _, writer = await asyncio.open_unix_connection(unix_end(self._opts, "pull"))
        except OSError:
            return False
        writer.close()
        self._probe_at = now + PROBE_INTERVAL_SECONDS
        return True

    def _may_use_files(self) -> bool:
        if self._check_files_at is None:
            return True
        now = asyncio.get_running_loop().time()
        if now < self._check_files_at:
            return False
        obstacle = obstacle_to(self._opts)
        if obstacle is None:
            self._check_files_at = None
            return True
        self._check_files_at = now + RECHECK_FILES_SECONDS
        if obstacle != self._obstacle and self._config.function_workers > 0:
            log.info("All runner and wheel functions go through the master: %s.", obstacle)
        self._obstacle = obstacle
        return False


def _keep(work: Coroutine[Any, Any, T], tasks: set[asyncio.Task[T]]) -> asyncio.Task[T]:
    """Start *work* as a task that is one of *tasks* until it is done."""
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task


def obstacle_to(opts: Opts) -> str | None:
    """
    Return why this process cannot do the master's work itself, or None if it can.

    It must be the same user: a job cache with files of another one breaks the master's.
    """
    cache = Path(opts["cachedir"])
    try:
        owner = cache.stat().st_uid
    except OSError as error:
        return f"{cache} cannot be used ({error.strerror})"
    if owner != os.geteuid():
        return f"{cache} belongs to another user than this process"
    needed = {
        cache: os.W_OK,
        cache / "proc": os.W_OK,
        Path(opts["pki_dir"]): os.R_OK,
        Path(opts["pki_dir"], "minions"): os.R_OK,
        Path(opts["sock_dir"]): os.X_OK,
    }
    if opts.get("eauth_tokens", "localfs") == "localfs" and opts.get("token_dir"):
        needed[Path(opts["token_dir"])] = os.W_OK
    for path, mode in needed.items():
        if not os.access(path, mode | os.X_OK):
            return f"{path} is missing or closed to this process"
    return None
