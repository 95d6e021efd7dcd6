"""Turns: slots that many want, given to one of each user in turn, however many of one wait."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from saltapi.errors import ServiceBusy, TooManyRequests

caller: ContextVar[str] = ContextVar("saltapi_caller", default="")
"""Who makes requests to the master in this context; "" for nobody in particular."""

RETRY_AFTER_SECONDS = 5
"""When somebody who found all places taken may come back."""


def call_as(name: str, eauth: str) -> None:
    """Make the requests of this context, and of tasks that begin in it, those of a user."""
    caller.set(f"{name} {eauth}")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many requests of one class there may be; 0 for any number, without any that wait."""

    at_once: int
    user_at_once: int
    queue_requests: int
    user_queue_requests: int
    queue_seconds: float


@dataclass(slots=True)
class _User:
    running: int = 0
    waiting: OrderedDict[asyncio.Future[None], None] = field(default_factory=OrderedDict)


class FairSlots:
    """
    The slots of one class of requests, on one event loop.

    Each operation takes the same time however many wait, and needs no task.
    """

    def __init__(self, name: str, bounds: Bounds) -> None:
        """
        Args:
            name: What the requests are called in sentences: `commands`.
            bounds: How many may run, and how many may wait.
        """
        self._name = name
        self._bounds = bounds
        self._users: dict[str, _User] = {}
        self._turns: OrderedDict[str, None] = OrderedDict()
        """Users who wait and have not all of their slots, in the order of their turns."""
        self.running = 0
        """How many requests have a slot."""
        self.waiting = 0
        """How many wait for one."""

    @asynccontextmanager
    async def hold(self, user: str) -> AsyncIterator[None]:
        """
        Hold a slot for *user*, after waiting for it in turn.

        Raises:
            TooManyRequests: The user has taken all that one user may.
            ServiceBusy: Everything is taken.
        """
        await self.acquire(user)
        try:
            yield
        finally:
            self.release(user)

    async def acquire(self, user: str, *, queue_seconds: float | None = None) -> None:
        """
        Take a slot for *user*, who gives it back by `release`; else as `hold`.

        Args:
            user: Whose request it is.
            queue_seconds: How long to wait for it, where that is not what the bounds say.
        """
        found = self._users.setdefault(user, _User())
        if not self._turns and self._has_room() and self._may_run(found):
            self._start(found)
            return
        try:
            self._check_queue(found)
            seconds = self._bounds.queue_seconds if queue_seconds is None else queue_seconds
            await self._wait(user, found, seconds)
        finally:
            self._forget_idle(user, found)

    def release(self, user: str) -> None:
        """Give back a slot of *user*; whoever's turn it is gets it."""
        found = self._users[user]
        found.running -= 1
        self.running -= 1
        if found.waiting and user not in self._turns:
            self._turns[user] = None
        self._forget_idle(user, found)
        self._serve()

    def _has_room(self) -> bool:
        return not self._bounds.at_once or self.running < self._bounds.at_once

    def _may_run(self, found: _User) -> bool:
        return not self._bounds.user_at_once or found.running < self._bounds.user_at_once

    def _start(self, found: _User) -> None:
        found.running += 1
        self.running += 1

    def _check_queue(self, found: _User) -> None:
        own = bool(found.waiting) or not self._may_run(found)
        if own and len(found.waiting) >= self._bounds.user_queue_requests:
            raise self._too_many()
        if self.waiting >= self._bounds.queue_requests:
            raise self._busy()

    async def _wait(self, user: str, found: _User, seconds: float) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        found.waiting[turn] = None
        self.waiting += 1
        if self._may_run(found):
            self._turns.setdefault(user)
        try:
            async with asyncio.timeout(seconds):
                await turn
        except (TimeoutError, asyncio.CancelledError) as error:
            timed_out = isinstance(error, TimeoutError)
            if turn.done() and not turn.cancelled():  # the slot came in the same moment
                if timed_out:
                    return
                self.release(user)
                raise
            if turn in found.waiting:
                self._leave(user, found, turn)
            if timed_out:
                raise (self._busy() if self._may_run(found) else self._too_many()) from None
            raise

    def _leave(self, user: str, found: _User, turn: asyncio.Future[None]) -> None:
        del found.waiting[turn]
        self.waiting -= 1
        if not found.waiting:
            self._turns.pop(user, None)

    def _serve(self) -> None:
        """Give the free slots to those who wait, one to each user in turn."""
        while self._turns and self._has_room():
            user, _ = self._turns.popitem(last=False)
            found = self._users[user]
            turn, _ = found.waiting.popitem(last=False)
            self.waiting -= 1
            gone = turn.cancelled()
            if not gone:
                self._start(found)
                turn.set_result(None)
            if found.waiting and self._may_run(found):
                self._turns[user] = None
                self._turns.move_to_end(user, last=not gone)

    def _forget_idle(self, user: str, found: _User) -> None:
        if not found.running and not found.waiting and self._users.get(user) is found:
            del self._users[user]

    def _too_many(self) -> TooManyRequests:
        return TooManyRequests(
            f"You have too many {self._name} at once; wait until some have ended.",
            retry_after_seconds=RETRY_AFTER_SECONDS,
        )

    def _busy(self) -> ServiceBusy:
        return ServiceBusy(
            f"The service has too many {self._name} at once; try again later.",
            retry_after_seconds=RETRY_AFTER_SECONDS,
        )
