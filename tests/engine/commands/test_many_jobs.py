"""Many jobs at once over one client."""

import asyncio
import threading
from functools import partial
from typing import Any

import pytest

from saltapi import config
from saltapi.demo import PrivateMaster
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from tests.swarm import Swarm
from tests.waiting import async_eventually, scaled


@pytest.mark.long
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


async def test_turns(master: PrivateMaster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users of one client take turns at the master, whoever embeds it and whatever it logs."""
    opts = {**config.load(master.config_dir), "api_master_channels": 1}
    async with AsyncAPIClient(opts) as client:
        tokens = {
            name: (await client.sessions.login(master.credentials(name))).token
            for name in (master.username, "low")
        }
        exchange, free = client.channels._exchange, asyncio.Event()
        sent: list[str] = []

        async def held(load: dict[str, Any], deadline: float) -> Any:
            sent.append(load["kwargs"]["token"])
            await free.wait()
            return await exchange(load, deadline)

        monkeypatch.setattr(client.channels, "_exchange", held)
        many = [tokens[master.username]] * 20
        jobs = []
        for waiting, token in enumerate([*many, tokens["low"]]):
            job = client.local_async("minion-1", "test.ping", token=token)
            jobs.append(asyncio.create_task(job))
            await async_eventually(partial(lambda n: client.channels.waiting > n, waiting))
        free.set()
        await asyncio.gather(*jobs)

    assert 21 == len(sent)
    assert tokens["low"] in sent[:3]
