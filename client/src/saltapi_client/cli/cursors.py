"""
The place in the event stream, in a file, so that no event is done twice or left out.

What is run for an event is a child's affair: it holds the lock of the file, runs the command, and
writes the place. So when saltctl is killed the command still runs to its end, and the next
saltctl waits for it. Without `fork` (on Windows) a kill between the two may repeat the last one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from saltapi_client import errors
from saltapi_client.cli.places import lock_file, write_private
from saltapi_client.records import Event

CANNOT_RUN = 127


class Cursor:
    """The file of `--cursor`; without one nothing is kept. A context manager: it holds the lock."""

    def __init__(self, path: str | None) -> None:
        self._path = Path(path) if path else None
        self._lock: IO[Any] | None = None

    def __enter__(self) -> Cursor:
        if self._path is not None:
            try:
                self._lock = lock_file(self._path.with_name(self._path.name + ".lock"))
            except OSError as error:
                raise errors.Usage(f"Cannot keep the place in {self._path}: {error}") from error
            with suppress(ImportError):
                import fcntl

                fcntl.flock(self._lock, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._lock is not None:
            self._lock.close()

    def read(self) -> str | None:
        """Return the id of the last event that was done; None at the beginning."""
        if self._path is None:
            return None
        try:
            return self._path.read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise errors.Usage(f"Cannot read the place in {self._path}: {error}") from error

    def write(self, cursor: str | None) -> None:
        """Note that an event is done."""
        if self._path is not None and cursor:
            write_private(self._path, f"{cursor}\n")

    def run(self, command: list[str], event: Event) -> bool:
        """Run a command for an event, then note that it is done; return whether it succeeded."""
        sys.stdout.flush()
        if self._path is None or not hasattr(os, "fork"):
            done = run(command, event)
            self.write(event.id)
            return done == 0
        child = os.fork()
        if child == 0:
            code = CANNOT_RUN
            try:
                os.setsid()  # so that Ctrl-C ends saltctl, and not what is half done
                code = run(command, event)
                self.write(event.id)
            finally:
                os._exit(code & 0xFF)
        _, found = os.waitpid(child, 0)
        return found == 0


def run(command: list[str], event: Event) -> int:
    """Run a command with an event as JSON on its standard input; return its exit status."""
    text = json.dumps({"id": event.id, "tag": event.tag, "data": event.data})
    variables = {"SALTCTL_EVENT_TAG": event.tag, "SALTCTL_EVENT_ID": event.id or ""}
    try:
        return subprocess.run(
            command, input=text.encode(), env={**os.environ, **variables}, check=False
        ).returncode
    except OSError as error:
        sys.stderr.write(f"saltctl: cannot run {command[0]}: {error}\n")
        return CANNOT_RUN
