"""What is known of a change in stages: plain facts, as they are kept and shown."""

import enum
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from saltapi.types import Jid, MinionId


class BatchState(enum.StrEnum):
    """How far a change is."""

    ASKING = "asking"
    """The target is asked who is there."""
    RUNNING = "running"
    PAUSED = "paused"
    """No stage begins before somebody says so."""
    STOPPING = "stopping"
    """No stage begins any more; the one that runs is waited for."""
    COMPLETE = "complete"
    """All stages have run, within the limits."""
    HALTED = "halted"
    """The rest was left out, for `reason`."""
    STOPPED = "stopped"
    """The rest was left out, because somebody wanted it so."""


class StageState(enum.StrEnum):
    """How far a stage is."""

    PENDING = "pending"
    STARTING = "starting"
    """It is about to be published: who finds it so later cannot know whether it was."""
    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    """After it, more minions have failed than may."""
    OUTCOME_UNKNOWN = "outcome_unknown"
    """It is not known whether it was published."""
    NOT_RUN = "not_run"


class Reason(enum.StrEnum):
    """Why a change does not go on; where the master refuses, the code of the error besides."""

    ASKED = "asked"
    MAX_FAILED = "max_failed"
    NO_MINIONS = "no_minions"
    NOT_PERMITTED = "not_permitted"
    OUTCOME_UNKNOWN = "outcome_unknown"
    SESSION_EXPIRED = "session_expired"
    TOO_LATE = "too_late"


ENDED = frozenset({BatchState.COMPLETE, BatchState.HALTED, BatchState.STOPPED})
BEGUN = frozenset({StageState.STARTING, StageState.RUNNING})
DONE = frozenset({StageState.COMPLETE, StageState.FAILED, StageState.OUTCOME_UNKNOWN})


@dataclass(slots=True)
class Stage:
    """One stage: the minions from `first` up to `end`, without it, of the whole."""

    first: int
    end: int
    jid: Jid = ""
    """Its job; "" before it begins."""
    state: StageState = StageState.PENDING
    started_at: float | None = None
    ended_at: float | None = None
    failed: list[MinionId] = field(default_factory=list)
    missing: dict[MinionId, str] = field(default_factory=dict)


@dataclass(slots=True)
class Batch:
    """One change: what runs on whom, its stages, and how far it is."""

    jid: Jid
    user: str
    eauth: str
    fun: Any
    arg: list[Any]
    tgt: Any
    tgt_type: str
    ret: str
    timeout_seconds: float | None
    gather_job_timeout_seconds: float | None
    extra: list[list[Any]]
    plan: dict[str, Any]
    """`batch`, as a chunk has it."""
    matched: list[MinionId]
    """The minions that the master sends it to, in the order in which they have their turns."""
    unknown: list[MinionId]
    """Names in a list target that the master does not know."""
    started_at: float
    lent: bool = False
    """Whether its token was made for it, and is nobody's session."""
    silent: dict[MinionId, str] = field(default_factory=dict)
    """Who did not answer at the start, and is left out."""
    minions: list[MinionId] = field(default_factory=list)
    """Those that answered."""
    stages: list[Stage] = field(default_factory=list)
    state: BatchState = BatchState.ASKING
    reason: str | None = None
    ended_at: float | None = None
    next_at: float = 0.0
    """When the next stage may begin."""
    order: str = ""
    """The id of the last order that was taken."""
    version: int = 0
    driver: str = ""
    """The process that sees to it."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will be run."""
        return self.state in ENDED

    @property
    def failures(self) -> int:
        """On how many minions it has failed, or nobody knows."""
        return sum(len({*stage.failed, *stage.missing}) for stage in self.stages)

    def minions_of(self, stage: Stage) -> list[MinionId]:
        """Return the minions of *stage*."""
        return self.minions[stage.first : stage.end]

    @property
    def left_out(self) -> list[MinionId]:
        """The minions whose turn has not come and will not come."""
        if not self.ended:
            return []
        if not self.stages:
            return [minion for minion in self.matched if minion not in self.silent]
        not_run = [stage for stage in self.stages if stage.state is StageState.NOT_RUN]
        return [minion for stage in not_run for minion in self.minions_of(stage)]

    def as_data(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Self:
        """
        Return what `as_data` was.

        Raises:
            TypeError, KeyError, ValueError: It is nothing of that kind.
        """
        stages = [
            Stage(**{**stage, "state": StageState(stage["state"])}) for stage in data["stages"]
        ]
        return cls(**{**data, "stages": stages, "state": BatchState(data["state"])})
