"""
Several processes of one netapi module that share the sockets it listens on.

The first process has no thread and no event loop, so that it can fork (as the daemon's
supervisor): it starts the others, starts one again that died or is silent, and hands signals on.
"""

import contextlib
import functools
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait

from saltapi.errors import CannotStart
from saltapi.process import lifecycle
from saltapi.process.child import EX_CONFIG, Child, State
from saltapi.process.tally import Tally

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SIGNAL_BYTES = 4096


def run_processes(
    name: str,
    count: int,
    work: Callable[[], None],
    *,
    stop_timeout_seconds: float,
    heartbeat_seconds: float = 0.0,
) -> None:
    """
    Run *work* in *count* processes until this one is told to stop.

    A process that dies, hangs or cannot be forked is replaced; the others go on meanwhile.

    Args:
        name: The name of the module.
        count: How many processes, from 2.
        work: Serves until its process is told to stop; ends with `lifecycle.run_until_stopped`.
        stop_timeout_seconds: How long it may take to stop; then it is killed.
        heartbeat_seconds: How long a process may be silent before it is replaced; 0 for ever.

    Raises:
        CannotStart: A process says that it cannot start, and no other one answers.
    """
    tally = Tally()
    with _signals() as signal_fd:
        run = functools.partial(_run, name, work, os.getpid(), heartbeat_seconds, tally)
        children = [
            Child(f"A process of {name}", run, heartbeat_seconds=heartbeat_seconds)
            for _ in range(count)
        ]
        try:
            _supervise(children, signal_fd, tally)
        finally:
            deadline = time.monotonic() + stop_timeout_seconds
            for child in children:
                child.send(signal.SIGTERM)
            for child in children:
                _join(child, deadline)


def _supervise(children: Sequence[Child], signal_fd: int, tally: Tally) -> None:
    announced = False
    while True:
        for child in children:
            child.end_if_silent()
            if child.next_step_at is not None and child.next_step_at <= time.monotonic():
                child.start()
        answering = [child for child in children if child.state is State.READY]
        if not announced and answering and all(_was_tried(child) for child in children):
            announced = True
            lifecycle.report(lifecycle.READY, answering[0].detail)
        tally.set(
            ended=sum(child.ends for child in children), missing=len(children) - len(answering)
        )
        if _wait(children, signal_fd):
            return
        for child in children:
            if child.report_fd is not None and not child.read_reports():
                child.close_report()  # what has ended would be readable for ever
            if child.reap():
                child.say_how_it_goes_on()
                if child.state is State.FAILED and not any(other.alive for other in children):
                    raise CannotStart(child.detail)


def _was_tried(child: Child) -> bool:
    return child.state in {State.READY, State.FAILED} or child.ends > 0


def _wait(children: Sequence[Child], signal_fd: int) -> bool:
    """Sleep until something happens or is due; return whether this process is to stop."""
    times = [child.due_at for child in children if child.due_at is not None]
    beat_seconds = lifecycle.beat_interval_seconds()
    if beat_seconds is not None:
        lifecycle.beat()
        times.append(time.monotonic() + beat_seconds)
    timeout = max(0.0, min(times) - time.monotonic()) if times else None
    watched = [fd for child in children for fd in (child.report_fd, child.sentinel)]
    ready = wait([signal_fd, *(fd for fd in watched if fd is not None)], timeout)
    if signal_fd not in ready:
        return False
    for number in os.read(signal_fd, SIGNAL_BYTES):
        if number in {signal.SIGTERM, signal.SIGINT}:
            return True
        for child in children:
            child.send(signal.SIGHUP)
    return False


def _join(child: Child, deadline: float) -> None:
    """Wait until *child* has ended; kill it at *deadline*."""
    child.join(max(0.0, deadline - time.monotonic()))
    if child.alive and not child.reap():
        log.error("%s does not stop; it is killed.", child.name)
        child.send(signal.SIGKILL)
        child.join()
        child.reap()


def _run(
    name: str,
    work: Callable[[], None],
    parent_pid: int,
    heartbeat_seconds: float,
    tally: Tally,
    report_fd: int,
) -> None:
    """Be one of the processes."""
    signal.set_wakeup_fd(-1)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    lifecycle.die_with_parent(parent_pid)
    lifecycle.attach(name, report_fd, heartbeat_seconds=heartbeat_seconds, tally=tally)
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
