"""`GET /v1/whoami`: the session, and what it may do."""

import functools
import platform
import time

from fastapi import APIRouter
from pydantic import Field

import saltapi
from saltapi.config.reading import require_supported_salt
from saltapi.engine.jobs.times import time_text
from saltapi.netapi.rest_asgi.protection import READS, costs
from saltapi.netapi.rest_asgi.requests import TheEngine, TheSession
from saltapi.netapi.rest_asgi.route import Model, Route, SaltValue, described

router = APIRouter(tags=["permissions"], route_class=Route)


class Versions(Model):
    """What answers."""

    saltapi: str
    salt: str
    python: str


class WhoAmI(Model):
    """A session."""

    user: str
    eauth: str
    groups: list[str] = Field(description="The user's groups, where the eauth system names them.")
    start: str | None = Field(description="When the session began, ISO 8601 in UTC.")
    expire: str | None = Field(description="When it ends, ISO 8601 in UTC.")
    expires_in_seconds: float
    permissions: list[SaltValue] = Field(
        description="The entries of `external_auth`, or of the token, that hold for the user."
    )
    administrator: bool = Field(
        description="Whether the user may run everything, or is listed in `administrators`."
    )
    provider_logout: bool = Field(
        description="Whether `POST /v1/logout` ends the session at its identity provider, too."
    )
    versions: Versions = Field(description="What answers.")


EXAMPLE = {
    "user": "ops",
    "eauth": "pam",
    "groups": ["staff"],
    "start": "2026-11-23T18:08:12.345Z",
    "expire": "2026-11-24T06:08:12.345Z",
    "expires_in_seconds": 43199.2,
    "permissions": ["test.*", {"web*": ["state.apply"]}, "@runner"],
    "administrator": False,
    "provider_logout": False,
    "versions": {"saltapi": "0.9.0", "salt": "3008.4", "python": "3.13.5"},
}


@router.get(
    "/whoami",
    operation_id="who_am_i",
    summary="The session and its permissions",
    response_model=WhoAmI,
    responses={200: described(EXAMPLE)},
)
@costs(READS)
async def who_am_i(engine: TheEngine, session: TheSession) -> WhoAmI:
    """Return whose session it is, until when, and the rules that the master would go by."""
    narrowed, logins = session.narrowed, engine.browser_logins
    return WhoAmI(
        user=session.name,
        eauth=session.eauth,
        groups=list(session.groups),
        start=time_text(session.start),
        expire=time_text(session.expire),
        expires_in_seconds=round(max(session.expire - time.time(), 0), 3),
        permissions=await engine.client.permissions.rules(session)
        if narrowed is None
        else list(narrowed),
        administrator=await engine.administrators.includes(session),
        provider_logout=logins is not None and await logins.can_leave(session),
        versions=_versions(),
    )


@functools.cache
def _versions() -> Versions:
    return Versions(
        saltapi=saltapi.__version__,
        salt=require_supported_salt(),
        python=platform.python_version(),
    )
