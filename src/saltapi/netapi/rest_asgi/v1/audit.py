"""`GET /v1/audit`: what was done and refused, for administrators."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from saltapi.engine.audit.reading import read_page
from saltapi.errors import AuditUnavailable, AuthorizationFailed, NotFound
from saltapi.netapi.rest_asgi.protection import READS, costs
from saltapi.netapi.rest_asgi.requests import TheEngine, TheSession
from saltapi.netapi.rest_asgi.route import Model, Route, SaltValue, described

router = APIRouter(tags=["permissions"], route_class=Route)

SEARCH_CHARACTERS = 256


class AuditEntries(Model):
    """A page of the audit log, the newest line first."""

    entries: list[SaltValue] = Field(description="The lines, with the keys that the file has.")
    cursor: str | None = Field(
        description="Send it as `cursor` for the next page; null at the end."
    )


EXAMPLE: dict[str, Any] = {
    "entries": [
        {
            "time": "2026-11-23T18:08:00.123Z",
            "event": "command",
            "outcome": "ok",
            "user": "fred",
            "eauth": "pam",
            "function": "user.add",
            "target": "web*",
        }
    ],
    "cursor": "81920",
}


@router.get(
    "/audit",
    operation_id="list_audit",
    summary="The audit log",
    response_model=AuditEntries,
    responses={
        200: described(EXAMPLE),
        403: {"description": "The user is no administrator."},
        404: {"description": "There is no audit log: `audit_log` is not set."},
    },
)
@costs(READS)
async def list_audit(
    engine: TheEngine,
    session: TheSession,
    search: Annotated[
        str, Query(max_length=SEARCH_CHARACTERS, description="Text that is in each line.")
    ] = "",
    limit: Annotated[int, Query(ge=1, le=1000, description="How many lines at most.")] = 100,
    cursor: Annotated[
        str | None, Query(pattern=r"^[0-9]{1,19}$", description="From the page before.")
    ] = None,
) -> AuditEntries:
    """
    List what the file `audit_log` says, the newest line first; you must be an administrator.

    With `search` a page may be short, or empty, and have a cursor to go on with.
    """
    if not await engine.administrators.includes(session):
        raise AuthorizationFailed("Only administrators see the audit log.")
    path = engine.section.audit_log
    if path is None:
        raise NotFound("There is no audit log here: set audit_log.")
    before = None if cursor is None else int(cursor)
    try:
        page = await asyncio.to_thread(
            read_page, str(path), search=search, limit=limit, before=before
        )
    except OSError as error:
        raise AuditUnavailable(f"The audit log cannot be read: {error.strerror}.") from error
    return AuditEntries(
        entries=page.entries, cursor=None if page.before is None else str(page.before)
    )
