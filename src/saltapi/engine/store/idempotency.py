"""
Commands with an idempotency key run once, however often the request is sent.

The jobs' ids are ours, so they are written to the store with the key before anything is published:
whatever happens then, a repeat knows which jobs to look for. What cannot be known is said and never
run again. The header is that of draft-ietf-httpapi-idempotency-key-header.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from saltapi import formats
from saltapi.config import KIB
from saltapi.engine.store.doubts import Doubts
from saltapi.engine.store.outcomes import (
    error_as_data,
    error_from_data,
    is_unknown,
    nothing_ran,
)
from saltapi.engine.store.request_keys import checked_key, fingerprint
from saltapi.engine.store.store import ShareUsed, Store
from saltapi.errors import (
    KeyReused,
    MasterUnavailable,
    OutcomeUnknown,
    SaltApiError,
    StillStarting,
    StoreUnavailable,
)
from saltapi.lowstate import Command
from saltapi.types import Jid, Session

log = logging.getLogger(__name__)

KIND = "idempotency"
RESULTS_LIMIT_BYTES = 64 * KIB
"""Larger results are not kept with the key; the jobs have them."""
LEASE_SECONDS = 8.0
"""A process that has not said for so long that it is at work has died."""
RENEW_SECONDS = 2.0
WAIT_SECONDS = 30.0
"""How long a repeat waits for what comes of the first request."""
POLL_SECONDS = 0.1

STARTING, STARTED, DONE, BROKEN = "starting", "started", "done", "broken"


class Idempotency:
    """Makes requests with a key; the keys are in the store that the processes of a module share."""

    def __init__(
        self,
        store: Store,
        *,
        seconds: float,
        new_jid: Callable[[], Jid],
        master_listens: Callable[[], Awaitable[bool]],
        doubt_seconds: float | None = None,
    ) -> None:
        """
        Args:
            store: Where the keys are.
            seconds: How long a key is remembered.
            new_jid: Makes the id of a job.
            master_listens: Tells whether requests can reach the master.
            doubt_seconds: How long the master may publish what was sent to it; None for ever.
        """
        self.doubts = Doubts(store)
        self.doubt_seconds = doubt_seconds
        self.store = store
        self.seconds = seconds
        self.master_listens = master_listens
        self._new_jid = new_jid

    @property
    def lost(self) -> bool:
        """Whether keys may have been forgotten that are not over yet."""
        lost_at = self.store.lost_at
        return lost_at is not None and time.time() < lost_at + self.seconds

    def keyed(self, key: str, *request: Any) -> "Keyed":
        """
        Return what stands for a request with the header `Idempotency-Key`.

        Args:
            key: The header's value, with or without quotes.
            request: What the request asks for: method, path, decoded body. A repeat has to ask
                for the same; credentials in it do not count.

        Raises:
            BadRequest: It cannot be a key.
        """
        return Keyed(self, checked_key(key), fingerprint(request))

    def with_jids(self, commands: Sequence[Command]) -> list[Command]:
        """Return *commands*, with the ids of their jobs where they are ours."""
        taken = {command.jid for command in commands}
        given = []
        for command in commands:
            if command.interface.our_jid and command.jid is None:
                while (jid := self._new_jid()) in taken:  # they are made of microseconds
                    time.sleep(0)
                taken.add(jid)
                command = replace(command, jid=jid)
            # What its sender has given up is not to be published: a repeat wants to know.
            given.append(replace(command, lends=True))
        return given


class Keyed:
    """
    One request with a key: the right to run its commands, or what is known of one before it.

    Attributes:
        jids: The id of each command's job; None where it is not known.
        commands: What is to be run, with the ids of the jobs where they are ours.
        repeated: Whether a request before has the right; nothing is to be run then.
        broken: Whether that request ended in the middle, so that it is not known what it started.
        results: What was kept of its results, one value for each command; None without.
    """

    def __init__(self, idempotency: Idempotency, key: str, request: str) -> None:
        """Use `Idempotency.keyed`."""
        self.jids: list[Jid | None] = []
        self.commands: list[Command] = []
        self.repeated = False
        self.broken = False
        self.results: list[Any] | None = None
        self._idempotency = idempotency
        self._store = idempotency.store
        self._key = key
        self._request = request
        self._name = ""
        self._owner = ""
        self._expire = 0.0
        self._state = STARTING
        self._open = False
        self._lock = asyncio.Lock()
        self._renewing: asyncio.Task[None] | None = None

    async def find(self, session: Session, *, ended: bool = False) -> Self | None:
        """
        Return this with what is known of the request that had the key first; None if it is new.

        Args:
            session: Who asks; keys of different users never meet.
            ended: Wait until that request has ended, not only until it has started.

        Raises:
            KeyReused: The key belongs to another request.
            StillStarting: The first request is still at work.
            StoreUnavailable
            SaltApiError: What the first request was answered with.
        """
        name = _name(session, self._key)
        found = await self._store.get(KIND, name)
        if found is not None:
            await self._learn(name, found, ended)
        self.repeated = found is not None
        return self if self.repeated else None

    async def reserve(self, session: Session, commands: Sequence[Command]) -> Self:
        """
        Return this with the right to run *commands*, or with what is known of them as in `find`.

        Call `end` when they have run.

        Raises:
            MasterUnavailable: Nothing can be run now; the key is not used up.
            ShareUsed: The user has too many keys; nothing is run.
            What `find` raises.
        """
        self._name, self._owner = _name(session, self._key), session.owner
        is_new = await self._store.get(KIND, self._name) is None
        if is_new and self._idempotency.lost:
            raise StoreUnavailable(
                "The keys of commands that have run are lost, so it cannot be known whether this"
                " one has; nothing is run. Whoever operates the server finds the way out in its"
                " log. Without an Idempotency-Key it would run."
            )
        if is_new and not await self._idempotency.master_listens():
            raise MasterUnavailable("The Salt master is not available.")
        given = self._idempotency.with_jids(commands)
        self.jids = [command.jid for command in given]
        self._expire = time.time() + self._idempotency.seconds
        found = await self._store.add(
            KIND, self._name, self._record(), expire=self._expire, owner=self._owner
        )
        if found is None:
            await self._idempotency.doubts.note(session, self.jids, self._idempotency.doubt_seconds)
            self.commands = given
            self._open = True
            self._renewing = asyncio.create_task(self._renew())
        else:
            await self._learn(self._name, found, ended=False)
        self.repeated = found is not None
        return self

    @contextlib.asynccontextmanager
    async def once(self, session: Session, commands: Sequence[Command]) -> AsyncIterator[Self]:
        """
        Reserve the right for the time of a block; an error that is raised inside is noted.

        Raises:
            What `reserve` raises.
        """
        await self.reserve(session, commands)
        try:
            yield self
        except SaltApiError as error:
            await asyncio.shield(self.failed(error))
            raise
        finally:
            await asyncio.shield(self.end())

    def outcome(self) -> list[Any]:
        """
        Return what the commands returned when they ran.

        Raises:
            OutcomeUnknown: They may have run or not, or the results were not kept.
        """
        if self.results is not None:
            return self.results
        raise self.unknown()

    def unknown(self) -> OutcomeUnknown:
        """Return the error that says what is not known, and where to look."""
        known = tuple(jid for jid in self.jids if jid)
        look = f"the jobs {', '.join(known)}" if known else "the list of jobs"
        what = (
            "was broken off, and it is not known what it has started. It is not run again"
            if self.broken
            else "has run; its results are not kept here"
        )
        return OutcomeUnknown(
            f"The first request with this Idempotency-Key {what}. Look at {look}.", jids=known
        )

    async def started(self, jids: Sequence[Jid | None]) -> None:
        """Note that all commands were started, as the jobs *jids*."""
        self.jids = list(jids)
        await self._note(STARTED)

    async def done(self, results: Sequence[Any]) -> None:
        """Keep what the commands returned, one value for each; this is the end of it."""
        await self._close(DONE, {"results": list(results)})

    async def failed(self, error: SaltApiError) -> None:
        """Note how it ended; if nothing has run, the key can be used again."""
        if self._renewing is None:
            return
        if nothing_ran(error, self.commands):
            await self._forget()
        elif is_unknown(error):
            await self._close(BROKEN)
        else:
            await self._close(DONE, {"error": error_as_data(error)})

    async def end(self) -> None:
        """Let a repeat know that nobody is at work any more; idempotent."""
        if self._renewing is not None:
            self._renewing.cancel()
        await self._close(STARTED if self._state == STARTED else BROKEN)

    async def _learn(self, name: str, found: bytes, ended: bool) -> None:
        """Take what the record *found* tells, once the first request is as far as that."""
        awaited = {STARTING, STARTED} if ended else {STARTING}
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            record = json.loads(found)
            if record["request"] != self._request:
                raise KeyReused(
                    "This Idempotency-Key was used for another request; make a new key for each."
                )
            if record["state"] not in awaited or record["lease"] < time.time():
                break
            if time.monotonic() > deadline:
                raise StillStarting(
                    "The first request with this Idempotency-Key is still at work; ask again."
                )
            await asyncio.sleep(POLL_SECONDS)
            again = await self._store.get(KIND, name)
            if again is None:
                raise StillStarting(
                    "The first request with this Idempotency-Key was refused, and nothing has run;"
                    " send it again."
                )
            found = again
        if "error" in record:
            raise error_from_data(record["error"])
        self.jids = record["jids"]
        self.broken = record["state"] in {STARTING, BROKEN}
        self.results = record.get("results")

    async def _note(self, state: str) -> None:
        """Write how far it is."""
        async with self._lock:
            if self._open:
                self._state = state
                await self._put()

    async def _close(self, state: str, outcome: Mapping[str, Any] | None = None) -> None:
        """Write what came of it; idempotent."""
        async with self._lock:
            if self._open:
                self._open = False
                self._state = state
                await self._put(outcome)

    async def _forget(self) -> None:
        """Give the key back."""
        async with self._lock:
            self._open = False
            with _not_in_the_way():
                await self._store.remove(KIND, self._name)
                await self._idempotency.doubts.end(self.jids)

    async def _renew(self) -> None:
        """Say now and then that this process is at work."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            await self._note(self._state)

    async def _put(self, outcome: Mapping[str, Any] | None = None) -> None:
        value = self._record(outcome)
        if len(value) > RESULTS_LIMIT_BYTES:
            value = self._record()
        with _not_in_the_way():
            try:
                await self._write(value)
            except ShareUsed:
                await self._write(self._record())

    async def _write(self, value: bytes) -> None:
        await self._store.put(KIND, self._name, value, expire=self._expire, owner=self._owner)

    def _record(self, outcome: Mapping[str, Any] | None = None) -> bytes:
        facts = {
            "state": self._state,
            "request": self._request,
            "jids": self.jids,
            "lease": time.time() + LEASE_SECONDS if self._state in {STARTING, STARTED} else 0,
        }
        return formats.dump_json({**facts, **(outcome or {})})


@contextlib.contextmanager
def _not_in_the_way() -> Iterator[None]:
    """Let the commands go on where the store fails: a repeat then learns that nothing is known."""
    try:
        yield
    except (StoreUnavailable, ShareUsed):
        log.warning("What came of a request with an idempotency key could not be noted.")


def _name(session: Session, key: str) -> str:
    parts = json.dumps([session.eauth, session.name, key])
    return hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()
