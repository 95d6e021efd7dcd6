"""
What runs inside the process of a netapi module: "I am ready", stopping, reloading.

A module of ours ends its `start()` with `run_until_stopped`. A module of somebody else need
not know this: it serves until it is killed.
"""

import asyncio
import ctypes
import gc
import logging
import os
import queue
import signal
from collections.abc import Callable

from saltapi.process import log as logs
from saltapi.process.tally import Tally

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1
READY = "ready"
FAILED = "failed"
ALIVE = "alive"
STOPPING = "stopping"
BEATS_PER_HEARTBEAT = 4
"""How many signs of life there are in the time that a silent process is given."""

_name = "The netapi module"
_report_fd: int | None = None
_is_ready = False
_heartbeat_seconds = 0.0
_tallies: list[Tally] = []


def attach(
    name: str,
    report_fd: int,
    *,
    heartbeat_seconds: float = 0.0,
    tally: Tally | None = None,
) -> None:
    """
    Tie this process to the one that started it.

    Args:
        name: The name of the module that runs here.
        report_fd: Where the supervisor reads what `report` writes.
        heartbeat_seconds: How long this process may be silent once it answers; 0 for ever.
        tally: What the supervisor knows of this process and those beside it.
    """
    global _name, _report_fd, _heartbeat_seconds
    os.set_blocking(report_fd, False)  # whoever does not read must not hold us up
    _name, _report_fd, _heartbeat_seconds = name, report_fd, heartbeat_seconds
    if tally is not None:
        _tallies.append(tally)


def beat_interval_seconds() -> float | None:
    """Return how often this process should call `beat`; None where nobody waits for it."""
    return _heartbeat_seconds / BEATS_PER_HEARTBEAT if _heartbeat_seconds else None


def beat() -> None:
    """Tell the supervisor that this process is alive."""
    report(ALIVE, "")


def processes() -> tuple[int, int]:
    """Return how many processes of this module have ended, and how many do not answer now."""
    return sum(tally.ended for tally in _tallies), sum(tally.missing for tally in _tallies)


def report(kind: str, text: str) -> None:
    """Tell the supervisor, if there is one, `READY` with a URL or `FAILED` with the reason."""
    if _report_fd is None:
        return
    try:
        os.write(_report_fd, f"{kind} {' '.join(text.split())}\n".encode())
    except OSError:
        log.debug("The supervisor does not listen.", exc_info=True)


def is_ready() -> bool:
    """Tell whether the module in this process has said that it answers."""
    return _is_ready


def run_until_stopped(
    *,
    ready: str,
    reload: Callable[[], None] | None = None,
    is_alive: Callable[[], bool] = lambda: True,
) -> None:
    """
    Say that the module answers, then block until the process is asked to stop.

    SIGTERM and SIGINT end the call; the module then finishes what is in flight, within
    `api_shutdown_timeout`, and returns from `start()`. SIGHUP opens log files again and calls
    *reload*; an error in it is logged and the module goes on. To be called on the main thread.

    Args:
        ready: The URL that the module answers at.
        reload: Reads certificates and files of the module again.
        is_alive: Whether the module still works; one that does not is ended and replaced. It
            may take as long as `beat_interval_seconds`.
    """
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: signals.put(received))
    _announce(ready)
    interval = beat_interval_seconds()
    while True:
        if interval is not None and is_alive():
            beat()
        try:
            received = signals.get(timeout=interval)
        except queue.Empty:
            continue
        if received != signal.SIGHUP:
            break
        _reload(reload)
    report(STOPPING, "")


async def run_until_stopped_async(*, ready: str, reload: Callable[[], None] | None = None) -> None:
    """Same as `run_until_stopped`, on an event loop; *reload* is called in a thread."""
    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[int] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, signals.put_nowait, number)
    _announce(ready)
    beating = asyncio.create_task(_beat_regularly(), name="saltapi-heartbeat")
    try:
        while await signals.get() == signal.SIGHUP:
            await asyncio.to_thread(_reload, reload)
    finally:
        beating.cancel()
        report(STOPPING, "")


def die_with_parent(parent_pid: int) -> None:
    """
    Have the kernel kill this process (SIGKILL) when its parent dies, however it dies.

    A process that a module starts for itself should call this too: the kernel takes care of
    children, not of grandchildren.

    Args:
        parent_pid: The process that should be the parent; if it is gone already, so are we.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        log.warning("Without prctl this process outlives a killed supervisor.")
    if os.getppid() != parent_pid:
        os._exit(1)


async def _beat_regularly() -> None:
    interval = beat_interval_seconds()
    while interval is not None:
        beat()
        await asyncio.sleep(interval)


def _announce(url: str) -> None:
    global _is_ready
    _is_ready = True
    # Salt's modules stay for ever: nobody need look through them for garbage again and again.
    gc.collect()
    gc.freeze()
    # The old are looked through when there are a quarter more of them; these do not count any more.
    gc.collect()
    log.info("%s answers at %s", _name, url)
    report(READY, url)


def _reload(reload: Callable[[], None] | None) -> None:
    logs.reopen()
    try:
        if reload is not None:
            reload()
    except Exception:
        log.exception("%s keeps what it had: reloading failed.", _name)
    else:
        log.info("%s has reloaded.", _name)
