"""
A program: what HTTP libraries cost a client, beside the one that `saltapi_client` has of its own.

    python -m bench.http_clients [NAME …]

Those that are not installed are left out. Each is measured alone, in processes of their own: how
long its import takes, as a part of the start of a command; small requests one after the other on
one connection; and the lines of a long stream. The server is plain: it sends bytes that are ready.
What counts is the client's processor time, the best of some rounds, so that what else runs on the
machine counts for little.
"""

import asyncio
import importlib
import multiprocessing
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from multiprocessing.connection import Connection
from multiprocessing.util import Finalize
from typing import Any, NamedTuple

ROUNDS = 3
IMPORTS = 7
SECONDS = 1.0
LINES = 200_000
LINE = b'{"type": "return", "minion": "minion-1", "return": "%s"}\n' % (b"x" * 150)
BODY = b'{"return": [{"minion-1": true, "minion-2": true}]}'
LINES_IN_CHUNK = 20
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


class Contestant(NamedTuple):
    """
    A library.

    Attributes:
        module: What is imported.
        ask: Makes a function that sends one small request and reads its answer.
        lines: Yields the lines of a URL.
    """

    module: str
    ask: Callable[[str], Callable[[], Any]]
    lines: Callable[[str], Iterator[Any]]


def _ours(url: str) -> Any:
    from saltapi_client.connections import Connections

    return Connections(url)


def _ours_ask(url: str) -> Callable[[], Any]:
    connections = _ours(url)
    return lambda: connections.request("GET", "/").read()


def _ours_lines(url: str) -> Iterator[Any]:
    yield from _ours(url).request("GET", "/lines").lines()


def _httpx(name: str) -> Contestant:
    def ask(url: str) -> Callable[[], Any]:
        client = importlib.import_module(name).Client()
        return lambda: client.get(url).content

    def lines(url: str) -> Iterator[Any]:
        with importlib.import_module(name).stream("GET", f"{url}/lines") as answer:
            yield from answer.iter_lines()

    return Contestant(name, ask, lines)


def _requests_ask(url: str) -> Callable[[], Any]:
    session = importlib.import_module("requests").Session()
    return lambda: session.get(url).content


def _requests_lines(url: str) -> Iterator[Any]:
    # Its default of 512 bytes is the slowest; None hands on what has come.
    answer = importlib.import_module("requests").get(f"{url}/lines", stream=True)
    yield from answer.iter_lines(chunk_size=None)


def _urllib3_ask(url: str) -> Callable[[], Any]:
    pool = importlib.import_module("urllib3").PoolManager()
    return lambda: pool.request("GET", url).data


def _urllib3_lines(url: str) -> Iterator[Any]:
    pool = importlib.import_module("urllib3").PoolManager()
    rest = b""
    for data in pool.request("GET", f"{url}/lines", preload_content=False).stream(None):
        *whole, rest = (rest + data).split(b"\n")
        yield from whole


def _aiohttp_ask(url: str) -> Callable[[], Any]:
    aiohttp: Any = importlib.import_module("aiohttp")
    loop = asyncio.new_event_loop()

    async def made() -> Any:
        return aiohttp.ClientSession()

    session = loop.run_until_complete(made())
    Finalize(None, lambda: loop.run_until_complete(session.close()), exitpriority=1)

    async def ask() -> Any:
        async with session.get(url) as answer:
            return await answer.read()

    return lambda: loop.run_until_complete(ask())


def _aiohttp_lines(url: str) -> Iterator[Any]:
    aiohttp: Any = importlib.import_module("aiohttp")

    async def read() -> list[bytes]:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/lines") as answer:
            return [line async for line in answer.content]

    yield from asyncio.run(read())


CONTESTANTS = {
    "saltapi_client": Contestant("saltapi_client.connections", _ours_ask, _ours_lines),
    "urllib3": Contestant("urllib3", _urllib3_ask, _urllib3_lines),
    "requests": Contestant("requests", _requests_ask, _requests_lines),
    "httpx": _httpx("httpx"),
    "httpx2": _httpx("httpx2"),
    "aiohttp": Contestant("aiohttp", _aiohttp_ask, _aiohttp_lines),
}


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    chunk = LINE * LINES_IN_CHUNK
    framed = b"%x\r\n%s\r\n" % (len(chunk), chunk)
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            if head.startswith(b"GET /lines"):
                writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
                for _ in range(LINES // LINES_IN_CHUNK):
                    writer.write(framed)
                    await writer.drain()
                writer.write(b"0\r\n\r\n")
            else:
                writer.write(HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def _serve(listening: socket.socket) -> None:
    async def serve() -> None:
        server = await asyncio.start_server(_answer, sock=listening)
        await server.serve_forever()

    asyncio.run(serve())


def _measured(name: str, url: str, results: Connection) -> None:
    """Send how many requests and how many lines a second of processor is good for."""
    contestant = CONTESTANTS[name]
    ask = contestant.ask(url)
    ask()
    begun, count = time.process_time(), 0
    while time.process_time() - begun < SECONDS:
        ask()
        count += 1
    rate = count / (time.process_time() - begun)
    begun = time.process_time()
    lines = sum(1 for _ in contestant.lines(url))
    if lines != LINES:
        raise ValueError(f"{name}: {lines} lines, not {LINES}")
    results.send((rate, lines / (time.process_time() - begun)))


def import_ms(module: str | None) -> float:
    """Return the processor time of a Python that imports *module*, the least of some."""
    words = [sys.executable, "-c", f"import {module}" if module else ""]
    taken = []
    for _ in range(IMPORTS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(words, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return 1000 * min(taken)


def measure(name: str, url: str) -> tuple[float, float]:
    """Return requests and lines a second, the best of some rounds, each in a new process."""
    context = multiprocessing.get_context("spawn")
    rounds = []
    for _ in range(ROUNDS):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_measured, args=(name, url, theirs))
        process.start()
        theirs.close()
        rounds.append(ours.recv())
        process.join()
    rates, lines = zip(*rounds, strict=True)
    return max(rates), max(lines)


def main(names: list[str]) -> None:
    """Measure, and print a line for each."""
    wanted = [name for name in names or CONTESTANTS if find_spec(name)]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = multiprocessing.get_context("fork").Process(target=_serve, args=(listening,))
        server.start()
        bare = import_ms(None)
        print(f"Python alone: {bare:.0f} ms")
        print("library | import ms | requests/s | lines/s")
        for name in wanted:
            rate, lines = measure(name, url)
            spent = import_ms(CONTESTANTS[name].module) - bare
            print(f"{name} | {spent:.0f} | {rate:,.0f} | {lines:,.0f}", flush=True)
        server.terminate()
        server.join()


if __name__ == "__main__":
    main(sys.argv[1:])
