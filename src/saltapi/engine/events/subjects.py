"""
What an event of the bus is about: a job on minions, a function of the master, a key, a minion.

A job's function and user are in its `new` event only; they are remembered for the events that
follow it, of a bounded number of jobs.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saltapi.bridge.bus.events import Event, JobStart
from saltapi.bridge.bus.job_starts import JobStarts
from saltapi.bridge.bus.tags import EXPECTED, JOBS, STATE_RESULT, Kind, TagParts
from saltapi.types import Jid, MinionId

JIDS_LIMIT = 20_000
"""So many jobs are remembered, the newest."""
OF_MINIONS = "_minion_event"
"""What the master writes as `cmd` into an event that a minion has sent."""


@dataclass(frozen=True, slots=True)
class Subject:
    """
    What one event is about.

    Attributes:
        kind: What sort of thing.
        user: Who started the job; None if that is not known for sure.
        funs: The functions of the job; empty if they are not known.
        minions: The minions that it is about; None for all that the job may have.
        event: The event itself.
    """

    kind: Kind
    event: Event
    user: str | None = None
    funs: tuple[str, ...] = ()
    minions: frozenset[MinionId] | None = None

    def arguments(self) -> list[Any] | None:
        """Return the arguments of each of `funs`, as far as the event says them."""
        data = self.event.data
        args = data.get("arg", data.get("fun_args"))
        if not isinstance(args, list):
            return None
        if len(self.funs) == 1 and not isinstance(data.get("fun"), list):
            return [args]
        return args if len(args) == len(self.funs) else None


class Subjects:
    """Tells what events are about; sees all of them (`Hub.observe`)."""

    def __init__(self, starts: JobStarts) -> None:
        """
        Args:
            starts: Tells which `new` events are believed; of other jobs nothing is known.
        """
        self._starts = starts
        self._jobs: OrderedDict[Jid, JobStart] = OrderedDict()
        self._last: Subject | None = None

    def note(self, event: Event) -> None:
        """Remember the job that *event* announces, if it is such an event."""
        tag = event.parts
        if not tag.is_new or tag.jid is None or tag.jid in self._jobs:
            return
        if not self._starts.believes(event):
            return
        self._jobs[tag.jid] = _started(event.data)
        if len(self._jobs) > JIDS_LIMIT:
            self._jobs.popitem(last=False)

    def start_of(self, event: Event) -> JobStart | None:
        """Return how the job of *event* began, if that is known for sure."""
        if event.origin is not None:
            return event.origin.start
        return self._jobs.get(str(event.parts.jid))

    def of(self, event: Event) -> Subject:
        """Return what *event* is about; found out once, however many ask one after the other."""
        if self._last is None or self._last.event is not event:
            self._last = self._find(event)
        return self._last

    def _find(self, event: Event) -> Subject:
        tag = event.parts
        if tag.syndics > 1:  # what is below the next master's own is not looked into
            return _of_minion(event, None)
        if tag.kind is Kind.JOB:
            return self._job(event, tag)
        if tag.kind in JOBS:
            return self._function(event, tag)
        if tag.kind in {Kind.KEY, Kind.PRESENCE}:
            return Subject(tag.kind, event)
        return _of_minion(event, tag.name)

    def _job(self, event: Event, tag: TagParts) -> Subject:
        started = self.start_of(event)
        name = tag.name or ""
        if tag.part == "error":
            # Refused before anybody was authenticated: the user in it is only what was claimed.
            return Subject(Kind.JOB, event, None, _functions(event.data))
        if started is None:
            # What a minion says of the user is not to be relied on.
            own = tag.part == "new" and not tag.syndics
            started = _started(event.data) if own else JobStart(None, _functions(event.data))
        minions: frozenset[MinionId] | None = None
        if tag.part in {"prog", "sub"}:
            minions = frozenset({name.split("/")[0]})
        elif tag.part in {"ret", STATE_RESULT}:
            minions = frozenset({name})
        elif tag.part in {"new", EXPECTED}:
            minions = _names(event.data.get("minions"))
        return Subject(Kind.JOB, event, started.user, started.funs, minions)

    def _function(self, event: Event, tag: TagParts) -> Subject:
        started = self.start_of(event) or _started(event.data)
        funs = tuple(fun.removeprefix(f"{tag.kind}.") for fun in started.funs)
        return Subject(tag.kind, event, started.user, funs)


def _of_minion(event: Event, minion: MinionId | None) -> Subject:
    """Return the subject of what a minion has sent, or of what nothing is known about."""
    data = event.data
    if data.get("cmd") == OF_MINIONS and isinstance(data.get("id"), str):
        minion = data["id"]
    if minion is None:
        return Subject(Kind.OTHER, event)
    return Subject(Kind.MINION, event, minions=frozenset({minion}))


def _started(data: Mapping[str, Any]) -> JobStart:
    user = data.get("user")
    return JobStart(user if isinstance(user, str) else None, _functions(data))


def _functions(data: Mapping[str, Any]) -> tuple[str, ...]:
    fun = data.get("fun")
    funs: Sequence[Any] = fun if isinstance(fun, list) else [fun]
    return tuple(funs) if all(isinstance(name, str) for name in funs) else ()


def _names(value: Any) -> frozenset[MinionId] | None:
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return frozenset(value)
    return None
