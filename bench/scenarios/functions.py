"""`functions`: runner and wheel functions, with a hundred jobs in the cache."""

from collections.abc import Iterator

from bench.generators import once
from bench.scenario import RATE_FIGURES, Figure, Scenario, Visit, everybody
from bench.worlds import REAL

JOBS = 100
CLIENTS = 4
WARM_UP_SECONDS = 2.0
"""Until all function workers have started, one after the other."""
FUNCTIONS = [("runner", "jobs.list_jobs"), ("runner", "test.arg"), ("wheel", "key.list_all")]


def functions(visit: Visit) -> Iterator[Figure]:
    """Run each of the functions again and again."""
    if not visit.contestant.is_bare:
        warm_up(visit)
    visit.real.set_jobs(visit.pick(full=JOBS, quick=JOBS, tiny=10))
    for client, fun in FUNCTIONS:
        if client == "wheel" and not visit.contestant.has_wheel:
            continue
        yield from measure(visit, f"{client} {fun}", client, fun)


def warm_up(visit: Visit) -> None:
    """Let everything be there that the first calls start."""
    request = visit.daemon.command({"client": "runner", "fun": "test.arg"}, visit.token)
    seconds = visit.pick(full=WARM_UP_SECONDS, quick=WARM_UP_SECONDS, tiny=0.1)
    more = {"clients": CLIENTS, "seconds": seconds, "warm_up_seconds": 0.0}
    once(visit.job("requests", request=request, expect="", **more))


def measure(visit: Visit, case: str, client: str, fun: str) -> Iterator[Figure]:
    """Run one function again and again."""
    more = {
        "clients": CLIENTS,
        "seconds": visit.pick(full=1.0, quick=0.5, tiny=0.2),
        "warm_up_seconds": visit.pick(full=0.5, quick=0.5, tiny=0.0),
    }
    if visit.contestant.is_bare:
        yield from visit.bare(case, client, fun=fun, **more)
    else:
        request = visit.daemon.command({"client": client, "fun": fun}, visit.token)
        yield from visit.load(case, request, expect='{"return": [{', **more)


FUNCTIONS_SCENARIO = Scenario(
    name="functions",
    title=f"runner and wheel functions, {CLIENTS} clients, {JOBS} jobs in the cache",
    run=functions,
    figures=RATE_FIGURES,
    worlds=(REAL,),
    contestants=everybody,
)
