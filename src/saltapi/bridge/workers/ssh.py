"""
The `ssh` client: each command in a fresh worker process.

salt-ssh changes the process it runs in, forks, and waits for terminals, so it gets a process of
its own every time. The chunk is checked before (`saltapi.bridge.workers.ssh_options`), the caller
inside (`saltapi.bridge.worker.worker.Ssh`), against the token store that the master uses.
"""

import asyncio
from typing import Any

from saltapi.bridge.workers.process import WorkerProcess
from saltapi.bridge.workers.ssh_options import ssh_low
from saltapi.config import EngineConfig
from saltapi.errors import WorkerFailed
from saltapi.types import Chunk, Credentials, Opts

SSH_PROCESSES = 4
"""How many commands run at once; each of them may talk to many hosts."""
SSH_QUEUE_SECONDS = 30.0
"""How long a command waits for its turn before it is turned away."""


class SshLane:
    """Runs salt-ssh commands, `SSH_PROCESSES` at once."""

    def __init__(self, opts: Opts, config: EngineConfig) -> None:
        self._opts = opts
        self._config = config
        self._slots = asyncio.Semaphore(SSH_PROCESSES)
        self._running: set[asyncio.Task[dict[str, Any]]] = set()

    async def run(self, chunk: Chunk, credentials: Credentials) -> dict[str, Any]:
        """
        Return what each host of the roster answered: `{host: {"jid", "return", "retcode", …}}`.

        With `raw_shell` it is `{host: {"stdout", "stderr", "retcode"}}`. `rest_timeout` is the
        longest that a command may take.

        Raises:
            InvalidChunk: A key of the chunk is not safe or of the wrong type.
            AuthenticationFailed: The credentials are wrong.
            AuthorizationFailed: They do not allow this.
            CommandTimeout: The command took too long and was ended.
            WorkerFailed: salt-ssh cannot run, or too many commands are waiting.
        """
        low = ssh_low(
            chunk,
            self._opts,
            allow_raw_shell=self._config.netapi_allow_raw_shell,
            key_directories=self._config.netapi_ssh_keys,
        )
        # A caller who leaves must not end it: the hosts may be half way through a state.
        task = asyncio.create_task(self._in_turn(low, credentials))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait({task})
        if task.cancelled():
            raise WorkerFailed("The ssh command was ended because the API stops.")
        return task.result()

    async def close(self) -> None:
        """End every command that waits or runs; idempotent."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _in_turn(self, low: dict[str, Any], credentials: Credentials) -> dict[str, Any]:
        try:
            async with asyncio.timeout(SSH_QUEUE_SECONDS):
                await self._slots.acquire()
        except TimeoutError as error:
            raise WorkerFailed("Too many ssh commands are running; try again later.") from error
        try:
            return await self._run(low, credentials)
        finally:
            self._slots.release()

    async def _run(self, low: dict[str, Any], credentials: Credentials) -> dict[str, Any]:
        worker = await WorkerProcess.start(
            "ssh", self._opts, memory_limit_mib=self._config.function_worker_memory_mib
        )
        request = {"low": low, "credentials": credentials.as_load()}
        try:
            reply = await worker.ask(request, timeout_seconds=self._config.rest_timeout)
        finally:
            await asyncio.shield(worker.kill())
        return dict(reply["data"])
