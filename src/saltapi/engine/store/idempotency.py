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
from dataclasses import dataclass, field, replace
from typing import Any

from saltapi import errors, formats
from saltapi.config import KIB
from saltapi.engine.store.sqlite import ShareUsed, Store
from saltapi.errors import (
    AuditUnavailable,
    AuthenticationFailed,
    AuthorizationFailed,
    BadRequest,
    Conflict,
    KeyReused,
    MasterUnavailable,
    NoMinionsMatched,
    OutcomeUnknown,
    SaltApiError,
    ServiceBusy,
    StillStarting,
    StoreUnavailable,
    TooManyRequests,
)
from saltapi.lowstate import CREDENTIAL_KEYS, Command
from saltapi.types import Jid, Session

log = logging.getLogger(__name__)

KIND = "idempotency"
KEY_LIMIT_CHARACTERS = 255
RESULTS_LIMIT_BYTES = 64 * KIB
"""Larger results are not kept with the key; the jobs have them."""
LEASE_SECONDS = 8.0
"""A process that has not said for so long that it is at work has died."""
RENEW_SECONDS = 2.0
WAIT_SECONDS = 30.0
"""How long a repeat waits for what comes of the first request."""
POLL_SECONDS = 0.1

STARTING, STARTED, DONE, BROKEN = "starting", "started", "done", "broken"
NOTHING_RAN = (
    AuditUnavailable,
    AuthenticationFailed,
    AuthorizationFailed,
    BadRequest,
    Conflict,
    NoMinionsMatched,
    ServiceBusy,
    TooManyRequests,
)


@dataclass(slots=True)
class Reservation:
    """
    The right to run the commands of one request, or what is known of a request before.

    Attributes:
        jids: The id of each command's job; None where it is not known.
        commands: What is to be run, with the ids of the jobs where they are ours.
        repeated: Whether a request before has the right; nothing is to be run then.
        broken: Whether that request ended in the middle, so that it is not known what it started.
        results: What was kept of its results, one value for each command; None without.
    """

    jids: list[Jid | None]
    commands: list[Command] = field(default_factory=list)
    repeated: bool = False
    broken: bool = False
    results: list[Any] | None = None
    _keeper: "_Keeper | None" = None

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
        if self._keeper is not None:
            await self._keeper.write(STARTED, self.jids)

    async def done(self, results: Sequence[Any]) -> None:
        """Keep what the commands returned, one value for each; this is the end of it."""
        if self._keeper is not None:
            await self._keeper.close(DONE, self.jids, {"results": list(results)})

    async def failed(self, error: SaltApiError) -> None:
        """Note how it ended; if nothing has run, the key can be used again."""
        if self._keeper is None:
            return
        if _nothing_ran(error, self.commands):
            await self._keeper.forget()
        elif isinstance(error, MasterUnavailable):
            await self._keeper.close(BROKEN, self.jids)
        else:
            await self._keeper.close(DONE, self.jids, {"error": error_as_data(error)})

    async def end(self) -> None:
        """Say that nobody is at work any more; idempotent."""
        if self._keeper is not None:
            await self._keeper.end()


class Idempotency:
    """Keeps the keys of one module's users in the store that its processes share."""

    def __init__(
        self,
        store: Store,
        *,
        seconds: float,
        new_jid: Callable[[], Jid],
        master_listens: Callable[[], Awaitable[bool]],
    ) -> None:
        """
        Args:
            store: Where the keys are.
            seconds: How long a key is remembered.
            new_jid: Makes the id of a job.
            master_listens: Tells whether requests can reach the master.
        """
        self._store = store
        self._seconds = seconds
        self._new_jid = new_jid
        self._master_listens = master_listens

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

    async def find(
        self, session: Session, key: str, request: str, *, ended: bool = False
    ) -> Reservation | None:
        """
        Return what is known of the request that had *key* first, once it has started; or None.

        Args:
            session: Who asks; keys of different users never meet.
            key: The key.
            request: The fingerprint of the request.
            ended: Wait until that request has ended.

        Raises:
            KeyReused: The key belongs to another request.
            StillStarting: The first request is still at work.
            StoreUnavailable
            SaltApiError: What the first request was answered with.
        """
        name = _name(session, key)
        found = await self._store.get(KIND, name)
        return None if found is None else await self._known(name, request, found, ended)

    async def reserve(
        self, session: Session, key: str, request: str, commands: Sequence[Command]
    ) -> Reservation:
        """
        Return the right to run *commands*, or what is known of them as `find` does.

        Raises:
            MasterUnavailable: Nothing can be run now; the key is not used up.
            ShareUsed: The user has too many keys; nothing is run.
            What `find` raises.
        """
        name = _name(session, key)
        if await self._store.get(KIND, name) is None and not await self._master_listens():
            raise MasterUnavailable("The Salt master is not available.")
        given = self._with_jids(commands)
        jids = [command.jid for command in given]
        expire = time.time() + self._seconds
        keeper = _Keeper(self._store, name, request, expire, session.owner)
        found = await keeper.add(jids)
        if found is None:
            return Reservation(jids, given, _keeper=keeper)
        return await self._known(name, request, found, ended=False)

    async def _known(self, name: str, request: str, found: bytes, ended: bool) -> Reservation:
        awaited = {STARTING, STARTED} if ended else {STARTING}
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            record = json.loads(found)
            if record["request"] != request:
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
        return Reservation(
            record["jids"],
            repeated=True,
            broken=record["state"] in {STARTING, BROKEN},
            results=record.get("results"),
        )

    def _with_jids(self, commands: Sequence[Command]) -> list[Command]:
        taken = {command.jid for command in commands}
        given = []
        for command in commands:
            if command.interface.our_jid and command.jid is None:
                while (jid := self._new_jid()) in taken:  # they are made of microseconds
                    time.sleep(0)
                taken.add(jid)
                command = replace(command, jid=jid)
            given.append(command)
        return given


@dataclass(slots=True)
class Keyed:
    """One request with a key; `repeated` tells, after it was answered, whether it was a repeat."""

    idempotency: Idempotency
    key: str
    request: str
    repeated: bool = False

    async def find(self, session: Session, *, ended: bool = False) -> Reservation | None:
        """Same as `Idempotency.find`, for this request."""
        found = await self.idempotency.find(session, self.key, self.request, ended=ended)
        self.repeated = found is not None
        return found

    async def reserve(self, session: Session, commands: Sequence[Command]) -> Reservation:
        """Same as `Idempotency.reserve`, for this request; call `end` on what it returns."""
        found = await self.idempotency.reserve(session, self.key, self.request, commands)
        self.repeated = found.repeated
        return found

    @contextlib.asynccontextmanager
    async def once(
        self, session: Session, commands: Sequence[Command]
    ) -> AsyncIterator[Reservation]:
        """
        Yield the reservation of the request's *commands*; an error that is raised inside is noted.

        Raises:
            What `Idempotency.reserve` raises.
        """
        reservation = await self.reserve(session, commands)
        try:
            yield reservation
        except SaltApiError as error:
            await asyncio.shield(reservation.failed(error))
            raise
        finally:
            await asyncio.shield(reservation.end())


class _Keeper:
    """The record of one key while its first request is at work."""

    def __init__(self, store: Store, name: str, request: str, expire: float, owner: str) -> None:
        self._store = store
        self._owner = owner
        self._name = name
        self._request = request
        self._expire = expire
        self._state = STARTING
        self._jids: list[Jid | None] = []
        self._open = False
        self._lock = asyncio.Lock()
        self._renewing: asyncio.Task[None] | None = None

    async def add(self, jids: Sequence[Jid | None]) -> bytes | None:
        """Write the key; None if that was done, else the record that was there."""
        self._jids = list(jids)
        found = await self._store.add(
            KIND, self._name, self._record(), expire=self._expire, owner=self._owner
        )
        if found is None:
            self._open = True
            self._renewing = asyncio.create_task(self._renew())
        return found

    async def write(self, state: str, jids: Sequence[Jid | None]) -> None:
        """Write how far it is."""
        async with self._lock:
            if self._open:
                self._state, self._jids = state, list(jids)
                await self._put({})

    async def close(
        self, state: str, jids: Sequence[Jid | None], outcome: Mapping[str, Any] | None = None
    ) -> None:
        """Write what came of it; idempotent."""
        async with self._lock:
            if self._open:
                self._open = False
                self._state, self._jids = state, list(jids)
                await self._put(outcome or {})

    async def forget(self) -> None:
        """Give the key back."""
        async with self._lock:
            self._open = False
            with _not_in_the_way():
                await self._store.remove(KIND, self._name)

    async def end(self) -> None:
        """Let a repeat know that nobody is at work any more; idempotent."""
        if self._renewing is not None:
            self._renewing.cancel()
        await self.close(STARTED if self._state == STARTED else BROKEN, self._jids)

    async def _renew(self) -> None:
        """Say now and then that this process is at work."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            await self.write(self._state, self._jids)

    async def _put(self, outcome: Mapping[str, Any]) -> None:
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
            "jids": self._jids,
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


def checked_key(text: str) -> str:
    """
    Return the key in the header's value: a string in quotes, as the draft has it, or without.

    Raises:
        BadRequest: It is empty, too long or not printable.
    """
    key = text.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not key or len(key) > KEY_LIMIT_CHARACTERS or not (key.isascii() and key.isprintable()):
        raise BadRequest(
            f"Idempotency-Key must be 1 to {KEY_LIMIT_CHARACTERS} printable ASCII characters."
        )
    return key


def fingerprint(request: Any) -> str:
    """Return a text that differs for requests that ask for something else."""
    text = json.dumps(_without_credentials(request), sort_keys=True, default=repr)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _without_credentials(value: Any) -> Any:
    """Return *value*, a request, without the credentials that its chunks hold."""
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items() if key not in CREDENTIAL_KEYS}
    if isinstance(value, list | tuple):
        return [_without_credentials(item) for item in value]
    return value


def _name(session: Session, key: str) -> str:
    parts = json.dumps([session.eauth, session.name, key])
    return hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()


def _nothing_ran(error: SaltApiError, commands: Sequence[Command]) -> bool:
    """Return whether *error*, at the first of *commands*, means that none of them was started."""
    if error.completed or error.index or not commands or not commands[0].interface.is_one_request:
        return False
    if isinstance(error, MasterUnavailable):
        return not error.sent
    return isinstance(error, NOTHING_RAN)


def error_as_data(error: SaltApiError) -> dict[str, Any]:
    """Return an error as plain values."""
    return {
        "code": error.code,
        "message": Exception.__str__(error),
        "index": error.index,
        "completed": list(error.completed),
    }


def error_from_data(data: Mapping[str, Any]) -> SaltApiError:
    """Return the error that `error_as_data` was given."""
    kind = next((k for k in _kinds(SaltApiError) if k.code == data["code"]), SaltApiError)
    error = kind.__new__(kind)
    Exception.__init__(error, data["message"])
    error.index = data["index"]
    error.completed = tuple(data["completed"])
    return error


def _kinds(kind: type[SaltApiError]) -> list[type[SaltApiError]]:
    found = [kind]
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            found += _kinds(child)
    return found
