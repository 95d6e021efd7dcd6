"""
One process that another one starts, watches, and starts again: a module, or a part of one.

    STARTING ──reports READY, or lives 1 s──▶ READY
       │  ▲                                     │
       │  └── WAITING (0.5 s … 60 s) ◀──dies, or is silent for too long──┘
       └──says that it cannot start──▶ FAILED (60 s, then tried again)
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from enum import Enum

from saltapi.process import lifecycle

log = logging.getLogger(__name__)

EX_CONFIG = 78
"""Exit status of a process that can never run like this (sysexits.h)."""

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 60.0
STABLE_AFTER_SECONDS = 60.0
"""A process that lived this long starts again after the first, short delay."""

RETRY_FAILED_SECONDS = 60.0
READY_AFTER_SECONDS = 1.0
"""When a module counts as ready that never says so."""

_fork = multiprocessing.get_context("fork")


class State(Enum):
    """Where a process stands."""

    STARTING = "is starting"
    READY = "answers"
    WAITING = "is started again soon"
    FAILED = "cannot start"


class Child:
    """The process, and what is known about it."""

    def __init__(
        self,
        name: str,
        run: Callable[[int], None],
        *,
        reports: bool = True,
        heartbeat_seconds: float = 0.0,
    ) -> None:
        """
        Args:
            name: What it is called in the log.
            run: Called in the process with the descriptor for reports (`lifecycle.attach`).
            reports: Whether it says by itself when it answers.
            heartbeat_seconds: How long it may be silent once it has given a sign of life; 0 for
                ever.
        """
        self.name = name
        self._run = run
        self._reports = reports
        self._heartbeat_seconds = heartbeat_seconds
        self.state = State.WAITING
        self.detail = ""
        """The URL it answers at, or the reason why it cannot start."""
        self.ends = 0
        """How often it has ended."""
        self.report_fd: int | None = None
        """Set while the process runs: the end of the pipe that we read."""
        self.next_step_at: float | None = 0.0
        """When `step` has something to do, on the monotonic clock; None: nothing to wait for."""
        self.is_stuck = False
        """Whether it lives on although it was killed."""
        self._looked_at: float | None = None
        """When `end_if_silent` last counted; None while the process need not speak."""
        self._silent_seconds = 0.0
        self._process: multiprocessing.context.ForkProcess | None = None
        self._started_at = 0.0
        self._delay_seconds = FIRST_DELAY_SECONDS
        self._unread = b""
        self._failure = ""

    @property
    def alive(self) -> bool:
        """Tell whether there is a process that has not been waited for."""
        return self._process is not None

    @property
    def sentinel(self) -> int | None:
        """What becomes readable when the process ends; None while there is none."""
        return None if self._process is None else self._process.sentinel

    @property
    def due_at(self) -> float | None:
        """When to call `start`, `step` or `end_if_silent`, on the monotonic clock."""
        times = [self.next_step_at]
        if self._looked_at is not None and self._heartbeat_seconds:
            times.append(self._looked_at + self._heartbeat_seconds / 2)
        return min((at for at in times if at is not None), default=None)

    def start(self) -> None:
        """Fork the process."""
        self._unread, self._failure = b"", ""
        self._started_at = time.monotonic()
        try:
            self.report_fd, write_fd = os.pipe()
        except OSError as error:
            self._could_not_be_forked(error)
            return
        os.set_blocking(self.report_fd, False)
        process = _fork.Process(target=self._run, args=(write_fd,), name=self.name)
        try:
            process.start()
        except OSError as error:  # no memory, or too many processes: both may pass
            self.close_report()
            self._could_not_be_forked(error)
            return
        finally:
            os.close(write_fd)
        self._process = process
        self.state, self.detail = State.STARTING, ""
        self.next_step_at = None if self._reports else self._started_at + READY_AFTER_SECONDS

    def step(self) -> None:
        """Count the module as ready if it has lived long enough; call it when `next_step_at`."""
        if self.state is State.STARTING:
            self.state, self.next_step_at = State.READY, None

    def read_reports(self) -> bool:
        """Take in what the process has said; return whether it can say more."""
        if self.report_fd is None:
            return False
        more = True
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.report_fd, 4096):
                self._unread += data
            more = False
        *lines, self._unread = self._unread.split(b"\n")
        for line in lines:
            kind, _, text = line.decode(errors="replace").partition(" ")
            if kind == lifecycle.READY:
                self.state, self.detail, self.next_step_at = State.READY, text, None
            elif kind == lifecycle.FAILED:
                self._failure = text
            elif kind == lifecycle.ALIVE:
                self._looked_at, self._silent_seconds = time.monotonic(), 0.0
            elif kind == lifecycle.STOPPING:
                self._looked_at = None
        return more

    def end_if_silent(self) -> None:
        """Kill the process if it has given no sign of life for too long; call it when `due_at`."""
        if self._looked_at is None or not self._heartbeat_seconds:
            return
        self.read_reports()
        now = time.monotonic()
        # Where we stood still, with the whole machine or alone, nothing could be heard.
        self._silent_seconds += min(now - self._looked_at, self._heartbeat_seconds / 2)
        self._looked_at = now
        if self._silent_seconds < self._heartbeat_seconds:
            return
        self._looked_at = None
        self._failure = f"gave no sign of life for {self._heartbeat_seconds:g} s and was killed"
        self.is_stuck = True
        self.send(signal.SIGKILL)

    def reap(self) -> bool:
        """Take note of the end of the process; return whether it has ended."""
        if self._process is None or self._process.exitcode is None:
            return False
        self.read_reports()
        self._ended(self._process.exitcode, self._failure if self.is_stuck else "")
        self._process.close()
        self._process = None
        self._looked_at, self.is_stuck = None, False
        self.close_report()
        return True

    def close_report(self) -> None:
        """Listen to the process no longer."""
        if self.report_fd is not None:
            os.close(self.report_fd)
            self.report_fd = None

    def _could_not_be_forked(self, error: OSError) -> None:
        self._ended(0, f"could not be forked ({error.strerror})")
        self.say_how_it_goes_on()

    def send(self, number: signal.Signals) -> None:
        """Send the signal to the process, if there is one."""
        if self._process is not None and self._process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def join(self, timeout_seconds: float | None = None) -> None:
        """Wait for the end of the process."""
        if self._process is not None:
            self._process.join(timeout_seconds)

    def say_how_it_goes_on(self) -> None:
        """Log, in one line, why the process ended and when it is started again."""
        if self.state is State.FAILED:
            log.error("%s cannot start: %s", self.name, self.detail)
        else:
            wait = max(0.0, (self.next_step_at or 0.0) - time.monotonic())
            log.error("%s %s; it is started again in %.1f s.", self.name, self.detail, wait)

    def _ended(self, status: int, detail: str = "") -> None:
        now = time.monotonic()
        self.ends += 1
        if status == EX_CONFIG:
            self.state, self.next_step_at = State.FAILED, now + RETRY_FAILED_SECONDS
            self.detail = self._failure or f"it ended with status {EX_CONFIG}."
            return
        if now - self._started_at >= STABLE_AFTER_SECONDS:
            self._delay_seconds = FIRST_DELAY_SECONDS
        self.state, self.next_step_at = State.WAITING, now + self._delay_seconds
        self._delay_seconds = min(self._delay_seconds * 2, LONGEST_DELAY_SECONDS)
        if detail:
            self.detail = detail
        elif status < 0:
            self.detail = f"was ended by {signal.Signals(-status).name}"
        elif status:
            self.detail = f"ended with status {status}"
        else:
            self.detail = "ended by itself"
