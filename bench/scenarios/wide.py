"""`wide`: one command for a thousand minions."""

import statistics
from collections.abc import Iterator

from bench.contestants import Contestant
from bench.processes import begin_peak, peak_bytes
from bench.scenario import Figure, Scenario, Visit, has_http, ours_if_simulated
from bench.worlds import GROUP, SIMULATED, WIDE_SIZE
from bench.worlds import WIDE as WIDE_WORLD

MIB = 2**20
GATHER_SECONDS = 100
"""The command's own timeout: the real master takes a while for a thousand returns."""


def wide(visit: Visit) -> Iterator[Figure]:
    """Run `test.ping` on many minions."""
    if visit.world.kind == WIDE_WORLD:
        yield from measure(visit, WIDE_SIZE, GROUP, times=1)
        return
    sizes = visit.pick(full=(100, 1_000, 10_000), quick=(100, 1_000), tiny=(10,))
    for count in sizes:
        yield from measure(visit, count, f"w{count}", times=3)


def measure(visit: Visit, count: int, group: str, *, times: int) -> Iterator[Figure]:
    """Run `test.ping` on the *count* minions of *group*, *times* times."""
    case = f"{count:,} minions"
    server = visit.daemon.watched.server(visit.daemon.port)
    ping = {"client": "local", "fun": "test.ping", "timeout": GATHER_SECONDS}
    begin_peak(server)
    before = peak_bytes(server)
    with visit.generator(
        "wide",
        request=visit.daemon.command({**ping, "tgt": f"{group}-*"}, visit.token),
        warm_up=visit.daemon.command({**ping, "tgt": f"{group}-0"}, visit.token),
        expect='": true',
        bus=visit.world.bus,
        minions=count,
        times=times,
    ) as generator:
        answer = generator.answer()
    yield Figure(case, "after the last return", statistics.median(answer["after_ms"]))
    yield Figure(case, "whole", statistics.median(answer["whole_ms"]))
    yield Figure(case, "peak memory", max(0, peak_bytes(server) - before) / MIB)


def can_collect(contestant: Contestant, world: str) -> bool:
    """Return whether *contestant* can wait for the returns of many minions."""
    return has_http(contestant) and ours_if_simulated(contestant, world)


WIDE = Scenario(
    name="wide",
    title="`local` test.ping to many minions; peak memory is what the process grew by",
    run=wide,
    figures={"after the last return": "ms", "whole": "ms", "peak memory": "MiB"},
    worlds=(WIDE_WORLD, SIMULATED),
    contestants=can_collect,
    rounds=2,
)
