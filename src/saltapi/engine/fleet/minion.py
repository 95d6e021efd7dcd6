"""One minion: when it was seen, and what it did last."""

from dataclasses import dataclass
from sys import intern
from typing import Any

from saltapi.bridge.fleet.minion_data import Summary
from saltapi.bridge.jobs.state_results import Counts
from saltapi.types import Jid, MinionId

NOTHING = Summary(None, None, (), None)


@dataclass(frozen=True, slots=True)
class LastJob:
    """A job that a minion has returned."""

    jid: Jid
    funs: tuple[str, ...]
    fun: str
    user: str | None
    """Who started it, as far as that is sure."""
    failed: bool
    at: float
    """When it returned, in epoch seconds."""


@dataclass(frozen=True, slots=True)
class LastHighstate:
    """A highstate that a minion has returned."""

    job: LastJob
    counts: Counts | None
    test: bool

    @property
    def result(self) -> str:
        """`failed`, `would_change`, `changed` or `succeeded`."""
        if self.job.failed or self.counts is None or self.counts.failed:
            return "failed"
        if self.counts.would_change:
            return "would_change"
        return "changed" if self.counts.changed else "succeeded"


class Minion:
    """What the bus has told of a minion, and what is kept of its data."""

    __slots__ = (
        "highstate",
        "id",
        "job",
        "key_act",
        "lost_at",
        "places",
        "refused",
        "seen_at",
        "seen_by",
        "started_at",
        "summary",
    )

    def __init__(self, minion: MinionId) -> None:
        """
        Args:
            minion: Its id.
        """
        self.id = minion
        self.summary: Summary = NOTHING
        self.places: tuple[str, ...] | None = None
        """Where its connection may come from; None until `Presences` has worked that out."""
        self.seen_at: float | None = None
        """When it last gave a sign of life, in epoch seconds."""
        self.seen_by: str | None = None
        """Which: `return`, `auth`, `start`, `beacon`, `event`, `presence`, or `data`."""
        self.lost_at: float | None = None
        """When it last gave none though it should have."""
        self.started_at: float | None = None
        """When it last said that it has started."""
        self.key_act: tuple[float, str] | None = None
        """When something was last done with its key, and what: `accept`, `reject`."""
        self.refused: tuple[float, str] | None = None
        """When the master last refused somebody who came under its id, and how."""
        self.job: LastJob | None = None
        self.highstate: LastHighstate | None = None

    def take(self, summary: Summary) -> None:
        """Take what the master has cached of it."""
        self.summary, self.places = summary, None

    def seen(self, at: float, by: str) -> None:
        """Note a sign of life."""
        if self.seen_at is None or at >= self.seen_at:
            self.seen_at, self.seen_by = at, intern(by)

    @property
    def is_silent(self) -> bool:
        """Whether it has given no sign of life since it should have."""
        lost_at = self.lost_at
        return lost_at is not None and (self.seen_at is None or lost_at > self.seen_at)


def is_highstate(fun: Any, args: Any) -> bool:
    """Return whether a function with these arguments applies all that is meant for the minion."""
    if fun not in ("state.highstate", "state.apply"):
        return False
    listed = args if isinstance(args, list) else []
    return fun == "state.highstate" or all(
        isinstance(arg, dict) and not arg.get("mods") for arg in listed
    )


def is_test(args: Any) -> bool:
    """Return whether a state run with these arguments only says what it would change."""
    listed = args if isinstance(args, list) else []
    return any(isinstance(arg, dict) and arg.get("test") is True for arg in listed)
