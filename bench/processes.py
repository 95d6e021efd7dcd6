"""What a program costs: processor time and memory of it and of everything that it started."""

import contextlib
from pathlib import Path

import psutil

from saltapi.process.programs import Program

KIB = 1024
RESET_PEAK = "5"
"""Written to `clear_refs`, this begins the peak anew (proc(5))."""


class Watched:
    """The processes below a running program's guardian."""

    def __init__(self, program: Program) -> None:
        if program.pid is None:
            raise ValueError(f"{program.name} does not run")
        self._guardian = psutil.Process(program.pid)

    def processes(self) -> list[psutil.Process]:
        """Return the processes that there are now."""
        return self._guardian.children(recursive=True)

    def cpu_seconds(self) -> float:
        """Return what they have used so far, with that of their children that have ended."""
        seconds = 0.0
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                seconds += sum(process.cpu_times()[:4])
        return seconds

    def memory_bytes(self) -> int:
        """Return the memory that belongs to them alone, together."""
        total = 0
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_full_info().uss
        return total

    def server(self, port: int) -> psutil.Process:
        """Return the process that serves *port*: of those that hold it the last that started."""
        found = [
            process
            for process in self.processes()
            if any(
                connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
                for connection in process.net_connections("tcp")
            )
        ]
        if not found:
            raise RuntimeError(f"Nobody listens on port {port}.")
        return max(found, key=lambda process: process.create_time())


def begin_peak(process: psutil.Process) -> None:
    """Let the peak of *process* be what it has now."""
    Path(f"/proc/{process.pid}/clear_refs").write_text(RESET_PEAK)


def peak_bytes(process: psutil.Process) -> int:
    """Return the largest resident size of *process* since `begin_peak`."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * KIB
    raise RuntimeError(f"The kernel does not tell the peak of process {process.pid}.")
