"""
One supervised process per netapi module (`saltapi.process.child`).

The supervisor has no thread and no event loop: Salt needs fork, and a fork copies locks that
other threads hold. It sleeps in `select` until a signal, a report of a module or a deadline.
"""

import contextlib
import errno
import functools
import logging
import os
import selectors
import signal
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from saltapi.config import EngineConfig
from saltapi.errors import CannotStart
from saltapi.process import lifecycle, memory
from saltapi.process import log as logs
from saltapi.process.child import EX_CONFIG, Child, State
from saltapi.process.loader import Module
from saltapi.process.sd_notify import Notifier
from saltapi.process.tally import Tally
from saltapi.types import Opts

log = logging.getLogger(__name__)

STOP_GRACE_SECONDS = 5.0
"""What a module gets on top of `api_shutdown_timeout` before it is killed."""

HANDLED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)

CANNOT_START_ERRNOS = {
    errno.EADDRINUSE,
    errno.EADDRNOTAVAIL,
    errno.EACCES,
    errno.EPERM,
    errno.ENOENT,
}


class Supervisor:
    """Runs the modules until it is told to stop: what `saltapi serve` is."""

    def __init__(
        self,
        modules: Sequence[Module],
        opts: Opts,
        *,
        notifier: Notifier | None = None,
    ) -> None:
        """
        Args:
            modules: What `saltapi.process.loader.load` found; at least one.
            opts: The master's options.
            notifier: The service manager, if there is one.
        """
        engine = EngineConfig.of(opts)
        self._heartbeat_seconds = engine.api_heartbeat_seconds
        self._modules: list[Child] = []
        self._tallies: dict[str, Tally] = {}
        for module in modules:
            self._tallies[module.name] = Tally()
            child = Child(
                module.name,
                functools.partial(self._run_module, module),
                reports=module.reports,
                heartbeat_seconds=self._heartbeat_seconds,
            )
            self._modules.append(child)
        self._opts = opts
        self._notifier = notifier
        self.on_ready: list[Callable[[], None]] = []
        """Called once, when every module has started or failed and one answers."""
        self.in_child: list[Callable[[], None]] = []
        """Called in the process of each module before the module starts."""
        self._stop_seconds = engine.api_shutdown_timeout + STOP_GRACE_SECONDS
        self._signals: list[int] = []
        self._selector = selectors.DefaultSelector()
        self._wake_fd = self._wake_write_fd = -1
        self._pid = 0
        self._is_ready = False
        self._status = ""
        self._watchdog_at = 0.0

    def run(self) -> int:
        """
        Run all modules; to be called once, on the main thread.

        Returns:
            0 after SIGTERM or SIGINT; 1 when not a single module can start.
        """
        self._pid = os.getpid()
        if threading.active_count() > 1:
            log.warning("A netapi module started a thread when it was imported: not safe to fork.")
        with self._catch_signals():
            try:
                return self._supervise()
            finally:
                self._kill()
                self._selector.close()

    def _supervise(self) -> int:
        while True:
            now = time.monotonic()
            for module in self._modules:
                module.end_if_silent()
                if module.next_step_at is not None and module.next_step_at <= now:
                    self._step(module)
            self._tell()
            failed = all(module.state is State.FAILED for module in self._modules)
            if failed and not self._is_ready:
                log.error("No netapi module can start; saltapi ends.")
                return 1
            self._wait(self._next_step_at())
            for number in self._take_signals():
                if number == signal.SIGHUP:
                    self._reload()
                elif number != signal.SIGCHLD:
                    self._stop()
                    return 0
            for module in self._modules:
                if self._reap(module):
                    module.say_how_it_goes_on()

    def _step(self, module: Child) -> None:
        if module.alive:
            module.step()
            return
        # A signal between the fork and the child's own handlers must wait for them.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED_SIGNALS)
        try:
            module.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if module.report_fd is not None:
            self._selector.register(module.report_fd, selectors.EVENT_READ, module)

    def _reap(self, module: Child) -> bool:
        report_fd = module.report_fd
        if not module.reap():
            return False
        self._unregister(report_fd)
        self._tallies[module.name].set(ended=module.ends, missing=0)
        return True

    def _unregister(self, report_fd: int | None) -> None:
        if report_fd is not None and report_fd in self._selector.get_map():
            self._selector.unregister(report_fd)

    def _wait(self, until: float | None) -> None:
        """Sleep until *until*, on the monotonic clock, a signal or a report."""
        times = [until] if until is not None else []
        if self._notifier and self._notifier.watchdog_interval_seconds:
            times.append(self._watchdog_at)
        timeout = max(0.0, min(times) - time.monotonic()) if times else None
        for key, _ in self._selector.select(timeout):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_fd, 4096)
            elif not key.data.read_reports():
                self._unregister(key.fd)
        self._feed_watchdog()

    def _feed_watchdog(self) -> None:
        if self._notifier is None or self._notifier.watchdog_interval_seconds is None:
            return
        if any(module.is_stuck for module in self._modules):
            return
        if time.monotonic() >= self._watchdog_at:
            self._notifier.watchdog()
            self._watchdog_at = time.monotonic() + self._notifier.watchdog_interval_seconds

    def _next_step_at(self) -> float | None:
        return min((m.due_at for m in self._modules if m.due_at is not None), default=None)

    def _tell(self) -> None:
        """Tell the service manager, and the caller, what is new."""
        answering = [module for module in self._modules if module.state is State.READY]
        settled = all(m.state is not State.STARTING or m.ends for m in self._modules)
        if not self._is_ready and answering and settled:
            self._is_ready = True
            if self._notifier:
                self._notifier.ready()
            for tell in self.on_ready:
                tell()
        status = "; ".join(_status_of(module) for module in self._modules)
        if self._notifier and status != self._status:
            self._notifier.status(status)
            self._status = status

    def _reload(self) -> None:
        if self._notifier and self._is_ready:
            self._notifier.reloading()
        logs.reopen()
        log.info("SIGHUP: log files are open again, modules reload their certificates.")
        for module in self._modules:
            module.send(signal.SIGHUP)
        if self._notifier and self._is_ready:
            self._notifier.ready()

    def _stop(self) -> None:
        """End all modules: SIGTERM, and SIGKILL for those that take too long."""
        log.info("Stopping: what is in flight is finished first.")
        if self._notifier:
            self._notifier.stopping()
        for module in self._modules:
            module.send(signal.SIGTERM)
        deadline = time.monotonic() + self._stop_seconds
        while any(module.alive for module in self._modules) and time.monotonic() < deadline:
            self._wait(deadline)
            if signal.SIGINT in self._take_signals():
                log.warning("Interrupted once more: what is in flight is given up.")
                break
            for module in self._modules:
                self._reap(module)
        for module in self._modules:
            if module.alive:
                log.warning("%s has not stopped in time and is killed.", module.name)

    def _kill(self) -> None:
        for module in self._modules:
            module.send(signal.SIGKILL)
        for module in self._modules:
            module.join()
            self._reap(module)

    def _take_signals(self) -> list[int]:
        taken, self._signals[:] = list(self._signals), []
        return taken

    @contextlib.contextmanager
    def _catch_signals(self) -> Iterator[None]:
        """Have every signal wake up `_wait` and end up in `_signals`."""
        self._wake_fd, self._wake_write_fd = os.pipe()
        os.set_blocking(self._wake_fd, False)
        os.set_blocking(self._wake_write_fd, False)
        self._selector.register(self._wake_fd, selectors.EVENT_READ, None)
        before = {
            number: signal.signal(number, lambda received, _frame: self._signals.append(received))
            for number in HANDLED_SIGNALS
        }
        wake_before = signal.set_wakeup_fd(self._wake_write_fd, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(wake_before)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(self._wake_fd)
            os.close(self._wake_write_fd)

    def _run_module(self, module: Module, report_fd: int) -> None:
        """Run *module*, in its own process."""
        lifecycle.die_with_parent(self._pid)
        memory.keep_less()
        self._forget_supervision()
        lifecycle.attach(
            module.name,
            report_fd,
            heartbeat_seconds=self._heartbeat_seconds,
            tally=self._tallies[module.name],
        )
        for prepare in self.in_child:
            prepare()
        try:
            module.start()
        except Exception as error:
            reason = None
            if not lifecycle.is_ready():
                reason = cannot_start_reason(error, module.name, self._opts)
            if reason is None:
                log.exception("%s crashed.", module.name)
                sys.exit(1)
            log.debug("%s cannot start.", module.name, exc_info=True)
            lifecycle.report(lifecycle.FAILED, reason)
            sys.exit(EX_CONFIG)

    def _forget_supervision(self) -> None:
        """Give back the signals, and close what only the supervisor reads."""
        self._selector.close()
        # A forked process of Python 3.14 has no wake-up descriptor any more.
        signal.set_wakeup_fd(-1)
        os.close(self._wake_fd)
        os.close(self._wake_write_fd)
        for other in self._modules:
            if other.report_fd is not None:
                os.close(other.report_fd)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # Ctrl-C reaches the whole foreground group: the supervisor passes it on as SIGTERM.
        # SIGHUP must not end a module that does not know it. A function, because processes
        # that a module starts would inherit SIG_IGN.
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.signal(signal.SIGHUP, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED_SIGNALS)


def cannot_start_reason(error: Exception, name: str, opts: Opts) -> str | None:
    """
    Return the sentence that says why the module *name* can never run like this.

    Returns:
        None if *error* is of a kind that may be over at the next try.
    """
    if isinstance(error, CannotStart):
        return str(error)
    if isinstance(error, ImportError):
        return f"It needs something that is not installed: {error}."
    if isinstance(error, ssl.SSLError):
        return f"Its certificate or key cannot be used: {error}."
    if not isinstance(error, OSError) or error.errno not in CANNOT_START_ERRNOS:
        return None
    section = opts.get(name)
    port = section.get("port") if isinstance(section, dict) else None
    where = f"port {port}" if port else "its address"
    if error.errno == errno.EADDRINUSE:
        return f"Another program uses {where}. Stop that one, or change `port` of {name}."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"This machine does not have the address for {where}. Change `host` of {name}."
    if error.filename:
        return f"{error.filename}: {error.strerror}."
    return f"{error.strerror}; it needs {where}."


def _status_of(module: Child) -> str:
    name, detail = module.name, module.detail
    if module.state is State.READY:
        return f"{name} answers at {detail}" if detail else f"{name} runs"
    if module.state is State.FAILED:
        return f"{name} cannot start: {detail}"
    return f"{name} {module.state.value}"
