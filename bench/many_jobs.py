"""
A program: what lists of jobs cost with very many jobs in the cache of a real master.

    python -m bench.many_jobs COUNT

It prints how long the index took, the times of pages of `/v1/jobs` and of `jobs.list_jobs`, and how
long `/livez` took meanwhile, which no page may hold up. Run it on a quiet machine.
"""

import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import salt.payload
import salt.utils.jid

from bench.jobs import FIRST_JID, MINION
from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer

FUNCTIONS = ("test.ping", "state.apply", "cmd.run", "saltutil.find_job")
TIMES = 20
QUERIES = {
    "first page": "",
    "fun=nothing": "?fun=nothing",
    "fun=*.run": "?fun=*.run",
    "user=nobody*": "?user=nobody*",
    "tgt=*x*y*z": "?tgt=*x*y*z",
    "until=2026-01-01T00:00:00": "?until=2026-01-01T00:00:00",
    "minion=nothing": "?minion=nothing",
    "state=incomplete": "?state=incomplete",
}


def fill(master: PrivateMaster, count: int) -> None:
    """Write the loads of *count* jobs as `local_cache` does, and nothing else of them."""
    root = os.path.join(master.options["cachedir"], "jobs")
    hash_type = master.options.get("hash_type", "sha256")
    for number in range(count):
        jid = str(FIRST_JID + number)
        load = {"tgt": f"{MINION}-{number % 1000}", "tgt_type": "glob", "jid": jid, "arg": []}
        load |= {"fun": FUNCTIONS[number % len(FUNCTIONS)], "user": "saltdev", "cmd": "publish"}
        directory = salt.utils.jid.jid_dir(jid, root, hash_type)
        os.makedirs(directory)
        Path(directory, "jid").write_text(jid)
        Path(directory, ".load.p").write_bytes(salt.payload.dumps(load))


@contextmanager
def asking(api: ApiServer) -> Iterator[list[float]]:
    """Ask for `/livez` all the time; yields the list of how many seconds each answer took."""
    found: list[float] = []
    end = threading.Event()

    def ask() -> None:
        while not end.wait(0.005):
            began = time.monotonic()
            api.send("GET", "/livez")
            found.append(time.monotonic() - began)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield found
    finally:
        end.set()
        thread.join()


def show(what: str, times: list[float], meanwhile: list[float]) -> None:
    """Print one line."""
    figures = (statistics.median(times), max(times), max(meanwhile, default=0.0))
    median, longest, held = (f"{1000 * each:9.1f}" for each in figures)
    print(f"{what:28} {median} {longest} {held}", flush=True)


def main(count: int) -> None:
    """Measure with *count* jobs."""
    with PrivateMaster(minions=0) as master:
        master.wait_ready(timeout=60)
        fill(master, count)
        with ApiServer(master, OURS, {"workers": 1}, module="rest_asgi") as api:
            token = {"X-Auth-Token": api.login()}
            began = time.monotonic()
            with asking(api) as meanwhile:
                while api.send("GET", "/v1/jobs?limit=1", headers=token).value()["partial"]:
                    time.sleep(0.2)
            load = os.getloadavg()[0]
            print(f"{count:,} jobs, load {load:.2f}; all times in ms")
            print(f"{'':28} {'median':>9} {'longest':>9} {'/livez':>9}")
            show("index made", [time.monotonic() - began], meanwhile)
            for name, query in QUERIES.items():
                times = []
                with asking(api) as meanwhile:
                    for _ in range(TIMES):
                        began = time.monotonic()
                        api.send("GET", f"/v1/jobs{query}", headers=token)
                        times.append(time.monotonic() - began)
                        time.sleep(0.02)
                show(name, times, meanwhile)
            times = []
            body = {"client": "runner", "fun": "jobs.list_jobs", **master.credentials()}
            with asking(api) as meanwhile:
                for _ in range(3):
                    began = time.monotonic()
                    answer = api.send("POST", "/run", json_body=[body], headers=token, timeout=300)
                    times.append(time.monotonic() - began)
            assert count <= len(json.loads(answer.body)["return"][0])
            show("runner jobs.list_jobs", times, meanwhile)


if __name__ == "__main__":
    main(int(sys.argv[1]))
