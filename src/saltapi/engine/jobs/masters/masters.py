"""
Other masters, each with doors of its own: what is asked there, and what they ask here.

What travels is sealed with the secret of `saltapi_store`. Who may do what is decided where it is
done: a question carries the token with which somebody asks, and is answered like any request.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from saltapi.bridge.nats.answering import Answering
from saltapi.bridge.nats.asking import Asked
from saltapi.bridge.nats.connection import Connection
from saltapi.bridge.nats.exchanges import Subjects
from saltapi.bridge.nats.sealing import secret_of
from saltapi.errors import MasterUnavailable, ServiceBusy

if TYPE_CHECKING:
    from saltapi.bridge.nats.answering import Answerer
    from saltapi.config.shared_store import StoreSection

ASKED_AT_ONCE = 100
"""So many questions of one process are answered by other masters at the same time."""
RETRY_SECONDS = 2
FORGET_SECONDS = 60.0
"""After so long without a question it is not known any more since when a master is away."""


class Masters:
    """The other masters, as one process of this one knows them."""

    def __init__(self, section: StoreSection, module: str, name: str) -> None:
        """
        Args:
            section: The servers, and the secret.
            module: The name of the section: modules of one name meet.
            name: What the others call this master.

        Raises:
            CannotStart: A file that *section* names cannot be used.
        """
        self.name = name
        self._connection = Connection(section, f"saltapi {module} of {name}")
        self._secret = secret_of(section.secret_file)
        self._subjects = Subjects(section.bucket, module)
        self._answering: Answering | None = None
        self.answerer: Answerer | None = None
        """Answers what others ask; set before the start."""
        self._asked = 0
        self._away: dict[str, tuple[float, float]] = {}
        """Since when masters do not answer, and when they were asked last."""
        self.asked_total = 0
        """How many requests were handed on to others."""
        self.answered_total = 0
        """How many of others were answered here."""

    async def ask(self, master: str, question: dict[str, Any]) -> Asked:
        """
        Ask another master; close what is returned, with `release`.

        Raises:
            MasterUnavailable: No process of it answers; it has done nothing.
            ServiceBusy: Too much is asked at the same time, here or there; it has done nothing.
            BodyTooLarge, StoreUnavailable
        """
        if self._asked >= ASKED_AT_ONCE:
            raise ServiceBusy(
                "Too many requests wait for other masters; try again later.",
                retry_after_seconds=RETRY_SECONDS,
            )
        self._asked += 1
        try:
            asked = await Asked.ask(
                self._connection, self._secret, self._subjects, master, question
            )
        except BaseException as error:
            self._asked -= 1
            if isinstance(error, MasterUnavailable):
                self._note_away(master)
            raise
        self._away.pop(master, None)
        self.asked_total += 1
        return asked

    def away_seconds(self, master: str) -> float:
        """Return for how long a master was asked in vain."""
        since, last = self._away.get(master, (0.0, 0.0))
        return last - since

    def _note_away(self, master: str) -> None:
        now = time.monotonic()
        since, last = self._away.get(master, (now, now))
        self._away[master] = (since if now - last < FORGET_SECONDS else now), now

    async def release(self, asked: Asked) -> None:
        """Let go of what `ask` has returned; once."""
        self._asked -= 1
        await asked.close()

    def start(self) -> None:
        """Let others ask this master."""
        if self.answerer is not None:
            self._answering = Answering(
                self._connection, self._secret, self._subjects, self.name, self._counted
            )
            self._answering.start()

    async def close(self) -> None:
        """Be asked no more, and end what is answered; idempotent."""
        if self._answering is not None:
            await self._answering.close()
        await self._connection.close()

    async def _counted(self, question: Any, answer: Any) -> None:
        assert self.answerer is not None  # noqa: S101 - by `start`
        self.answered_total += 1
        await self.answerer(question, answer)
