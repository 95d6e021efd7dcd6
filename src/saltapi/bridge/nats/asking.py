"""The side of an exchange that asks another master (`exchanges`)."""

import contextlib
import os
import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple, Self

from saltapi.bridge.nats.bucket import AWAY_ERRORS
from saltapi.bridge.nats.connection import AWAY, Connection
from saltapi.bridge.nats.exchanges import (
    BROKEN,
    BUSY,
    END,
    HANDSHAKE_SECONDS,
    ID_BYTES,
    MORE,
    QUESTION,
    SILENCE_SECONDS,
    Line,
    Subjects,
)
from saltapi.errors import MasterUnavailable, ServiceBusy, StoreUnavailable

RETRY_SECONDS = 2
GONE = "The master of this job does not answer any more."


class _Part(NamedTuple):
    head: dict[str, Any] | None
    body: bytes
    end: int


class Asked:
    """A question to another master, and its answer; close it."""

    def __init__(self, line: Line, more: str) -> None:
        self._line = line
        self._more = more
        self._part = _Part(None, b"", MORE)
        self._is_taken = True
        """Whether it was said that the part was taken."""

    @classmethod
    async def ask(
        cls, connection: Connection, secret: bytes, subjects: Subjects, master: str, question: Any
    ) -> Self:
        """
        Ask *master*; it has begun to answer when this returns.

        Raises:
            MasterUnavailable: No process of it answers; it has done nothing.
            ServiceBusy: It answers too many already; it has done nothing.
            BodyTooLarge: The question is larger than the servers take.
            StoreUnavailable: The servers are away.
        """
        client = await connection.client()
        line = Line(client, secret, os.urandom(ID_BYTES).hex(), says=QUESTION)
        asked = cls(line, subjects.of_more(line.exchange))
        answer = subjects.of_answer(line.exchange)
        try:
            await line.listen(answer)
            load = {"at": time.time(), "master": master, "question": question}
            await line.say(subjects.of_master(master), load, reply=answer)
            await asked._shake_hands(master)
        except AWAY_ERRORS as error:
            await line.close()
            raise StoreUnavailable(AWAY) from error
        except BaseException:
            await line.close()
            raise
        return asked

    async def _shake_hands(self, master: str) -> None:
        try:
            first = await self._line.hear(HANDSHAKE_SECONDS)
        except TimeoutError:
            raise MasterUnavailable(
                f"The master {master} does not answer; try again later."
            ) from None
        if first == BUSY:
            raise ServiceBusy(
                f"The master {master} answers too many others; try again later.",
                retry_after_seconds=RETRY_SECONDS,
            )
        self._line.rekey(bytes(first))
        await self._line.say(self._more, True)

    async def head(self) -> dict[str, Any]:
        """
        Return what the answer begins with.

        Raises:
            MasterUnavailable: It has begun, and says no more; or the servers are away.
        """
        while self._part.head is None:
            await self._next()
        return self._part.head

    async def parts(self) -> AsyncIterator[bytes]:
        """
        Yield the rest of the answer, after its head.

        Raises:
            MasterUnavailable: It ends before its end.
        """
        while True:
            if self._part.body:
                yield self._part.body
            if self._part.end == END:
                return
            await self._next()

    async def _next(self) -> None:
        """Take the next part, after saying that the one before was taken."""
        try:
            if not self._is_taken:
                await self._line.say(self._more, True)
            self._part = _Part(*await self._line.hear(SILENCE_SECONDS))
        except (TimeoutError, TypeError, *AWAY_ERRORS) as error:
            raise MasterUnavailable(GONE) from error
        self._is_taken = False
        if self._part.end == BROKEN:
            raise MasterUnavailable(GONE)

    async def close(self) -> None:
        """Let the other side know that nobody takes the rest; idempotent."""
        if self._part.end == MORE:
            with contextlib.suppress(Exception):
                await self._line.say(self._more, False)
            self._part = _Part(None, b"", END)
        await self._line.close()
