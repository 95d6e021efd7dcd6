"""`start`: until the first answer, and what a daemon at rest takes."""

from collections.abc import Iterator

from bench.scenario import Figure, Scenario, Visit, has_http
from bench.worlds import REAL

MIB = 2**20


def start(visit: Visit) -> Iterator[Figure]:
    """Look at a daemon that has just been started and has answered one request."""
    daemon = visit.daemon
    server = daemon.watched.server(daemon.port)
    everything = daemon.watched.processes()
    yield Figure("one module", "to ready", daemon.ready_seconds)
    yield Figure("one module", "module process", server.memory_info().rss / MIB)
    yield Figure("one module", "all, own memory", daemon.watched.memory_bytes() / MIB)
    yield Figure("one module", "processes", len(everything))


START = Scenario(
    name="start",
    title="a daemon with one module: time to the first answer, resident memory at rest",
    run=start,
    figures={
        "to ready": "s",
        "module process": "MiB",
        "all, own memory": "MiB",
        "processes": "",
    },
    worlds=(REAL,),
    contestants=has_http,
)
