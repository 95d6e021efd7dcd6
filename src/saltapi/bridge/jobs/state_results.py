"""
Results of states, as minions return them and as they tell of each while they run.

A state run returns one mapping by tag (`<module>_|-<id>_|-<name>_|-<function>`). With
`state_events=True`, or the minion's option of this name, each state is told of besides when it is
done: `salt/job/<jid>/prog/<minion>/<n>` (`salt.state.State.event`). Such an event does not name the
state's function, and whoever may fire events can write anything into one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from saltapi.bridge.bus.events import Event
from saltapi.bridge.bus.tags import Kind
from saltapi.types import MinionId

PROGRESS = "prog"
"""The part of the tag of an event that tells of one state."""
TAG_MARK = "_|-"
STATES_LIMIT = 10_000
"""States of a run that are told apart; those after them come with the return alone."""
PLACEHOLDERS = ("Started in a separate process", "Waiting to be started in a separate process")
"""How the comments of states begin that run in parallel and have no result yet."""


@dataclass(frozen=True, slots=True)
class StateResult:
    """What came of one state."""

    number: int
    """Which state of the run it was, from 1."""
    id: Any
    fun: str | None
    """`<module>.<function>`; None where only an event has told of it."""
    name: Any
    result: bool | None
    changes: Any
    comment: Any
    duration_ms: float | None
    start: str | None
    """The time of day on the minion's clock."""
    sls: Any = None


@dataclass(slots=True)
class Counts:
    """How many states of a run came to what."""

    succeeded: int = 0
    changed: int = 0
    """Those with changes, whether they succeeded or failed."""
    failed: int = 0
    would_change: int = 0
    """Those of a dry run that are not as they should be (`result: null`)."""

    def add(self, result: Any, changes: Any) -> None:
        """Count one state."""
        if result is None:
            self.would_change += 1
            return
        self.changed += bool(changes)
        if result is False:
            self.failed += 1
        else:
            self.succeeded += 1

    def add_all(self, other: "Counts") -> None:
        """Count what *other* has counted."""
        self.succeeded += other.succeeded
        self.changed += other.changed
        self.failed += other.failed
        self.would_change += other.would_change

    def plain(self) -> dict[str, int]:
        """Return the counts by name."""
        return {
            "succeeded": self.succeeded,
            "changed": self.changed,
            "failed": self.failed,
            "would_change": self.would_change,
        }


def are_states(value: Any) -> bool:
    """Return whether *value*, what a function has returned, are the results of states."""
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(
            isinstance(tag, str)
            and tag.count(TAG_MARK) >= 3
            and isinstance(found, Mapping)
            and "result" in found
            for tag, found in value.items()
        )
    )


def counts_of(value: Any) -> Counts | None:
    """Return how many states of a return came to what; None if it holds no states."""
    if not are_states(value):
        return None
    counts = Counts()
    for found in value.values():
        counts.add(found.get("result"), found.get("changes"))
    return counts


def states_of(value: Any) -> list[StateResult]:
    """Return the states of a return in the order in which they ran; none if it holds none."""
    if not are_states(value):
        return []
    found = [_of_tag(tag, data, at) for at, (tag, data) in enumerate(value.items())]
    return sorted(found, key=lambda state: state.number)


def read(event: Event) -> tuple[MinionId, int | None, StateResult] | None:
    """
    Return the minion, how many states it runs, and the state that *event* tells of.

    None if it tells of none, if tag and data contradict, or if the state has no result yet.
    """
    tag = event.parts
    if tag.kind is not Kind.JOB or tag.syndics or tag.part != PROGRESS or not tag.name:
        return None
    minion, _, number = tag.name.partition("/")
    load = event.data
    data = load.get("data")
    if load.get("id") != minion or load.get("jid") != tag.jid or not isinstance(data, Mapping):
        return None
    found = data.get("ret")
    if not isinstance(found, Mapping) or "result" not in found or not number.isdecimal():
        return None
    if len(number) > 6 or not 0 <= int(number) < STATES_LIMIT or _is_placeholder(found):
        return None
    length = data.get("len")
    of = length if isinstance(length, int) and not isinstance(length, bool) else None
    return minion, of, _result(found, int(number) + 1, found.get("__id__"), None)


def _is_placeholder(found: Mapping[str, Any]) -> bool:
    comment = found.get("comment")
    return (
        found.get("result") is None
        and isinstance(comment, str)
        and comment.startswith(PLACEHOLDERS)
    )


def _of_tag(tag: str, found: Mapping[str, Any], at: int) -> StateResult:
    module, _, rest = tag.partition(TAG_MARK)
    middle, _, function = rest.rpartition(TAG_MARK)
    number = found.get("__run_num__")
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        number = at
    id_ = found.get("__id__", middle.partition(TAG_MARK)[0])
    return _result(found, number + 1, id_, f"{module}.{function}")


def _result(found: Mapping[str, Any], number: int, id_: Any, fun: str | None) -> StateResult:
    result, duration, start = found.get("result"), found.get("duration"), found.get("start_time")
    return StateResult(
        number=number,
        id=id_,
        fun=fun,
        name=found.get("name"),
        result=result if result is None else result is not False,
        changes=found.get("changes"),
        comment=found.get("comment"),
        duration_ms=_milliseconds(duration),
        start=start if isinstance(start, str) else None,
        sls=found.get("__sls__"),
    )


def _milliseconds(value: Any) -> float | None:
    """Return a duration; some states write it as `12.5 ms`."""
    if isinstance(value, str):
        try:
            return float(value.removesuffix("ms"))
        except ValueError:
            return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return None
