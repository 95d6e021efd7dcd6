"""A server at the limit of descriptors: it rests, says so once, and goes on."""

import contextlib
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.waiting import eventually, scaled

TORNADO = """
import asyncio, logging, socket, sys
from saltapi.config import EngineConfig
from saltapi.netapi._http.unfinished import Limits, Unfinished
from saltapi.netapi.rest_tornado.reception import BoundedServer

class Echo(BoundedServer):
    async def answer(self, stream):
        while True:
            await stream.write(await stream.read_bytes(100, partial=True))

    def handle_stream(self, stream, address):
        self.answers.add(asyncio.ensure_future(self.answer(stream)))

async def main():
    logging.basicConfig(stream=sys.stderr)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # of clients that go away
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    listening.setblocking(False)
    print(listening.getsockname()[1], flush=True)
    server = Echo(lambda request: None)
    server.answers = set()
    server.add_sockets([listening])
    await asyncio.Event().wait()

asyncio.run(main())
"""
LIMIT = 60
CLIENTS = 120
SERVER = """
import asyncio, logging, socket, sys
from saltapi.process.descriptors import Listening, listening_on, quiet_about_descriptors

async def echo(reader, writer):
    while data := await reader.read(100):
        writer.write(data)
    writer.close()

async def main():
    logging.basicConfig(stream=sys.stderr)
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    print(listening.getsockname()[1], flush=True)
    asyncio.get_running_loop().set_exception_handler(quiet_about_descriptors)
    server = await asyncio.start_server(echo, sock=listening_on(listening, Listening), backlog=256)
    await server.serve_forever()

asyncio.run(main())
"""


@pytest.fixture(params=[SERVER, TORNADO], ids=["asyncio", "tornado"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A server with few descriptors: its port and its process."""
    process = subprocess.Popen(
        [sys.executable, "-c", request.param],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT)),
    )
    assert process.stdout is not None
    yield int(process.stdout.readline()), process
    process.kill()
    process.communicate()


def echoes(client: socket.socket, seconds: float) -> bool:
    """Return whether *client* is answered within *seconds*."""
    client.settimeout(seconds)
    with contextlib.suppress(TimeoutError, ConnectionError):
        client.sendall(b"x")
        return client.recv(1) == b"x"
    return False


def test_limit(server: tuple[int, subprocess.Popen[str]]) -> None:
    """Who is connected is served, others wait until there is room; the log has one line."""
    port, process = server
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(CLIENTS)]
    assert echoes(clients[0], scaled(5))
    assert not echoes(clients[-1], 2.5)
    assert echoes(clients[0], scaled(5))

    started = time.process_time()
    for client in clients:
        client.close()
    with socket.create_connection(("127.0.0.1", port)) as late:
        assert echoes(late, scaled(5))
    assert time.process_time() - started < 5
    process.kill()
    _, logged = process.communicate()
    assert 1 == len(logged.splitlines()), logged
    assert f"at its limit of {LIMIT} open files" in logged


def test_reserve(server: tuple[int, subprocess.Popen[str]]) -> None:
    """A quarter of a small limit stays free for what requests open."""
    port, process = server
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(CLIENTS)]
    assert echoes(clients[0], scaled(5))

    def opened() -> int:
        return len(list(open_files(process.pid)))

    eventually(lambda: opened() == 3 * LIMIT // 4)
    for client in clients:
        client.close()


def open_files(pid: int) -> Iterator[str]:
    """Yield the descriptors of a process."""
    from pathlib import Path

    yield from (path.name for path in Path(f"/proc/{pid}/fd").iterdir())
