"""`listeners`: many listeners that get every event."""

import itertools
import resource
import time
from collections.abc import Iterator

from bench.contestants import Contestant
from bench.http11 import request
from bench.scenario import Figure, Scenario, Visit
from bench.worlds import SIMULATED

KIB = 1024
RATE = 100.0
QUIET_SECONDS = 3.0
PATIENCE_SECONDS = 5.0
"""What has not come so long after it was fired counts as lost."""
WARM_UP_SECONDS = 0.3
SPARE_FILES = 200
EVENT = "bench/event"
WARM_UP = "bench/warm-up"
REQUESTS = {"publish", "mk_token", "get_token", "ping", "wheel", "runner"}
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def listeners(visit: Visit) -> Iterator[Figure]:
    """Let listeners of each kind hear a hundred events a second; all sizes the first time only."""
    most = visit.contestant.most_listeners
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    sizes = visit.pick(full=(100, 1_000, 5_000), quick=(1_000,), tiny=(20,))
    if visit.round:
        sizes = visit.pick(full=(1_000,), quick=(1_000,), tiny=(20,))
    fitting = [count for count in sizes if count <= min(most or count, limit - SPARE_FILES)]
    kinds = [False, True] if visit.contestant.websocket else [False]
    counts = fitting or [most or limit - SPARE_FILES]
    for number, (websocket, count) in enumerate(itertools.product(kinds, counts)):
        if number and visit.size == "full":
            visit.restart()
        yield from measure(visit, count, websocket=websocket)


def measure(visit: Visit, count: int, *, websocket: bool) -> Iterator[Figure]:
    """Let *count* listeners hear a hundred events a second."""
    case = f"{count:,} {'WebSocket' if websocket else 'SSE'}"
    events = int(RATE * visit.pick(full=3, quick=1.5, tiny=0.2))
    path, headers = "/events", visit.headers
    if websocket:
        path, headers = f"{visit.contestant.websocket}/{visit.token}", UPGRADE
    watched = visit.daemon.watched
    before = watched.memory_bytes()
    with visit.generator(
        "listeners",
        request=request("GET", path, headers={"Accept": "*/*", **headers}),
        websocket=websocket,
        count=count,
        events=events,
        quiet_seconds=QUIET_SECONDS,
        most_seconds=events / RATE + PATIENCE_SECONDS,
    ) as generator:
        generator.answer()
        time.sleep(visit.pick(full=0.5, quick=0.3, tiny=0.1))
        grown = watched.memory_bytes() - before
        # Fired again and again: some servers have begun to listen only a while after they answer.
        visit.simulated.fire([WARM_UP], 3, 1 / WARM_UP_SECONDS, field="warm")
        generator.answer()
        asked, used = requests_so_far(visit), watched.cpu_seconds()
        visit.simulated.fire([EVENT], events, RATE)
        answer = generator.answer()
        used = watched.cpu_seconds() - used
        asked = requests_so_far(visit) - asked
    if not answer["received"]:
        raise RuntimeError("Nothing was delivered.")
    yield Figure(case, "delivered", answer["received"] / max(answer["seconds"], events / RATE))
    yield Figure(case, "lost", count * events - answer["received"])
    yield Figure(case, "median", answer["median_ms"])
    yield Figure(case, "p99", answer["p99_ms"])
    yield Figure(case, "CPU of each delivery", 1e6 * used / answer["received"])
    yield Figure(case, "memory of each", grown / count / KIB)
    yield Figure(case, "disconnected", answer["disconnected"])
    yield Figure(case, "requests to the master", asked)


def requests_so_far(visit: Visit) -> int:
    """Return how many requests the master has had, without ours."""
    counts = visit.simulated.bench("stats")
    return sum(int(counts.get(name, 0)) for name in REQUESTS)


def has_streams(contestant: Contestant, _world: str) -> bool:
    """Return whether *contestant* can have listeners."""
    return contestant.most_listeners != 0


LISTENERS = Scenario(
    name="listeners",
    title=f"listeners that get {RATE:.0f} events a second each",
    run=listeners,
    figures={
        "delivered": "/s",
        "lost": "",
        "median": "ms",
        "p99": "ms",
        "CPU of each delivery": "µs",
        "memory of each": "KiB",
        "disconnected": "",
        "requests to the master": "",
    },
    worlds=(SIMULATED,),
    contestants=has_streams,
    rounds=2,
    fresh=True,
)
