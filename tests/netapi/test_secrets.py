"""What the master's functions hand out, and who gets to see it: the same attack on every module."""

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import connect

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.netapi.conformance.client import MODULES
from tests.waiting import scaled

SECONDS = 60.0
MARK = b"BEGIN RSA PRIVATE KEY"
BODY = b"MIIE"
STREAMS = {
    "rest_cherrypy": ["/events", "ws:/ws", "ws:/ws?format_events"],
    "rest_tornado": ["/events", "ws:/all_events", "ws:/formatted_events", "ws:/ws"],
    "rest_asgi": ["/events", "ws:/ws", "/v1/events", "ndjson:/v1/events", "ws:/v1/events"],
}
SECTIONS: dict[str, dict[str, Any]] = {
    "rest_tornado": {"websockets": True},
    # Everybody sees all events: what is hidden is hidden in them.
    "rest_asgi": {"event_acl": "all", "administrators": ["file:named"]},
    "rest_cherrypy": {"administrators": ["named"]},
}
USERS: dict[str, list[Any]] = {
    "low": ["test.ping"],
    "readers": ["@jobs", {"@runner": ["jobs.*"]}],
    "keys": ["@wheel"],
    "named": ["test.ping"],
}


@pytest.fixture(scope="module")
def home(request: pytest.FixtureRequest) -> Iterator[PrivateMaster]:
    """A master with users of several kinds, and no minions to speak of."""
    with PrivateMaster(users=USERS) as master:
        master.wait_ready(timeout=scaled(SECONDS))
        yield master


@pytest.fixture(scope="module", params=MODULES)
def api(request: pytest.FixtureRequest, home: PrivateMaster) -> Iterator[ApiServer]:
    section = SECTIONS[request.param]
    with ApiServer(home, OURS, section, module=request.param) as server:
        yield server


@asynccontextmanager
async def listening(api: ApiServer, url: str, token: str) -> AsyncIterator[bytearray]:
    """Listen at *url*, and yield what comes."""
    got = bytearray()
    kind, _, path = url.rpartition(":")
    if kind == "ws":
        address = f"ws://127.0.0.1:{api.port}{path}"
        async with connect(address, additional_headers={"X-Auth-Token": token}) as socket:
            await socket.send("websocket client ready")

            async def collect() -> None:
                async for message in socket:
                    got.extend(message.encode() if isinstance(message, str) else message)

            task = asyncio.create_task(collect())
            await asyncio.sleep(0.5)  # nothing says that it has begun
            yield got
            task.cancel()
        return
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    accept = "application/x-ndjson" if kind == "ndjson" else "text/event-stream"
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {token}\r\nAccept: {accept}\r\n\r\n"
    writer.write(head.encode())
    assert b" 200 " in await reader.readline()

    async def read() -> None:
        while data := await reader.read(65536):
            got.extend(data)

    task = asyncio.create_task(read())
    await asyncio.sleep(0.5)
    yield got
    task.cancel()
    writer.close()


async def until(done: Callable[[], bool]) -> None:
    """Return as soon as *done*."""
    async with asyncio.timeout(scaled(20.0)):
        while not done():  # noqa: ASYNC110 - what comes sets no event
            await asyncio.sleep(0.05)


def has_ended(got: bytearray) -> bool:
    """Return whether the beginning and the end of making keys have come."""
    return got.count(b"wheel.key.gen_accept") >= 2


async def generate(api: ApiServer, mid: str) -> bytes:
    """Make a minion's keys, and return the answer's body."""
    body = {"mid": mid, "keysize": 2048, "force": True, **api.master.credentials()}
    answer = await asyncio.to_thread(api.send, "POST", "/keys", json_body=body)
    assert 200 == answer.status, answer
    return answer.body


@pytest.mark.long
async def test_keys_in_streams(api: ApiServer) -> None:
    """A new private key reaches who has asked for it and administrators, and nobody else."""
    tokens = {
        name: await asyncio.to_thread(api.login, name)
        for name in ("low", "readers", "keys", "named", None)
    }
    for url in STREAMS[api.module]:
        async with (
            listening(api, url, tokens["low"]) as low,
            listening(api, url, tokens["readers"]) as readers,
            listening(api, url, tokens["keys"]) as keys,
            listening(api, url, tokens[None]) as administrator,
        ):
            name = f"made-{api.module}-{len(url)}"
            assert MARK in await generate(api, name)
            if "format" in url:
                await asyncio.sleep(1)  # the views are about jobs alone
            else:
                for one in (low, readers, keys, administrator):
                    await until(functools.partial(has_ended, one))
                assert MARK in administrator
            for listener in (low, readers, keys):
                assert MARK not in listener, url
                assert BODY not in listener, url
    if "administrators" in SECTIONS[api.module]:
        url = STREAMS[api.module][0]
        async with listening(api, url, tokens["named"]) as named:
            await generate(api, "made-for-named")
            await until(lambda: MARK in named)


async def test_resumed_streams(api: ApiServer) -> None:
    """What happened before is told with the same masks."""
    token = await asyncio.to_thread(api.login, "low")
    async with listening(api, "/events?since=", token) as got:
        await generate(api, "made-before")
        await until(lambda: has_ended(got))
    ids = [line[4:] for line in bytes(got).splitlines() if line.startswith(b"id: ")]
    async with listening(api, f"/events?since={ids[0].decode()}", token) as again:
        await until(lambda: again.count(b"wheel.key.gen_accept") >= 1)
        assert MARK not in again
        assert BODY not in again


async def test_runners_and_wheels(api: ApiServer) -> None:
    """Tokens, passwords and the master's config do not reach other listeners."""
    credentials = api.master.credentials()
    admin = await asyncio.to_thread(api.login)
    headers = {"X-Auth-Token": admin}
    low = await asyncio.to_thread(api.login, "low")
    commands: list[dict[str, Any]] = [
        {"client": "wheel", "fun": "key.gen", "keysize": 2048},
        {"client": "runner", "fun": "cache.grains", "kwarg": {"db_pass": "seen-by-nobody", "a": 1}},
        {"client": "runner", "fun": "cache.grains", "arg": ["--password seen-by-nobody"]},
        {"client": "wheel", "fun": "config.values"},
    ]
    async with (
        listening(api, "/events", low) as listener,
        listening(api, "/events", admin) as administrator,
    ):
        for command in commands:
            answer = await asyncio.to_thread(
                api.send, "POST", "/", headers=headers, json_body=[command]
            )
            assert 200 == answer.status, answer
            returned = json.dumps(answer.value()["return"])
            assert "***" not in returned, command
            mark = f"{command['client']}.{command['fun']}".encode()
            count = 2 * sum(
                c["fun"] == command["fun"] for c in commands[: commands.index(command) + 1]
            )
            await until(lambda mark=mark, count=count: listener.count(mark) >= count)  # type: ignore[misc]
        await until(lambda: b"seen-by-nobody" in administrator and MARK in administrator)
    assert MARK not in listener
    assert b"seen-by-nobody" not in listener
    assert b'"a": 1' in listener
    assert credentials["password"].encode() not in listener
    assert b"external_auth" not in listener


async def test_documents_of_jobs(home: PrivateMaster) -> None:
    """Jobs are shown with the same masks, in documents and streams, but to administrators."""
    with ApiServer(home, OURS, SECTIONS["rest_asgi"], module="rest_asgi") as api:
        tokens = {
            name: await asyncio.to_thread(api.login, name) for name in ("readers", "keys", None)
        }

        async def ask(name: str | None, path: str, body: Any = None, **headers: str) -> bytes:
            method = "GET" if body is None else "POST"
            names = {"X-Auth-Token": tokens[name], **headers}
            answer = await asyncio.to_thread(
                api.send,
                method,
                path,
                headers=names,
                **({} if body is None else {"json_body": body}),
            )
            assert 200 == answer.status, answer
            return answer.body

        chunk = {"client": "wheel", "fun": "key.gen", "keysize": 2048}
        # Whoever asks gets the key, also when the answer has to be sent again.
        for headers in ({}, {"Accept": "application/x-ndjson"}):
            key = {"Idempotency-Key": f"k{len(headers)}"}
            first = await ask("keys", "/v1/run", chunk, **headers, **key)
            assert MARK in first
            assert MARK in await ask("keys", "/v1/run", chunk, **headers, **key)
        jid = json.loads(first.splitlines()[0])["jid"]
        for name in ("readers", "keys"):
            for path in (f"/v1/jobs/{jid}", f"/v1/jobs/{jid}?wait=1", "/v1/jobs"):
                assert MARK not in await ask(name, path)
            streamed = await ask(name, f"/v1/jobs/{jid}/events", Accept="application/x-ndjson")
            assert b'"summary"' in streamed
            assert MARK not in streamed
            assert b"BEGIN PUBLIC KEY" in streamed
        assert MARK in await ask(None, f"/v1/jobs/{jid}")
        assert MARK in await ask(None, f"/v1/jobs/{jid}/events", Accept="application/x-ndjson")
