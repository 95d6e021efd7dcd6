"""Nothing that the module does blocks its loop: a call that would fails the test."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from blockbuster import BlockingError, blockbuster_ctx
from websockets.asyncio.client import connect

from saltapi import config
from saltapi.config import RestTornadoConfig
from saltapi.demo import PrivateMaster
from saltapi.netapi.rest_tornado.server import Server, bind
from tests.daemons import free_port
from tests.netapi.rest_tornado.running import HOST, NAME
from tests.waiting import scaled
from tests.wire import Answer, send

SECONDS = 30.0


class Client:
    """Sends requests from threads to the server on this loop."""

    def __init__(self, port: int, master: PrivateMaster) -> None:
        self.port = port
        self.master = master
        self.headers: dict[str, str] = {}

    async def send(self, method: str, path: str, **options: Any) -> Answer:
        """Send a request as `tests.wire.send`."""
        headers = {**self.headers, **options.pop("headers", {})}
        return await asyncio.to_thread(send, self.port, method, path, headers=headers, **options)

    async def login(self) -> str:
        """Log in; later requests have the session."""
        answer = await self.send("POST", "/login", json_body=self.master.credentials())
        token = str(answer.value()["return"][0]["token"])
        self.headers = {"X-Auth-Token": token}
        return token


@pytest_asyncio.fixture
async def client(master: PrivateMaster) -> AsyncIterator[Client]:
    """A client of the module, which runs on this very loop."""
    port = free_port()
    section = {"port": port, "address": HOST, "disable_ssl": True, "websockets": True}
    opts = await asyncio.to_thread(config.load, master.config_dir)
    opts[NAME] = section
    sockets = await asyncio.to_thread(bind, RestTornadoConfig.parse(section), NAME)
    server = await asyncio.to_thread(Server, opts, NAME, sockets)
    async with server:
        with blockbuster_ctx():  # every blocking call on a loop raises from now on
            yield Client(port, master)
    for listening in sockets:
        listening.close()


async def test_that_blocking_calls_are_found() -> None:
    """The detector works."""
    with blockbuster_ctx(), pytest.raises(BlockingError):
        time.sleep(0.01)  # noqa: ASYNC251 - what the test is about


async def test_requests(client: Client) -> None:
    """No URL blocks, whether it succeeds or not, with bodies of every type."""
    await client.login()
    ping = {"client": "local", "tgt": "*", "fun": "test.ping"}
    chunks = [
        ping,
        {**ping, "client": "local_async"},
        {**ping, "client": "local_batch"},
        {**ping, "tgt": "nobody"},
        {"client": "runner", "fun": "test.arg", "arg": [1]},
        {"client": "runner", "fun": "jobs.list_jobs"},
        {"client": "wheel", "fun": "key.list_all"},
    ]
    answers = [
        await client.send("POST", "/", json_body=chunks),
        await client.send("POST", "/run", json_body=[{**ping, **client.master.credentials()}]),
        await client.send("POST", "/minions", json_body=ping | {"client": "local_async"}),
        await client.send("GET", "/minions", headers={"Accept": "application/x-yaml"}),
        await client.send("GET", "/minions", headers={"Accept-Encoding": "gzip"}),
        await client.send("GET", "/jobs"),
        await client.send("GET", "/keys"),
        await client.send("GET", "/stats"),
        await client.send("POST", "/token", json_body=client.master.credentials()),
        await client.send("POST", "/hook/a", json_body={"text": "x" * 500_000}),
        await client.send("GET", "/"),
        await client.send("POST", "/logout"),
    ]
    assert {200} == {answer.status for answer in answers}
    failures = [
        await client.send("GET", "/nope"),
        await client.send("GET", "/minions"),
        await client.send(
            "POST", "/login", json_body={**client.master.credentials(), "password": "wrong"}
        ),
        await client.send("POST", "/", headers={"Content-Type": "application/json"}, body=b"{"),
    ]
    assert [404, 302, 401, 400] == [answer.status for answer in failures]


@pytest.mark.parametrize("path", ["all_events", "formatted_events", "ws"])
async def test_websockets(client: Client, path: str) -> None:
    """No WebSocket blocks, not even while the grains are asked for."""
    token = await client.login()
    async with connect(f"ws://{HOST}:{client.port}/{path}/{token}", proxy=None) as connection:
        await connection.send("websocket client ready")
        await (await connection.ping())
        answer = await client.send("POST", "/minions", json_body={"tgt": "*", "fun": "test.ping"})
        jid = answer.value()["return"][0]["jid"]

        wanted = {jid, '"osfinger"'} if path == "formatted_events" else {jid}
        async with asyncio.timeout(scaled(SECONDS)):
            while wanted:
                text = str(await connection.recv())
                wanted = {part for part in wanted if part not in text}


async def test_events(client: Client) -> None:
    """The stream does not block."""
    await client.login()
    answer = await client.send("GET", "/events", timeout=scaled(SECONDS))
    assert (200, b"retry: 400\n") == (answer.status, answer.body)
