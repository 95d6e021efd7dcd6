from typing import Any

import pytest

from saltapi import config
from saltapi.config import AccessSection
from saltapi.demo import PrivateMaster
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.engine.operations.api import Api
from saltapi.engine.sessions.caller import Caller
from saltapi.errors import AddressRefused, AuthenticationFailed
from saltapi.types import Session

PEER = "127.0.0.1"
PING = {"client": "local", "tgt": "minion-1", "fun": "test.ping"}


async def test_a_token_is_looked_up_once(
    master: PrivateMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks is found out at the edge; no operation asks the token store again."""
    async with AsyncAPIClient(config.load(master.config_dir)) as client:
        api = Api(client, AccessSection())
        token = (await api.login(master.credentials(), peer=PEER))["token"]
        looks: list[str] = []
        check = client.sessions.check

        async def counted(token: Any, **options: Any) -> Session:
            looks.append(token)
            return await check(token, **options)

        monkeypatch.setattr(client.sessions, "check", counted)
        caller = await api.identify(token, peer=PEER)

        assert [{"minion-1": True}] * 2 == await api.run([PING, PING], caller)
        assert await api.keys(caller)
        assert [token] == looks

        chunk = {**PING, "token": token}
        assert [{"minion-1": True}] == await api.run([chunk], Caller(PEER))
        assert [token] * 2 == looks


async def test_a_stranger_is_nobody(master: PrivateMaster) -> None:
    """Without a session there are no listings and no streams, and commands need credentials."""
    async with AsyncAPIClient(config.load(master.config_dir)) as client:
        api, stranger = Api(client, AccessSection()), Caller(PEER)
        for asked in (api.keys(stranger), api.run([PING], stranger), api.listen(stranger)):
            with pytest.raises(AuthenticationFailed):
                await asked


async def test_the_address_of_a_stranger_is_checked(master: PrivateMaster) -> None:
    """Credentials in chunks are not looked at where the address may not come."""
    async with AsyncAPIClient(config.load(master.config_dir)) as client:
        api = Api(client, AccessSection(authorized_ips=["192.0.2.1"]))
        with pytest.raises(AddressRefused):
            await api.run([{**PING, **master.credentials()}], Caller(PEER))
        with pytest.raises(AddressRefused):
            await api.identify("0" * 64, peer=PEER)
