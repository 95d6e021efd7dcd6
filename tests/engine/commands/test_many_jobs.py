"""Many jobs at once over one client."""

import asyncio
import threading

from saltapi import config
from saltapi.demo import PrivateMaster
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from tests.swarm import Swarm
from tests.waiting import async_eventually, scaled


async def test_many_waiting_jobs(master: PrivateMaster, swarm: Swarm) -> None:
    """500 synchronous jobs at once all come back right, without a thread for each."""
    async with AsyncAPIClient(config.load(master.config_dir)) as client:
        login = {"token": (await client.sessions.login(master.credentials())).token}
        before = threading.active_count()
        names = sorted(swarm.ids)
        jobs = [
            asyncio.create_task(
                client.local(names[n % len(names)], "test.sleep", [5], timeout=scaled(60), **login)
            )
            for n in range(500)
        ]
        await async_eventually(lambda: client.hub.watched_jobs >= 500, 60)
        threads = threading.active_count() - before
        results = await asyncio.wait_for(asyncio.gather(*jobs), scaled(100))

    assert [{names[n % len(names)]: True} for n in range(500)] == results
    assert threads < 100
