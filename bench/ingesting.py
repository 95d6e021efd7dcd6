"""
A program: the engine's bus reader and hub, without HTTP, with ten listeners of a few tags.

    python -m bench.ingesting
"""

import asyncio
import time
from typing import Any

from bench.load import main, say
from saltapi import config
from saltapi.bridge.bus.bus import Bus
from saltapi.bridge.bus.events import tag_prefix
from saltapi.bridge.bus.hub import Hub, Listener
from saltapi.config import MIB

HISTORY_BYTES = 16 * MIB
QUEUE_BYTES = 8 * MIB
POLL_SECONDS = 0.005


async def ingest(job: dict[str, Any]) -> None:
    """
    Take *events* events from the bus, while *listeners* listen to those with *tag*.

    Takes `config_dir` too. Says `connected`; then how many events were taken a second (`rate`),
    how many the listeners got (`delivered`), and the CPU seconds that it took.
    """
    opts = config.load(job["config_dir"])
    hub = Hub(history_bytes=HISTORY_BYTES, queue_bytes=QUEUE_BYTES)
    bus = Bus(opts, on_event=hub.dispatch, on_lost=lambda: None)
    await bus.start()
    delivered = 0

    async def follow(listener: Listener) -> None:
        nonlocal delivered
        while True:
            for record in await listener.take():
                assert record.data  # type: ignore[union-attr]
                delivered += 1

    tasks = [
        asyncio.create_task(follow(hub.listen([tag_prefix(job["tag"])])))
        for _ in range(job["listeners"])
    ]
    say(connected=True)
    await reached(hub, 1)
    started, used, before = time.monotonic(), time.process_time(), hub.events_total
    await reached(hub, job["events"])
    took = time.monotonic() - started
    used = time.process_time() - used
    taken = hub.events_total - before
    await asyncio.sleep(POLL_SECONDS)
    say(rate=taken / took, delivered=delivered, cpu_seconds_per_event=used / taken)
    for task in tasks:
        task.cancel()
    await bus.close()


async def reached(hub: Hub, events: int) -> None:
    """Return when the hub has had so many events; it is not slowed by being asked now and then."""
    while hub.events_total < events:  # noqa: ASYNC110 - an awaited hub would be another hub
        await asyncio.sleep(POLL_SECONDS)


if __name__ == "__main__":
    main({"ingest": ingest})
