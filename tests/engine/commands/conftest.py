"""A client of the session's master, and somebody who may run everything."""

from collections.abc import AsyncIterator

import pytest

from saltapi import config
from saltapi.demo import PrivateMaster
from saltapi.engine.commands.asynchronous import AsyncAPIClient


@pytest.fixture
async def client(master: PrivateMaster) -> AsyncIterator[AsyncAPIClient]:
    """A client of the session's master."""
    async with AsyncAPIClient(config.load(master.config_dir)) as client:
        yield client


@pytest.fixture
async def token(client: AsyncAPIClient, master: PrivateMaster) -> dict[str, str]:
    """The credentials of somebody who may run everything, as part of a chunk."""
    return {"token": (await client.sessions.login(master.credentials())).token}
