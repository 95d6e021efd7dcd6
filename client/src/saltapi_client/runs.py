"""Commands under way: their records as they come, each once, also when connections are lost."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import quote

from saltapi_client import errors
from saltapi_client.api import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, NDJSON_TYPE, Api
from saltapi_client.connections import Response
from saltapi_client.records import (
    Failure,
    JobStarted,
    MinionReturn,
    Record,
    Stage,
    StateResult,
    Summary,
    record_from,
)
from saltapi_client.streams import json_lines

SILENCE_SECONDS = 60.0
"""A stream that is silent for so long is lost; the server sends something every few seconds."""
PATIENCE_SECONDS = 300.0
"""How long a stream that was lost is asked for."""
RESUMED_CODES = frozenset({"stopping", "authentication", "master_unavailable"})
"""Ends of a stream after which the job goes on, and is asked for again."""
LASTING = (JobStarted, MinionReturn, StateResult, Summary)
"""Records that come once; with each of them a stream has come further."""


class Run(Protocol):
    """
    A command under way. Iterate over it for its records; the last one of a job is its summary.

    Attributes:
        jids: The jobs that are known so far.
        key: The idempotency key it was sent with; None where the server knows none.
    """

    jids: list[str]
    key: str | None

    def __iter__(self) -> Iterator[Record]: ...

    def __next__(self) -> Record: ...

    def close(self) -> None:
        """Stop listening; the jobs go on."""


class Records:
    """Base of runs: makes an iterator of a generator, and adds the known jids to errors."""

    def __init__(self) -> None:
        self.jids: list[str] = []
        self.key: str | None = None
        self._closed = threading.Event()
        self._response: Response | None = None
        self._made: Iterator[Record] | None = None

    def __iter__(self) -> Iterator[Record]:
        return self

    def __next__(self) -> Record:
        if self._made is None:
            self._made = self._records()
        try:
            record = next(self._made)
        except errors.Error as error:
            if self._closed.is_set():
                raise StopIteration from None
            error.jids = list(dict.fromkeys([*self.jids, *error.jids]))
            raise
        self._note(record.jid)
        return record

    def close(self) -> None:
        """Stop listening, also while another thread waits for the next record."""
        self._closed.set()
        response = self._response
        if response is not None:
            response.close()

    def _note(self, jid: str | None) -> None:
        if jid and jid not in self.jids:
            self.jids.append(jid)

    def _records(self) -> Iterator[Record]:
        raise NotImplementedError


class V1Run(Records):
    """A run of `/v1`, or what goes on with a job there."""

    def __init__(
        self,
        api: Api,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        key: str | None = None,
        after: str | None = None,
        chunks: int = 1,
    ) -> None:
        """
        Args:
            api: The server.
            path: What is posted to; or the events of a job, if *body* is None.
            body: What is posted.
            query: The URL's parameters.
            key: The idempotency key; a new one, if it is None and there is a body.
            after: The id of the last record that is known of a job.
            chunks: How many commands there are.
        """
        super().__init__()
        self._api = api
        self._path, self._body, self._query = path, body, dict(query or {})
        self._chunks = chunks
        self._ended = 0
        self._last_id = after
        self._events_path: str | None = path if body is None else None
        self._seen: set[tuple[Any, ...]] = set()
        self._states: dict[tuple[int, str], set[int]] = {}
        if body is not None:
            self.key = key or os.urandom(16).hex()

    def _records(self) -> Iterator[Record]:
        lost_at: float | None = None
        pause = FIRST_PAUSE_SECONDS
        while not self._closed.is_set():
            opened = time.monotonic()
            why: errors.Error = errors.StreamEnded("The server ends the stream again and again.")
            try:
                self._response = response = self._open()
                for jid in response.headers.get("X-Salt-Jid", "").split(","):
                    self._note(jid.strip())
                if response.status == 204:
                    return
                for raw in json_lines(response.lines()):
                    record = record_from(raw)
                    if isinstance(record, Failure) and self._goes_on(record):
                        break
                    self._note_place(record)
                    if self._is_new(record):
                        if isinstance(record, LASTING):
                            lost_at, pause = None, FIRST_PAUSE_SECONDS
                        yield record
                        if isinstance(record, Failure):
                            return
                        self._ended += isinstance(record, Summary)
                if self._ended >= self._chunks:
                    return
            except errors.NotReachable as error:
                if self._closed.is_set():
                    return
                if not self._can_repeat:
                    raise
                why = error
            now = time.monotonic()
            if lost_at is None or now - opened > LONGEST_PAUSE_SECONDS:
                lost_at = now
            if now - lost_at > PATIENCE_SECONDS:
                raise why
            self._closed.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    @property
    def _can_repeat(self) -> bool:
        """Whether the server was there at all: what is down from the start is an error."""
        return bool(self.jids) or self._api.reached

    def _open(self) -> Response:
        if self._events_path is not None:
            headers = {"Last-Event-ID": self._last_id} if self._last_id else {}
            return self._api.open(
                "GET",
                self._events_path,
                query={k: v for k, v in self._query.items() if k == "progress"},
                headers=headers,
                accept=NDJSON_TYPE,
                timeout_seconds=SILENCE_SECONDS,
            )
        return self._api.open(
            "POST",
            self._path,
            query=self._query,
            body=self._body,
            headers={"Idempotency-Key": self.key or ""},
            accept=NDJSON_TYPE,
            timeout_seconds=SILENCE_SECONDS,
            repeatable=True,  # by its key
        )

    def _note_place(self, record: Record) -> None:
        """Note where the stream goes on: at the job's URL, if it is one job and has one."""
        if record.id:
            self._last_id = record.id
        if self._body is None or self._chunks > 1 or not isinstance(record, JobStarted):
            return
        has_place = bool(record.jid and record.id and record.raw.get("url"))
        self._events_path = events_path(record.jid or "") if has_place else None

    def _goes_on(self, record: Failure) -> bool:
        return str(record.error.get("code")) in RESUMED_CODES and bool(self._events_path)

    def _is_new(self, record: Record) -> bool:
        """Return whether *record* was not there before; progress always is."""
        if isinstance(record, StateResult):
            seen = self._states.setdefault((record.chunk, record.minion), set())
            is_new = record.number not in seen
            seen.add(record.number)
            return is_new
        if isinstance(record, JobStarted):
            identity: tuple[Any, ...] = ("job", record.chunk, record.jid)
        elif isinstance(record, MinionReturn):
            identity = ("return", record.chunk, record.jid, record.minion)
        elif isinstance(record, Summary):
            identity = ("summary", record.chunk)
        elif isinstance(record, Stage):
            identity = ("stage", record.chunk, record.number, record.state)
        else:
            return True
        if identity in self._seen:
            return False
        self._seen.add(identity)
        return True


def events_path(jid: str) -> str:
    """Return the path of a job's records."""
    return f"/v1/jobs/{quote(jid, safe='')}/events"
