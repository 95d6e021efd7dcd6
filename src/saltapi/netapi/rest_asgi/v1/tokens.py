"""`/v1/tokens`: tokens for machines."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import ConfigDict, Field

from saltapi.engine.jobs.times import time_text
from saltapi.engine.sessions.machine_tokens import Record
from saltapi.netapi.rest_asgi.protection import READS, costs
from saltapi.netapi.rest_asgi.requests import TheCaller, TheEngine
from saltapi.netapi.rest_asgi.route import Model, Route, SaltValue, described

router = APIRouter(tags=["tokens"], route_class=Route)

TokenId = Annotated[
    str,
    Path(pattern="^[0-9a-f]{16}$", description="The token's id.", examples=["0123456789abcdef"]),
]


class NewToken(Model):
    """What a token for machines is to be."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "deploy", "permissions": [{"web*": ["state.apply"]}]}]
        }
    )

    name: str = Field(max_length=100, description="What it is for.", examples=["deploy"])
    expires_in: float | None = Field(
        default=None, description="How many seconds it lasts; 30 days if null."
    )
    permissions: list[Any] | None = Field(
        default=None,
        description="To which permissions it is narrowed, as in `external_auth`; a command runs"
        " if they allow it and you may run it yourself at that time. Null for all of yours.",
        examples=[[{"web*": ["state.apply"]}]],
    )
    addresses: list[str] | None = Field(
        default=None,
        description="From which addresses and networks it may come; null for anywhere.",
        examples=[["192.0.2.0/24"]],
    )


class TokenFacts(Model):
    """A token for machines, without the token itself."""

    id: str
    name: str
    user: str
    eauth: str
    made: str | None
    expire: str | None
    permissions: list[SaltValue] | None
    addresses: list[str] | None
    last_used: str | None = Field(description="When it was used last, to the minute.")
    last_used_from: str | None = Field(description="From which address.")


class MadeToken(TokenFacts):
    """A new token."""

    token: str = Field(description="The token. It is shown this once.")


class TokenList(Model):
    """Tokens for machines."""

    tokens: list[TokenFacts]


class Revoked(Model):
    """What was revoked."""

    id: str


FACTS: dict[str, Any] = {
    "id": "0123456789abcdef",
    "name": "deploy",
    "user": "ops",
    "eauth": "pam",
    "made": "2026-11-23T18:08:12.345Z",
    "expire": "2026-12-23T18:08:12.345Z",
    "permissions": [{"web*": ["state.apply"]}],
    "addresses": ["192.0.2.0/24"],
    "last_used": None,
    "last_used_from": None,
}
EXAMPLE_TOKEN = f"saltapi_0123456789abcdef_{'0' * 64}"


def _facts(record: Record, use: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": record.id,
        "name": record.name,
        "user": record.user,
        "eauth": record.eauth,
        "made": time_text(record.made_at),
        "expire": time_text(record.expire),
        "permissions": record.permissions,
        "addresses": record.addresses,
        "last_used": time_text(use.get("at")),
        "last_used_from": use.get("from"),
    }


@router.post(
    "/tokens",
    operation_id="make_token",
    summary="Make a token for a machine",
    status_code=201,
    response_model=MadeToken,
    responses={
        201: described({**FACTS, "token": EXAMPLE_TOKEN}),
        501: {"description": "This server cannot write the master's tokens."},
    },
)
@costs(READS)
async def make_token(
    engine: TheEngine, caller: TheCaller, new: NewToken, response: Response
) -> MadeToken:
    """
    Make a token that acts for you until it expires or is revoked.

    It goes wherever a session's token goes. It cannot make tokens, and one with permissions of its
    own cannot listen to events, fire any, or use the ssh client.
    """
    record, token = await engine.token_operations.make(
        caller,
        name=new.name,
        expires_in=new.expires_in,
        permissions=new.permissions,
        addresses=new.addresses,
    )
    response.headers["Cache-Control"] = "no-store"
    return MadeToken(**_facts(record, {}), token=token)


@router.get(
    "/tokens",
    operation_id="list_tokens",
    summary="Your tokens for machines",
    response_model=TokenList,
    responses={200: described({"tokens": [FACTS]})},
)
@costs(READS)
async def list_tokens(engine: TheEngine, caller: TheCaller) -> TokenList:
    """List your tokens; administrators see everybody's."""
    found = await engine.token_operations.list(caller)
    return TokenList(tokens=[TokenFacts(**_facts(*each)) for each in found])


@router.delete(
    "/tokens/{token_id}",
    operation_id="revoke_token",
    summary="Revoke a token for a machine",
    response_model=Revoked,
    responses={
        200: described({"id": "0123456789abcdef"}),
        404: {"description": "There is no such token, or it is not yours."},
    },
)
@costs(READS)
async def revoke_token(engine: TheEngine, caller: TheCaller, token_id: TokenId) -> Revoked:
    """Revoke a token of yours; administrators revoke anybody's."""
    await engine.token_operations.revoke(caller, token_id)
    return Revoked(id=token_id)
