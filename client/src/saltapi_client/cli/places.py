"""Where files are: in the platform's places, or below SALTCTL_HOME."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_HOMES = {
    "config": ("XDG_CONFIG_HOME", ".config"),
    "state": ("XDG_STATE_HOME", ".local/state"),
    "cache": ("XDG_CACHE_HOME", ".cache"),
}


def place(kind: str) -> Path:
    """Return the directory for `config`, `state` or `cache`; it may not exist yet."""
    if os.environ.get("SALTCTL_HOME"):
        return Path(os.environ["SALTCTL_HOME"], kind)
    if sys.platform == "win32":
        name = "APPDATA" if kind == "config" else "LOCALAPPDATA"
        return Path(os.environ.get(name) or Path.home(), "saltctl", kind)
    if sys.platform == "darwin":
        below = "Caches" if kind == "cache" else "Application Support"
        return Path.home() / "Library" / below / "saltctl"
    variable, default = _HOMES[kind]
    return Path(os.environ.get(variable) or Path.home() / default, "saltctl")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, as a whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        new.unlink()  # of a process that was killed, or a link that somebody has laid
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(new, path)
    finally:
        with suppress(FileNotFoundError):
            new.unlink()


def lock_file(path: Path) -> IO[str]:
    """Return a file to lock, open; whoever else could open it could keep its owner waiting."""
    return open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one at a time do what is done meanwhile, by a lock file; not on Windows."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock_file(path) as lock:
        with suppress(ImportError):
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
