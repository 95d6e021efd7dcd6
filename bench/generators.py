"""The load generators as the benchmark sees them: told what to do, asked what came of it."""

import json
import queue
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[1]


class Generator:
    """One process of `bench.load` or `bench.bare`, which does one job."""

    def __init__(self, job: dict[str, Any], module: str = "bench.load") -> None:
        """
        Args:
            job: What to do, with `kind` and `deadline_seconds`.
            module: The program.
        """
        self._deadline_seconds = job["deadline_seconds"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._errors: list[str] = []
        self._threads = [
            threading.Thread(target=self._read_lines, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        self.tell(json.dumps(job))

    def tell(self, line: str) -> None:
        """Send it a line."""
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """
        Return the next line that it says.

        Raises:
            RuntimeError: It ended without one; the text is the last that it said.
        """
        try:
            line = self._lines.get(timeout=self._deadline_seconds + 10)
        except queue.Empty:
            raise RuntimeError("The load generator is stuck.") from None
        if not line:
            self._process.wait()
            self._threads[1].join()
            reason = "".join(self._errors[-1:]).strip()
            raise RuntimeError(reason or f"It did not end within {self._deadline_seconds} s.")
        found: dict[str, Any] = json.loads(line)
        return found

    def _read_lines(self) -> None:
        for line in self._process.stdout or ():
            self._lines.put(line)
        self._lines.put("")

    def _read_errors(self) -> None:
        self._errors.extend(self._process.stderr or ())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()


def once(job: dict[str, Any], module: str = "bench.load") -> dict[str, Any]:
    """Do a job that has one answer and return that."""
    with Generator(job, module) as generator:
        return generator.answer()
