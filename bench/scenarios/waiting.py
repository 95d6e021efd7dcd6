"""`waiting`: two thousand commands at once that take a while."""

import time
from collections.abc import Iterator

from bench.contestants import Contestant
from bench.http11 import request
from bench.scenario import Figure, Scenario, Visit, has_http
from bench.worlds import SIMULATED

KIB = 1024
PUBLISH_SECONDS = 20.0
POLL_SECONDS = 0.1


def waiting(visit: Visit) -> Iterator[Figure]:
    """Let many clients wait for a slow job each, with the default timeout."""
    count = visit.pick(full=2_000, quick=500, tiny=20)
    seconds = visit.pick(full=10, quick=3, tiny=1)
    chunk = {
        "client": "local",
        "tgt": visit.world.target,
        "fun": "sim.slow",
        "arg": [str(seconds)],
    }
    case = f"{count:,} commands of {seconds} s"
    watched = visit.daemon.watched
    before = watched.memory_bytes()
    published = visit.simulated.bench("stats").get("publish", 0)
    with visit.generator(
        "waiting",
        request=visit.daemon.command(chunk, visit.token),
        expect=f'"{visit.world.target}": true',
        probe=request("GET", "/"),
        clients=count,
    ) as generator:
        generator.answer()
        generator.tell("go")
        deadline = time.monotonic() + PUBLISH_SECONDS
        while visit.simulated.bench("stats").get("publish", 0) < published + count:
            if time.monotonic() > deadline:
                raise RuntimeError(f"The commands were not published in {PUBLISH_SECONDS:.0f} s.")
            time.sleep(POLL_SECONDS)
        grown = watched.memory_bytes() - before
        answer = generator.answer()
    yield Figure(case, "answered", answer["answered"])
    yield Figure(case, "failed", answer["failed"])
    yield Figure(case, "memory of each", grown / count / KIB)
    yield Figure(case, "GET / median", answer["median_ms"])
    yield Figure(case, "GET / p99", answer["p99_ms"])


def can_wait(contestant: Contestant, _world: str) -> bool:
    """Return whether a command does not keep others from being begun."""
    return has_http(contestant) and not contestant.holds_a_thread


WAITING = Scenario(
    name="waiting",
    title="commands that wait at once, and a client that asks `GET /` every 20 ms meanwhile",
    run=waiting,
    figures={
        "answered": "",
        "failed": "",
        "memory of each": "KiB",
        "GET / median": "ms",
        "GET / p99": "ms",
    },
    worlds=(SIMULATED,),
    contestants=can_wait,
    rounds=1,
    fresh=True,
)
