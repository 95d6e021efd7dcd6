"""`ingest`: a busy bus, of which few events interest anybody."""

from collections.abc import Iterator

from bench.contestants import Contestant
from bench.generators import Generator
from bench.http11 import request
from bench.scenario import Figure, Scenario, Visit
from bench.worlds import SIMULATED

LISTENERS = 10
WANTED_OF = 100
RATE = 100_000.0
"""More than anybody can take: it is queued in the master."""
QUIET_SECONDS = 2.0
MOST_SECONDS = 30.0
WANTED = "bench/wanted"
SSE_TYPE = "text/event-stream"
OTHERS = "salt/job/20260101000000000000/ret/sim-0"


def ingest(visit: Visit) -> Iterator[Figure]:
    """Fire events as fast as they can be taken; ten listeners want every hundredth."""
    events = visit.pick(full=100_000, quick=30_000, tiny=2_000)
    tags = [*[OTHERS] * (WANTED_OF - 1), WANTED]
    yield from (engine if visit.contestant.is_bare else daemon)(visit, events, tags)


def engine(visit: Visit, events: int, tags: list[str]) -> Iterator[Figure]:
    """Ask the engine how it went."""
    job = visit.job(
        "ingest",
        config_dir=str(visit.world.master.config_dir),
        listeners=LISTENERS,
        events=events,
        tag=WANTED,
    )
    with Generator(job, "bench.ingesting") as generator:
        generator.answer()
        visit.simulated.fire(tags, events, RATE)
        answer = generator.answer()
    yield Figure(CASE, "taken", answer["rate"])
    yield Figure(CASE, "CPU of each", 1e6 * answer["cpu_seconds_per_event"])
    yield Figure(CASE, "lost", LISTENERS * events // WANTED_OF - answer["delivered"])


def daemon(visit: Visit, events: int, tags: list[str]) -> Iterator[Figure]:
    """See when the listeners got the first and the last event: those between were taken too."""
    watched = visit.daemon.watched
    wanted = events // WANTED_OF
    path = visit.contestant.filtered
    with visit.generator(
        "listeners",
        request=request("GET", path + "bench/*", headers={**visit.headers, "Accept": SSE_TYPE}),
        websocket=False,
        count=LISTENERS,
        events=wanted,
        quiet_seconds=QUIET_SECONDS,
        most_seconds=MOST_SECONDS,
    ) as generator:
        generator.answer()
        visit.simulated.fire(["bench/warm-up"], 5, 10.0, field="warm")
        generator.answer()
        used = watched.cpu_seconds()
        visit.simulated.fire(tags, events, RATE)
        answer = generator.answer()
        used = watched.cpu_seconds() - used
    yield Figure(CASE, "taken", (events - WANTED_OF) / answer["seconds"])
    yield Figure(CASE, "CPU of each", 1e6 * used / events)
    yield Figure(CASE, "lost", LISTENERS * wanted - answer["received"])


def can_filter(contestant: Contestant, _world: str) -> bool:
    """Return whether listeners may ask for a part of the events."""
    return contestant.name == "engine" or bool(contestant.filtered)


CASE = f"{LISTENERS} listeners want 1 %"
INGEST = Scenario(
    name="ingest",
    title="events that one process can take from the bus",
    run=ingest,
    figures={"taken": "/s", "CPU of each": "µs", "lost": ""},
    worlds=(SIMULATED,),
    contestants=can_filter,
)
