"""`/v1/logout`: ending a session here, and, if asked, at its identity provider."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from saltapi.errors import BadRequest
from saltapi.netapi.rest_asgi.classic.route import with_cookie
from saltapi.netapi.rest_asgi.protection import LOGINS, READS, costs
from saltapi.netapi.rest_asgi.requests import TheCaller, TheEngine, token_of
from saltapi.netapi.rest_asgi.route import Model, Route, described
from saltapi.netapi.rest_asgi.v1.begun import console_of, keep, kept_by, sent_on

router = APIRouter(tags=["session"], route_class=Route)

COOKIE = "saltapi_logout"


class LoggedOut(Model):
    """A session that is over."""

    provider_url: str | None = Field(
        description="Where a browser ends it at its identity provider, too; it comes back from"
        " there to the console. Null where there is nothing to end."
    )


@router.post(
    "/logout",
    operation_id="end_session",
    summary="End the session, and say where its provider ends it",
    response_model=LoggedOut,
    responses={
        200: described({"provider_url": "https://id.example.com/logout?client_id=saltapi&…"})
    },
)
@costs(READS)
async def end_session(
    request: Request, response: Response, engine: TheEngine, caller: TheCaller
) -> LoggedOut:
    """
    End the session everywhere here, as `/logout` does.

    Of a login by a browser it is said where the browser logs out at the provider, if
    `logout_redirect_url` of `saltapi_oidc` is set. Whoever goes there may be logged out of
    everything else, too.
    """
    session, logins = caller.known(), engine.browser_logins
    leaving = None
    if logins is not None and not session.machine:
        leaving = await logins.leave(session)
    await engine.api.logout(token_of(request), peer=caller.peer)
    response.headers["Cache-Control"] = "no-store"
    with_cookie(request, response, "", None)
    if leaving is None:
        return LoggedOut(provider_url=None)
    url, secret = leaving
    keep(request, response, COOKIE, secret)
    return LoggedOut(provider_url=url)


@router.get("/login/oidc/logged-out", include_in_schema=False)
@costs(LOGINS)
async def come_back_logged_out(
    request: Request,
    engine: TheEngine,
    state: Annotated[str | None, Query(max_length=4_096)] = None,
) -> Response:
    """Send a browser on to the console; `logout_redirect_url` of `saltapi_oidc` leads here."""
    logins, secret = engine.browser_logins, kept_by(request, COOKIE)
    if logins is None or not secret or not logins.is_back(secret, state or ""):
        raise BadRequest("This logout was not begun in this browser, or too long ago.")
    response = sent_on(console_of(request, engine.section.console_path))
    keep(request, response, COOKIE, "")
    return response
