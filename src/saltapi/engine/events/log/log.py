"""The event log as one process has it: it writes, follows, and lets listeners read."""

import logging
from collections.abc import AsyncIterator, Iterable

from saltapi.bridge.bus import cursors
from saltapi.bridge.bus.events import Record, tag_glob
from saltapi.bridge.bus.hub import Hub
from saltapi.bridge.nats.bucket import Bucket
from saltapi.bridge.nats.connection import Connection
from saltapi.bridge.nats.log_stream import LogStream
from saltapi.config.event_log import EventLogSection
from saltapi.config.shared_store import StoreSection
from saltapi.engine.events.filters import EventFilter
from saltapi.engine.events.log.follower import LogFollower
from saltapi.engine.events.log.lease import Lease
from saltapi.engine.events.log.locating import SKEW_SECONDS, Locator
from saltapi.engine.events.log.messages import LoggedEvent, unpack
from saltapi.engine.events.log.replay import Replay
from saltapi.engine.events.log.writer import LogWriter
from saltapi.engine.events.streams import Queued
from saltapi.engine.events.subjects import Subjects

log = logging.getLogger(__name__)


class EventLog:
    """The log of all masters, at the process of one of them."""

    def __init__(
        self, hub: Hub, subjects: Subjects, store: StoreSection, section: EventLogSection
    ) -> None:
        """
        Args:
            hub: The events of this master.
            subjects: Tells what they are about; it has to see all of them.
            store: The servers.
            section: How much is kept, and the master's name.

        Raises:
            CannotStart: A file that *store* names cannot be used.
        """
        self._hub = hub
        connection = Connection(store, "saltapi event log")
        self._bucket = Bucket(store, "saltapi event log", connection)
        self._lease = Lease(self._bucket, section.master)
        self._stream = LogStream(connection, store, section)
        self._locator = Locator(
            self._stream, section.master, clustered=hub.clustered, master=hub.master
        )
        self.writer = LogWriter(hub, self._stream, self._lease, section.master, subjects.start_of)
        self.follower = LogFollower(hub, self._stream, section.master)

    @property
    def lag_seconds(self) -> float:
        """For how long something waits to be stored, or nobody writes."""
        return self.writer.lag_seconds

    @property
    def stored_total(self) -> int:
        """How many events this process has stored."""
        return self.writer.stored_total

    @property
    def gaps_total(self) -> int:
        """How many gaps it has stored."""
        return self.writer.gaps_total

    @property
    def relayed_total(self) -> int:
        """How many events of other masters it has handed on."""
        return self.follower.relayed_total

    async def listen(
        self, since: str, tags: Iterable[str], event_filter: EventFilter | None
    ) -> Queued:
        """
        Return what a listener takes from that was at *since*.

        Args:
            since: The id of the last record that was seen.
            tags: Shell patterns of the tags to get; all without.
            event_filter: What the listener may see; everything without it.
        """
        hub, filters = self._hub, [tag_glob(tag) for tag in tags]
        cursor = cursors.parse(since)

        def missed() -> list[Record]:
            found = None if cursor is None else hub.history.resumed(cursor)
            return hub.missed(since, all_masters=True) if found is None else found

        known = cursor is not None and (cursor.seen is not None or cursor.time_us is not None)
        if cursor is None or not known or hub.history.resumed(cursor) is not None:
            if event_filter is not None:
                return await event_filter.resume(filters, missed)
            return hub.listen(filters, all_masters=True, missed=missed())
        return Replay(
            hub,
            self._locator,
            self._lease,
            cursor,
            text=since,
            tags=filters,
            event_filter=event_filter,
        )

    async def is_written(self, master: str) -> bool:
        """
        Return whether somebody writes what *master* does.

        Raises:
            StoreUnavailable
        """
        return not await Lease(self._bucket, master).is_free()

    async def written(self, master: str, *, since: float) -> AsyncIterator[LoggedEvent]:
        """
        Yield the events of *master* that were written since a time (epoch seconds).

        Raises:
            StoreUnavailable
        """
        found = await self._stream.read_since(since - SKEW_SECONDS, part=master)
        while found:
            for message in found:
                for record in unpack(message.data):
                    if isinstance(record, LoggedEvent):
                        yield record
            found = await self._stream.read(found[-1].number + 1, part=master)

    def start(self) -> None:
        """Begin to write and to follow."""
        self.follower.start()
        self.writer.start()

    async def close(self) -> None:
        """Stop; what is left is written if that is soon done. Idempotent."""
        await self.writer.close()
        await self.follower.close()
        await self._bucket.close()
