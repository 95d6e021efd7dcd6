"""
A process that starts one command and leaves nothing of it behind.

Run as a script (`python -I -S guardian.py PARENT_PID -- COMMAND…`, standard library only, so
that it is there in milliseconds). It adopts every descendant of the command, daemonized ones
included (PR_SET_CHILD_SUBREAPER), and kills them all when

- the command ends: the guardian ends with its status,
- its standard input closes, which is how its parent says "stop": the command gets SIGTERM,
  and what is left when it has ended, or after five seconds, SIGKILL,
- the parent is gone, whatever it died of.

One byte on standard input: `K` kills at once, `S` and `C` send SIGSTOP and SIGCONT.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
POLL_MILLISECONDS = 100
GRACE_SECONDS = 5.0


def main(argv: list[str]) -> int:
    """Run the command in *argv*, return its exit status (128 + signal if a signal ended it)."""
    parent, command = int(argv[1]), argv[3:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda signum, _frame: stopping.append(signum))
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    poll = select.poll()
    poll.register(0, select.POLLIN)
    try:
        parent_exit = os.pidfd_open(parent)
    except ProcessLookupError:
        return 1
    if os.getppid() != parent:
        return 1
    poll.register(parent_exit, select.POLLIN)

    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=die_with_guardian)
    grace_seconds = GRACE_SECONDS
    while True:
        status = reap(child.pid)
        if status is not None:
            kill_all()
            return status
        ready = {fd for fd, _ in poll.poll(POLL_MILLISECONDS)}
        if stopping or parent_exit in ready:
            break
        if 0 in ready:
            order = os.read(0, 1)
            if order in {b"S", b"C"}:
                send_to_all(signal.SIGSTOP if order == b"S" else signal.SIGCONT)
                continue
            if order == b"K":
                grace_seconds = 0
            break
    if grace_seconds:
        terminate(child.pid, grace_seconds)
    kill_all()
    return 0


def prctl(option: int, value: int) -> None:
    """Call prctl(2), which Python has no function for."""
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def die_with_guardian() -> None:
    """Tell the kernel to kill this process when the guardian is killed."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def reap(child: int) -> int | None:
    """Collect the dead; return the exit status of *child* if it is among them."""
    status = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                code = os.waitstatus_to_exitcode(ended[1])
                status = code if code >= 0 else 128 - code
    return status


def terminate(child: int, grace_seconds: float) -> None:
    """Ask *child* to end and wait for it, at most *grace_seconds*."""
    send_to_all(signal.SIGCONT)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while reap(child) is None and time.monotonic() < deadline:
        time.sleep(0.01)


def kill_all() -> None:
    """Kill every descendant, and those they leave behind, until none is left."""
    while any(descendants()):
        send_to_all(signal.SIGKILL)
        time.sleep(0.01)
        reap(0)


def send_to_all(signum: int) -> None:
    """Send *signum* to every descendant, parents before their children."""
    for pid in list(descendants()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)


def descendants() -> Iterator[int]:
    """Yield the pids below this process, those that wait to be collected too."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                parent = int(file.read().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(name))
    queue = [os.getpid()]
    while queue:
        below = children.get(queue.pop(0), [])
        yield from below
        queue += below


if __name__ == "__main__":
    sys.exit(main(sys.argv))
