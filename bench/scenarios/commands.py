"""`command`, `async`: a job for one minion, with and without waiting for it."""

from collections.abc import Iterator

from bench.scenario import (
    RATE_FIGURES,
    Figure,
    Scenario,
    Visit,
    clients_case,
    ours_if_simulated,
)
from bench.worlds import REAL, SIMULATED


def command(visit: Visit) -> Iterator[Figure]:
    """Run `test.ping` on one minion and wait for its return."""
    yield from jobs(visit, "local", "command", (1, 10, 50))


def asynchronous(visit: Visit) -> Iterator[Figure]:
    """Publish `test.ping` for one minion."""
    yield from jobs(visit, "local_async", "publish", (1, 50))


def jobs(visit: Visit, client: str, action: str, clients: tuple[int, ...]) -> Iterator[Figure]:
    """Publish again and again, for each number of clients."""
    target = visit.world.target
    expect = f'"{target}": true' if client == "local" else '"jid"'
    chunk = {"client": client, "tgt": target, "fun": "test.ping"}
    for count in visit.pick(full=clients, quick=clients, tiny=clients[-1:]):
        more = {
            "clients": count,
            "seconds": visit.pick(full=1.2, quick=0.5, tiny=0.2),
            "warm_up_seconds": visit.pick(full=0.3, quick=0.2, tiny=0.0),
        }
        if visit.contestant.is_bare:
            yield from visit.bare(clients_case(count), action, **more)
        else:
            request = visit.daemon.command(chunk, visit.token)
            yield from visit.load(clients_case(count), request, expect=expect, **more)


COMMAND = Scenario(
    name="command",
    title="`local` test.ping to one minion",
    run=command,
    figures=RATE_FIGURES,
    worlds=(REAL, SIMULATED),
    contestants=ours_if_simulated,
)
ASYNC = Scenario(
    name="async",
    title="`local_async` test.ping to one minion",
    run=asynchronous,
    figures=RATE_FIGURES,
    worlds=(REAL, SIMULATED),
    contestants=ours_if_simulated,
)
