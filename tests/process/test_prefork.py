"""Several processes of one module: what happens to the others when one is lost."""

import os
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemons import Daemon, Home, children_of, free_port, get, wait_until

MODULE = """
import asyncio
import os
import socket
import time
from pathlib import Path

from saltapi import service
from saltapi.errors import CannotStart
from saltapi.process.prefork import run_processes


def start():
    section = __opts__["rest_many"]
    listening = socket.create_server(("127.0.0.1", section["port"]))
    run_processes(
        "rest_many", 2, lambda: asyncio.run(serve(section, listening)),
        stop_timeout_seconds=5, heartbeat_seconds=__opts__["api_heartbeat_seconds"],
    )


async def serve(section, listening):
    if Path(section["broken"]).exists():
        raise CannotStart("Its certificate is broken.")
    server = await asyncio.start_server(answer, sock=listening)
    await service.run_until_stopped_async(ready="http://127.0.0.1:%d" % section["port"])


async def answer(reader, writer):
    request = await reader.readuntil(b"\\r\\n\\r\\n")
    ended, missing = service.processes()
    body = f"{os.getpid()} {ended} {missing}".encode()
    writer.write(b"HTTP/1.0 200 OK\\r\\nConnection: close\\r\\n\\r\\n" + body)
    await writer.drain()
    writer.close()
"""


class Many:
    """A daemon with a module of two processes."""

    def __init__(self, daemon: Daemon, url: str, broken: Path) -> None:
        self.daemon = daemon
        self.url = url
        self.broken = broken

    @property
    def parent(self) -> int:
        """The process that started the others."""
        return self.daemon.children()[0]

    @property
    def workers(self) -> list[int]:
        """The processes that answer."""
        return children_of(self.parent)

    def numbers(self) -> tuple[int, int]:
        """Return how many have ended and how many are missing, as a worker knows it."""
        _, ended, missing = (get(self.url) or "0 -1 -1").split()
        return int(ended), int(missing)

    def log(self) -> str:
        """Return the log."""
        return self.daemon.home.log()


@pytest.fixture
def many(tmp_path: Path) -> Iterator[Many]:
    home = Home(tmp_path)
    port = free_port()
    broken = tmp_path / "broken"
    home.add_module("rest_many", MODULE, port=port, broken=str(broken))
    home.opts["api_heartbeat_seconds"] = 3
    with Daemon(home) as daemon:
        daemon.wait_for_log("rest_many answers at")
        found = Many(daemon, f"http://127.0.0.1:{port}", broken)
        wait_until(lambda: found.numbers() == (0, 0))
        yield found


def test_killed(many: Many) -> None:
    """A process that was killed is replaced, counted, and the other one answers meanwhile."""
    first, other = many.workers
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: many.numbers() == (1, 0) and len(many.workers) == 2)

    assert other in many.workers
    assert "A process of rest_many was ended by SIGKILL; it is started again in" in many.log()


def test_cannot_start_any_more(many: Many) -> None:
    """With a certificate that is broken by now the other process, and the daemon, stay."""
    many.broken.touch()
    first, other = many.workers
    parent = many.parent
    os.kill(first, signal.SIGKILL)
    many.daemon.wait_for_log("A process of rest_many cannot start: Its certificate is broken.")
    wait_until(lambda: many.numbers() == (2, 1))

    assert ([other], parent) == (many.workers, many.parent)
    many.daemon.signal(signal.SIGTERM)
    assert 0 == many.daemon.wait()


def test_nobody_left(many: Many) -> None:
    """When the last one cannot start either, the port is closed and the daemon tries again."""
    many.broken.touch()
    for worker in many.workers:
        os.kill(worker, signal.SIGKILL)
    many.daemon.wait_for_log("rest_many cannot start: Its certificate is broken.")
    wait_until(lambda: get(many.url) is None and not many.daemon.children())

    assert many.daemon.process.poll() is None


def test_hangs(many: Many) -> None:
    """A process that stands still is killed and replaced."""
    first, other = many.workers
    os.kill(first, signal.SIGSTOP)
    many.daemon.wait_for_log("A process of rest_many gave no sign of life for 3 s and was killed;")
    wait_until(lambda: len(many.workers) == 2 and first not in many.workers)

    assert other in many.workers


def test_all_stood_still(many: Many) -> None:
    """Who was stopped together with its parent is not taken for dead afterwards."""
    before = many.workers
    everybody = [many.daemon.process.pid, many.parent, *before]
    for process in everybody:
        os.kill(process, signal.SIGSTOP)
    time.sleep(4)
    for process in everybody:
        os.kill(process, signal.SIGCONT)
    time.sleep(1)

    assert before == many.workers
    assert "no sign of life" not in many.log()


@pytest.mark.parametrize(
    ("kind", "few"),
    [
        pytest.param(
            resource.RLIMIT_NPROC,
            1,
            marks=pytest.mark.skipif(os.geteuid() == 0, reason="root may have as many as it likes"),
        ),
        (resource.RLIMIT_NOFILE, 4),  # a child needs a pipe
    ],
    ids=["processes", "files"],
)
def test_fork_fails(many: Many, kind: int, few: int) -> None:
    """Where no process can be started the other one stays, and it is tried again."""
    first, other = many.workers
    before = resource.prlimit(many.parent, kind)
    resource.prlimit(many.parent, kind, (few, before[1]))
    os.kill(first, signal.SIGKILL)
    many.daemon.wait_for_log("A process of rest_many could not be forked")
    resource.prlimit(many.parent, kind, before)
    wait_until(lambda: len(many.workers) == 2)

    assert other in many.workers
