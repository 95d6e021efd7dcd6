"""
One scrape for all processes of a module, whichever of them answers it.

Each process leaves its numbers in a file of a common directory, and holds a lock beside it as
long as it lives. Who is asked adds up the files of those that live, and keeps what the others
have counted: counters never go back, and gauges of the dead do not stay.
"""

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import secrets
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from saltapi.engine.monitoring import metrics
from saltapi.engine.monitoring.metrics import Metrics, Plain

log = logging.getLogger(__name__)

WRITE_INTERVAL_SECONDS = 1.0
"""How old the numbers of other processes are at most."""
ENDED = "ended.json"
"""What processes that have ended had counted."""
DIRECTORY_LOCK = "directory.lock"


class SharedMetrics:
    """The numbers of this process, and those of the others on the same directory."""

    def __init__(self, own: Metrics, directory: Path) -> None:
        """
        Args:
            own: The numbers of this process.
            directory: The same for all processes of the module; made if it is missing.
        """
        self._own = own
        self.before: Callable[[], Awaitable[None]] = _nothing
        """What is waited for before the numbers are read."""
        self._directory = directory
        self._name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._lock_fd: int | None = None
        self._writing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to share; where the directory cannot be used, the numbers are of this process."""
        try:
            await asyncio.to_thread(self._join)
        except OSError as error:
            log.warning("/metrics shows one process alone: %s: %s", self._directory, error.strerror)
            return
        self._writing = asyncio.create_task(self._write_regularly(), name="saltapi-metrics")

    async def close(self) -> None:
        """Leave what was counted behind, and stop; idempotent."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
            self._writing = None
        if self._lock_fd is not None:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(self._write)
            os.close(self._lock_fd)
            self._lock_fd = None

    async def text(self) -> bytes:
        """Return the numbers of all processes in Prometheus' text format."""
        await self.before()
        own = metrics.plain_of(self._own.families())
        return await asyncio.to_thread(self._text, own)

    def _text(self, own: Plain) -> bytes:
        processes = [own]
        if self._lock_fd is not None:
            try:
                with self._locked():
                    # What was shown once must be found here if this process dies.
                    self._write(own)
                    processes += self._of_others()
            except OSError as error:
                log.warning("/metrics shows one process alone: %s", error)
        return metrics.text_of(metrics.merged(processes))

    async def _write_regularly(self) -> None:
        while True:
            await asyncio.sleep(WRITE_INTERVAL_SECONDS)
            try:
                await asyncio.to_thread(self._write_for_others)
            except OSError as error:
                log.debug("The numbers of this process cannot be written: %s", error)

    def _write_for_others(self) -> None:
        if len(list(self._directory.glob("*.lock"))) > len((DIRECTORY_LOCK, self._name)):
            self._write()

    def _write(self, own: Plain | None = None) -> None:
        plain = metrics.plain_of(self._own.families()) if own is None else own
        _replace(self._directory / f"{self._name}.json", plain)

    def _join(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked():
            if not any(_is_alive(path) for path in self._process_locks()):
                for path in (*self._directory.glob("*.json"), *self._process_locks()):
                    path.unlink()
            self._lock_fd = _open(self._directory / f"{self._name}.lock")
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX)

    def _of_others(self) -> list[Plain]:
        """Return the numbers of the other processes, and of those that have ended, as one."""
        found = []
        for lock in self._process_locks():
            if lock.stem == self._name:
                continue
            if _is_alive(lock):
                found += _read(lock.with_suffix(".json"))
            else:
                self._forget(lock)
        return found + _read(self._directory / ENDED)

    def _forget(self, lock: Path) -> None:
        """Add what a process that has ended had counted to that of the others; remove its files."""
        numbers = lock.with_suffix(".json")
        counted = [metrics.lasting(plain) for plain in _read(numbers)]
        if counted:
            together = metrics.merged(_read(self._directory / ENDED) + counted)
            _replace(self._directory / ENDED, metrics.plain_of(together))
        numbers.unlink(missing_ok=True)
        lock.unlink(missing_ok=True)

    def _process_locks(self) -> list[Path]:
        return [p for p in self._directory.glob("*.lock") if p.name != DIRECTORY_LOCK]

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = _open(self._directory / DIRECTORY_LOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


async def _nothing() -> None:
    return


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _is_alive(lock: Path) -> bool:
    """Return whether a process holds *lock*: it gives it back however it ends."""
    descriptor = _open(lock)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _read(path: Path) -> list[Plain]:
    """Return the numbers in a file, none if there is no such file or it is damaged."""
    try:
        return [json.loads(path.read_bytes())]
    except FileNotFoundError:
        return []
    except ValueError:
        log.warning("%s is damaged; it is passed over.", path)
        return []


def _replace(path: Path, plain: Plain) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(plain))
    temporary.replace(path)
