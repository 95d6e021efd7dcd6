"""
Several processes of one netapi module that share the sockets it listens on.

The first process has no thread and no event loop, so that it can fork (as the daemon's
supervisor): it starts the others, starts one again that died, and hands signals on.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess

from saltapi.errors import CannotStart
from saltapi.process import lifecycle

log = logging.getLogger(__name__)

RESTART_DELAY_SECONDS = 0.5
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
EX_CONFIG = 78
REPORT_BYTES = 4096

_fork = multiprocessing.get_context("fork")


def run_processes(
    name: str, count: int, work: Callable[[], None], *, stop_timeout_seconds: float
) -> None:
    """
    Run *work* in *count* processes until this one is told to stop; a process that dies is replaced.

    Args:
        name: The name of the module.
        count: How many processes, from 2.
        work: Serves until its process is told to stop; ends with `service.run_until_stopped`.
        stop_timeout_seconds: How long it may take to stop; then it is killed.

    Raises:
        CannotStart: One of the processes says that it cannot start.
    """
    with _signals() as signal_fd:
        processes = [_Process(name, work) for _ in range(count)]
        try:
            _supervise(processes, signal_fd)
        finally:
            deadline = time.monotonic() + stop_timeout_seconds
            for process in processes:
                process.send(signal.SIGTERM)
            for process in processes:
                process.join(deadline)


def _supervise(processes: list["_Process"], signal_fd: int) -> None:
    announced = False
    while True:
        now = time.monotonic()
        for process in processes:
            process.start_if_due(now)
        if not announced and all(process.url for process in processes):
            announced = True
            lifecycle.report(lifecycle.READY, processes[0].url)
        due = min(process.due_at for process in processes)
        watched = [signal_fd, *(item for process in processes for item in process.watched)]
        timeout = None if due == NEVER else max(0.0, due - now)
        for item in wait(watched, timeout):
            if item != signal_fd:
                continue
            for number in os.read(signal_fd, REPORT_BYTES):
                if number in {signal.SIGTERM, signal.SIGINT}:
                    return
                for process in processes:
                    process.send(signal.SIGHUP)
        for process in processes:
            process.look()


NEVER = float("inf")


class _Process:
    """One of the processes, and what is known about it."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self._name = name
        self._work = work
        self._process: ForkProcess | None = None
        self._report_fd: int | None = None
        self.due_at = 0.0
        """When it is to be started, on the monotonic clock."""
        self.url = ""
        """Where it answers; empty while it does not."""

    @property
    def watched(self) -> list[int]:
        """What tells that something has happened to it."""
        fds = [] if self._report_fd is None else [self._report_fd]
        return fds if self._process is None else [*fds, self._process.sentinel]

    def start_if_due(self, now: float) -> None:
        """Fork if the time has come."""
        if self.due_at > now:
            return
        self.due_at = NEVER
        self._report_fd, write_fd = os.pipe()
        self._process = _fork.Process(
            target=_run, args=(self._name, self._work, write_fd, os.getpid())
        )
        try:
            self._process.start()
        finally:
            os.close(write_fd)

    def look(self) -> None:
        """
        Take note of what it has reported, and whether it has ended.

        Raises:
            CannotStart: It said so.
        """
        if self._report_fd is not None and wait([self._report_fd], 0):
            text = os.read(self._report_fd, REPORT_BYTES).decode()
            if not text:
                self._close_report()
            for line in text.splitlines():
                kind, _, rest = line.partition(" ")
                if kind == lifecycle.FAILED:
                    raise CannotStart(rest)
                self.url = rest
        if self._process is not None and not self._process.is_alive():
            log.error(
                "A process of %s has ended with status %s; it is started again.",
                self._name,
                self._process.exitcode,
            )
            self._process = None
            self._close_report()
            self.due_at = time.monotonic() + RESTART_DELAY_SECONDS

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it."""
        if self._process is not None and self._process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def join(self, deadline: float) -> None:
        """Wait until it has ended; kill it at *deadline*."""
        if self._process is not None:
            self._process.join(max(0.0, deadline - time.monotonic()))
            if self._process.is_alive():
                log.error("A process of %s does not stop; it is killed.", self._name)
                self._process.kill()
            self._process.join()
        self._close_report()

    def _close_report(self) -> None:
        if self._report_fd is not None:
            os.close(self._report_fd)
            self._report_fd = None


def _run(name: str, work: Callable[[], None], report_fd: int, parent_pid: int) -> None:
    """Be one of the processes."""
    signal.set_wakeup_fd(-1)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    lifecycle.die_with_parent(parent_pid)
    lifecycle.attach(name, report_fd)
    try:
        work()
    except CannotStart as error:
        lifecycle.report(lifecycle.FAILED, str(error))
        os._exit(EX_CONFIG)
    except Exception:
        log.exception("A process of %s has failed.", name)
        os._exit(1)


@contextlib.contextmanager
def _signals() -> Iterator[int]:
    """Yield a descriptor that gives the number of each signal that comes."""
    read_fd, write_fd = os.pipe()
    os.set_blocking(write_fd, False)
    before = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
    previous_fd = signal.set_wakeup_fd(write_fd)
    try:
        yield read_fd
    finally:
        signal.set_wakeup_fd(previous_fd)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(read_fd)
        os.close(write_fd)
