"""
A program: how many events a second the event log takes, and what it costs those who listen.

    python -m bench.event_log RATE nats://a,b,c

It fires returns of minions at RATE a second into a hub with a listener, for `SECONDS`, first
without a log and then with one, and prints how long the listener waited for each event (p50, p99
in milliseconds), the processor that it took, and how far behind the log was. A second hub stands
for a door of another master, which gets the events from the log.
"""

import asyncio
import datetime
import itertools
import statistics
import sys
import time
import uuid
from typing import Any

import salt.payload

from saltapi.bridge.bus.events import Event
from saltapi.bridge.bus.hub import Hub, Listener
from saltapi.config import MIB
from saltapi.config.event_log import EventLogSection
from saltapi.config.shared_store import StoreSection
from saltapi.engine.events.log.log import EventLog
from saltapi.engine.events.subjects import Subjects

SECONDS = 20.0
STEP_SECONDS = 0.01
JID = "20261128180812345678"
FIRED_AT = "fired_at"
RETURN = {"pid": 1, "retcode": 0, "comment": "The file is in the correct state", "changes": {}}


def frame(number: int) -> bytes:
    """Return the return of a minion, as it comes from the bus now."""
    data: dict[str, Any] = {"id": f"minion-{number}", "jid": JID, "fun": "state.apply"}
    data |= {"return": RETURN, FIRED_AT: time.perf_counter(), "cmd": "_return", "n": number}
    data["_stamp"] = datetime.datetime.now(datetime.UTC).isoformat()
    packed: bytes = salt.payload.dumps(data, use_bin_type=True)
    return f"salt/job/{JID}/ret/minion-{number}\n\n".encode() + packed


class Side:
    """One process at a master, with a listener."""

    def __init__(self, name: str, store: StoreSection | None) -> None:
        self.hub = Hub(history_bytes=16 * MIB, queue_bytes=256 * MIB, master=name)
        self.hub.connected()
        self.log: EventLog | None = None
        if store is not None:
            subjects = Subjects(self.hub.starts)
            self.hub.observe(subjects.note)
            self.log = EventLog(self.hub, subjects, store, EventLogSection(master=name))
            self.log.start()
        self.waits_ms: list[float] = []
        self._following = asyncio.create_task(self._follow(self.hub.listen(all_masters=True)))

    async def _follow(self, listener: Listener) -> None:
        while True:
            for record in await listener.take():
                if not isinstance(record, Event):
                    continue
                waited = time.perf_counter() - record.data[FIRED_AT]
                self.waits_ms.append(waited * 1000)

    def waited(self) -> str:
        """Return the median and the 99th percentile."""
        cuts = statistics.quantiles(self.waits_ms, n=100)
        return f"{len(self.waits_ms)} events, p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms"

    async def close(self) -> None:
        """End it."""
        self._following.cancel()
        if self.log is not None:
            await self.log.close()


async def measure(rate: int, store: StoreSection | None) -> None:
    """Fire events, and print what came of them."""
    side, other = Side("a", store), Side("b", store)
    if side.log is not None:
        while not side.log.writer.writes:  # noqa: ASYNC110 - nobody says so
            await asyncio.sleep(STEP_SECONDS)
    numbers, used, began = itertools.count(), time.process_time(), time.perf_counter()
    worst_lag, fired = 0.0, 0
    while (passed := time.perf_counter() - began) < SECONDS:
        for number in itertools.islice(numbers, max(0, int(passed * rate) - fired)):
            side.hub.dispatch(frame(number))
            fired += 1
        if side.log is not None:
            worst_lag = max(worst_lag, side.log.lag_seconds)
        await asyncio.sleep(STEP_SECONDS)
    used = time.process_time() - used
    title = "with a log   " if side.log is not None else "without a log"
    print(f"{title} {fired / SECONDS:.0f} events/s, {used / SECONDS:.0%} of a core")
    print(f"  its listener:   {side.waited()}")
    if side.log is not None:
        stored = -1
        while stored < 0 or side.log.lag_seconds or len(other.waits_ms) < stored:
            await asyncio.sleep(STEP_SECONDS)
            stored = side.log.stored_total
        later = time.perf_counter() - began - SECONDS
        print(f"  another door:   {other.waited()}")
        print(f"  {stored} of {fired} events are stored, {side.log.gaps_total} gaps")
        print(f"  lag {worst_lag:.2f} s at worst; all was there {later:.2f} s after the end")
    await side.close()
    await other.close()


async def run(rate: int, url: str) -> None:
    """Measure without a log, and with one at the servers *url*."""
    await measure(rate, None)
    await measure(rate, StoreSection(url=url, bucket=f"bench-{uuid.uuid4().hex[:8]}"))


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]), sys.argv[2]))
