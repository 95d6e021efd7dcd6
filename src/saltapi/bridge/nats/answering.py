"""The side of an exchange that answers other masters (`exchanges`): one of a master's processes."""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from saltapi import seldom
from saltapi.bridge.nats.bucket import AWAY_ERRORS
from saltapi.bridge.nats.connection import Connection
from saltapi.bridge.nats.exchanges import (
    ANSWER,
    BROKEN,
    BUSY,
    END,
    HANDSHAKE_SECONDS,
    ID_BYTES,
    ID_CHARACTERS,
    KEEP_SECONDS,
    MORE,
    TAKEN_SECONDS,
    Line,
    Subjects,
)
from saltapi.errors import StoreUnavailable

log = logging.getLogger(__name__)

QUEUE = "doors"
"""The group of a master's processes, one of which gets each question."""
AGE_SECONDS = 30.0
"""How old a question may be, and how much clocks may differ."""
ANSWERED_AT_ONCE = 100
"""So many questions one process answers at the same time."""
LOOK_SECONDS = 1.0
"""How often it is seen to that this process is heard of."""


class AskerGone(Exception):
    """Nobody takes the answer any more."""


class Answer:
    """What is said to whoever asks, in parts; the next one when the one before was taken."""

    def __init__(self, line: Line, subject: str) -> None:
        self._line = line
        self._subject = subject
        self._part_bytes = line.part_bytes
        self._head: dict[str, Any] | None = None
        self._body = bytearray()
        self._end = MORE
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._taken = asyncio.Event()
        self.gone = asyncio.Event()
        """Set when nobody takes the rest."""

    def begin(self, head: dict[str, Any]) -> None:
        """Say what the answer begins with."""
        self._head = head
        self._news.set()

    async def write(self, body: bytes) -> None:
        """
        Say more, when there is room for it.

        Raises:
            AskerGone
        """
        for start in range(0, len(body), self._part_bytes):
            self._body += body[start : start + self._part_bytes]
            self._news.set()
            while len(self._body) >= self._part_bytes and not self.gone.is_set():
                self._room.clear()
                await self._room.wait()
        if self.gone.is_set():
            raise AskerGone

    def end(self, how: int = END) -> None:
        """Say that this was all; *how* is `BROKEN` where it is not. Only the first time counts."""
        self._end = self._end or how
        self._news.set()

    async def send(self) -> None:
        """Send all parts until the end, or until nobody takes them."""
        hearing = asyncio.create_task(self._hear())
        try:
            while not self.gone.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(KEEP_SECONDS):
                        await self._news.wait()
                if self.gone.is_set() or await self._send_part():
                    return
        except (TimeoutError, *AWAY_ERRORS):
            log.info("An answer to another master was not taken to its end.")
        finally:
            self.gone.set()
            self._room.set()
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)

    async def _send_part(self) -> bool:
        """Send what there is; return whether it was the end."""
        self._news.clear()
        head, self._head = self._head, None
        body = bytes(self._body[: self._part_bytes])
        del self._body[: self._part_bytes]
        end = MORE if self._body else self._end
        self._taken.clear()
        await self._line.say(self._subject, [head, body, end])
        self._room.set()
        if end != MORE:
            return True
        if self._body or self._end:
            self._news.set()
        async with asyncio.timeout(TAKEN_SECONDS):
            await self._taken.wait()
        return False

    async def _hear(self) -> None:
        while await self._line.hear(None):
            self._taken.set()
        self.gone.set()
        for event in (self._taken, self._news, self._room):
            event.set()


Answerer = Callable[[Any, Answer], Awaitable[None]]
"""Answers one question; it begins, writes and ends the answer."""


class Answering:
    """Lets other masters ask this one."""

    def __init__(
        self,
        connection: Connection,
        secret: bytes,
        subjects: Subjects,
        master: str,
        answerer: Answerer,
    ) -> None:
        """
        Args:
            connection: To the servers.
            secret: That of the machines.
            subjects: Where questions and answers go.
            master: The name of this master.
            answerer: Answers them.
        """
        self._connection = connection
        self._secret = secret
        self._subjects = subjects
        self._master = master
        self._answerer = answerer
        self._subscribed: tuple[Client, Subscription] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to hear questions, as soon as there are servers."""
        self._keeping = asyncio.create_task(self._keep(), name="saltapi-masters")

    async def stop(self) -> None:
        """Hear no more questions; those that came are answered. Idempotent."""
        keeping, self._keeping = self._keeping, None
        if keeping is not None:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
        subscribed, self._subscribed = self._subscribed, None
        if subscribed is not None:
            with contextlib.suppress(*AWAY_ERRORS):
                await subscribed[1].unsubscribe()

    async def close(self) -> None:
        """Stop, and end what is still answered; idempotent."""
        await self.stop()
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _keep(self) -> None:
        """See to it that questions reach this process; a connection may be given up for another."""
        while True:
            try:
                client = await self._connection.client()
                if self._subscribed is None or self._subscribed[0] is not client:
                    subject = self._subjects.of_master(self._master)
                    found = await client.subscribe(subject, queue=QUEUE, cb=self._hear)
                    self._subscribed = client, found
            except (StoreUnavailable, *AWAY_ERRORS):
                log.debug("Other masters cannot ask this one now.", exc_info=True)
            await asyncio.sleep(LOOK_SECONDS)

    async def _hear(self, message: Msg) -> None:
        exchange = message.data[:ID_CHARACTERS].decode("ascii", "replace")
        if self._subscribed is None or not exchange.isalnum() or len(exchange) != ID_CHARACTERS:
            return
        line = Line(self._subscribed[0], self._secret, exchange, says=ANSWER)
        load = line.read(message.data[ID_CHARACTERS:])
        if not self._is_meant(load):
            seldom.warning(
                log,
                "refused_question",
                "A message that seems to come from another master was refused: it was not sealed"
                " with the secret of saltapi_store, or is older than %d seconds.",
                AGE_SECONDS,
            )
            return
        task = asyncio.create_task(self._answer(line, load["question"]))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _is_meant(self, load: Any) -> bool:
        """Return whether a question was made by one of us, of late, and for this master."""
        return (
            isinstance(load, dict)
            and load.get("master") == self._master
            and abs(time.time() - float(load["at"])) <= AGE_SECONDS
        )

    async def _answer(self, line: Line, question: Any) -> None:
        subject = self._subjects.of_answer(line.exchange)
        try:
            if len(self._running) > ANSWERED_AT_ONCE:
                await line.say(subject, BUSY)
                return
            await line.listen(self._subjects.of_more(line.exchange))
            if await self._shakes_hands(line, subject):
                await self._tell(line, subject, question)
        except AWAY_ERRORS:
            log.debug("A question of another master could not be answered.", exc_info=True)
        finally:
            await line.close()

    async def _shakes_hands(self, line: Line, subject: str) -> bool:
        """Return whether whoever asks is there, and asks now."""
        number = os.urandom(ID_BYTES)
        await line.say(subject, number)
        line.rekey(number)
        try:
            return await line.hear(HANDSHAKE_SECONDS) is True
        except TimeoutError:
            return False

    async def _tell(self, line: Line, subject: str, question: Any) -> None:
        """Let the question be answered; where whoever asks is gone, that is all."""
        answer = Answer(line, subject)
        sending = asyncio.create_task(answer.send())
        try:
            try:
                await self._answerer(question, answer)
            except AskerGone:  # by which sending has ended
                pass
            except Exception:
                log.exception("A question of another master could not be answered.")
            answer.end(BROKEN)
            await sending
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
