"""
The place in the event stream, in a file, so that no event is done twice or left out.

What is run for an event is a child's affair: it notes which event it is about, holds the lock of
the file, runs the command, and writes the place. So when saltctl is killed the command still runs
to its end, and the next saltctl waits for it. Where the child itself is killed, with all processes
of a service or with the machine, the note is still there: then nobody knows how far the command
came, and the event is done again, with SALTCTL_EVENT_AGAIN. Without `fork` (on Windows) saltctl is
that child.
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
from saltapi_client.cli.output.writing import say
from saltapi_client.cli.places import lock_file, write_private
from saltapi_client.listening import event_name
from saltapi_client.records import Event

CANNOT_RUN = 127
RUNNING = "running"
"""Begins the second line of the file, while a command runs for the event that stands there."""


class Cursor:
    """The file of `--cursor`; without one nothing is kept. A context manager: it holds the lock."""

    def __init__(self, path: str | None) -> None:
        self._path = Path(path) if path else None
        self._lock: IO[Any] | None = None
        self._place: str | None = None
        self._unfinished: str | None = None

    def __enter__(self) -> Cursor:
        if self._path is not None:
            try:
                self._lock = lock_file(self._path.with_name(self._path.name + ".lock"))
            except OSError as error:
                raise errors.Usage(f"Cannot keep the place in {self._path}: {error}") from error
            self._wait_for(self._lock)
        return self

    def _wait_for(self, lock: IO[Any]) -> None:
        """Wait until no other saltctl, and nothing that one has run, is at the file."""
        with suppress(ImportError):
            import fcntl

            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"saltctl: {self._path} is in use; waiting for what another saltctl has begun.")
                fcntl.flock(lock, fcntl.LOCK_EX)

    def __exit__(self, *_exc: object) -> None:
        if self._lock is not None:
            self._lock.close()

    def read(self, first: str | None = None) -> str | None:
        """Return the id of the last event that was done; *first* at the beginning."""
        self._place = first
        if self._path is None:
            return first
        try:
            lines = self._path.read_text(encoding="utf-8").split("\n")
        except FileNotFoundError:
            return first
        except (OSError, UnicodeDecodeError) as error:
            raise errors.Usage(f"Cannot read the place in {self._path}: {error}") from error
        self._place = lines[0].strip() or first
        for word, _, name in (line.partition(" ") for line in lines[1:]):
            if word == RUNNING:
                self._unfinished = event_name(name.strip())
        return self._place

    def write(self, cursor: str | None) -> None:
        """Note that an event is done."""
        if self._path is not None and cursor:
            write_private(self._path, f"{cursor}\n")
            self._place = cursor

    def run(self, command: list[str], event: Event) -> bool:
        """
        Run a command for an event, then note that it is done; return whether it succeeded.

        Raises:
            OutcomeUnknown: What runs the command was killed, and so perhaps the command.
        """
        sys.stdout.flush()
        again = event.id is not None and event_name(event.id) == self._unfinished
        if again:
            say(f"saltctl: nobody knows how far event {event.id} was done; it is done again.")
        if self._path is None or not hasattr(os, "fork"):
            return self._done(command, event, again=again) == 0
        child = os.fork()
        if child == 0:
            code = CANNOT_RUN
            try:
                os.setsid()  # so that what ends saltctl does not end what is half done
                code = self._done(command, event, again=again)
            finally:
                os._exit(code & 0xFF)
        _, found = os.waitpid(child, 0)
        if os.WIFSIGNALED(found):
            raise errors.OutcomeUnknown(f"What ran {command[0]} for event {event.id} was killed.")
        self._place = event.id or self._place
        return found == 0

    def _done(self, command: list[str], event: Event, *, again: bool) -> int:
        if self._path is not None and event.id:
            write_private(self._path, f"{self._place or ''}\n{RUNNING} {event.id}\n")
        code = run(command, event, again=again)
        self.write(event.id)
        return code


def run(command: list[str], event: Event, *, again: bool = False) -> int:
    """Run a command with an event as JSON on its standard input; return its exit status."""
    text = json.dumps({"id": event.id, "tag": event.tag, "data": event.data})
    variables = {"SALTCTL_EVENT_TAG": event.tag, "SALTCTL_EVENT_ID": event.id or ""}
    variables["SALTCTL_EVENT_AGAIN"] = "1" if again else ""
    try:
        return subprocess.run(
            command, input=text.encode(), env={**os.environ, **variables}, check=False
        ).returncode
    except OSError as error:
        sys.stderr.write(f"saltctl: cannot run {command[0]}: {error}\n")
        return CANNOT_RUN
