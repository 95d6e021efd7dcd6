"""`burst`: very many events at once for many listeners, and requests meanwhile."""

from collections.abc import Iterator

from bench.contestants import Contestant
from bench.http11 import request
from bench.scenario import Figure, Scenario, Visit, is_ours
from bench.scenarios.ingest import RATE
from bench.scenarios.listeners import EVENT, WARM_UP, WARM_UP_SECONDS
from bench.worlds import SIMULATED

QUIET_SECONDS = 5.0
MOST_SECONDS = 90.0


def burst(visit: Visit) -> Iterator[Figure]:
    """Fire events as fast as they can be taken; somebody asks `GET /` until all have got them."""
    events = visit.pick(full=50_000, quick=10_000, tiny=500)
    count = visit.pick(full=200, quick=200, tiny=10)
    case = f"{events:,} events, {count} listeners"
    with (
        visit.generator(
            "listeners",
            request=request("GET", "/events", headers={**visit.headers, "Accept": "*/*"}),
            websocket=False,
            count=count,
            events=events,
            quiet_seconds=QUIET_SECONDS,
            most_seconds=MOST_SECONDS,
        ) as listening,
        visit.generator("probing", probe=request("GET", "/")) as probing,
    ):
        listening.answer()
        visit.simulated.fire([WARM_UP], 3, 1 / WARM_UP_SECONDS, field="warm")
        listening.answer()
        probing.answer()
        probing.tell("go")
        visit.simulated.fire([EVENT], events, RATE)
        heard = listening.answer()
        probing.tell("stop")
        asked = probing.answer()
    yield Figure(case, "delivered", heard["received"] / max(heard["seconds"], 0.001))
    yield Figure(case, "lost", count * events - heard["received"])
    yield Figure(case, "disconnected", heard["disconnected"])
    yield Figure(case, "failed", asked["failed"])
    yield Figure(case, "GET / median", asked["median_ms"])
    yield Figure(case, "GET / p99", asked["p99_ms"])
    yield Figure(case, "GET / worst", asked["worst_ms"])


def has_streams(contestant: Contestant, _world: str) -> bool:
    """Return whether *contestant* is one of ours that can have listeners."""
    return is_ours(contestant) and contestant.most_listeners != 0


BURST = Scenario(
    name="burst",
    title="very many events at once, and a client that asks `GET /` every 20 ms meanwhile",
    run=burst,
    figures={
        "delivered": "/s",
        "lost": "",
        "disconnected": "",
        "failed": "",
        "GET / median": "ms",
        "GET / p99": "ms",
        "GET / worst": "ms",
    },
    worlds=(SIMULATED,),
    contestants=has_streams,
    rounds=1,
    quick=False,
)
