"""`growth`: what ten times the work costs."""

from collections.abc import Iterator

from bench.contestants import Contestant
from bench.scenario import Figure, Scenario, Visit, ours_if_simulated
from bench.scenarios import functions, listeners, wide
from bench.worlds import REAL, SIMULATED


def growth(visit: Visit) -> Iterator[Figure]:
    """Do each thing once with one and once with ten times as much."""
    if visit.world.kind == REAL:
        functions.warm_up(visit)
        yield from cached_jobs(visit)
        if visit.contestant.has_wheel:
            yield from keys(visit)
        return
    minions = visit.pick(full=1_000, quick=100, tiny=10)
    yield from factors(
        f"minions {minions:,} → {10 * minions:,}",
        [
            list(wide.measure(visit, count, f"w{count}", times=3))
            for count in (minions, 10 * minions)
        ],
        {"after the last return": "answer", "peak memory": "memory"},
    )
    count = visit.pick(full=100, quick=20, tiny=2)
    yield from factors(
        f"listeners {count:,} → {10 * count:,}",
        [list(listeners.measure(visit, number, websocket=False)) for number in (count, 10 * count)],
        {"CPU of each delivery": "CPU of each delivery", "p99": "latency, 99 %"},
    )


def cached_jobs(visit: Visit) -> Iterator[Figure]:
    """List the jobs of the job cache."""
    jobs = visit.pick(full=100, quick=50, tiny=5)
    found = []
    for count in (jobs, 10 * jobs):
        visit.real.set_jobs(count)
        found.append(list(functions.measure(visit, "", "runner", "jobs.list_jobs")))
    visit.real.set_jobs(jobs)
    yield from factors(f"jobs in the cache {jobs:,} → {10 * jobs:,}", found, {"median": "answer"})


def keys(visit: Visit) -> Iterator[Figure]:
    """List the keys of the minions."""
    keys = visit.pick(full=100, quick=50, tiny=5)
    found = []
    for count in (keys, 10 * keys):
        visit.real.set_keys(count)
        found.append(list(functions.measure(visit, "", "wheel", "key.list_all")))
    visit.real.set_keys(0)
    yield from factors(f"minion keys {keys:,} → {10 * keys:,}", found, {"median": "answer"})


def factors(case: str, found: list[list[Figure]], names: dict[str, str]) -> Iterator[Figure]:
    """Yield by what each figure of *names* has grown."""
    small, large = ({figure.what: figure.value for figure in figures} for figures in found)
    for what, name in names.items():
        if small[what] > 0:
            yield Figure(case, name, large[what] / small[what])


def can_grow(contestant: Contestant, world: str) -> bool:
    """Return whether *contestant* has something of everything."""
    return contestant.most_listeners != 0 and ours_if_simulated(contestant, world)


GROWTH = Scenario(
    name="growth",
    title="by what ten times the work multiplies time and memory",
    run=growth,
    figures={
        "answer": "times",
        "memory": "times",
        "CPU of each delivery": "times",
        "latency, 99 %": "times",
    },
    worlds=(REAL, SIMULATED),
    contestants=can_grow,
    rounds=1,
    quick=False,
    fresh=True,
)
