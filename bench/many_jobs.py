"""
A program: what lists of jobs cost with very many jobs in the cache of a real master.

    python -m bench.many_jobs COUNT

It prints how long the index took, the times of pages of `/v1/jobs` and of `jobs.list_jobs`, and
meanwhile: how long `/livez` took, which another process asks for all the time, and how late the
event loop was, as the server itself has noted it (`bench.lagging`). Run it on a quiet machine.
"""

import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import salt.payload
import salt.utils.jid

from bench import lagging
from bench.jobs import FIRST_JID, MINION
from saltapi.demo import PrivateMaster
from tests.apis import ApiServer
from tests.wire import send

COMMAND = [sys.executable, "-P", lagging.__file__]
FUNCTIONS = ("test.ping", "state.apply", "cmd.run", "saltutil.find_job")
MINIONS = 1_000
RETURNED = 10
"""One of so many jobs has been returned; files of returns are what takes longest to write."""
TIMES = 20
ASKING_SECONDS = 0.005
QUERIES = {
    "first page": "",
    "fun=nothing": "?fun=nothing",
    "fun=*.run": "?fun=*.run",
    "user=nobody*": "?user=nobody*",
    "tgt=*x*y*z": "?tgt=*x*y*z",
    "until=2026-01-01T00:00:00": "?until=2026-01-01T00:00:00",
    "minion=nothing": "?minion=nothing",
    "minion=sim-0-7": "?minion=sim-0-7",
    "state=incomplete": "?state=incomplete",
    "state=failed": "?state=failed",
}


def fill(master: PrivateMaster, count: int) -> None:
    """Write *count* jobs as `local_cache` does: their loads and minions, and some returns."""
    root = os.path.join(master.options["cachedir"], "jobs")
    hash_type = master.options.get("hash_type", "sha256")
    for top in range(256):
        os.makedirs(os.path.join(root, f"{top:02x}"), exist_ok=True)
    for number in range(count):
        jid, minion = str(FIRST_JID + number), f"{MINION}-{number % MINIONS}"
        load = {"tgt": minion, "tgt_type": "glob", "jid": jid, "arg": []}
        load |= {"fun": FUNCTIONS[number % len(FUNCTIONS)], "user": "saltdev", "cmd": "publish"}
        directory = salt.utils.jid.jid_dir(jid, root, hash_type)
        os.mkdir(directory)
        _write(f"{directory}/jid", jid.encode())
        _write(f"{directory}/.load.p", salt.payload.dumps(load))
        _write(f"{directory}/.minions.p", salt.payload.dumps([minion]))
        if number % RETURNED == 0:
            os.mkdir(f"{directory}/{minion}")
            found = {"return": True, "retcode": 0, "success": True}
            _write(f"{directory}/{minion}/return.p", salt.payload.dumps(found))


def _write(path: str, data: bytes) -> None:
    with open(path, "wb", buffering=0) as file:
        file.write(data)


def ask(port: int, pipe: Any) -> None:
    """Ask for `/livez` all the time, until *pipe* says that it is enough; send the times."""
    found: list[float] = []
    pipe.send(None)
    while not pipe.poll(ASKING_SECONDS):
        began = time.monotonic()
        send(port, "GET", "/livez")
        found.append(time.monotonic() - began)
    pipe.send(found)


@dataclass
class Meanwhile:
    """What others saw."""

    livez: list[float] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)


@contextmanager
def watching(api: ApiServer, lags: Path) -> Iterator[Meanwhile]:
    """Watch the server from another process, and what it notes itself."""
    found, context = Meanwhile(), multiprocessing.get_context("spawn")
    pipe, others = context.Pipe()
    process = context.Process(target=ask, args=(api.port, others))
    process.start()
    pipe.recv()
    began = time.monotonic()
    try:
        yield found
    finally:
        ended = time.monotonic()
        pipe.send(None)
        found.livez = pipe.recv()
        process.join()
        lines = [line.split() for line in lags.read_text().splitlines() if " " in line]
        noted = [(float(at), float(late)) for at, late in lines]
        found.lags = [late for at, late in noted if began <= at <= ended]


def show(what: str, times: list[float], meanwhile: Meanwhile, pages: int | str = "") -> None:
    """Print one line."""
    found = [statistics.median(times), max(times)]
    found += [max(each, default=0.0) for each in (meanwhile.livez, meanwhile.lags)]
    figures = " ".join(f"{1000 * each:9.1f}" for each in found)
    print(f"{what:28} {figures} {pages:>6}", flush=True)


def to_the_end(api: ApiServer, query: str, token: dict[str, str]) -> int:
    """Return how many pages a list has."""
    sign, pages, cursor = "&" if query else "?", 1, ""
    while True:
        path = f"/v1/jobs{query}{sign}limit=500{cursor}"
        found = api.send("GET", path, headers=token).value()["cursor"]
        if found is None:
            return pages
        pages, cursor = pages + 1, f"&cursor={quote(found)}"


def main(count: int) -> None:
    """Measure with *count* jobs."""
    with PrivateMaster(minions=0) as master:
        master.wait_ready(timeout=60)
        began = time.monotonic()
        fill(master, count)
        print(f"{count:,} jobs written in {time.monotonic() - began:.0f} s", flush=True)
        lags = master.directory / "lags"
        lags.touch()
        os.environ[lagging.FILE] = str(lags)
        with ApiServer(master, COMMAND, {"workers": 1}, module="rest_asgi") as api:
            measure(api, count, lags)


def measure(api: ApiServer, count: int, lags: Path) -> None:
    """Measure one server."""
    token = {"X-Auth-Token": api.login()}
    began = time.monotonic()
    with watching(api, lags) as meanwhile:
        while api.send("GET", "/v1/jobs?limit=1", headers=token).value()["partial"]:
            time.sleep(0.2)
    print(f"load {os.getloadavg()[0]:.2f}; all times in ms")
    print(f"{'':28} {'median':>9} {'longest':>9} {'/livez':>9} {'loop late':>9} {'pages':>6}")
    show("index made", [time.monotonic() - began], meanwhile)
    for name, query in QUERIES.items():
        with watching(api, lags) as meanwhile:
            times = [one(api, query, token) for _ in range(TIMES)]
        pages = to_the_end(api, query, token) if "nothing" in query or "nobody" in query else ""
        show(name, times, meanwhile, pages)
    with watching(api, lags) as meanwhile, ThreadPoolExecutor(10) as pool:
        times = list(pool.map(lambda _: one(api, "?fun=nothing", token), range(10 * TIMES)))
    show("fun=nothing, ten at once", times, meanwhile)
    lists(api, count, token, lags)


def one(api: ApiServer, query: str, token: dict[str, str]) -> float:
    """Return how long a page took."""
    time.sleep(0.02)
    began = time.monotonic()
    answer = api.send("GET", f"/v1/jobs{query}", headers=token)
    ended = time.monotonic()
    assert answer.status == 200, answer
    return ended - began


def lists(api: ApiServer, count: int, token: dict[str, str], lags: Path) -> None:
    """Measure the list of all jobs, as Salt has it."""
    body = {"client": "runner", "fun": "jobs.list_jobs", **api.master.credentials()}
    times = []
    with watching(api, lags) as meanwhile:
        for _ in range(3):
            began = time.monotonic()
            answer = api.send("POST", "/run", json_body=[body], headers=token, timeout=300)
            times.append(time.monotonic() - began)
    if answer.status != 200:
        print(f"runner jobs.list_jobs: {answer.status} {answer.body[:200]!r}")
        return
    assert count <= len(json.loads(answer.body)["return"][0])
    show("runner jobs.list_jobs", times, meanwhile)


if __name__ == "__main__":
    main(int(sys.argv[1]))
