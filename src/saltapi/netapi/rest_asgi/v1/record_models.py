"""The shapes of the records of streams, for the OpenAPI document (`route.stream_content`)."""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from saltapi.netapi.rest_asgi.route import SCHEMA_REFERENCE, Model, SaltValue
from saltapi.netapi.rest_asgi.v1.job_models import (
    BatchHead,
    FoldedState,
    Group,
    JobHead,
    MinionReturn,
    Reason,
    StageHead,
    State,
    StateCounts,
    Waiting,
)
from saltapi.netapi.rest_asgi.v1.minion_models import (
    MinionGap,
    MinionGone,
    MinionRecord,
    MinionsEnd,
    MinionsSeen,
)
from saltapi.netapi.rest_asgi.v1.step_models import StepHead

Cursor = Annotated[str | None, Field(description="Send it as `Last-Event-ID` to go on after it.")]
Chunk = Annotated[int | None, Field(ge=0, description="The chunk of the run, from 0.")]


class JobRecord(JobHead):
    """A job is published. Counts are there if nobody waits for its results."""

    type: Literal["job"]
    chunk: Chunk = None
    id: Cursor = None
    expected: list[str] = Field(description="The minions that the master sends it to.")
    unknown_minions: list[str] = Field(
        default=[], description="Names in a list target that the master does not know."
    )
    state: str | None = None
    returned: int | None = None
    failed: int | None = None


class ReturnRecord(MinionReturn):
    """A minion has returned."""

    type: Literal["return"]
    chunk: Chunk = None
    id: Cursor = None
    jid: str | None
    minion: str


class StateRecord(Model):
    """A minion is done with a state."""

    type: Literal["state"]
    chunk: Chunk = None
    cursor: Cursor = None
    jid: str | None
    minion: str
    number: int = Field(ge=1, description="Which state of the run it was, from 1.")
    of: int = Field(description="How many there are, as far as it is known.")
    id: SaltValue = Field(description="The state's id.")
    fun: str | None = Field(
        description="`<module>.<function>`; null where only an event has told of it, which does not"
        " name it."
    )
    name: SaltValue
    result: bool | None = Field(description="Null: it would change something (a dry run).")
    changes: SaltValue
    comment: SaltValue
    duration_ms: float | None
    start: str | None = Field(description="The time of day on the minion's clock.")


class CountsRecord(StateCounts):
    """How far a minion is with its states."""

    type: Literal["counts"]
    chunk: Chunk = None
    jid: str | None
    minion: str
    number: int = Field(description="The state that was done last, from 1.")
    of: int | None = Field(description="How many there are.")


class ProgressRecord(Model):
    """Some minions are silent."""

    type: Literal["progress"]
    chunk: Chunk = None
    id: Cursor = None
    jid: str | None
    returned: int
    expected: int
    waiting: dict[str, Waiting] = Field(description="Who may still return.")


class SummaryRecord(Model):
    """The job has ended."""

    type: Literal["summary"]
    chunk: Chunk = None
    id: Cursor = None
    jid: str | None
    state: State
    complete: bool = Field(description="Whether every minion has returned.")
    returned: list[str]
    failed: list[str] = Field(description="Those whose function has failed.")
    missing: dict[str, Reason] = Field(description="Who has not returned, and why.")
    duration_seconds: float | None
    states: StateCounts | None = Field(
        default=None, description="Of all minions together, where they run states."
    )
    groups: list[Group] | None = Field(
        default=None, description="With `fold`: equal returns that are no results of states."
    )
    folded_states: list[FoldedState] | None = Field(
        default=None, description="With `fold`: results of states, by state."
    )
    result: SaltValue = Field(default=None, description="Of a runner or wheel function.")
    batch: BatchHead | None = Field(default=None, description="Of a change in stages.")


class StageRecord(StageHead):
    """A stage of a change has begun, or ended."""

    type: Literal["stage"]
    chunk: Chunk = None
    id: Cursor = None
    jid: str = Field(description="The job of the whole change.")
    stage_jid: str | None = Field(description="The job of the stage.")


class BatchRecord(BatchHead):
    """A change in stages is paused, goes on, or begins no more stages."""

    type: Literal["batch"]
    chunk: Chunk = None
    id: Cursor = None
    jid: str


class StepRecord(StepHead):
    """A step of an orchestration has begun, has started a job, or has ended; or a minion of it."""

    type: Literal["step"]
    chunk: Chunk = None
    id: Cursor = None
    jid: str = Field(description="The orchestration.")
    event: Literal["begun", "started", "returned", "ended"]
    minion: str | None = Field(default=None, description="Who has returned.")
    value: SaltValue = Field(default=None, alias="return")
    retcode: SaltValue = None
    success: SaltValue = None
    arrived: str | None = None
    omitted: bool = False
    trimmed: bool = False
    states: StateCounts | None = None


class StartedRecord(JobHead):
    """A job that nobody waits for is started; the summary of an asynchronous client."""

    type: Literal["summary"]
    chunk: Chunk = None
    expected: list[str]
    state: str
    returned: int | None
    failed: int | None
    complete: Literal[False]


class ErrorRecord(Model):
    """The stream ends; nothing more is told of the chunk, and those after it are not started."""

    type: Literal["error"]
    chunk: Chunk = None
    jid: str | None = None
    error: dict[str, Any] = Field(description="A problem document.")


class StartRecord(Model):
    """From here on."""

    type: Literal["start"]
    id: str


class EventRecord(Model):
    """An event."""

    type: Literal["event"]
    id: str
    data: SaltValue
    tag: str
    master: str | None = Field(
        default=None, description="The master whose event it is; not for this one's."
    )


class GapRecord(Model):
    """Events are missing here."""

    type: Literal["gap"]
    id: str
    reason: str
    since: float | None = Field(
        default=None,
        alias="from",
        description="When the last event before it was fired, in epoch seconds, if it is known.",
    )
    until: float | None = Field(
        default=None, alias="to", description="From when on nothing is missing, if it is known."
    )


class HeartbeatRecord(Model):
    """There was nothing to tell for a while."""

    type: Literal["heartbeat"]
    id: Cursor = None


class EndRecord(Model):
    """Nothing more will come."""

    type: Literal["end"]
    code: str
    reason: str


RunRecord = (
    JobRecord
    | StateRecord
    | CountsRecord
    | ReturnRecord
    | StageRecord
    | BatchRecord
    | StepRecord
    | ProgressRecord
    | SummaryRecord
    | StartedRecord
    | ErrorRecord
)
BusRecord = Annotated[
    StartRecord | EventRecord | GapRecord | HeartbeatRecord | EndRecord,
    Field(discriminator="type"),
]
FleetRecord = Annotated[
    MinionRecord | MinionGone | MinionGap | MinionsSeen | MinionsEnd, Field(discriminator="type")
]
STREAMS: dict[str, TypeAdapter[Any]] = {
    "RunRecord": TypeAdapter(RunRecord),
    "BusRecord": TypeAdapter(BusRecord),
    "FleetRecord": TypeAdapter(FleetRecord),
}
"""By the name that the document has for it."""


def schemas() -> dict[str, Any]:
    """Return the schemas of all records, by name."""
    found: dict[str, Any] = {}
    for name, adapter in STREAMS.items():
        schema = adapter.json_schema(ref_template=SCHEMA_REFERENCE)
        found |= schema.pop("$defs")
        found[name] = {"title": name, **schema}
    return found
