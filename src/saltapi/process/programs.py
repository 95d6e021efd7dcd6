"""Programs that end when we do: each runs under a guardian of its own."""

import os
import subprocess
import sys
from pathlib import Path

GUARDIAN = Path(__file__).with_name("guardian.py")
STOP_SECONDS = 20
"""How long a guardian may take; it kills after 5 s, so only a stuck kernel needs more."""


class Program:
    """One program with all of its descendants, and the file that its output goes to."""

    def __init__(self, name: str, command: list[str], log_file: Path, cwd: Path) -> None:
        """
        Args:
            name: What people call it, for messages.
            command: The program and its arguments.
            log_file: Takes what the program prints; appended to.
            cwd: The directory that it runs in.
        """
        self.name = name
        self.command = command
        self.log_file = log_file
        self.cwd = cwd
        self._guardian: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the program, unless it runs."""
        if self.running:
            return
        self.stop()
        guardian = [sys.executable, "-I", "-S", str(GUARDIAN), str(os.getpid()), "--"]
        with self.log_file.open("ab") as log:
            self._guardian = subprocess.Popen(
                [*guardian, *self.command],
                cwd=self.cwd,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal is for the parent alone
            )

    @property
    def running(self) -> bool:
        """Tell whether the program runs."""
        return self._guardian is not None and self._guardian.poll() is None

    @property
    def pid(self) -> int | None:
        """The process id of the guardian, whose descendants are the program; None at rest."""
        return self._guardian.pid if self._guardian is not None and self.running else None

    @property
    def exit_status(self) -> int | None:
        """The status that the program ended with by itself; None while it runs."""
        return None if self._guardian is None else self._guardian.poll()

    def stop(self) -> None:
        """End the program and everything it started: SIGTERM, after 5 s SIGKILL."""
        self._end(b"")

    def kill(self) -> None:
        """Kill the program and everything it started with SIGKILL."""
        self._end(b"K")

    def freeze(self) -> None:
        """Halt the program and everything it started (SIGSTOP): it is there and silent."""
        self._order(b"S")

    def thaw(self) -> None:
        """Let a frozen program go on (SIGCONT)."""
        self._order(b"C")

    def last_lines(self, count: int = 20) -> str:
        """Return the last *count* lines of what the program printed."""
        try:
            text = self.log_file.read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-count:])

    def _end(self, order: bytes) -> None:
        if self._guardian is None:
            return
        self.request_stop(order)
        self._guardian.wait(STOP_SECONDS)
        self._guardian = None

    def request_stop(self, order: bytes = b"") -> None:
        """Begin what `stop` does without waiting for it."""
        if self._guardian is None or self._guardian.stdin is None:
            return
        self._order(order)
        try:
            self._guardian.stdin.close()
        except BrokenPipeError:
            return

    def _order(self, order: bytes) -> None:
        if self._guardian is None or self._guardian.stdin is None or self._guardian.stdin.closed:
            return
        try:
            self._guardian.stdin.write(order)
            self._guardian.stdin.flush()
        except BrokenPipeError:  # it has ended by itself
            return
