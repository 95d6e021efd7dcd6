"""
The shared view behind `format_events`: the recent jobs and the minions, one for the process.

It follows the hub while somebody listens. Listeners are told what changed: a job as one JSON text
that is made once however many listen, the minions as a whole. Nothing queues up for a slow
listener: it gets the latest state of every job that changed since it last looked.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any, Literal, Protocol, TypeAlias

from saltapi import formats
from saltapi.bridge.bus.events import Event, Record, TagFilter, tag_prefix
from saltapi.bridge.bus.hub import OVERFLOW, Listener, ListenerClosed
from saltapi.bridge.bus.tags import Kind
from saltapi.bridge.jobs.grains import NO_GRAINS, AskGrains, Grains, Reader
from saltapi.bridge.jobs.job_events import names
from saltapi.bridge.jobs.recent import RecentJob, RecentJobs
from saltapi.config import KIB
from saltapi.types import Jid, MinionId, Token

log = logging.getLogger(__name__)

MINIONS_LIMIT = 20_000
MINIONS_INTERVAL_SECONDS = 1.0
"""How often the minions are told at most."""
BIG_JOB_BYTES = 64 * KIB
BIG_JOB_INTERVAL_SECONDS = 1.0
"""How often a job larger than `BIG_JOB_BYTES` is told at most while it runs."""
TEXTS_LIMIT = 8
"""So many texts of the minions (by shape, and by who may see what) are kept at once."""

JOB_TAGS = "salt/job/"
KEY_TAG = "salt/key"
PRESENCE_TAGS = "salt/presence/"
MINION_TAGS = "salt/minion/"

MinionsShape: TypeAlias = Literal["list", "dict"]
"""Minions as `[{"id", "grains"}, …]` (rest_cherrypy) or `{id: {"id", "grains"}}` (rest_tornado)."""


class LiveViewListener:
    """One listener: what has changed since it last looked."""

    def __init__(self, view: "LiveView", reader: Reader, shape: MinionsShape) -> None:
        """Use `LiveView.listen`."""
        self.reader = reader
        self._view = view
        self._shape: MinionsShape = shape
        self._started = False
        self._jids: dict[Jid, None] = {}
        self._minions_changed = False
        self._told = b""
        self._wake = asyncio.Event()
        self.closed: str | None = None
        """The reason why the listener has ended; None while it has not."""
        self.on_close: Callable[[str], None] | None = None
        """Called with the reason when the listener ends."""

    async def take(self) -> list[bytes]:
        """
        Return the messages that say what has changed, at least one; the minions at first.

        Raises:
            ListenerClosed: The listener has ended.
        """
        if not self._started:
            self._started = True
            self._minions_changed = self._view.ready
        while not (messages := self._messages()):
            if self.closed is not None:
                raise ListenerClosed(self.closed)
            self._wake.clear()
            await self._wake.wait()
        return messages

    def _messages(self) -> list[bytes]:
        messages = []
        if self._minions_changed:
            self._minions_changed = False
            text = self._view.minions_text(self.reader, self._shape)
            if text != self._told:
                messages.append(text)
            self._told = text
        jids, self._jids = self._jids, {}
        jobs = map(self._view.jobs.get, jids)
        return messages + [job.text() for job in jobs if job is not None]

    def note_job(self, jid: Jid) -> None:
        """Remember that a job has changed."""
        if self._started:
            self._jids[jid] = None
            if len(self._jids) > 2 * len(self._view.jobs):
                self._jids = {jid: None for jid in self._jids if self._view.jobs.get(jid)}
            self._wake.set()

    def note_minions(self) -> None:
        """Remember that the minions have changed."""
        if self._started:
            self._minions_changed = True
            self._wake.set()

    def close(self, reason: str = "closed") -> None:
        """End the listener; idempotent."""
        if self.closed is not None:
            return
        self.closed = reason
        self._view.forget(self)
        self._wake.set()
        if self.on_close is not None:
            self.on_close(reason)


class Source(Protocol):
    """Where the events come from: the hub, or something that shows less of them."""

    def listen(self, tags: Iterable[TagFilter] = ()) -> Listener:
        """Return a listener for events that any of *tags* passes."""


class LiveView:
    """Keeps the jobs and the minions while somebody listens."""

    def __init__(
        self,
        hub: Source,
        *,
        connected: Callable[[], Awaitable[Collection[MinionId]]],
        ask_grains: AskGrains,
    ) -> None:
        """
        Args:
            hub: Where the events come from.
            connected: Returns the minions that are connected to the master now.
            ask_grains: See `Grains`.
        """
        self._hub = hub
        self._connected = connected
        self._ask_grains = ask_grains
        self._grains = Grains(ask_grains, self._take_found)
        self._listeners: set[LiveViewListener] = set()
        self._minions: dict[MinionId, None] = {}
        self._texts: dict[tuple[MinionsShape, frozenset[MinionId]], bytes] = {}
        self._quiet: dict[Jid | None, asyncio.TimerHandle] = {}
        self._changed_since: set[Jid | None] = set()
        self._task: asyncio.Task[None] | None = None
        self.jobs = RecentJobs()
        self.ready = False
        """Whether it knows which minions there are."""

    @property
    def listeners(self) -> int:
        """How many listeners there are."""
        return len(self._listeners)

    def narrowed(
        self,
        source: Source,
        seen: Callable[[Collection[MinionId]], Awaitable[Collection[MinionId]]],
    ) -> "LiveView":
        """
        Return another view, which shows less.

        Args:
            source: The events that it may show.
            seen: Returns which of the connected minions it may show.
        """

        async def connected() -> Collection[MinionId]:
            return await seen(await self._connected())

        return LiveView(source, connected=connected, ask_grains=self._ask_grains)

    def listen(self, token: Token, *, minions: MinionsShape) -> LiveViewListener:
        """
        Return a listener; the first one starts the view, closing the last one stops it.

        Args:
            token: Whose permission decides about grains.
            minions: The shape of the minions.
        """
        listener = LiveViewListener(self, self._grains.reader(token), minions)
        self._listeners.add(listener)
        if self._task is None:
            self._task = asyncio.create_task(self._follow(), name="saltapi-view")
        elif self.ready:
            self._grains.want(listener.reader, self._minions)
        return listener

    def forget(self, listener: LiveViewListener) -> None:
        """Tell *listener* no more; called by `LiveViewListener.close`."""
        self._listeners.discard(listener)
        self._grains.release(listener.reader)
        if not self._listeners and self._task is not None:
            self._task.cancel()
            self._stop()

    def minions_text(self, reader: Reader, shape: MinionsShape) -> bytes:
        """Return `{"minions": …}` with the grains that *reader* may see."""
        shown = self._grains.shown(reader, self._minions)
        text = self._texts.get((shape, shown))
        if text is None:
            if len(self._texts) >= TEXTS_LIMIT:
                self._texts.clear()
            text = self._texts[shape, shown] = self._minions_json(shown, shape)
        return text

    def _minions_json(self, shown: frozenset[MinionId], shape: MinionsShape) -> bytes:
        parts = []
        for minion in self._minions:
            name = formats.dump_json(minion)
            grains = self._grains.text(minion) if minion in shown else NO_GRAINS
            part = b'{"id": %b, "grains": %b}' % (name, grains)
            parts.append(part if shape == "list" else b"%b: %b" % (name, part))
        body = b", ".join(parts)
        return b'{"minions": %b}' % (b"[%b]" % body if shape == "list" else b"{%b}" % body)

    async def _follow(self) -> None:
        """Follow the hub until it stops, or until this is cancelled."""
        filters = [tag_prefix(tag) for tag in (JOB_TAGS, KEY_TAG, PRESENCE_TAGS, MINION_TAGS)]
        reason = OVERFLOW
        while reason == OVERFLOW:
            async with self._hub.listen(filters) as events:
                await self._begin()
                try:
                    async for record in events:
                        self._take(record)
                except ListenerClosed:
                    log.warning("The view of jobs and minions has missed events.")
                reason = events.closed or "closed"
        self._stop()
        for listener in tuple(self._listeners):
            listener.close(reason)

    async def _begin(self) -> None:
        try:
            self._add(await self._connected())
        except Exception:
            log.exception("The connected minions are not known; events will tell.")
        self.ready = True
        self._minions_changed()
        self._want_grains()

    def _stop(self) -> None:
        """Forget what will be out of date when somebody listens again."""
        self._task = None
        self.ready = False
        for timer in self._quiet.values():
            timer.cancel()
        self._quiet.clear()
        self._changed_since.clear()
        self._texts.clear()
        self._minions.clear()
        self.jobs.clear()

    def _take(self, record: Record) -> None:
        if not isinstance(record, Event):
            return
        try:
            self._take_event(record)
        except Exception:
            log.exception("An event with tag %r cannot be shown in the view.", record.tag)

    def _take_event(self, event: Event) -> None:
        event = event.masked  # for all: whoever may see secrets finds them in the event
        tag, data = event.parts, event.data
        if tag.kind is Kind.JOB:
            job = self.jobs.take(event)
            if job is not None:
                self._job_changed(job)
            if data.get("fun") == "grains.items" and tag.part == "ret" and tag.name:
                self._take_grains(tag.name, data)
        elif event.tag == KEY_TAG:
            self._take_key(data)
        elif tag.kind is Kind.PRESENCE:
            self._remove(names(data.get("lost")))
            self._add(names(data.get("new")) + names(data.get("present")))
        elif tag == (Kind.MINION, None, "start", data.get("id"), 0):
            self._grains.outdated(data["id"])
            self._add([data["id"]])
            self._want_grains()

    def _take_key(self, data: dict[str, Any]) -> None:
        minion, act = data.get("id"), data.get("act")
        if not isinstance(minion, str) or not data.get("result", True):
            return
        if act == "accept":
            self._add([minion])
        elif act in {"delete", "reject"}:
            self._remove([minion])

    def _take_found(self, minions: list[MinionId]) -> None:
        self._add(minions)
        self._minions_changed()

    def _take_grains(self, minion: MinionId, data: dict[str, Any]) -> None:
        is_known = data.get("id") == minion and minion in self._minions
        if is_known and self._grains.learn(minion, data.get("return")):
            self._minions_changed()

    def _add(self, minions: Iterable[MinionId]) -> None:
        room = MINIONS_LIMIT - len(self._minions)
        new = [minion for minion in minions if minion not in self._minions][:room]
        if new:
            self._minions.update(dict.fromkeys(new))
            self._minions_changed()
            self._want_grains()

    def _remove(self, minions: Iterable[MinionId]) -> None:
        gone = [minion for minion in minions if minion in self._minions]
        for minion in gone:
            del self._minions[minion]
            self._grains.outdated(minion)
        if gone:
            self._minions_changed()

    def _want_grains(self) -> None:
        for reader in {listener.reader for listener in self._listeners}:
            self._grains.want(reader, self._minions)

    def _minions_changed(self) -> None:
        self._texts.clear()
        if self.ready:
            self._tell(None, MINIONS_INTERVAL_SECONDS)

    def _job_changed(self, job: RecentJob) -> None:
        often = job.complete or job.size_bytes < BIG_JOB_BYTES
        self._tell(job.jid, 0.0 if often else BIG_JOB_INTERVAL_SECONDS)

    def _tell(self, key: Jid | None, interval_seconds: float) -> None:
        """Tell all listeners of a job, or of the minions (None): at once, but not too often."""
        if interval_seconds and key in self._quiet:
            self._changed_since.add(key)
            return
        self._changed_since.discard(key)
        for listener in self._listeners:
            if key is None:
                listener.note_minions()
            else:
                listener.note_job(key)
        if interval_seconds:
            later = asyncio.get_running_loop().call_later
            self._quiet[key] = later(interval_seconds, self._end_quiet, key, interval_seconds)

    def _end_quiet(self, key: Jid | None, interval_seconds: float) -> None:
        del self._quiet[key]
        if key in self._changed_since:
            self._tell(key, interval_seconds)
