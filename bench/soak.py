"""
A soak: hours of mixed use, and whether memory grows without end.

    python -m bench.soak [--minutes 60] [--modules rest_asgi,rest_cherrypy] [--clients 4]

Each module has clients that log in, fail to, run commands on minions that answer and that do not,
list jobs and keys, repeat commands by their key, listen and go away without a word. Every so often
the resident memory of the process that serves is printed. In the end memory grew or did not: what
counts is the second half, since caches and histories fill up to their bounds in the first. Where
there were too few jobs for that, it is said.
"""

import argparse
import signal
import statistics
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace

import psutil

from bench.contestants import CONTESTANTS, Daemon
from bench.soaking import ACTIONS, Client
from bench.worlds import GROUP, RealWorld, real_world
from saltapi.bridge.bus import job_starts
from saltapi.bridge.jobs import jids
from saltapi.demo import PrivateMaster
from saltapi.engine.events import subjects
from saltapi.process.descriptors import allow_many_connections

MIB = 1024 * 1024
DEFAULT_MODULES = "rest_asgi,rest_cherrypy"
SAMPLES = 120
"""How often memory is looked at."""
GROWTH_LIMIT = 0.02
"""By how much of it memory may grow in the second half."""
TABLES_JOBS = max(job_starts.JOBS_LIMIT, subjects.JIDS_LIMIT, jids.CLAIMS_LIMIT)
"""Of so many of the latest jobs a process keeps the ids; before, these tables grow."""
JOB_ACTIONS = ("ping ", "echo ", "async ", "failing ", "repeated ", "runner ", "dead minion ")
"""What starts a job that all modules hear of."""
DEAD = f"{GROUP}-gone"
BOUNDS = {"api_event_history_bytes": 2 * MIB}
JOBS = {"rest_asgi": {"job_book_jobs": 500}}
"""What is full within a few minutes, not in an hour: what grows beyond its bound is looked for."""


@dataclass
class Soaked:
    """One module, and what its memory did."""

    daemon: Daemon
    process: psutil.Process
    counts: Counter[str] = field(default_factory=Counter)
    samples: list[float] = field(default_factory=list)
    """MiB, one after the other."""

    def sample(self) -> None:
        """Look at the memory."""
        self.samples.append(self.process.memory_info().rss / MIB)

    @property
    def growth(self) -> float:
        """By how much the memory grew in the second half: the last tenth to that in the middle."""
        tenth = max(1, len(self.samples) // 10)
        middle = len(self.samples) // 2
        before = statistics.mean(self.samples[middle : middle + tenth])
        return statistics.mean(self.samples[-tenth:]) / before - 1


def add_dead_minion(world: RealWorld) -> None:
    """Let there be an accepted minion that never comes."""
    keys = world.master.directory / "master" / "pki" / "minions"
    (keys / DEAD).write_text((keys / world.target).read_text())


def use(soaked: Soaked, master: PrivateMaster, seed: int, until: float) -> None:
    """Be one client until the time *until*, on the monotonic clock."""
    client = Client(soaked.daemon.port, master, seed, dead=DEAD)
    while time.monotonic() < until:
        action = client.random.choices(list(ACTIONS), [weight for _, weight in ACTIONS.values()])[0]
        try:
            outcome = ACTIONS[action][0](client)
        except OSError as error:
            outcome = f"{type(error).__name__} ({error})"
            client.forget()
        soaked.counts[f"{action} {outcome}"] += 1


def soak(world: RealWorld, names: list[str], minutes: float, clients: int) -> list[Soaked]:
    """Use the modules *names* for so long; print what their memory does."""
    all_of_them: list[Soaked] = []
    try:
        for contestant in CONTESTANTS:
            if contestant.name in names:
                section = {**contestant.section, **JOBS.get(contestant.name, {})}
                bounded = replace(contestant, section=section)
                daemon = Daemon(bounded, world.master).__enter__()
                found = Soaked(daemon, daemon.watched.server(daemon.port))
                all_of_them.append(found)
        began = time.monotonic()
        until = began + minutes * 60
        threads = [
            threading.Thread(target=use, args=(one, world.master, number, until), daemon=True)
            for one in all_of_them
            for number in range(clients)
        ]
        for thread in threads:
            thread.start()
        print("seconds  requests  " + "  ".join(f"{one.daemon.name:>14}" for one in all_of_them))
        for number in range(1, SAMPLES + 1):
            time.sleep(max(0.0, began + number * minutes * 60 / SAMPLES - time.monotonic()))
            for one in all_of_them:
                one.sample()
            done = sum(one.counts.total() for one in all_of_them)
            cells = "  ".join(f"{one.samples[-1]:>10.1f} MiB" for one in all_of_them)
            print(f"{time.monotonic() - began:7.0f}  {done:8d}  {cells}", flush=True)
    finally:
        for one in all_of_them:
            one.daemon.__exit__(None, None, None)
    return all_of_them


def main() -> int:
    """Soak, and tell what grew."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long; 60")
    parser.add_argument("--clients", type=int, default=4, help="clients of each module; 4")
    parser.add_argument("--modules", default=DEFAULT_MODULES, help=f"whom; {DEFAULT_MODULES}")
    arguments = parser.parse_args()
    allow_many_connections()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with real_world(size=5, options=BOUNDS) as world:
        add_dead_minion(world)
        names = arguments.modules.split(",")
        found = soak(world, names, arguments.minutes, arguments.clients)
    status = 0
    jobs = sum(
        count
        for one in found
        for what, count in one.counts.items()
        if what.startswith(JOB_ACTIONS) and what.endswith(" 200")  # not what was refused
    )
    if jobs < 2 * TABLES_JOBS:
        print(f"\n{jobs} jobs: tables of {TABLES_JOBS} grew in the second half; stay longer.")
    for one in found:
        said = ", ".join(f"{what}: {count}" for what, count in sorted(one.counts.items()))
        print(f"\n{one.daemon.name}: {one.counts.total()} requests ({said})")
        grew = one.growth > GROWTH_LIMIT
        verdict = f"more than {GROWTH_LIMIT:.0%}: it GROWS" if grew else "flat"
        print(f"{one.daemon.name}: {one.growth:+.1%} in the second half, {verdict}")
        status = status or int(grew)
    return status


if __name__ == "__main__":
    sys.exit(main())
