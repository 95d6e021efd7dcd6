"""The shapes of minions, for the OpenAPI document."""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from saltapi.netapi.rest_asgi.route import Model, SaltValue
from saltapi.netapi.rest_asgi.v1.job_models import EXAMPLE_JID, ListedJob, StateCounts

KeyState = Literal["accepted", "pending", "rejected", "denied"]
Highstate = Literal["failed", "changed", "succeeded", "would_change"]
WantedHighstate = Literal["failed", "changed", "succeeded", "would_change", "never"]
Sign = Literal["return", "auth", "start", "beacon", "event", "presence", "data"]
SORTS = ("id", "key", "connected", "last_seen", "os", "salt_version", "highstate")
Sort = Literal[
    "id",
    "key",
    "connected",
    "last_seen",
    "os",
    "salt_version",
    "highstate",
    "-id",
    "-key",
    "-connected",
    "-last_seen",
    "-os",
    "-salt_version",
    "-highstate",
]


WhyCode = Literal[
    "connected",
    "returned",
    "returned_late",
    "returned_in_gap",
    "waiting",
    "running",
    "not_asked",
    "not_received",
    "return_lost",
    "restarted",
    "master_away",
    "master_lost",
    "not_connected",
    "no_response",
    "key_pending",
    "key_rejected",
    "key_denied",
    "key_missing",
    "behind_syndic",
    "not_matched",
    "terminated",
    "killed",
    "not_run",
    "outcome_unknown",
    "unknown_minion",
    "unknown_job",
    "not_permitted",
]


class LastJob(Model):
    """The job that a minion has returned last."""

    jid: str
    url: str
    fun: str
    user: str | None = Field(description="Who started it; null if that is not known for sure.")
    failed: bool
    time: str | None = Field(description="When it returned.")


class LastHighstate(Model):
    """The highstate that a minion has returned last."""

    jid: str
    url: str
    time: str | None
    result: Highstate
    test: bool = Field(description="Whether it only said what it would change.")
    counts: StateCounts | None = Field(description="null if it returned no states.")


class ListedMinion(Model):
    """What a list says of a minion."""

    id: str
    key: KeyState | None = Field(description="null if the master has no key, or does not tell.")
    connected: bool | None = Field(description="null if that is not known without asking it.")
    last_seen: str | None = Field(description="Its last sign of life, ISO 8601 in UTC.")
    last_seen_by: Sign | None = Field(
        description="What that was; `data` is when the master cached its grains."
    )
    started: str | None = Field(description="When it last said that it has started.")
    salt_version: str | None
    os: str | None
    last_job: LastJob | None
    last_highstate: LastHighstate | None
    grains: dict[str, SaltValue] | None = Field(
        default=None, description="Those of `fields`; empty if you may not read them."
    )


class MinionParts(ListedMinion):
    """What a list says of a minion, or the `fields` that are wanted of it."""

    model_config = ConfigDict(json_schema_extra=lambda schema: schema.update(required=["id"]))


class MinionCounts(Model):
    """How many minions are in each state; those in which there is none are left out."""

    key: dict[str, int] = Field(description="By the state of the key, or `unknown`.")
    connected: dict[str, int] = Field(description="By `true`, `false` and `unknown`.")
    highstate: dict[str, int] = Field(
        description="By how the last highstate has gone, with `never`."
    )


class MinionList(Model):
    """A page of minions."""

    minions: list[MinionParts]
    total: int = Field(description="How many minions the filters let through.")
    cursor: str | None = Field(
        description="Send it as `cursor` for the next page; null at the end."
    )
    counts: MinionCounts | None = Field(default=None, description="With `counts=true`.")


class Minion(ListedMinion):
    """All that is known of a minion."""

    pillar: dict[str, SaltValue] | None = Field(
        description="What the master has cached of it; null if you may not run `pillar.items`."
    )
    jobs: list[ListedJob] = Field(description="The last jobs, as far as you may see them.")


class Fact(Model):
    """Something that is known for sure."""

    time: str = Field(description="When it was, or now; ISO 8601 in UTC.")
    what: str


class Why(Model):
    """Why a minion is silent."""

    code: WhyCode
    sentence: str = Field(description="What the code means here.")
    facts: list[Fact] = Field(description="What it is known from, in the order of the times.")
    next: str = Field(description="What to do about it.")


class MinionRecord(Model):
    """Something of a minion has changed: this is how it is now."""

    type: Literal["minion"]
    id: None = None
    minion: ListedMinion


class MinionGone(Model):
    """A minion is not there any more, or none that you may see."""

    type: Literal["gone"]
    id: None = None
    minion: str


class MinionGap(Model):
    """Changes may be missing here: load the list again."""

    type: Literal["gap"]
    id: str | None
    reason: str


class MinionsSeen(Model):
    """All changes until here have been told; sent at the beginning, and now and then."""

    type: Literal["heartbeat"]
    id: str | None = Field(description="Send it as `Last-Event-ID` to go on from here.")


class MinionsEnd(Model):
    """Nothing more comes."""

    type: Literal["end"]
    reason: str


EXAMPLE_MINION: dict[str, Any] = {
    "id": "web-1",
    "key": "accepted",
    "connected": True,
    "last_seen": "2026-11-27T16:00:01.204Z",
    "last_seen_by": "return",
    "started": "2026-11-20T07:11:59.001Z",
    "salt_version": "3008.3",
    "os": "Debian",
    "last_job": {
        "jid": EXAMPLE_JID,
        "url": f"/v1/jobs/{EXAMPLE_JID}",
        "fun": "state.apply",
        "user": "ops",
        "failed": True,
        "time": "2026-11-27T16:00:01.204Z",
    },
    "last_highstate": {
        "jid": EXAMPLE_JID,
        "url": f"/v1/jobs/{EXAMPLE_JID}",
        "time": "2026-11-27T16:00:01.204Z",
        "result": "failed",
        "test": False,
        "counts": {"succeeded": 41, "changed": 2, "failed": 1, "would_change": 0},
    },
}
EXAMPLE_LIST: dict[str, Any] = {"minions": [EXAMPLE_MINION], "total": 1, "cursor": None}
EXAMPLE_ONE: dict[str, Any] = {
    **EXAMPLE_MINION,
    "grains": {"os": "Debian", "num_cpus": 4},
    "pillar": None,
    "jobs": [],
}
EXAMPLE_WHY: dict[str, Any] = {
    "code": "restarted",
    "sentence": "web-1 was started anew after the job was published, and does not run it any more.",
    "facts": [
        {
            "time": "2026-11-27T16:00:01.204Z",
            "what": "The job was published: state.apply for glob web-*.",
        },
        {"time": "2026-11-27T16:00:09.871Z", "what": "It said that it has started."},
        {
            "time": "2026-11-27T16:02:11.040Z",
            "what": "The master has a key of it that is accepted.",
        },
    ],
    "next": f"Run it again on this minion, POST /v1/jobs/{EXAMPLE_JID}/rerun, once you know that it"
    " may.",
}
EXAMPLE_ID = "64447f6a41c3b--1f2e3d4c-208"
EXAMPLE_NDJSON = (
    '{"type": "minion", "minion": {"id": "web-1", "connected": false, …}, "id": null}\n'
    f'{{"type": "heartbeat", "id": "{EXAMPLE_ID}"}}\n'
)
EXAMPLE_SSE = (
    'event: minion\ndata: {"type": "minion", "minion": {"id": "web-1", "connected": false, …}}\n\n'
    f'id: {EXAMPLE_ID}\nevent: heartbeat\ndata: {{"type": "heartbeat", …}}\n\n'
)
