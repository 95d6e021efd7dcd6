"""Streams of events as ASGI: readers that are slow or leave, and how often they are written to."""

import asyncio
from collections.abc import Callable, MutableMapping
from functools import partial
from typing import Any

import pytest

from saltapi.bridge.bus.hub import OVERFLOW, Hub
from saltapi.engine.events.encodings import NDJSON, SSE
from saltapi.engine.events.streams import EventStream
from saltapi.netapi._http import event_stream
from saltapi.netapi.rest_asgi import streams
from saltapi.netapi.rest_asgi.streams import stream_response
from saltapi.types import Session
from tests.fake_master import frame_body, new_hub
from tests.netapi.rest_cherrypy.streaming import FakeSessions
from tests.waiting import async_eventually

SESSION = Session(token="a" * 64, name="low", eauth="file", start=0, expire=2e9)
Message = MutableMapping[str, Any]


class Client:
    """The other side of one response: reads as fast as `may_read` lets it."""

    def __init__(self, hub: Hub, *, gzip: bool = False) -> None:
        self.hub = hub
        self.sessions = FakeSessions()
        self.stream = EventStream(hub, self.sessions, SESSION)  # type: ignore[arg-type]
        self.messages: list[Message] = []
        self.aborted = False
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.leaves = asyncio.Event()
        response = stream_response(self.stream, NDJSON, gzip=gzip, resumed=False)
        scope = {"type": "http", "extensions": {streams.ABORT: {"abort": self._abort}}}
        self.task = asyncio.create_task(response(scope, self._receive, self._send))

    @property
    def body(self) -> bytes:
        """What has come."""
        return b"".join(message.get("body", b"") for message in self.messages)

    def fire(self, count: int = 1, size: int = 10) -> None:
        """Let events happen."""
        for _ in range(count):
            self.hub.dispatch(frame_body("my/tag", {"x": "x" * size}))

    def has_events(self, count: int) -> bool:
        """Tell whether so many events have come."""
        return count == self.body.count(b'"my/tag"')

    async def begun(self) -> None:
        """Return when the first bytes have come."""
        await async_eventually(lambda: b"start" in self.body)

    def _abort(self) -> None:
        self.aborted = True

    async def _receive(self) -> Message:
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        await self.may_read.wait()
        self.messages.append(message)


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long here."""
    monkeypatch.setattr(event_stream, "FAREWELL_SECONDS", 0.1)
    monkeypatch.setattr(streams, "LAST_SECONDS", 0.1)


async def test_a_slow_reader_is_cut_off() -> None:
    """Who reads nothing while events come is ended when the queue is full; others go on."""
    hub = new_hub(queue_bytes=100_000)
    slow, quick = Client(hub), Client(hub)
    await slow.begun()
    await quick.begun()
    slow.may_read.clear()
    for count in range(1, 13):
        slow.fire(1, 20_000)
        await async_eventually(partial(quick.has_events, count))
    await slow.task
    assert slow.aborted
    assert OVERFLOW == str(slow.stream.ended.result())
    assert not quick.task.done()
    quick.leaves.set()
    await quick.task
    assert (0, 0) == (hub.listeners, hub.streams)


async def test_a_reader_that_wakes_up_is_told_why() -> None:
    """Who begins to read again in time gets the reason as the last record."""
    client = Client(new_hub(queue_bytes=50_000))
    await client.begun()
    client.may_read.clear()
    for _ in range(20):
        client.fire(10, 2_000)
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    client.may_read.set()
    await client.task
    assert b'"type": "end", "code": "slow"' in client.body
    assert not client.messages[-1]["more_body"]


async def test_a_client_that_leaves() -> None:
    """The stream is closed as soon as the client has gone."""
    client = Client(new_hub())
    await client.begun()
    client.leaves.set()
    await client.task
    assert (0, 0) == (client.hub.listeners, client.hub.streams)


async def test_a_response_that_cannot_begin() -> None:
    """When the head cannot be sent, the stream is closed, too."""
    hub = new_hub()
    stream = EventStream(hub, FakeSessions(), SESSION)  # type: ignore[arg-type]
    response = stream_response(stream, SSE, gzip=False, resumed=False)

    async def fail(_: Message) -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await response({"type": "http"}, lambda: asyncio.sleep(9, {}), fail)
    assert 0 == hub.listeners


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (lambda client: client.sessions.end(SESSION.token), b"session"),
        (lambda client: client.hub.close("The service is stopping."), b"stopping"),
    ],
    ids=["session", "stopping"],
)
async def test_the_end_is_told(end: Callable[[Client], None], code: bytes) -> None:
    """The last record says why, and the body ends as it should."""
    client = Client(new_hub())
    await client.begun()
    end(client)
    await client.task
    last = client.body.splitlines()[-1]
    assert last.startswith(b'{"type": "end", "code": "%b", "reason": ' % code)
    assert client.messages[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


async def test_heartbeats_say_where_the_stream_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """When nothing comes for a while there is a heartbeat with an id to resume from."""
    monkeypatch.setattr(event_stream, "HEARTBEAT_SECONDS", 0.02)
    client = Client(new_hub())
    client.fire()
    await async_eventually(lambda: b"heartbeat" in client.body)
    client.leaves.set()
    await client.task
    beat = b'{"type": "heartbeat", "id": "%b-1"}\n' % client.hub.epoch.encode()
    assert beat in client.body


async def test_many_listeners_are_written_to_less_often() -> None:
    """With many listeners events are gathered: the same records in far fewer writes."""
    writes = {}
    for listeners in (0, 1_000):
        client = Client(new_hub())
        client.hub.streams += listeners
        await client.begun()
        for _ in range(30):
            client.fire()
            await asyncio.sleep(0.005)
        await async_eventually(partial(client.has_events, 30))
        writes[listeners] = len(client.messages)
        client.leaves.set()
        await client.task
    assert writes[1_000] < writes[0]
