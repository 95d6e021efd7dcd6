"""Processes of masters in one: hubs with a log, and what stands in the log."""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from saltapi.bridge.bus.events import Event
from saltapi.bridge.bus.hub import Hub
from saltapi.bridge.bus.job_starts import JobStarts
from saltapi.bridge.nats.connection import Connection
from saltapi.bridge.nats.log_stream import LogStream
from saltapi.config.event_log import EventLogSection
from saltapi.config.shared_store import StoreSection
from saltapi.engine.events.log.ending import end
from saltapi.engine.events.log.log import EventLog
from saltapi.engine.events.log.messages import Logged, LoggedEvent, unpack
from saltapi.engine.events.subjects import Subjects
from saltapi.errors import StoreUnavailable
from tests.fake_master import BIG, frame_body
from tests.nats_servers import NatsServers
from tests.waiting import scaled


class Door:
    """One process at one master."""

    def __init__(
        self, servers: NatsServers, master: str = "a", bucket: str = "log", **options: Any
    ) -> None:
        history_bytes = options.pop("history_bytes", BIG)
        credentials = options.pop("credentials_file", "")
        starts = JobStarts(late_seconds=float("inf"))
        self.hub = Hub(history_bytes=history_bytes, queue_bytes=BIG, starts=starts, master=master)
        self.hub.connected()
        self.subjects = Subjects(self.hub.starts)
        self.hub.observe(self.subjects.note)
        section = EventLogSection(master=master, **options)
        store = StoreSection(url=servers.url, bucket=bucket, credentials_file=credentials)
        self.log = EventLog(self.hub, self.subjects, store, section)

    async def die(self) -> None:
        """End without a word."""
        for part in (self.log.writer, self.log.follower):
            if part._task is not None:
                part._release = _nothing  # type: ignore[union-attr, method-assign]
                await end(part._task)
        await self.log._bucket.close()

    async def __aenter__(self) -> "Door":
        self.log.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.log.close()


async def _nothing() -> None:
    pass


def body(number: int, tag: str = "my/tag", **data: Any) -> bytes:
    """Return a frame of the bus, with the time of now."""
    stamp = datetime.datetime.now(datetime.UTC).isoformat()
    return frame_body(tag, {"n": number, **data, "_stamp": stamp})


def fire(number: int, *doors: Door, tag: str = "my/tag", **data: Any) -> None:
    """Let all processes of a master hear the same event."""
    frame = body(number, tag, **data)
    for door in doors:
        door.hub.dispatch(frame)


@asynccontextmanager
async def stream_of(servers: NatsServers, bucket: str = "log") -> AsyncIterator[LogStream]:
    """The log, to read it without a door."""
    store = StoreSection(url=servers.url, bucket=bucket)
    connection = Connection(store, "test")
    stream = LogStream(connection, store, EventLogSection())
    async with asyncio.timeout(scaled(20)):
        while not stream.identity:
            with contextlib.suppress(StoreUnavailable):
                await stream.open()
    yield stream
    await connection.close()


async def stored(
    servers: NatsServers, bucket: str = "log", part: str | None = None
) -> list[Logged]:
    """Return all records of the log."""
    records: list[Logged] = []
    async with stream_of(servers, bucket) as stream:
        found = await stream.read(1, part=part)
        while found:
            for message in found:
                records += unpack(message.data)
            found = await stream.read(found[-1].number + 1, part=part)
    return records


def number_of(record: Logged) -> Any:
    """Return what `fire` has put into an event; the reason of a gap."""
    if isinstance(record, LoggedEvent):
        return Event("e-1", record.tag, record.payload).data["n"]
    return record.reason
