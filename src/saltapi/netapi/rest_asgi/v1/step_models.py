"""The shapes of the steps of orchestrations, for the OpenAPI document."""

from typing import Literal

from pydantic import Field

from saltapi.netapi.rest_asgi.route import Model, SaltValue


class StepHead(Model):
    """What is known of a step of an orchestration."""

    number: int = Field(ge=1, description="In the order in which they became known.")
    kind: str = Field(
        description="`state`, `function`, `runner`, `wheel`, or the module of another state."
    )
    name: SaltValue
    tgt: SaltValue
    tgt_type: str | None
    jids: list[str] = Field(
        description="The jobs that it has started; until it has ended, those that look like it."
    )
    state_id: SaltValue = Field(description="The id of its state, once it has ended.")
    ended: bool = Field(description="Whether it is known how it ended: when all have.")
    result: bool | None
    comment: SaltValue
    duration_ms: float | None
    start: str | None = Field(description="The time of day on the master's clock.")


class StepJob(Model):
    """A job of a step."""

    jid: str
    url: str
    fun: SaltValue
    state: Literal["running", "complete", "incomplete"]
    expected: int
    returned: int
    failed: int


class Step(StepHead):
    """A step of an orchestration."""

    jobs: list[StepJob] = Field(description="Those of its jobs that you may see.")
