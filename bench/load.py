"""
A program: the clients. It reads one line of JSON that says what to do, and prints lines of JSON.

    python -m bench.load

It runs in a process of its own, knows nothing of Salt, and does as little as it can for each
request and each event. What the lines hold is said at each of the functions in `KINDS`.
"""

import asyncio
import json
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

from bench.http11 import Connection
from bench.listening import listeners
from bench.samples import latency

AT_ONCE = 50
"""How many connections are opened at the same time."""
BUS_SECONDS = 10.0
"""The last returns may reach us so much later than the server."""
BUS_OPEN_SECONDS = 0.2
BUS_OPEN_TRIES = 50
BUS_PAUSE_SECONDS = 0.01
PROBE_SECONDS = 0.02


class Client:
    """Sends requests on a connection of its own, and opens another one when the server ends it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: Connection | None = None

    async def connect(self) -> None:
        """Open the connection, unless it is open."""
        if self._connection is None or not self._connection.usable:
            self.close()
            self._connection = await Connection.open(self._port)

    async def ask(self, data: bytes, expect: bytes) -> str:
        """Send a request; return "" if *expect* is in a 2xx answer, else what is wrong."""
        try:
            await self.connect()
            assert self._connection
            status, body = await self._connection.send(data)
        except OSError as error:
            return f"{type(error).__name__}: {error}"
        if status // 100 == 2 and expect in body:
            return ""
        return f"{status} {body[:200].decode(errors='replace')}"

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def say(**values: Any) -> None:
    """Print a line of JSON."""
    print(json.dumps(values), flush=True)


async def requests(job: dict[str, Any]) -> None:
    """
    Let *clients* send the same request again and again for *seconds*, after *warm_up_seconds*.

    Takes `port`, `request`, `expect` (text that a good answer has in it). Says how many good
    answers came after the warm-up (`count`, and `rate` a second up to the last of them), how many
    answers came in all (`total`), how many were wrong (`failed`, `error`), and the latency.
    """
    data, expect = job["request"].encode(), job["expect"].encode()
    begin = time.perf_counter() + job["warm_up_seconds"]
    end = begin + job["seconds"]
    seconds: list[float] = []
    errors: list[str] = []
    total = 0
    last = 0.0

    async def run() -> None:
        nonlocal total, last
        client = Client(job["port"])
        while (sent := time.perf_counter()) < end:
            error = await client.ask(data, expect)
            now = time.perf_counter()
            total += 1
            if error:
                errors.append(error)
                await asyncio.sleep(0.01)
            elif now >= begin:
                last = now
                seconds.append(now - sent)
        client.close()

    await asyncio.gather(*(run() for _ in range(job["clients"])))
    say(
        count=len(seconds),
        rate=len(seconds) / (max(last, end) - begin),
        total=total,
        failed=len(errors),
        error=errors[0] if errors else "",
        **latency(seconds),
    )


class Returns(asyncio.Protocol):
    """Notes when the last return of a job was on the event bus."""

    def __init__(self) -> None:
        self.last = 0.0
        self.count = 0
        self._tail = b""

    def data_received(self, data: bytes) -> None:
        found = (self._tail + data).count(b"/ret/")
        self._tail = data[-4:]
        if found:
            self.count += found
            self.last = time.perf_counter()

    async def reached(self, count: int, seconds: float = BUS_SECONDS) -> bool:
        """Return whether there are *count*; we may hear the last of them after the server."""
        deadline = time.perf_counter() + seconds
        while self.count < count:
            if time.perf_counter() > deadline:
                return False
            await asyncio.sleep(BUS_PAUSE_SECONDS)
        return True


async def wide(job: dict[str, Any]) -> None:
    """
    Send a command for many minions *times* times, one after the other.

    Takes `port`, `request`, `bus` (path of the event bus), `minions` (how many return),
    `expect`, and `warm_up`: a request for one minion, sent first. Says for each time how long it
    took from the last return on the bus to the end of the answer (`after_ms`) and as a whole
    (`whole_ms`).
    """
    loop = asyncio.get_running_loop()
    transport, returns = await loop.create_unix_connection(Returns, job["bus"])
    client = Client(job["port"])
    expect = job["expect"].encode()

    async def run(request: str) -> None:
        if error := await client.ask(request.encode(), expect):
            raise SystemExit(f"A wide command failed: {error}")

    # The bus takes notice of a new connection when it has the time.
    for _ in range(BUS_OPEN_TRIES):
        await run(job["warm_up"])
        if await returns.reached(1, BUS_OPEN_SECONDS):
            break
    after, whole = [], []
    for _ in range(job["times"]):
        returns.count = 0
        started = time.perf_counter()
        await run(job["request"])
        ended = time.perf_counter()
        if not await returns.reached(job["minions"]):
            raise SystemExit(f"Of {job['minions']} returns {returns.count} were on the bus.")
        after.append(1000 * max(0.0, ended - returns.last))
        whole.append(1000 * (ended - started))
    client.close()
    transport.close()
    say(after_ms=after, whole_ms=whole)


async def waiting(job: dict[str, Any]) -> None:
    """
    Let *clients* send one command each, and look meanwhile how quick something simple is.

    Takes `port`, `request`, `expect`, `probe` (another request). Says `connected`, and goes on
    when it is told to; then how many commands were answered (`answered`, `failed`, `error`), the
    time from the first to the last answer, and the latency of the probe while all were waiting.
    """
    clients = [Client(job["port"]) for _ in range(job["clients"])]
    for first in range(0, len(clients), AT_ONCE):
        await asyncio.gather(*(client.connect() for client in clients[first : first + AT_ONCE]))
    probe = Client(job["port"])
    await probe.connect()
    say(connected=len(clients))
    await asyncio.to_thread(sys.stdin.readline)
    data, expect = job["request"].encode(), job["expect"].encode()
    answered: list[float] = []
    errors: list[str] = []
    probed: list[float] = []

    async def run(client: Client) -> None:
        if error := await client.ask(data, expect):
            errors.append(error)
        else:
            answered.append(time.perf_counter())

    commands = asyncio.gather(*(run(client) for client in clients))
    while not commands.done():
        started = time.perf_counter()
        if error := await probe.ask(job["probe"].encode(), b""):
            errors.append(f"probe: {error}")
        probed.append(time.perf_counter() - started)
        await asyncio.sleep(PROBE_SECONDS)
    await commands
    for client in clients:
        client.close()
    probe.close()
    say(
        answered=len(answered),
        failed=len(errors),
        error=errors[0] if errors else "",
        spread_seconds=max(answered, default=0) - min(answered, default=0),
        **latency(probed),
    )


async def probing(job: dict[str, Any]) -> None:
    """
    Ask for something simple every `PROBE_SECONDS`, whether the answers come or not.

    Takes `port` and `probe` (a request). Says `ready`, goes on when it is told to, and ends when
    it is told so: how many were wrong (`failed`, `error`), and the latency.
    """
    data = job["probe"].encode()
    idle = [Client(job["port"])]
    await idle[0].connect()
    say(ready=True)
    await asyncio.to_thread(sys.stdin.readline)
    seconds: list[float] = []
    errors: list[str] = []
    running: set[asyncio.Task[None]] = set()

    async def ask() -> None:
        started = time.perf_counter()
        client = idle.pop() if idle else Client(job["port"])
        if error := await client.ask(data, b""):
            errors.append(error)
        seconds.append(time.perf_counter() - started)
        idle.append(client)

    told = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
    while not told.done():
        task = asyncio.create_task(ask())
        running.add(task)
        task.add_done_callback(running.discard)
        await asyncio.sleep(PROBE_SECONDS)
    await asyncio.gather(*running)
    for client in idle:
        client.close()
    say(failed=len(errors), error=errors[0] if errors else "", **latency(seconds))


async def run_listeners(job: dict[str, Any]) -> None:
    """Same as `bench.listening.listeners`."""
    await asyncio.to_thread(listeners, job, say)


KINDS: dict[str, Callable[[dict[str, Any]], Coroutine[Any, Any, None]]] = {
    "requests": requests,
    "wide": wide,
    "waiting": waiting,
    "probing": probing,
    "listeners": run_listeners,
}


def main(kinds: dict[str, Callable[[dict[str, Any]], Coroutine[Any, Any, None]]]) -> None:
    """Do the job on standard input; the kernel ends us when it takes longer than it may."""
    job = json.loads(sys.stdin.readline())
    signal.alarm(int(job["deadline_seconds"]))
    asyncio.run(kinds[job["kind"]](job))


if __name__ == "__main__":
    main(KINDS)
