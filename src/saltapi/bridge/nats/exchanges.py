"""
Exchanges between masters: a question, and an answer as long as a stream, over NATS.

Whoever asks makes an id for the exchange. Everything is sealed with a key of that id and of the
secret that the machines share, each message for its direction and number: nobody else can read,
make, change or reorder one. Before anything is done, the one who answers sends a number of its
own, which becomes part of the key, and waits for a word under it: so a question that is sent again
by somebody who has heard it leads to nothing, and neither does one whose asker has given up.

The answer comes in parts. The next one is sent when the one before was taken, so nothing piles up
anywhere, and while there is nothing to say an empty one shows that the other side lives.
"""

import asyncio
import contextlib
from typing import Any

import msgpack
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from saltapi.bridge.nats.names import token_of
from saltapi.bridge.nats.sealing import ExchangeSeal
from saltapi.config import KIB
from saltapi.errors import BodyTooLarge

ID_BYTES = 16
ID_CHARACTERS = 2 * ID_BYTES
HANDSHAKE_SECONDS = 5.0
"""How long the other side may take for its first word."""
KEEP_SECONDS = 5.0
"""After so long without news there is an empty part."""
SILENCE_SECONDS = 20.0
"""After so long without any part the other master is gone."""
TAKEN_SECONDS = 60.0
"""How long a part may wait for whoever asked."""
PART_BYTES = 128 * KIB
"""How large a part of an answer is at most."""
ROOM_BYTES = 4 * KIB
"""What a message takes beside what it says."""
QUESTION, ANSWER = "question", "answer"
NO_RESPONDERS = "503"
"""The status of what the server sends when nobody hears a question."""
BUSY = "busy"
MORE, END, BROKEN = range(3)
"""What follows a part: more of them; nothing; nothing, though something should."""
WAITING_MESSAGES = 16
"""So many messages wait to be opened; who makes more of them is no side of ours."""


class Subjects:
    """Where questions and answers go: below the name of the bucket."""

    def __init__(self, bucket: str, module: str) -> None:
        """
        Args:
            bucket: The bucket's name.
            module: The section's name: modules of one name meet.
        """
        self._bucket, self._module = bucket, token_of(module)

    def of_master(self, master: str) -> str:
        """Return where the processes of *master* are asked."""
        return f"{self._bucket}.masters.{self._module}.{token_of(master)}"

    def of_answer(self, exchange: str) -> str:
        """Return where whoever asks hears."""
        return f"{self._bucket}.answers.{exchange}"

    def of_more(self, exchange: str) -> str:
        """Return where whoever answers hears."""
        return f"{self._bucket}.answers.{exchange}.more"


class Line:
    """One side of an exchange: what it says is numbered and sealed, and so is what it hears."""

    def __init__(self, client: Client, secret: bytes, exchange: str, *, says: str) -> None:
        """
        Args:
            client: The connection.
            secret: That of the machines.
            exchange: The id.
            says: Which side this is: `QUESTION` or `ANSWER`.
        """
        self.exchange = exchange
        self._client = client
        self._secret = secret
        self._seal = ExchangeSeal(secret, exchange.encode())
        self._says, self._hears = says, ANSWER if says == QUESTION else QUESTION
        self._said = self._heard = 0
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._subscription: Subscription | None = None

    async def listen(self, subject: str) -> None:
        """Hear what comes on *subject*."""
        self._subscription = await self._client.subscribe(subject, cb=self._hear)

    def rekey(self, number: bytes) -> None:
        """Let the number of the other side be part of the key from now on."""
        self._seal = ExchangeSeal(self._secret, self.exchange.encode() + number)

    @property
    def part_bytes(self) -> int:
        """How large a part of an answer may be."""
        return min(PART_BYTES, self._client.max_payload - 2 * ROOM_BYTES)

    async def say(self, subject: str, value: Any, *, reply: str = "") -> None:
        """
        Send the next message.

        Raises:
            BodyTooLarge: It is larger than the servers take.
        """
        sealed = self._sealed(value)
        if len(sealed) + ROOM_BYTES > self._client.max_payload:
            raise BodyTooLarge("The request is too large to be handed on to another master.")
        await self._client.publish(subject, sealed, reply=reply)

    def _sealed(self, value: Any) -> bytes:
        data = msgpack.packb(value, use_bin_type=True)
        sealed = self._seal.seal(self._says, self._said, data)
        is_first = self._says == QUESTION and self._said == 0
        self._said += 1
        return (self.exchange.encode() if is_first else b"") + sealed

    def read(self, sealed: bytes) -> Any:
        """Return what the next message says; None if it is not that."""
        data = self._seal.open(self._hears, self._heard, sealed)
        if data is None:
            return None
        self._heard += 1
        with contextlib.suppress(ValueError, msgpack.UnpackException):
            return msgpack.unpackb(data, raw=False)
        return None

    async def hear(self, seconds: float | None) -> Any:
        """Return the next message; `TimeoutError` after *seconds*, or if there is no other side."""
        async with asyncio.timeout(seconds):
            while (sealed := await self._queue.get()) is not None:
                value = self.read(sealed)
                if value is not None:
                    return value
        raise TimeoutError

    async def _hear(self, message: Msg) -> None:
        status = (message.headers or {}).get("Status")
        if status is None and self._queue.qsize() < WAITING_MESSAGES:
            self._queue.put_nowait(message.data)
        elif status == NO_RESPONDERS:
            self._queue.put_nowait(None)

    async def close(self) -> None:
        """Hear no more; idempotent."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()
