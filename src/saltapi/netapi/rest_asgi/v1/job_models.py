"""The shapes of jobs and of what is told of them, for the OpenAPI document."""

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import ConfigDict, Field

from saltapi.netapi.rest_asgi.route import Model, SaltValue, stream_content
from saltapi.netapi.rest_asgi.v1.step_models import Step

State = Literal["running", "complete", "incomplete"]
ListedState = Literal["running", "complete", "incomplete", "unknown"]
WantedState = Literal["running", "complete", "incomplete", "unknown", "failed"]
Reason = Literal[
    "not_connected",
    "not_received",
    "running",
    "return_lost",
    "restarted",
    "master_away",
    "master_lost",
    "behind_syndic",
    "no_response",
    "unknown_minion",
    "not_run",
    "outcome_unknown",
    "terminated",
    "killed",
]
Waiting = Literal["waiting", "running", "no_answer"]
OutcomeName = Literal[
    "returned",
    "terminated",
    "killed",
    "not_running",
    "still_running",
    "no_response",
    "refused",
]
ProgressQuery = Annotated[
    Literal["none", "states", "counts"],
    Query(
        description="What a stream tells of states: each of them when it is done, or how many came"
        " to what, once a second for each minion at most."
    ),
]
FoldQuery = Annotated[
    bool,
    Query(
        description="Equal returns once, in `groups`, the largest first; results of states by"
        " state, in `folded_states`."
    ),
]
JID_PATTERN = r"^[0-9]{20}(_[0-9]{1,10})?$"
EXAMPLE_JID = "20261123180812345678"


class JobHead(Model):
    """What was asked of whom."""

    jid: str | None = Field(description="The id; null for a batch or ssh command as a whole.")
    url: str | None = Field(description="Where the job is, below the module's root.")
    client: Literal["local", "runner", "wheel", "ssh"]
    fun: SaltValue = Field(description="The function, or a list of functions.")
    tgt: SaltValue = Field(description="The target as it was published; null if it is lost.")
    tgt_type: str
    user: str
    start: str | None = Field(description="When it started, ISO 8601 in UTC.")


class ListedJob(JobHead):
    """A job in a list; counts are null where nobody has looked at its returns."""

    state: ListedState
    expected: int | None
    returned: int | None
    failed: int | None


class JobList(Model):
    """A page of jobs, the newest first."""

    jobs: list[ListedJob]
    cursor: str | None = Field(
        description="Send it as `cursor` for the next page; null at the end."
    )
    partial: bool = Field(
        description="Whether past jobs may be missing: not all of the job cache has been seen yet."
    )


class StateCounts(Model):
    """How many states came to what."""

    succeeded: int
    changed: int = Field(description="Those with changes, whether they succeeded or failed.")
    failed: int
    would_change: int = Field(description="Of a dry run: those that would change something.")


class AtState(StateCounts):
    """At which state a minion is, and what it and those before came to."""

    number: int = Field(description="The state that was done last, from 1.")
    of: int | None = Field(description="How many there are.")
    id: SaltValue
    name: SaltValue
    fun: str | None = Field(description="`<module>.<function>`; null if it is not known yet.")


class MinionReturn(Model):
    """What one minion returned."""

    value: SaltValue = Field(alias="return")
    retcode: SaltValue
    success: SaltValue
    arrived: str | None = Field(description="When; null if it is not known any more.")
    omitted: bool = Field(default=False, description="The value is too large to be kept.")
    trimmed: bool = Field(
        default=False,
        description="Salt has cut values out of it, to `VALUE_TRIMMED`; raise `max_event_size`.",
    )
    states: StateCounts | None = Field(default=None, description="Of what are results of states.")


class Group(Model):
    """Minions that have returned the same."""

    count: int
    minions: list[str]
    value: SaltValue = Field(alias="return")
    retcode: SaltValue
    omitted: bool = False
    trimmed: bool = False


class StateGroup(Model):
    """Minions on which a state came to the same."""

    outcome: Literal["failed", "would_change", "changed", "succeeded"]
    count: int
    minions: list[str]
    result: bool | None
    changes: SaltValue
    comment: SaltValue


class FoldedState(Model):
    """What came of one state; on how many minions it failed, would change, changed, was fine."""

    id: SaltValue
    fun: str | None
    name: SaltValue
    sls: SaltValue
    failed: int
    would_change: int
    changed: int
    succeeded: int
    groups: list[StateGroup] = Field(description="What failed comes first.")


class Difference(Model):
    """One value that differs; `before` or `after` is left out where there is none."""

    path: list[str] = Field(description="The keys that lead to it.")
    before: SaltValue = None
    after: SaltValue = None


class DifferenceGroup(Model):
    """Minions whose returns differ in the same way."""

    count: int
    minions: list[str]
    differences: list[Difference]
    more: int = Field(description="How many differences are not shown.")


class Comparison(Model):
    """What differs from another job."""

    jid: str = Field(description="The other job: what was before.")
    same: int = Field(description="How many minions have returned the same.")
    groups: list[DifferenceGroup] = Field(description="The others, the largest first.")
    only_before: list[str] = Field(description="Minions that returned for the other job alone.")
    only_after: list[str] = Field(description="Minions that returned for this job alone.")


BatchName = Literal["asking", "running", "paused", "stopping", "complete", "halted", "stopped"]
StageName = Literal[
    "pending", "starting", "running", "complete", "failed", "outcome_unknown", "not_run"
]


class BatchHead(Model):
    """How far a change in stages is."""

    state: BatchName
    reason: str | None = Field(
        description="Why it does not go on: `asked`, `max_failed`, `no_minions`, `not_permitted`,"
        " `outcome_unknown`, `session_expired`, `too_late`, or the code of an error."
    )
    failures: int = Field(description="On how many minions it has failed, or nobody knows.")
    next: str | None = Field(description="When the next stage may begin.")
    not_run: list[str] = Field(description="Whose turn has not come, once it has ended.")


class StageHead(Model):
    """One stage of a change."""

    number: int = Field(ge=1)
    of: int = Field(description="How many there are.")
    state: StageName
    url: str | None
    minions: list[str]
    failed: list[str]
    missing: dict[str, Reason]
    start: str | None
    end: str | None


class Stage(StageHead):
    """One stage of a change, with its job."""

    jid: str | None = Field(description="The id of its job; null before it begins.")


class Batch(BatchHead):
    """A change in stages."""

    max_failed: int | str | None = Field(description="How many may fail; null for any number.")
    wait_seconds: float = Field(description="How long it is waited before each stage.")
    stages: list[Stage]


class Job(JobHead):
    """All that is known of a job."""

    arg: SaltValue = Field(description="The arguments as they were published; null if lost.")
    expected: list[str] = Field(description="The minions that the master sent it to.")
    state: State
    complete: bool = Field(description="Whether every minion has returned.")
    returned: list[str] = Field(description="Who has returned, in that order.")
    failed: list[str] = Field(description="Those whose function has failed.")
    missing: dict[str, Reason] = Field(description="Who will not return, and why.")
    waiting: dict[str, Waiting] = Field(description="Who may still return.")
    duration_seconds: float | None
    states: StateCounts | None = Field(
        default=None, description="Of all minions together, where they run states."
    )
    progress: dict[str, AtState] | None = Field(
        default=None,
        description="At which state each minion is that has told of one and has not returned.",
    )
    result: SaltValue = Field(default=None, description="Of a runner or wheel function.")
    returns: dict[str, MinionReturn] | None = Field(
        default=None, description="By minion; left out with `returns=false`, `fold` and `diff`."
    )
    groups: list[Group] | None = Field(
        default=None, description="With `fold`: equal returns that are no results of states."
    )
    folded_states: list[FoldedState] | None = Field(
        default=None, description="With `fold`: results of states, by state."
    )
    diff: Comparison | None = Field(default=None, description="With `diff`.")
    batch: Batch | None = Field(default=None, description="Of a change in stages.")
    steps: list[Step] | None = Field(default=None, description="Of an orchestration.")
    parent: str | None = Field(default=None, description="The job that has started this one.")


class JobParts(Job):
    """What is known of a job, or the `fields` that are wanted of it."""

    model_config = ConfigDict(json_schema_extra=lambda schema: schema.pop("required", None))


class RunResult(Job):
    """One chunk of a run."""

    chunk: int = Field(ge=0)
    error: dict[str, Any] | None = Field(
        default=None, description="A problem document, if the chunk has broken off midway."
    )


class BrokenResult(Model):
    """A chunk that could not be run; those after it were not started."""

    chunk: int = Field(ge=0)
    error: dict[str, Any] = Field(description="A problem document.")


class RunDocument(Model):
    """The results of a run."""

    complete: bool = Field(description="Whether every minion of every chunk has returned.")
    results: list[RunResult | BrokenResult]


class Ended(Model):
    """What became of a job that was to be ended."""

    jid: str
    state: State
    outcomes: dict[str, OutcomeName] = Field(description="By minion that had not returned.")


class Rerun(Model):
    """Which minions run the job again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"minions": "unsuccessful"}]})

    minions: Literal["all", "failed", "missing", "unsuccessful"] | list[str] = Field(
        default="all",
        examples=["unsuccessful", ["web-1"]],
        description="`unsuccessful` are the failed and the missing ones.",
    )
    confirm: str | None = Field(
        default=None,
        max_length=64,
        description="`confirm` of the answer 409 `confirmation_needed`: exactly the command that it"
        " shows is run.",
    )


EXAMPLE_HEAD: dict[str, Any] = {
    "jid": EXAMPLE_JID,
    "url": f"/v1/jobs/{EXAMPLE_JID}",
    "client": "local",
    "fun": "test.ping",
    "tgt": "*",
    "tgt_type": "glob",
    "user": "saltdev",
    "start": "2026-11-23T18:08:12.345Z",
}
EXAMPLE_JOB: dict[str, Any] = {
    **EXAMPLE_HEAD,
    "arg": [],
    "expected": ["minion-1", "minion-2"],
    "state": "incomplete",
    "complete": False,
    "returned": ["minion-1"],
    "failed": [],
    "missing": {"minion-2": "not_connected"},
    "waiting": {},
    "duration_seconds": 5.212,
    "returns": {
        "minion-1": {
            "return": True,
            "retcode": 0,
            "success": True,
            "arrived": "2026-11-23T18:08:12.401Z",
        }
    },
}
EXAMPLE_RUN: dict[str, Any] = {"complete": False, "results": [{"chunk": 0, **EXAMPLE_JOB}]}
EXAMPLE_BATCH: dict[str, Any] = {
    **EXAMPLE_JOB,
    "missing": {"minion-2": "not_run"},
    "failed": ["minion-1"],
    "batch": {
        "state": "halted",
        "reason": "max_failed",
        "max_failed": 0,
        "wait_seconds": 5.0,
        "failures": 1,
        "next": None,
        "not_run": ["minion-2"],
        "stages": [
            {
                "number": 1,
                "of": 2,
                "state": "failed",
                "jid": "20261123180812345679",
                "url": "/v1/jobs/20261123180812345679",
                "minions": ["minion-1"],
                "failed": ["minion-1"],
                "missing": {},
                "start": "2026-11-23T18:08:12.345Z",
                "end": "2026-11-23T18:08:13.012Z",
            },
            {
                "number": 2,
                "of": 2,
                "state": "not_run",
                "jid": None,
                "url": None,
                "minions": ["minion-2"],
                "failed": [],
                "missing": {},
                "start": None,
                "end": None,
            },
        ],
    },
}
EXAMPLE_LIST: dict[str, Any] = {
    "jobs": [{**EXAMPLE_HEAD, "state": "complete", "expected": 2, "returned": 2, "failed": 0}],
    "cursor": None,
    "partial": False,
}
EXAMPLE_ENDED: dict[str, Any] = {
    "jid": EXAMPLE_JID,
    "state": "incomplete",
    "outcomes": {"minion-1": "terminated", "minion-2": "no_response"},
}
EXAMPLE_SSE = (
    f'event: job\ndata: {{"type": "job", "jid": "{EXAMPLE_JID}", …}}\n\n'
    'event: return\ndata: {"type": "return", "minion": "minion-1", "return": true, …}\n\n'
    'event: summary\ndata: {"type": "summary", "complete": true, …}\n\n'
)
EXAMPLE_NDJSON = (
    f'{{"type": "job", "jid": "{EXAMPLE_JID}", …}}\n'
    '{"type": "return", "minion": "minion-1", "return": true, …}\n'
    '{"type": "summary", "complete": true, …}\n'
)
STREAM_CONTENT = stream_content(
    "RunRecord", {"text/event-stream": EXAMPLE_SSE, "application/x-ndjson": EXAMPLE_NDJSON}
)
RUN_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "model": RunDocument,
        "description": "The results: as they come, or in one document.",
        "content": {"application/json": {"example": EXAMPLE_RUN}, **STREAM_CONTENT},
        "headers": {
            "X-Salt-Jid": {
                "description": "The ids of the jobs that are known at once, by chunk.",
                "schema": {"type": "string"},
            },
            "Location": {
                "description": "The URL of the first of them.",
                "schema": {"type": "string"},
            },
        },
    },
    404: {"description": "The first chunk's target matches no minion; nothing was run."},
    409: {"description": "There is a job with the chunk's `jid` already; nothing was run."},
}
