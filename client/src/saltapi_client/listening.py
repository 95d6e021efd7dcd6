"""The master's events, each once, with a gap where some are missing."""

from __future__ import annotations

import collections
import fnmatch
import threading
from collections.abc import Iterator, Sequence
from typing import Callable

from saltapi_client import errors
from saltapi_client.api import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, NDJSON_TYPE, Api
from saltapi_client.connections import Response
from saltapi_client.records import Event, Gap
from saltapi_client.shapes import decoded
from saltapi_client.streams import json_lines, server_sent_events

SILENCE_SECONDS = 60.0
CLASSIC_SILENCE_SECONDS = 86400.0
"""Salt's own `/events` gives no sign of life; the connection's keep-alive has to tell."""
REMEMBERED_EVENTS = 20_000
"""Of how many events it is known that they were there, when a gap sends some again."""
PLACES = frozenset({"start", "heartbeat"})
FINAL_CODES = frozenset({"session"})


class Events:
    """
    A stream of events that goes on when the connection is lost.

    Attributes:
        cursor: Where it goes on: after this id nothing has been handed out.
    """

    def __init__(self, api: Api, tags: Sequence[str] = (), since: str | None = None) -> None:
        """
        Args:
            api: The server.
            tags: Shell patterns; events whose tag matches one of them, all if there is none.
            since: The `cursor` of an earlier stream.
        """
        self._api = api
        self._tags = list(tags)
        self._closed = threading.Event()
        self._response: Response | None = None
        self._seen: collections.OrderedDict[str, None] = collections.OrderedDict()
        self._made: Iterator[Event | Gap] | None = None
        self.cursor = since
        self.listens = threading.Event()
        """Set when what happens from now on is seen."""
        self.on_place: Callable[[str], None] | None = None
        """Called with the cursor where it has moved without an event, between two of them."""

    def __iter__(self) -> Iterator[Event | Gap]:
        return self

    def __next__(self) -> Event | Gap:
        if self._made is None:
            self._made = self._v1() if self._api.has_v1() else self._classic()
        try:
            return next(self._made)
        except errors.Error:
            if self._closed.is_set():
                raise StopIteration from None
            raise

    def close(self) -> None:
        """Stop listening, also while another thread waits for the next event."""
        self._closed.set()
        if self._response is not None:
            self._response.close()

    def _v1(self) -> Iterator[Event | Gap]:
        pause = FIRST_PAUSE_SECONDS
        while not self._closed.is_set():
            try:
                self._response = response = self._api.open(
                    "GET",
                    "/v1/events",
                    query={"tag": self._tags},
                    headers={"Last-Event-ID": self.cursor} if self.cursor else {},
                    accept=NDJSON_TYPE,
                    timeout_seconds=SILENCE_SECONDS,
                )
                for raw in json_lines(response.lines()):
                    self.listens.set()
                    pause = FIRST_PAUSE_SECONDS
                    kind, cursor = raw.get("type"), raw.get("id")
                    if kind == "end" and raw.get("code") in FINAL_CODES:
                        # The session has ended; the next request renews it, or says that it cannot.
                        self._api.forget()
                    if kind == "event" and self._is_new(str(cursor)):
                        yield Event(str(raw.get("tag")), raw.get("data"), cursor)
                    elif kind == "gap":
                        yield Gap(str(raw.get("reason")), cursor)
                    elif kind in PLACES and isinstance(cursor, str) and self.on_place:
                        self.on_place(cursor)
                    self.cursor = cursor or self.cursor
            except (errors.NotReachable, errors.Unavailable):
                if not self._api.reached:
                    raise
            self._closed.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _is_new(self, cursor: str) -> bool:
        name = event_name(cursor)
        if name in self._seen:
            return False
        self._seen[name] = None
        if len(self._seen) > REMEMBERED_EVENTS:
            self._seen.popitem(last=False)
        return True

    def _noted(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        for line in lines:
            self.listens.set()
            yield line

    def _classic(self) -> Iterator[Event | Gap]:
        """Yield the events of `/events`; Salt's own has no ids, so a break is always a gap."""
        pause, begun = FIRST_PAUSE_SECONDS, False
        while not self._closed.is_set():
            try:
                self._response = response = self._api.open(
                    "GET",
                    "/events",
                    headers={"Last-Event-ID": self.cursor} if self.cursor else {},
                    accept="text/event-stream",
                    timeout_seconds=CLASSIC_SILENCE_SECONDS,
                )
                if begun and self.cursor is None:
                    yield Gap("The connection was lost, and this server cannot send again.")
                begun = True
                for found in server_sent_events(self._noted(response.lines())):
                    pause = FIRST_PAUSE_SECONDS
                    self.cursor = found.id or self.cursor
                    if not found.data:
                        if found.id and self.on_place:
                            self.on_place(found.id)
                        continue
                    value = decoded(found.data)
                    if not isinstance(value, dict):
                        continue
                    tag = str(value.get("tag", found.fields.get("tag", "")))
                    if self._tags and not any(fnmatch.fnmatchcase(tag, t) for t in self._tags):
                        continue
                    if found.id is None or self._is_new(found.id):
                        yield Event(tag, value.get("data"), found.id)
            except (errors.NotReachable, errors.Unavailable):
                if not self._api.reached:
                    raise
            self._closed.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def event_name(cursor: str) -> str:
    """Return what all ids of an event have in common: its time and its checksum."""
    return "-".join(cursor.split("-")[:2])
