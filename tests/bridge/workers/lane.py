"""What the tests of the function lane do with it: users, a runner module, calls."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from saltapi.bridge.workers.functions import FunctionLane, LaneFull
from saltapi.types import Credentials
from tests.waiting import async_eventually, scaled

# What a runner can do to its process.
RUNNER = """
import os, sys, time

def pid():
    return os.getpid()

def process():
    with open("/proc/self/cmdline") as line, open("/proc/self/environ") as environ:
        return line.read() + environ.read()

def running():
    return os.listdir(os.path.join(__opts__["cachedir"], "proc"))

def chatter():
    print("to standard output", flush=True)
    os.write(1, b"to its descriptor")
    return sys.stdin.read()

def fail():
    __context__["retcode"] = 1
    return "failed"

def meddle():
    __opts__["external_auth"]["sharedsecret"]["limited"].append("@runner")
    return os.getpid()

def wander():
    os.chdir("/")
    os.environ["LANE"] = "left behind"

def die():
    os.kill(os.getpid(), 9)

def leave():
    sys.exit(3)

def eat(mib):
    hoard = []
    for _ in range(mib):
        hoard.append(bytearray(b"x" * 1024 * 1024))
        time.sleep(0.005)
    return len(hoard)

def fork():
    if os.fork():
        os.wait()
        return "parent"
    return "child"

def unsendable():
    return object()

def slowly(seconds, path):
    time.sleep(seconds)
    with open(path, "w") as file:
        file.write("done")
"""

FULL = Credentials(eauth="sharedsecret", username="full", password="a secret")
LIMITED = Credentials(eauth="sharedsecret", username="limited", password="a secret")
SLEEP_SECONDS = scaled(30)


MakeLane = Callable[..., FunctionLane]


async def run(lane: FunctionLane, kind: Any, fun: str, *args: Any, **options: Any) -> Any:
    """Call a function as *full* (or `who`), as soon as there is a worker."""
    kwargs, who = options.pop("kwargs", {}), options.pop("who", FULL)
    deadline = time.monotonic() + scaled(30)
    while True:
        try:
            return await lane.call(kind, fun, list(args), kwargs, who, **options)
        except LaneFull:
            assert time.monotonic() < deadline, "no worker became ready"
            await asyncio.sleep(0.1)


async def result(lane: FunctionLane, fun: str, *args: Any, **options: Any) -> Any:
    return (await run(lane, "runner", fun, *args, **options))["return"]


async def hang(lane: FunctionLane) -> asyncio.Task[Any]:
    """Keep the only worker that is ready busy for longer than a test takes."""
    task = asyncio.create_task(run(lane, "runner", "test.sleep", SLEEP_SECONDS))
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    await async_eventually(lambda: lane._idle.empty())
    return task


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


PARENT = f"""
import asyncio, sys
from saltapi import config
from saltapi.bridge.workers.functions import FunctionLane, LaneFull
from saltapi.types import Credentials

async def main():
    opts = config.load(sys.argv[1])
    lane = FunctionLane(opts, config.EngineConfig(function_workers=1))
    who = Credentials(eauth="file", username=sys.argv[2], password=sys.stdin.readline().strip())
    while not lane._workers:
        try:
            await lane.call("runner", "test.arg", [], {{}}, who)
        except LaneFull:
            await asyncio.sleep(0.1)
    work = asyncio.create_task(lane.call("runner", "test.sleep", [{SLEEP_SECONDS}], {{}}, who))
    while not lane._idle.empty():
        await asyncio.sleep(0.01)
    (worker,) = lane._workers
    print(worker.pid, flush=True)
    await work

asyncio.run(main())
"""
