"""1,000 WebSocket listeners, 100 events a second for ten seconds: complete and in order."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from saltapi import config
from saltapi.bridge.bus.bus import Bus
from saltapi.demo import PrivateMaster
from tests.apis import ApiServer
from tests.waiting import scaled

LISTENERS = 1_000
EVENTS_PER_SECOND = 100
SECONDS = 10
EVENTS = EVENTS_PER_SECOND * SECONDS
DEADLINE_SECONDS = 60
WARM_UP_SECONDS = 0.2


async def fire(
    master: PrivateMaster, is_ready: Callable[[], bool], failed: Callable[[], bool]
) -> None:
    """Fire warm-ups until the listeners are ready, then the events, at an even pace."""
    opts = await asyncio.to_thread(config.load, master.config_dir)
    bus = Bus(opts, on_event=lambda _: None, on_lost=lambda: None)
    await bus.start()
    try:
        number = 0
        while not is_ready() and not failed():
            await bus.fire(f"warm-up/{number}", {})
            number += 1
            await asyncio.sleep(WARM_UP_SECONDS)
        began = time.monotonic()
        for number in range(EVENTS):
            await asyncio.sleep(began + number / EVENTS_PER_SECOND - time.monotonic())
            await bus.fire(f"load/{number}", {"sent": time.time()})
    finally:
        await bus.close()


@pytest.mark.long
@pytest.mark.timeout(400)
def test_many_listeners(
    master: PrivateMaster, api: ApiServer, record_property: Callable[[str, object], None]
) -> None:
    """Every listener gets every event, in order."""
    arguments = [api.port, api.login(), LISTENERS, EVENTS, int(scaled(DEADLINE_SECONDS))]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.netapi.rest_tornado.load", *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    ) as generator:
        assert generator.stdout
        lines: list[str] = []
        reading = threading.Thread(target=lambda: lines.extend(generator.stdout or ()))
        reading.start()
        ready = threading.Event()

        def is_ready() -> bool:
            return bool(lines) or ready.is_set()

        asyncio.run(fire(master, is_ready, lambda: generator.poll() is not None))
        reading.join(scaled(DEADLINE_SECONDS))
        if generator.poll() is None:
            generator.kill()
    found = json.loads(lines[-1])
    record_property("load", found)
    print(found)  # noqa: T201 - shown with -s, and when the test fails
    assert (LISTENERS, LISTENERS * EVENTS) == (found["complete"], found["events"])
