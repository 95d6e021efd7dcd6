"""
A bucket of small values in JetStream, each until it expires; many write to it at the same time.

What has been confirmed was written by most of the servers. A value carries a text of its own, so
that whoever writes it and gets no answer can see whether it was written. All reading goes to the
leader, because another server may be behind.
"""

import asyncio
import logging
import math
import os
import struct
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import nats.errors
from nats.js import api
from nats.js.client import JetStreamContext
from nats.js.errors import (
    APIError,
    BadRequestError,
    NoStreamResponseError,
    NotFoundError,
    ServerError,
    ServiceUnavailableError,
)

from saltapi.bridge.nats.connection import ANSWER_SECONDS, AWAY, Connection
from saltapi.bridge.nats.names import text_of, token_of
from saltapi.config.shared_store import StoreSection
from saltapi.errors import StoreUnavailable

log = logging.getLogger(__name__)
T = TypeVar("T")

DEADLINE_SECONDS = 4.0
"""How long it is tried: the servers choose another leader within seconds."""
PAUSE_SECONDS = 0.1
REST_SECONDS = 1.0
"""How long it is not tried again when that was in vain."""
TRIES = 20
"""So often a value is looked at again that others change at the same time."""
MARKER_SECONDS = 120.0
"""How long it is known that a value was taken away."""
LISTED_AT_ONCE = 50
VALUE_BYTES = 512 * 1024
WRONG_REVISION = frozenset({10071, 10164})
"""What the server says if the value is another one by now (JSStreamWrongLastSequence…)."""
NO_STREAM = 10059
AWAY_ERRORS = (
    nats.errors.Error,
    NoStreamResponseError,
    ServerError,
    ServiceUnavailableError,
    TimeoutError,
    OSError,
)
HEAD = struct.Struct(">Bd8s")
VERSION = 1
IDENTITY = "identity"


@dataclass(frozen=True, slots=True)
class _Found:
    """What stands under a name: a value, or that there is none any more."""

    value: bytes
    expire: float
    mark: bytes
    revision: int

    @property
    def live(self) -> bool:
        return self.expire > time.time()


class Bucket:
    """
    Values by name; a name is a list of texts.

    Every method raises `StoreUnavailable` if the servers are away, or too few of them agree.
    """

    def __init__(
        self, section: StoreSection, name: str, connection: Connection | None = None
    ) -> None:
        """
        Args:
            section: The servers, and the bucket's name.
            name: What the servers call us.
            connection: One that others use, too; closed with the bucket all the same.
        """
        self._section = section
        self._connection = connection or Connection(section, name)
        self._stream = f"KV_{section.bucket}"
        self._open = False
        self._opening = asyncio.Lock()
        self._rest_until = 0.0
        self.on_open: Callable[[str], Awaitable[None]] | None = None
        """Called with the id of the bucket when it was opened: another one has another id."""

    async def get(self, *name: str) -> bytes | None:
        """Return the value; None if there is none, or it has expired."""
        found = await self._read(self._subject(name))
        return found.value if found is not None and found.live else None

    async def put(self, *name: str, value: bytes, expire: float) -> None:
        """Put *value* until *expire*, in seconds since the epoch, whatever was there."""
        packed = HEAD.pack(VERSION, expire, os.urandom(8)) + value
        await self._write(self._subject(name), packed, expire, None)

    async def create(self, *name: str, value: bytes, expire: float) -> bytes | None:
        """Put *value* unless there is one; None if it was put, else what was there."""
        subject, mark = self._subject(name), os.urandom(8)
        packed = HEAD.pack(VERSION, expire, mark) + value
        revision = 0
        for _ in range(TRIES):
            if await self._write(subject, packed, expire, revision):
                return None
            found = await self._read(subject)
            if found is not None and found.mark == mark:  # the answer was lost
                return None
            if found is not None and found.live:
                return found.value
            revision = 0 if found is None else found.revision
        raise StoreUnavailable(AWAY)

    async def replace(self, *name: str, old: bytes, new: bytes, expire: float) -> bytes | None:
        """Put *new* if the value is *old*; return what was there before."""
        mark = os.urandom(8)
        packed = HEAD.pack(VERSION, expire, mark) + new
        return await self._swap(name, packed, mark, expire, lambda value: value == old)

    async def take(self, *name: str) -> bytes | None:
        """Return the value and remove it: only one caller ever gets it."""
        mark = os.urandom(8)
        gone = HEAD.pack(VERSION, 0.0, mark)
        return await self._swap(name, gone, mark, time.time() + MARKER_SECONDS, lambda _: True)

    async def items(self, *name: str, limit: int) -> dict[str, bytes]:
        """Return the values whose name begins with *name*, by the rest of it; *limit* at most."""
        prefix = f"{self._subject(name)}."
        subjects = await self._ask(lambda js: self._subjects(js, prefix))
        values: dict[str, bytes] = {}
        names = sorted(subjects)
        for start in range(0, len(names), LISTED_AT_ONCE):
            some = names[start : start + LISTED_AT_ONCE]
            found = await asyncio.gather(*map(self._read, some))
            values.update(
                (text_of(subject.removeprefix(prefix)), one.value)
                for subject, one in zip(some, found, strict=True)
                if one is not None and one.live
            )
            if len(values) >= limit:
                break
        return dict(sorted(values.items())[:limit])

    async def look(self) -> None:
        """Return if the servers answer."""
        await self._read(self._subject([IDENTITY]))

    async def close(self) -> None:
        """End the connection; idempotent."""
        await self._connection.close()

    async def _swap(
        self,
        name: tuple[str, ...],
        packed: bytes,
        mark: bytes,
        expire: float,
        wanted: Callable[[bytes], bool],
    ) -> bytes | None:
        """Put *packed* in place of a value that is *wanted*; return the value."""
        subject, seen = self._subject(name), None
        for _ in range(TRIES):
            found = await self._read(subject)
            if found is not None and found.mark == mark:  # the answer was lost
                return seen
            if found is None or not found.live:
                return None
            if not wanted(found.value):
                return found.value
            seen = found.value
            if await self._write(subject, packed, expire, found.revision):
                return seen
        raise StoreUnavailable(AWAY)

    async def _read(self, subject: str) -> _Found | None:
        async def read(js: JetStreamContext) -> _Found | None:
            try:
                message = await js.get_last_msg(self._stream, subject)
            except NotFoundError as error:
                if error.err_code == NO_STREAM:
                    raise NoStreamResponseError from error
                return None
            data = message.data or b""
            if len(data) < HEAD.size or data[0] != VERSION:
                return None
            _, expire, mark = HEAD.unpack_from(data)
            return _Found(data[HEAD.size :], expire, mark, message.seq or 0)

        return await self._ask(read)

    async def _write(
        self, subject: str, packed: bytes, expire: float, revision: int | None
    ) -> bool:
        """Write if the newest value has *revision* (0: there is none); tell whether it had."""
        if len(packed) > VALUE_BYTES:
            raise StoreUnavailable("This is too large to be kept.")
        seconds = max(1, math.ceil(expire - time.time()) + 1)

        async def write(js: JetStreamContext) -> bool:
            headers = {}
            if revision is not None:
                headers[str(api.Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value)] = str(revision)
            try:
                await js.publish(
                    subject, packed, timeout=ANSWER_SECONDS, headers=headers, msg_ttl=seconds
                )
            except APIError as error:
                if error.err_code in WRONG_REVISION:
                    return False
                raise
            return True

        return await self._ask(write)

    async def _ask(self, function: Callable[[JetStreamContext], Awaitable[T]]) -> T:
        """Ask the servers, again and again for `DEADLINE_SECONDS`."""
        now = time.monotonic()
        if now < self._rest_until:
            raise StoreUnavailable(AWAY)
        deadline = now + DEADLINE_SECONDS
        while True:
            js = await self._connection.jetstream()
            try:
                if not self._open:
                    await self._open_bucket(js)
                return await function(js)
            except APIError as error:
                if not isinstance(error, ServerError | ServiceUnavailableError):
                    log.error("The bucket %s refuses: %s", self._section.bucket, error)  # noqa: TRY400
                    raise StoreUnavailable(AWAY) from error
                cause: Exception = error
            except AWAY_ERRORS as error:
                cause = error
            self._open = self._open and not isinstance(cause, NoStreamResponseError)
            if time.monotonic() + PAUSE_SECONDS > deadline:
                self._rest_until = time.monotonic() + REST_SECONDS
                log.error("The servers of saltapi_store do not answer: %r", cause)
                raise StoreUnavailable(AWAY) from cause
            await asyncio.sleep(PAUSE_SECONDS)

    async def _open_bucket(self, js: JetStreamContext) -> None:
        """Find the bucket, or make it; it has an id, by which another one is recognised."""
        async with self._opening:
            if self._open:
                return
            try:
                info = await js.stream_info(self._stream)
            except NotFoundError:
                info = await self._make(js)
            if not info.config.allow_msg_ttl:
                raise StoreUnavailable(
                    f"The bucket {self._section.bucket} knows no expiry; it takes NATS 2.11."
                )
            found = await self._identify(js)
            if self.on_open is not None:
                await self.on_open(found)
            self._open = True

    async def _make(self, js: JetStreamContext) -> api.StreamInfo:
        try:
            return await js.add_stream(
                name=self._stream,
                subjects=[f"$KV.{self._section.bucket}.>"],
                max_msgs_per_subject=1,
                max_bytes=self._section.max_bytes,
                max_msg_size=VALUE_BYTES + 1024,
                discard=api.DiscardPolicy.NEW,
                storage=api.StorageType.FILE,
                num_replicas=self._section.copies,
                allow_direct=True,
                allow_rollup_hdrs=True,
                allow_msg_ttl=True,
                deny_delete=True,
            )
        except BadRequestError:  # somebody else has made it meanwhile, a little different
            return await js.stream_info(self._stream)

    async def _identify(self, js: JetStreamContext) -> str:
        subject = self._subject([IDENTITY])
        last = {str(api.Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value): "0"}
        value = HEAD.pack(VERSION, math.inf, os.urandom(8)) + os.urandom(16).hex().encode()
        try:
            await js.publish(subject, value, timeout=ANSWER_SECONDS, headers=last)
        except APIError as error:
            if error.err_code not in WRONG_REVISION:
                raise
        message = await js.get_last_msg(self._stream, subject)
        return (message.data or b"")[HEAD.size :].decode("ascii", "replace")

    async def _subjects(self, js: JetStreamContext, prefix: str) -> list[str]:
        info = await js.stream_info(self._stream, subjects_filter=f"{prefix}>")
        return list(info.state.subjects or {})

    def _subject(self, name: Sequence[str]) -> str:
        return ".".join(["$KV", self._section.bucket, *map(token_of, name)])
