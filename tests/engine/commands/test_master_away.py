"""The client interfaces when the master, or a minion, is not there."""

import asyncio
from typing import Any

import pytest
from salt.version import __saltstack_version__ as salt_version

from saltapi import config
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.errors import MasterUnavailable
from tests.engine.commands.clients import (
    EVERY_CLIENT,
    ONE,
    SOON,
    TWO,
    all_answer,
    collect,
    run_to_end,
)
from tests.waiting import async_eventually, scaled


class TestMasterAway:
    @pytest.mark.long
    async def test_restart_under_jobs(self, private_master: Any) -> None:
        """Jobs that wait when the master is killed all end, and the next command works."""
        own = private_master(options={"timeout": 2, "gather_job_timeout": 2})
        async with AsyncAPIClient(config.load(own.config_dir)) as client:
            login = {"token": (await client.sessions.login(own.credentials())).token}
            waiting = [
                asyncio.create_task(client.local("*", "test.sleep", [3], **login))
                for _ in range(50)
            ]
            await async_eventually(lambda: client.hub.watched_jobs >= 50, 30)
            own.kill_master()
            await asyncio.to_thread(own.start_master)
            ended = await asyncio.wait_for(
                asyncio.gather(*waiting, return_exceptions=True), scaled(60)
            )

            assert [] == [e for e in ended if not isinstance(e, dict | MasterUnavailable)]
            await all_answer(client, login, {ONE, TWO})
            assert 0 == client.hub.watched_jobs

    @pytest.mark.long
    async def test_down(self, private_master: Any) -> None:
        """While the master is down every client says so within seconds."""
        own = private_master(minions=0)
        async with AsyncAPIClient(config.load(own.config_dir)) as client:
            login = {"token": (await client.sessions.login(own.credentials())).token}
            own.kill_master()
            for chunk in EVERY_CLIENT:
                if chunk["fun"] in client.config.fast_functions:
                    continue
                async with asyncio.timeout(scaled(10)):
                    with pytest.raises(MasterUnavailable):
                        await run_to_end(client, {**chunk, **login})

    @pytest.mark.long
    async def test_dead_minion(self, private_master: Any) -> None:
        """A minion that is gone is reported as the installed Salt reports it."""
        own = private_master()
        own.stop_minion(TWO)
        async with AsyncAPIClient(config.load(own.config_dir)) as client:
            result = await client.local("*", "test.ping", **SOON, **own.credentials())
            batch = await collect(
                await client.local_batch("*", "test.ping", **SOON, **own.credentials())
            )

        assert result[ONE] is True
        if salt_version.major >= 3008:
            assert result[TWO].startswith("Minion did not return. [")
        else:
            assert result[TWO] is False
        assert [{ONE: True}] == batch

    @pytest.mark.long
    async def test_tcp_transport(self, private_master: Any) -> None:
        """All of this works with the tcp transport too."""
        own = private_master(minions=1, transport="tcp")
        async with AsyncAPIClient(config.load(own.config_dir)) as client:
            login = {"token": (await client.sessions.login(own.credentials())).token}
            assert {ONE: True} == await client.local("*", "test.ping", **login)
            assert [ONE] == await client.runner("manage.up", **login)
            own.kill_master()
            await asyncio.to_thread(own.start_master)
            await all_answer(client, login, {ONE})
