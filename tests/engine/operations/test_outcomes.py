"""What came of each chunk is told again as it was, or not at all."""

from types import SimpleNamespace
from typing import Any

import pytest

from saltapi.config import EngineConfig
from saltapi.engine.operations import outcomes
from saltapi.engine.store.idempotency import Keyed
from saltapi.errors import (
    AuthorizationFailed,
    CommandTimeout,
    MalformedAnswer,
    MasterUnavailable,
    OutcomeUnknown,
    SaltApiError,
    Stopping,
    WorkerFailed,
)
from saltapi.lowstate import check


class Kept(Keyed):
    """A reservation that says what it was told."""

    def __init__(self, count: int) -> None:
        chunk = {"client": "local", "tgt": "*", "fun": "test.ping", "token": "0" * 64}
        command = check(chunk, EngineConfig(netapi_enable_clients=["local"]))
        idempotency: Any = SimpleNamespace(store=None)
        super().__init__(idempotency, "key", "request")
        self.jids, self.commands = [None] * count, [command] * count
        self.refused: SaltApiError | None = None

    async def done(self, results: Any) -> None:
        """Answer as `Keyed.done`."""
        self.results = list(results)

    async def failed(self, error: SaltApiError) -> None:
        """Answer as `Keyed.failed`."""
        self.refused = error


async def test_told_again() -> None:
    """Results and errors come back as they were, with class, text and place."""
    late = CommandTimeout("It did not come in time.")
    late.index = 1
    reservation = Kept(2)
    await outcomes.keep(reservation, [{"minion-1": True}, late])
    result, error = outcomes.kept(reservation)

    assert {"minion-1": True} == result
    assert (type(late), str(late)) == (type(error), str(error))


def unsent() -> MasterUnavailable:
    """Return the error for a request that has not reached the master."""
    error = MasterUnavailable("It is not available.")
    error.sent = False
    return error


@pytest.mark.parametrize("error", [AuthorizationFailed("no"), unsent()])
async def test_nothing_has_run(error: SaltApiError) -> None:
    """What was refused before anything ran is not kept: the key can be used again."""
    reservation = Kept(2)
    await outcomes.keep(reservation, [error])

    assert error is reservation.refused
    assert None is reservation.results


@pytest.mark.parametrize("before", [[], [{"minion-1": True}]], ids=["first", "second"])
@pytest.mark.parametrize(
    "error",
    [
        MasterUnavailable("It went away."),
        MalformedAnswer("The event publisher is dead."),
        WorkerFailed("The worker died."),
        Stopping("The server stops."),
        SaltApiError("A defect."),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_not_known(before: list[Any], error: SaltApiError) -> None:
    """Whatever does not say that nothing was started leaves it open, and the key is not free."""
    reservation = Kept(2)
    await outcomes.keep(reservation, [*before, error])

    assert None is reservation.refused
    assert None is reservation.results
    with pytest.raises(OutcomeUnknown):
        outcomes.kept(reservation)
