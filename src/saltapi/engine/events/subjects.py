"""
What an event of the bus is about: a job on minions, a function of the master, a key, a minion.

A job's function and user are in its `new` event only; they are remembered for the events that
follow it, of a bounded number of jobs.
"""

import enum
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saltapi.bridge.bus.events import Event
from saltapi.bridge.bus.job_starts import JobStarts
from saltapi.types import Jid, MinionId

JIDS_LIMIT = 20_000
"""So many jobs are remembered, the newest."""
BARE_JID = re.compile(r"\d{20}")
MASTER_FUNCTIONS = {"run": "runner", "wheel": "wheel"}
MINION_TAGS = frozenset({"minion", "beacon", "refresh"})
OF_MINIONS = "_minion_event"
"""What the master writes as `cmd` into an event that a minion has sent."""


class Kind(enum.Enum):
    """What sort of thing an event is about."""

    JOB = "job"
    RUNNER = "runner"
    WHEEL = "wheel"
    KEY = "key"
    PRESENCE = "presence"
    MINION = "minion"
    OTHER = "other"


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


@dataclass(frozen=True, slots=True)
class _Started:
    user: str | None
    funs: tuple[str, ...]


class Subjects:
    """Tells what events are about; sees all of them (`Hub.observe`)."""

    def __init__(self, starts: JobStarts) -> None:
        """
        Args:
            starts: Tells which `new` events are believed; of other jobs nothing is known.
        """
        self._starts = starts
        self._jobs: OrderedDict[Jid, _Started] = OrderedDict()
        self._last: Subject | None = None

    def note(self, event: Event) -> None:
        """Remember the job that *event* announces, if it is such an event."""
        tag = event.tag
        if not tag.endswith("/new") or not tag.startswith(
            ("salt/job/", "salt/run/", "salt/wheel/")
        ):
            return
        parts = tag.split("/")
        if len(parts) != 4 or parts[2] in self._jobs or not self._starts.believes(event):
            return
        self._jobs[parts[2]] = _started(event.data)
        if len(self._jobs) > JIDS_LIMIT:
            self._jobs.popitem(last=False)

    def of(self, event: Event) -> Subject:
        """Return what *event* is about; found out once, however many ask one after the other."""
        if self._last is None or self._last.event is not event:
            self._last = self._find(event)
        return self._last

    def _find(self, event: Event) -> Subject:
        parts = event.tag.split("/")
        if parts[0] == "syndic" and len(parts) > 2:
            parts = parts[2:]  # as the master below has tagged it
        if len(parts) == 1 and BARE_JID.match(parts[0]):
            return self._job(event, parts[0], "new", "")
        if parts[0] == "key":
            return Subject(Kind.KEY, event)
        what = parts[1] if parts[0] == "salt" and len(parts) > 1 else ""
        if what == "job" and len(parts) > 3:
            kind, name = (parts[3], "/".join(parts[4:]))
            return self._job(event, parts[2], kind, name)
        if what == "state_result" and len(parts) > 3:
            return self._job(event, parts[2], "ret", parts[3])
        if what in MASTER_FUNCTIONS and len(parts) > 2:
            return self._function(event, parts[2], MASTER_FUNCTIONS[what])
        if what in {"key", "auth"}:
            return Subject(Kind.KEY, event)
        if what == "presence":
            return Subject(Kind.PRESENCE, event)
        return _of_minion(event, parts[2] if what in MINION_TAGS and len(parts) > 2 else None)

    def _job(self, event: Event, jid: Jid, part: str, name: str) -> Subject:
        started = self._jobs.get(jid)
        if part == "error":
            # Refused before anybody was authenticated: the user in it is only what was claimed.
            return Subject(Kind.JOB, event, None, _functions(event.data))
        if started is None:
            # What a minion says of the user is not to be relied on.
            own = part == "new" and event.tag.startswith("salt/job/")
            started = _started(event.data) if own else _Started(None, _functions(event.data))
        minions: frozenset[MinionId] | None = None
        if part in {"prog", "sub"}:
            minions = frozenset({name.split("/")[0]})
        elif part == "ret":
            minions = frozenset({name})
        elif part == "new":
            minions = _names(event.data.get("minions"))
        return Subject(Kind.JOB, event, started.user, started.funs, minions)

    def _function(self, event: Event, jid: Jid, client: str) -> Subject:
        started = self._jobs.get(jid) or _started(event.data)
        funs = tuple(fun.removeprefix(f"{client}.") for fun in started.funs)
        return Subject(Kind(client), event, started.user, funs)


def _of_minion(event: Event, minion: MinionId | None) -> Subject:
    """Return the subject of what a minion has sent, or of what nothing is known about."""
    data = event.data
    if data.get("cmd") == OF_MINIONS and isinstance(data.get("id"), str):
        minion = data["id"]
    if minion is None:
        return Subject(Kind.OTHER, event)
    return Subject(Kind.MINION, event, minions=frozenset({minion}))


def _started(data: Mapping[str, Any]) -> _Started:
    user = data.get("user")
    return _Started(user if isinstance(user, str) else None, _functions(data))


def _functions(data: Mapping[str, Any]) -> tuple[str, ...]:
    fun = data.get("fun")
    funs: Sequence[Any] = fun if isinstance(fun, list) else [fun]
    return tuple(funs) if all(isinstance(name, str) for name in funs) else ()


def _names(value: Any) -> frozenset[MinionId] | None:
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return frozenset(value)
    return None
