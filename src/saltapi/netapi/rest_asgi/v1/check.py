"""`POST /v1/check`: would this be allowed?"""

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from saltapi.engine.operations.verdicts import verdicts_on
from saltapi.lowstate import chunks_from
from saltapi.netapi.rest_asgi.protection import READS, costs
from saltapi.netapi.rest_asgi.requests import TheCaller, TheEngine
from saltapi.netapi.rest_asgi.route import Model, Route, SaltValue, described
from saltapi.netapi.rest_asgi.v1.lowstates import LowstateBody

router = APIRouter(tags=["permissions"], route_class=Route)


class Check(Model):
    """What the master would say to one chunk."""

    chunk: int = Field(ge=0, description="The chunk's place in the lowstate, from 0.")
    client: str
    fun: SaltValue = Field(description="The function, or a list of functions.")
    tgt: SaltValue = Field(description="The target; null for functions of the master.")
    tgt_type: str | None
    allowed: bool = Field(description="Whether the command would run.")
    unknown: bool = Field(description="Whether that cannot be told here; `reason` says why.")
    minions: list[str] = Field(
        description="The minions of the target that the function is allowed on; all of them, if"
        " `allowed`."
    )
    missing: list[str] = Field(description="Names in a list target that the master does not know.")
    rule: SaltValue = Field(description="The entry of your permissions that allows it, or null.")
    reason: str


class Checks(Model):
    """What the master would say to a lowstate."""

    allowed: bool = Field(description="Whether every chunk would run.")
    checks: list[Check]


EXAMPLE: dict[str, Any] = {
    "allowed": False,
    "checks": [
        {
            "chunk": 0,
            "client": "local",
            "fun": "state.apply",
            "tgt": "*",
            "tgt_type": "glob",
            "allowed": False,
            "unknown": False,
            "minions": ["web-1", "web-2"],
            "missing": [],
            "rule": None,
            "reason": "Allowed on some minions of the target only; the master then runs it on"
            " none.",
        }
    ],
}


@router.post(
    "/check",
    operation_id="check",
    summary="Would this lowstate be allowed?",
    response_model=Checks,
    responses={200: described(EXAMPLE)},
)
@costs(READS)
async def check(engine: TheEngine, caller: TheCaller, lowstate: LowstateBody) -> Checks:
    """
    Say for every chunk whether the master would run it, on which minions and by which rule.

    The lowstate is checked as for `/v1/run`. Nothing is run or published, not even a
    `test.ping`, and the functions see nothing of it.
    """
    chunks = [{"client": "local", **chunk} for chunk in chunks_from(lowstate)]
    commands = await engine.api.commands(chunks, caller)
    verdicts = await verdicts_on(engine.client, caller.known(), commands)
    checks = [
        Check(
            chunk=index,
            client=command.client,
            fun=command.fun,
            tgt=command.tgt or None,
            tgt_type=command.tgt_type if command.tgt else None,
            allowed=verdict.allowed,
            unknown=verdict.unknown,
            minions=list(verdict.minions),
            # Of what somebody may not touch, nothing is told.
            missing=list(verdict.missing) if verdict.allowed else [],
            rule=verdict.rule,
            reason=verdict.reason,
        )
        for index, (command, verdict) in enumerate(zip(commands, verdicts, strict=True))
    ]
    return Checks(allowed=all(each.allowed for each in checks), checks=checks)
