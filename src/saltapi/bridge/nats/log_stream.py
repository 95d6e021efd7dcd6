"""
A stream of JetStream's to which several writers append, each to a part of its own.

What is appended says which message of the part is the newest that the writer knows, and is refused
if that is another one by now: so a writer that was away can neither overtake nor repeat what
somebody else has written in its place. Reading takes some messages at a time and leaves nothing at
the servers.
"""

import asyncio
import datetime
import json
import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import api
from nats.js.client import JetStreamContext
from nats.js.errors import APIError, BadRequestError, NoStreamResponseError, NotFoundError

from saltapi.bridge.nats.bucket import AWAY_ERRORS, NO_STREAM, WRONG_REVISION
from saltapi.bridge.nats.connection import ANSWER_SECONDS, AWAY, Connection
from saltapi.bridge.nats.names import text_of, token_of
from saltapi.config.event_log import EventLogSection
from saltapi.config.shared_store import StoreSection
from saltapi.errors import StoreUnavailable

log = logging.getLogger(__name__)
T = TypeVar("T")

READ_MESSAGES = 8
"""So many messages are read at once."""
READ_BYTES = 1024 * 1024
"""So many bytes of them, if one alone has no more."""
READ_SECONDS = 3.0
NOT_FOUND, END, NO_ANSWER = "404", "204", "503"
FIRST = 1
"""The number of a stream's first message."""


class Stored(NamedTuple):
    """One message of the stream."""

    number: int
    part: str
    data: bytes


class Tick(NamedTuple):
    """Somebody has appended a message."""

    number: int
    part: str


class LogStream:
    """
    The stream, by a connection that others may use, too.

    Every method raises `StoreUnavailable` if the servers are away; nothing is tried again here.
    """

    def __init__(
        self, connection: Connection, store: StoreSection, section: EventLogSection
    ) -> None:
        """
        Args:
            connection: To the servers.
            store: Says what the bucket is called: the stream is called after it.
            section: How much is kept.
        """
        self._connection = connection
        self._section = section
        self._copies = store.copies
        self.name = f"{store.bucket}-events"
        self._subject = f"{store.bucket}.events"
        self._ticks = f"{store.bucket}.stored"
        self._subscribed: tuple[Client, Subscription] | None = None
        self._said = ""
        self.identity = ""
        """Tells this stream from one of the same name that was there before; "" before `open`."""

        self.first = 0
        """The number of the first message that had not expired at the last `open`."""

    async def open(self) -> int:
        """Find the stream, or make it; return the number of its last message."""
        info = await self._ask(self._open)
        created = info.created.timestamp() if info.created is not None else 0.0
        self.identity = f"{int(created * 1000) & 0xFFFFFFFF:x}"
        self.first = info.state.first_seq
        return info.state.last_seq

    async def append(self, part: str, data: bytes, last: int) -> int | None:
        """
        Append *data*; return its number, or None if another message is the newest of *part*.

        Args:
            part: Whose the message is.
            data: At most `most_bytes`.
            last: The number of the newest message of *part*; 0 if there is none.
        """
        headers = {str(api.Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value): str(last)}
        subject = self._subject_of(part)

        async def publish(js: JetStreamContext) -> int | None:
            try:
                ack = await js.publish(subject, data, timeout=ANSWER_SECONDS, headers=headers)
            except APIError as error:
                if error.err_code in WRONG_REVISION:
                    return None
                raise
            return ack.seq

        number = await self._ask(publish)
        if number is not None:
            await self._tell(number, part)
        return number

    async def last(self, part: str) -> Stored | None:
        """Return the newest message of *part*, as the leader knows it; None if there is none."""

        async def read(js: JetStreamContext) -> Stored | None:
            try:
                found = await js.get_last_msg(self.name, self._subject_of(part))
            except NotFoundError as error:
                if error.err_code == NO_STREAM:
                    raise NoStreamResponseError from error
                return None
            return Stored(found.seq or 0, part, found.data or b"")

        return await self._ask(read)

    async def parts(self) -> list[str]:
        """Return whose messages there are."""

        async def read(js: JetStreamContext) -> list[str]:
            info = await js.stream_info(self.name, subjects_filter=f"{self._subject}.*")
            subjects = info.state.subjects or {}
            return [text_of(subject.rpartition(".")[2]) for subject in subjects]

        return await self._ask(read)

    async def read(self, first: int, *, part: str | None = None) -> list[Stored]:
        """Return some messages from the number *first* on, of *part* or of all; none at the end."""
        return await self._read({"seq": max(first, FIRST)}, part)

    async def read_since(self, moment: float, *, part: str | None = None) -> list[Stored]:
        """Same as `read`, from the first message that was appended since *moment* (epoch) on."""
        when = datetime.datetime.fromtimestamp(moment, datetime.UTC).isoformat()
        return await self._read({"start_time": when}, part)

    async def most_bytes(self) -> int:
        """Return how large a message may be."""
        return (await self._connection.client()).max_payload

    async def listen(self, hear: Callable[[Tick], None]) -> None:
        """Let *hear* be called when somebody appends something, as long as the connection is."""
        client = await self._connection.client()
        if self._subscribed is not None and self._subscribed[0] is client:
            return

        async def heard(message: Msg) -> None:
            number, _, token = message.data.decode("ascii", "replace").partition(" ")
            if number.isdigit() and token:
                hear(Tick(int(number), text_of(token)))

        try:
            self._subscribed = client, await client.subscribe(self._ticks, cb=heard)
        except AWAY_ERRORS as error:
            raise StoreUnavailable(AWAY) from error

    async def _tell(self, number: int, part: str) -> None:
        """Wake those who wait for messages; whoever is not reached looks by itself."""
        try:
            client = await self._connection.client()
            await client.publish(self._ticks, f"{number} {token_of(part)}".encode())
        except AWAY_ERRORS:
            log.debug("It could not be said that something was appended.", exc_info=True)

    async def _read(self, where: dict[str, int | str], part: str | None) -> list[Stored]:
        subject = f"{self._subject}.*" if part is None else self._subject_of(part)
        wanted = {"batch": READ_MESSAGES, "max_bytes": READ_BYTES, "next_by_subj": subject, **where}
        client = await self._connection.client()
        inbox = client.new_inbox()
        try:
            replies = await client.subscribe(inbox)
            try:
                request = f"$JS.API.DIRECT.GET.{self.name}"
                await client.publish(request, json.dumps(wanted).encode(), reply=inbox)
                async with asyncio.timeout(READ_SECONDS):
                    return await self._replies(replies)
            finally:
                await replies.unsubscribe()
        except AWAY_ERRORS as error:
            raise StoreUnavailable(AWAY) from error

    async def _replies(self, replies: Subscription) -> list[Stored]:
        found: list[Stored] = []
        while True:
            message = await replies.next_msg(timeout=None)
            headers = message.headers or {}
            status = headers.get("Status")
            if status in {END, NOT_FOUND}:
                return found
            if status is not None:
                raise NoStreamResponseError
            token = headers["Nats-Subject"].rpartition(".")[2]
            found.append(Stored(int(headers["Nats-Sequence"]), text_of(token), message.data))

    async def _open(self, js: JetStreamContext) -> api.StreamInfo:
        try:
            info = await js.stream_info(self.name)
        except NotFoundError:
            try:
                return await js.add_stream(self._wanted())
            except BadRequestError:  # somebody else has made it meanwhile, a little different
                return await js.stream_info(self.name)
        there, section = info.config, self._section
        if (there.max_age, there.max_bytes) != (section.max_age, section.max_bytes):
            info = await js.update_stream(self._wanted())
        return info

    def _wanted(self) -> api.StreamConfig:
        return api.StreamConfig(
            name=self.name,
            subjects=[f"{self._subject}.*"],
            max_age=self._section.max_age,
            max_bytes=self._section.max_bytes,
            discard=api.DiscardPolicy.OLD,
            storage=api.StorageType.FILE,
            num_replicas=self._copies,
            allow_direct=True,
            deny_delete=True,
        )

    async def _ask(self, function: Callable[[JetStreamContext], Awaitable[T]]) -> T:
        try:
            return await function(await self._connection.jetstream())
        except AWAY_ERRORS as error:
            if isinstance(error, APIError) and str(error) != self._said:
                self._said = str(error)
                log.error("The stream %s refuses: %s", self.name, error)  # noqa: TRY400
            raise StoreUnavailable(AWAY) from error

    def _subject_of(self, part: str) -> str:
        return f"{self._subject}.{token_of(part)}"
