"""
A worker process as the API process sees it: started, asked, watched, ended.

Nothing secret is on its command line or in its environment: options and requests go through a
pipe. It has a process group of its own, so that what it started ends with it.
"""

import asyncio
import contextlib
import logging
import os
import pickle
import signal
import sys
from typing import Any, Self

import salt.payload

from saltapi.bridge.worker import frames, pieces
from saltapi.errors import (
    AuthenticationFailed,
    AuthorizationFailed,
    CommandTimeout,
    InvalidChunk,
    WorkerFailed,
)
from saltapi.types import Opts

log = logging.getLogger(__name__)

START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 2.0
WATCH_INTERVAL_SECONDS = 0.2
LARGE_REPLY_BYTES = 512 * 1024
"""Replies from this size on are decoded in a thread, smaller ones at once."""

MEBIBYTE = 1024 * 1024
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class WorkerProcess:
    """One process of `saltapi.bridge.worker`; it answers one request at a time."""

    def __init__(self, process: asyncio.subprocess.Process, memory_limit_bytes: int) -> None:
        """Take over *process*; use `start`."""
        self._process = process
        self._memory_limit_bytes = memory_limit_bytes
        self.calls = 0
        self.ended = False

    @classmethod
    async def start(cls, kind: str, opts: Opts, *, memory_limit_mib: int) -> Self:
        """
        Return a new worker of *kind* ("functions", "ssh", "targets") that is ready for requests.

        Raises:
            WorkerFailed: It did not become ready.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "saltapi.bridge.worker"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise WorkerFailed("A function worker cannot be started.") from error
        worker = cls(process, memory_limit_mib * MEBIBYTE)
        hello = {"kind": kind, "opts": frames.plain(opts), "parent": os.getpid()}
        try:
            await worker._exchange(pickle.dumps(hello), START_TIMEOUT_SECONDS)
        except CommandTimeout as error:
            raise WorkerFailed("A function worker did not become ready in time.") from error
        return worker

    @property
    def alive(self) -> bool:
        """Whether it can take a request, as far as is known."""
        return not (self.ended or self._process.returncode is not None or self._stdout.at_eof())

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    @property
    def over_memory_limit(self) -> bool:
        """Whether its resident memory is larger than it may be."""
        return resident_bytes(self.pid) > self._memory_limit_bytes

    async def ask(self, request: dict[str, Any], *, timeout_seconds: float) -> dict[str, Any]:
        """
        Return the worker's reply to *request*; on every error but its refusals, end it.

        Raises:
            AuthenticationFailed, AuthorizationFailed, InvalidChunk: It refused.
            CommandTimeout: It did not answer in time.
            WorkerFailed: It died, grew over its memory limit, or could not do it.
        """
        self.calls += 1
        body = await self._exchange(salt.payload.dumps(request, use_bin_type=True), timeout_seconds)
        if len(body) < LARGE_REPLY_BYTES:
            reply = salt.payload.loads(body, encoding="utf-8")
        else:
            reply = await asyncio.to_thread(pieces.loads, body)
        if "error" in reply:
            raise refusal(reply["error"], reply["message"])
        return dict(reply)

    async def stop(self) -> None:
        """Let it end by itself for a moment, then by force; idempotent."""
        self.ended = True
        await self._ending()
        await self.kill()

    async def kill(self) -> None:
        """End it and everything in its process group at once; idempotent."""
        self.ended = True
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        await self._ending()

    async def _ending(self) -> None:
        """Wait a moment until it is gone and its pipes are closed."""
        self._stdin.close()
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
                await self._process.wait()
                await self._stdout.read()
                await self._stdin.wait_closed()

    @property
    def _stdin(self) -> asyncio.StreamWriter:
        assert self._process.stdin is not None  # noqa: S101 (for the type checker)
        return self._process.stdin

    @property
    def _stdout(self) -> asyncio.StreamReader:
        assert self._process.stdout is not None  # noqa: S101 (for the type checker)
        return self._process.stdout

    async def _exchange(self, body: bytes, timeout_seconds: float) -> bytes:
        """Send *body* and return the answer; a worker that fails at it is ended."""
        reading = asyncio.ensure_future(frames.receive(self._stdout))
        try:
            self._stdin.write(frames.pack(body))
            await self._watch(reading, timeout_seconds)
            return reading.result()
        except BaseException as error:
            reading.cancel()
            await asyncio.shield(self._give_up(reading))
            if isinstance(error, asyncio.IncompleteReadError | ConnectionError):
                raise WorkerFailed("The function's worker process died.") from error
            if isinstance(error, frames.FrameTooLarge):
                raise WorkerFailed("The function's arguments or result are too large.") from error
            raise

    async def _give_up(self, reading: asyncio.Future[bytes]) -> None:
        await asyncio.wait({reading})
        await self.kill()

    async def _watch(self, reading: asyncio.Future[bytes], timeout_seconds: float) -> None:
        """Wait for *reading* as long as the process keeps its limits of time and memory."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        while True:
            left = deadline - loop.time()
            await asyncio.wait({reading}, timeout=max(0, min(left, WATCH_INTERVAL_SECONDS)))
            if reading.done():
                return
            if self.over_memory_limit:
                log.error("The worker process %d grew over its memory limit.", self.pid)
                limit = self._memory_limit_bytes // MEBIBYTE
                raise WorkerFailed(f"The function needed more than {limit} MiB and was ended.")
            if left <= 0:
                raise CommandTimeout(
                    f"The function gave no result within {timeout_seconds:g} s and was ended."
                )


def refusal(kind: str, message: str) -> Exception:
    """Return our error for a worker's *kind* of refusal."""
    if kind == "authentication":
        return AuthenticationFailed.of_command(message)
    if kind == "authorization":
        return AuthorizationFailed(message)
    if kind == "chunk":
        return InvalidChunk(message, key="fun")
    return WorkerFailed(message)


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process; 0 if there is no such process."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * PAGE_BYTES
    except (OSError, IndexError):
        return 0
