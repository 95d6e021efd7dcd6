"""What became of the commands that went through this process, counted."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from typing import Any

from saltapi.bridge.jobs.job_events import has_failed
from saltapi.bridge.jobs.state_results import counts_of
from saltapi.errors import AuthenticationFailed, AuthorizationFailed, NoMinionsMatched
from saltapi.interfaces import Kind
from saltapi.lowstate import Command
from saltapi.types import ReturnData

JOB_OUTCOMES = ("complete", "incomplete", "started", "refused", "no_minions", "left", "error")
RETURN_OUTCOMES = ("returned", "failed", "missing")
STATE_RESULTS = ("succeeded", "changed", "failed", "would_change")


class Tallies:
    """Counts jobs, returns and states. A job without a client is a question of our own."""

    def __init__(self) -> None:
        self.jobs: Counter[tuple[str, str]] = Counter()
        """By client interface and one of `JOB_OUTCOMES`."""
        self.returns: Counter[tuple[str, str]] = Counter()
        """By client interface and one of `RETURN_OUTCOMES`."""
        self.states: Counter[str] = Counter()
        """States that minions returned, by one of `STATE_RESULTS`; what changed also counts as
        succeeded or failed."""

    def job(self, client: str, outcome: str) -> None:
        """Count a job that has ended, or was not waited for."""
        if client:
            self.jobs[client, outcome] += 1

    def returned(self, client: str, data: ReturnData | None) -> None:
        """Count what a minion or a function returned; None for a minion that did not."""
        if not client:
            return
        if data is None:
            self.returns[client, "missing"] += 1
            return
        self.returns[client, "failed" if has_failed(data) else "returned"] += 1
        if (counts := counts_of(data.get("return"))) is not None:
            self.states.update(counts.plain())

    async def counted(self, command: Command, result: Awaitable[Any] | AsyncIterator[Any]) -> Any:
        """Return what *result* gives; of what is no job of minions, count what came of it."""
        if isinstance(result, AsyncIterator):
            return result
        client, interface = command.client, command.interface
        try:
            found = await result
        except Exception as error:
            if interface.kind is not Kind.LOCAL:
                self.job(client, outcome_of(error))
            raise
        if interface.kind is not Kind.LOCAL:
            self.job(client, "complete" if interface.waits else "started")
        return found


def outcome_of(error: BaseException) -> str:
    """Return what became of a command that ended with *error*."""
    if isinstance(error, AuthorizationFailed | AuthenticationFailed):
        return "refused"
    return "no_minions" if isinstance(error, NoMinionsMatched) else "error"
