"""
A program: what it costs to keep something, and what an `Idempotency-Key` adds to a command.

    python -m bench.storing [nats://a,b,c]

Without servers it measures the file of one machine alone. Times are in milliseconds, over
`ROUNDS` rounds one after the other.
"""

import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable

from saltapi.engine.store.choice import store_for
from saltapi.engine.store.idempotency import Idempotency
from saltapi.engine.store.store import Store
from saltapi.lowstate import Command
from saltapi.types import Credentials, Opts, Session

ROUNDS = 500
COMMAND = Command("local", "test.ping", Credentials(token="0" * 64), tgt="*")
USER = Session("0" * 64, "bench", "pam", 0.0, 1e12)


async def measure(title: str, opts: Opts) -> None:
    """Print the median and the 99th percentile of each thing that a store does."""
    store = store_for(opts, "bench")
    await store.add("a", "first", b"", expire=time.time() + 60)
    for name, work in {**calls_of(store), "a key": keyed(store)}.items():
        times = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            await work()
            times.append((time.perf_counter() - began) * 1000)
        slow = statistics.quantiles(times, n=100)[98]
        print(f"{title:<10} {name:<8} p50 {statistics.median(times):6.2f}  p99 {slow:6.2f}")
    await store.close()


def calls_of(store: Store) -> dict[str, Callable[[], Awaitable[object]]]:
    """Return single calls, by name."""
    numbers = itertools.count()
    later = time.time() + 600
    return {
        "add": lambda: store.add("a", str(next(numbers)), b"x" * 300, expire=later),
        "put": lambda: store.put("a", "put", b"x" * 300, expire=later),
        "get": lambda: store.get("a", "put"),
    }


def keyed(store: Store) -> Callable[[], Awaitable[object]]:
    """Return all that a key adds to one command that runs for the first time."""
    numbers, jids = itertools.count(), itertools.count(20261127000000000000)

    async def listens() -> bool:
        return True

    keys = Idempotency(store, seconds=600, new_jid=lambda: str(next(jids)), master_listens=listens)

    async def once() -> None:
        request = keys.keyed(str(next(numbers)), "POST", "/", [])
        if await request.find(USER) is None:
            async with request.once(USER, [COMMAND]):
                await request.done([{"minion": True}])

    return once


def main(servers: list[str]) -> None:
    """Measure the file, and then *servers* if there are some."""
    for url in ["", *servers]:
        title = f"NATS x {url.count(',') + 1}" if url else "SQLite"
        with tempfile.TemporaryDirectory() as directory:
            asyncio.run(measure(title, {"cachedir": directory, "saltapi_store": url}))


if __name__ == "__main__":
    main(sys.argv[1:])
