"""
A soak: an hour of mixed use, and whether memory grows without end.

    python -m bench.soak [--minutes 60] [--rate 5] [--modules rest_asgi,rest_cherrypy] [--clients 4]

Each module has clients that log in, fail to, run commands on minions that answer and that do not,
list jobs and keys, repeat commands by their key, listen and go away without a word. Every so often
the resident memory of the process that serves is printed. In the end memory grew or did not: what
counts is the second half. Histories and caches are small here, and the tables of the latest jobs
are filled before, so that what still grows then has no bound.
"""

import argparse
import signal
import statistics
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import psutil

from bench.contestants import CONTESTANTS, Daemon
from bench.filling import TABLES_JOBS, announce_jobs
from bench.soaking import ACTIONS, ANSWER_SECONDS, Client
from bench.worlds import GROUP, RealWorld, real_world
from saltapi.demo import PrivateMaster
from saltapi.process.descriptors import allow_many_connections
from tests.waiting import scaled

MIB = 1024 * 1024
DEFAULT_MODULES = "rest_asgi,rest_cherrypy"
REQUESTS_PER_SECOND = 5.0
SAMPLES = 120
"""How often memory is looked at."""
GROWTH_LIMIT = 0.02
"""By how much of it memory may grow in the second half."""
DEAD = f"{GROUP}-gone"
BOUNDS: dict[str, Any] = {
    "api_event_history_bytes": 2 * MIB,
    "api_login_failures": 1000,  # those of this soak are wanted, and keep nobody else out
    "keep_jobs_seconds": 300,
    "loop_interval": 30,
}
"""What is full within minutes, not in an hour: what grows beyond its bound is looked for."""
JOBS = {"rest_asgi": {"job_book_jobs": 500}}
"""The same of a module."""


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


def use(
    soaked: Soaked, master: PrivateMaster, seed: int, interval_seconds: float, until: float
) -> None:
    """Be one client until the time *until*, on the monotonic clock, and ask every so often."""
    client = Client(soaked.daemon.port, master, seed, dead=DEAD)
    turn = time.monotonic() + client.random.random() * interval_seconds
    while turn < until:
        time.sleep(max(0.0, turn - time.monotonic()))
        turn = max(turn + interval_seconds, time.monotonic() - interval_seconds)
        action = client.random.choices(list(ACTIONS), [weight for _, weight in ACTIONS.values()])[0]
        try:
            outcome = ACTIONS[action][0](client)
        except OSError as error:
            outcome = f"{type(error).__name__} ({error})"
            client.forget()
        soaked.counts[f"{action} {outcome}"] += 1


def soak(
    world: RealWorld, names: list[str], minutes: float, clients: int, rate: float
) -> list[Soaked]:
    """
    Use modules, and print what their memory does.

    Args:
        world: What they run against.
        names: Which ones.
        minutes: How long.
        clients: How many each of them has.
        rate: How many requests a second each of them gets; 0 for as many as it answers.
    """
    all_of_them: list[Soaked] = []
    try:
        for contestant in CONTESTANTS:
            if contestant.name in names:
                section = {**contestant.section, **JOBS.get(contestant.name, {})}
                bounded = replace(contestant, section=section)
                daemon = Daemon(bounded, world.master).__enter__()
                daemon.log_in(world.master.credentials())  # some listen from their first use on
                found = Soaked(daemon, daemon.watched.server(daemon.port))
                all_of_them.append(found)
        print(f"{TABLES_JOBS} jobs are announced, to fill the tables of jobs.", flush=True)
        announce_jobs(world)
        began = time.monotonic()
        interval = clients / rate if rate else 0.0
        until = began + minutes * 60
        threads = [
            threading.Thread(
                target=use, args=(one, world.master, number, interval, until), daemon=True
            )
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
        for thread in threads:  # a daemon that ends under a client closes its connection
            thread.join(scaled(ANSWER_SECONDS))
    finally:
        for one in all_of_them:
            one.daemon.__exit__(None, None, None)
    return all_of_them


def main() -> int:
    """Soak, and tell what grew."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long; 60")
    parser.add_argument("--clients", type=int, default=4, help="clients of each module; 4")
    parser.add_argument(
        "--rate",
        type=float,
        default=REQUESTS_PER_SECOND,
        help=f"requests a second to each module; {REQUESTS_PER_SECOND:g}, 0 for all it can",
    )
    parser.add_argument("--modules", default=DEFAULT_MODULES, help=f"whom; {DEFAULT_MODULES}")
    arguments = parser.parse_args()
    allow_many_connections()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with real_world(size=5, options=BOUNDS) as world:
        add_dead_minion(world)
        names = arguments.modules.split(",")
        found = soak(world, names, arguments.minutes, arguments.clients, arguments.rate)
    status = 0
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
