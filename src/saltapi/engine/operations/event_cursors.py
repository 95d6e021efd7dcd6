"""What consumers of events do with durable cursors."""

from collections.abc import Iterable

from saltapi.bridge.bus.hub import Hub
from saltapi.bridge.permissions.narrowing import check_whole
from saltapi.engine.events.durable import DurableCursor, DurableCursors, DurableReader
from saltapi.engine.events.listening import Listening
from saltapi.engine.events.streams import EventStream, Queued
from saltapi.engine.sessions.administrators import Administrators
from saltapi.engine.sessions.caller import Caller
from saltapi.engine.sessions.sessions import Sessions
from saltapi.errors import NotFound

NO_LOG = "There are no cursors without an event log (saltapi_event_log)."
NOT_TO_LISTEN = "listen to events"


class EventCursorOperations:
    """
    The operations over all cursors.

    Every method raises `NotFound` without a log, and `AuthorizationFailed` for tokens that may
    not listen.
    """

    def __init__(
        self,
        hub: Hub,
        sessions: Sessions,
        listening: Listening,
        kept: DurableCursors,
        administrators: Administrators,
    ) -> None:
        """
        Args:
            hub: What happens.
            sessions: Tells when a session ends.
            listening: Finds what a listener takes from.
            kept: The cursors.
            administrators: Tells who sees the cursors of all.
        """
        self._hub = hub
        self._sessions = sessions
        self._listening = listening
        self._kept = kept
        self._administrators = administrators

    async def listen(
        self, caller: Caller, name: str, *, tags: Iterable[str], since: str | None, ack_wait: float
    ) -> EventStream:
        """
        Return the stream of what is behind the cursor *name*; close it.

        Args:
            caller: Who asks.
            name: The cursor; it is made if there is none.
            tags: Shell patterns of the tags to get; all without.
            since: Where a new cursor begins; now without.
            ack_wait: After how many seconds what was not acknowledged is sent again.

        Raises:
            InvalidField, TooManyRequests, StoreUnavailable
        """
        session = check_whole(caller.known(), NOT_TO_LISTEN)
        self._check()
        cursor = await self._kept.begin(session, name, since or self._hub.cursor())
        patterns = list(tags)

        async def behind(event_id: str) -> Queued:
            found = await self._listening.listener(session, event_id, patterns)
            assert found is not None  # noqa: S101 - with a log and an id there is one
            return found

        sees_all = await self._administrators.includes(session)
        reader = DurableReader(self._kept, session, cursor, behind, ack_wait_seconds=ack_wait)
        return EventStream(self._hub, self._sessions, session, listener=reader, masked=not sees_all)

    async def acknowledge(self, caller: Caller, name: str, event_id: str) -> DurableCursor:
        """Note that all up to *event_id* was dealt with; `NotFound` if there is no such cursor."""
        session = check_whole(caller.known(), NOT_TO_LISTEN)
        self._check()
        return await self._kept.acknowledge(session, name, event_id)

    async def list(self, caller: Caller) -> list[DurableCursor]:
        """Return the caller's cursors, for administrators everybody's."""
        session = check_whole(caller.known(), NOT_TO_LISTEN)
        self._check()
        everybody = await self._administrators.includes(session)
        return await self._kept.of(session, everybody=everybody)

    async def remove(self, caller: Caller, name: str) -> None:
        """Forget a cursor of the caller's; raise `NotFound` if there is none."""
        session = check_whole(caller.known(), NOT_TO_LISTEN)
        self._check()
        await self._kept.remove(session, name)

    def _check(self) -> None:
        if self._listening.log is None:
            raise NotFound(NO_LOG)
