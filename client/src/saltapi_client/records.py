"""What happens to commands and on the event bus: one dataclass for each type of record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Union

from saltapi_client.shapes import Told, made


@dataclass(eq=False, repr=False)
class _Record(Told):
    """
    What every record has.

    Attributes:
        chunk: The command that it is of, by its place in the lowstate.
        id: Where the stream goes on after it; None where it cannot.
        jid: The job; None for what has none.
        raw: The record as the server has sent it.
    """

    type: ClassVar[str]
    chunk: int = 0
    id: str | None = None
    jid: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(eq=False, repr=False)
class JobStarted(_Record):
    """A job is published: `fun` for `tgt`, expected to be answered by `expected`."""

    type: ClassVar[str] = "job"
    fun: Any = None
    tgt: Any = None
    tgt_type: str | None = None
    client: str = "local"
    user: str | None = None
    start: str | None = None
    expected: list[str] = field(default_factory=list)
    unknown_minions: list[str] = field(default_factory=list)


@dataclass(eq=False, repr=False)
class MinionReturn(_Record):
    """A minion has returned `value`; `failed` says how it went."""

    type: ClassVar[str] = "return"
    minion: str = ""
    value: Any = None
    retcode: Any = 0
    success: Any = True
    arrived: str | None = None
    trimmed: bool = False

    @property
    def failed(self) -> bool:
        """Whether the function has failed."""
        return self.success is False or self.retcode not in (0, None)


@dataclass(eq=False, repr=False)
class StateResult(_Record):
    """A minion has done state `number` of `of`: `result` is true, false, or null (would change)."""

    type: ClassVar[str] = "state"
    minion: str = ""
    number: int = 0
    of: int | None = None
    state_id: str = ""
    fun: str | None = None
    name: str | None = None
    result: bool | None = None
    changes: Any = None
    comment: Any = None
    duration_ms: float | None = None
    start: str | None = None


@dataclass(eq=False, repr=False)
class StateCounts(_Record):
    """How far the states of a minion are, in numbers."""

    type: ClassVar[str] = "counts"
    minion: str = ""
    number: int = 0
    of: int | None = None
    succeeded: int = 0
    changed: int = 0
    failed: int = 0


@dataclass(eq=False, repr=False)
class Step(_Record):
    """A step of an orchestration has begun or ended."""

    type: ClassVar[str] = "step"
    name: str | None = None
    result: bool | None = None
    comment: Any = None


@dataclass(eq=False, repr=False)
class Stage(_Record):
    """Stage `number` of `of` of a change has begun, or ended, as `state` says."""

    type: ClassVar[str] = "stage"
    number: int = 0
    of: int = 0
    state: str = ""
    stage_jid: str | None = None
    minions: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(eq=False, repr=False)
class BatchState(_Record):
    """A change in stages is paused, goes on, or begins no more stages; `reason` says why."""

    type: ClassVar[str] = "batch"
    state: str = ""
    reason: str | None = None


@dataclass(eq=False, repr=False)
class Progress(_Record):
    """Some minions are silent; `waiting` says what is known of them."""

    type: ClassVar[str] = "progress"
    returned: int = 0
    waiting: dict[str, str] = field(default_factory=dict)


@dataclass(eq=False, repr=False)
class Summary(_Record):
    """A job has ended, or goes on without being waited for (`state` is `running`)."""

    type: ClassVar[str] = "summary"
    state: str = "complete"
    complete: bool = True
    returned: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    batch: dict[str, Any] = field(default_factory=dict)
    duration_seconds: float | None = None
    result: Any = None


@dataclass(eq=False, repr=False)
class Failure(_Record):
    """Nothing more is told of the command; `error` is a problem document."""

    type: ClassVar[str] = "error"
    error: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False, repr=False)
class Other(_Record):
    """A record of a type that this version does not know; `raw` has it."""

    type: ClassVar[str] = ""


Record = Union[
    JobStarted,
    MinionReturn,
    StateResult,
    StateCounts,
    Step,
    Stage,
    BatchState,
    Progress,
    Summary,
    Failure,
    Other,
]

_KINDS: dict[str, type[Any]] = {
    kind.type: kind
    for kind in (
        JobStarted,
        MinionReturn,
        StateResult,
        StateCounts,
        Step,
        Stage,
        BatchState,
        Progress,
        Summary,
        Failure,
    )
}
_RENAMED = {"return": "value"}


def record_from(raw: Mapping[str, Any]) -> Record:
    """
    Return the record that the server has sent as *raw*.

    What is unknown in it, or of another type than the field, stays in `raw`: a summary of a job
    that nobody waits for has counts where others have lists.
    """
    kind = _KINDS.get(str(raw.get("type")), Other)
    values = {_RENAMED.get(key, key): value for key, value in raw.items()}
    if kind is StateResult:
        # The id of a state has the name that the record's place in the stream has elsewhere.
        values["state_id"] = values.pop("id", "")
        values["id"] = values.get("cursor")
    found: Record = made(kind, values, raw)
    return found


@dataclass(eq=False, repr=False)
class Event(Told):
    """An event of the master's bus; `id` resumes a stream after it (None on an old salt-api)."""

    tag: str
    data: Any
    id: str | None = None


@dataclass(eq=False, repr=False)
class Gap(Told):
    """Events are missing here."""

    reason: str
    id: str | None = None
