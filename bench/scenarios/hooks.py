"""`hook`: web hooks that become events."""

from collections.abc import Iterator

from bench.contestants import Contestant
from bench.http11 import request
from bench.scenario import RATE_FIGURES, Figure, Scenario, Visit, ours_if_simulated
from bench.scenarios.sessions import can_log_in
from bench.worlds import REAL, SIMULATED

CLIENTS = 10


def hook(visit: Visit) -> Iterator[Figure]:
    """Send a small web hook again and again."""
    more = {
        "clients": CLIENTS,
        "seconds": visit.pick(full=1.0, quick=0.4, tiny=0.2),
        "warm_up_seconds": visit.pick(full=0.2, quick=0.1, tiny=0.0),
    }
    case = f"{CLIENTS} clients"
    if visit.contestant.is_bare:
        yield from visit.bare(case, "fire", **more)
    else:
        hook = request("POST", "/hook/bench", {"a": 1}, visit.headers)
        yield from visit.load(case, hook, expect='"success": true', **more)


def can_fire(contestant: Contestant, world: str) -> bool:
    """Return whether *contestant* takes web hooks, or fires events itself."""
    return can_log_in(contestant, world) and ours_if_simulated(contestant, world)


HOOK = Scenario(
    name="hook",
    title="web hooks into the bus",
    run=hook,
    figures=RATE_FIGURES,
    worlds=(REAL, SIMULATED),
    contestants=can_fire,
)
