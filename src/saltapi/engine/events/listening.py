"""What a listener takes its events from: the hub, a filter in front of it, or the event log."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from saltapi.bridge.bus.hub import Hub
from saltapi.engine.events.acl import EventAcl
from saltapi.engine.events.streams import Queued
from saltapi.types import Session

if TYPE_CHECKING:  # it needs nats-py, which only those have who want it
    from saltapi.engine.events.log.log import EventLog


class Listening:
    """Finds that for each listener."""

    def __init__(self, hub: Hub, acl: EventAcl | None) -> None:
        """
        Args:
            hub: What happens.
            acl: Who sees what of it; everybody everything without it.
        """
        self._hub = hub
        self._acl = acl
        self.log: EventLog | None = None
        """What all masters have fired, where there is a log of it."""

    async def listener(
        self, session: Session, since: str | None, tags: Iterable[str]
    ) -> Queued | None:
        """Return what *session* takes events from; None for all of the hub, by ids of its own."""
        acl, log = self._acl, self.log
        if since is not None and log is not None:
            event_filter = None if acl is None else await acl.event_filter(session)
            return await log.listen(since, tags, event_filter)
        if since is not None:
            await self._hub.catch_up(since)
        return None if acl is None else await acl.listen(session, tags=tags, since=since)
