"""The client interfaces against a real master: who may run what, and whose token is good."""

import asyncio
from typing import Any

import pytest

from saltapi.bridge.bus.events import Event, tag_prefix
from saltapi.demo import PrivateMaster
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.errors import AuthenticationFailed, AuthorizationFailed
from tests.engine.commands.clients import EVERY_CLIENT, ONE, TWO, job_cache, run_to_end
from tests.waiting import scaled


class TestAuthorization:
    @pytest.mark.parametrize("chunk", EVERY_CLIENT, ids=lambda c: f"{c['client']}-{c['fun']}")
    async def test_not_permitted(
        self, client: AsyncAPIClient, master: PrivateMaster, chunk: dict[str, Any]
    ) -> None:
        """Who may only run test.ping can run nothing else by any client (CVE-2017-5192)."""
        async with client.hub.listen([tag_prefix("salt/job/")]) as events:
            with pytest.raises(AuthorizationFailed):
                await run_to_end(client, {**chunk, **master.credentials("low")})
            published = [
                e.data.get("fun")
                for e in events.drain()
                if isinstance(e, Event) and e.tag.endswith("/new")
            ]

        assert "cmd.run" not in published

    @pytest.mark.parametrize("chunk", EVERY_CLIENT, ids=lambda c: f"{c['client']}-{c['fun']}")
    @pytest.mark.parametrize(
        "wrong",
        [
            {"token": "0" * 64},
            {"token": "../../../etc/passwd"},
            {"eauth": "nothing", "username": "saltdev", "password": "x"},
        ],
        ids=["token", "path", "eauth"],
    )
    async def test_not_authenticated(
        self, client: AsyncAPIClient, chunk: dict[str, Any], wrong: dict[str, str]
    ) -> None:
        """Wrong credentials are an authentication error in every client (CVE-2021-25281)."""
        with pytest.raises(AuthenticationFailed):
            await run_to_end(client, {**chunk, **wrong})

    async def test_permitted(self, client: AsyncAPIClient, master: PrivateMaster) -> None:
        """What somebody may run, they can."""
        result = await client.local("*", "test.ping", **master.credentials("low"))

        assert {ONE: True, TWO: True} == result


class TestSessions:
    async def test_revoked(self, client: AsyncAPIClient, token: dict[str, str]) -> None:
        """A revoked token is refused at once."""
        await client.sessions.revoke(token["token"])

        with pytest.raises(AuthenticationFailed):
            await client.local("*", "test.ping", **token)

    async def test_expired(self, client: AsyncAPIClient, master: PrivateMaster) -> None:
        """A token is refused from the second on in which it expires (CVE-2021-3144)."""
        session = await client.sessions.login({**master.credentials(), "token_expire": 1})
        reason = await asyncio.wait_for(client.sessions.ended(session), scaled(10))

        assert "expired" in reason
        for _ in range(2):
            with pytest.raises(AuthenticationFailed):
                await client.local("*", "test.ping", token=session.token)

    async def test_password_stays_here(self, client: AsyncAPIClient, master: PrivateMaster) -> None:
        """A password reaches neither the event bus nor the job cache, allowed or refused."""
        seen: list[bytes] = []
        low = master.credentials("low")
        async with client.hub.listen() as events:
            await client.local("*", "test.ping", **low)
            with pytest.raises(AuthorizationFailed):
                await client.local("*", "cmd.run", ["id"], **low)
            seen = [e.payload for e in events.drain() if isinstance(e, Event)]
        stored = await asyncio.to_thread(job_cache, client)

        assert seen
        assert stored
        secret = low["password"].encode()
        assert [] == [data for data in (*seen, *stored) if secret in data]

    async def test_listeners_see_no_token(
        self, client: AsyncAPIClient, master: PrivateMaster
    ) -> None:
        """The event that the master fires for a refused command shows listeners no token."""
        session = await client.sessions.login(master.credentials("low"))
        async with client.hub.listen([tag_prefix("salt/job/")]) as events:
            with pytest.raises(AuthorizationFailed):
                await client.local("*", "cmd.run", ["id"], token=session.token)
            refused = await anext(
                event
                async for event in events
                if isinstance(event, Event) and event.tag.endswith("/error")
            )

        assert session.token not in str(refused.data)
