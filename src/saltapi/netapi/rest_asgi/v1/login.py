"""
`/v1/login`: logging in by a browser at an identity provider.

Where browsers come back to, and what providers call, is no API: the OpenAPI document has it not.
"""

import base64
import binascii
import re
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import ConfigDict, Field

from saltapi.engine.sessions.browser_logins import ANOTHER, Answer, BrowserLogins
from saltapi.errors import AuthenticationFailed, BadRequest, InvalidField, NotFound
from saltapi.netapi.rest_asgi.classic.route import with_cookie
from saltapi.netapi.rest_asgi.landing import pages as landing
from saltapi.netapi.rest_asgi.protection import LOGINS, READS, costs
from saltapi.netapi.rest_asgi.requests import TheEngine, caller_of, peer_of, token_of
from saltapi.netapi.rest_asgi.route import Model, Route, described
from saltapi.netapi.rest_asgi.v1.begun import console_of, keep, kept_by, sent_on

router = APIRouter(tags=["session"], route_class=Route)
begin_router = APIRouter(tags=["session"], route_class=Route)
"""What the document has where there is a provider: by it the console knows that there is one."""

COOKIE = "saltapi_login"
NEXT_CHARACTERS = 1_000
OWN_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")
"""A path of ours, and nothing that a browser takes for the address of another server."""
KEPT = re.compile(r"([0-9]{1,2})\.([A-Za-z0-9_-]{43})\.([A-Za-z0-9_=-]{0,2000})(?:\.(saltgui))?")
Sent = Annotated[str | None, Query(max_length=4_096)]


class LogoutToken(Model):
    """What an identity provider sends when a session is over."""

    model_config = ConfigDict(extra="ignore")

    logout_token: str = Field(max_length=16_384)


class Provider(Model):
    """An identity provider at which one can log in."""

    name: str
    issuer: str
    url: str = Field(description="Where a browser begins; `next` says where it comes back to.")


class DeviceProvider(Model):
    """An identity provider at which a terminal can log in by a browser elsewhere (RFC 8628)."""

    name: str
    issuer: str = Field(description="Its metadata say where the login begins.")
    client_id: str = Field(description="A public client: it has no secret.")
    scopes: list[str]
    audiences: list[str] = Field(description="A token for one of these is taken here.")


class Ways(Model):
    """How one can log in, beside user and password."""

    providers: list[Provider]
    devices: list[DeviceProvider]
    session: bool = Field(
        description="Whether the request has a session already, as through a login proxy."
    )


@router.get(
    "/login",
    operation_id="ways_to_log_in",
    summary="Identity providers at which one can log in",
    response_model=Ways,
    responses={
        200: described(
            {
                "providers": [
                    {
                        "name": "Example",
                        "issuer": "https://id.example.com",
                        "url": "/v1/login/oidc?provider=0",
                    }
                ],
                "devices": [
                    {
                        "name": "Example",
                        "issuer": "https://id.example.com",
                        "client_id": "saltctl",
                        "scopes": ["openid", "profile", "email"],
                        "audiences": ["salt", "saltctl"],
                    }
                ],
                "session": False,
            }
        )
    },
)
@costs(READS)
async def ways_to_log_in(request: Request, engine: TheEngine) -> Ways:
    """List the identity providers for browsers, and those for terminals. Needs no session."""
    logins = engine.browser_logins
    devices = engine.bearers.devices if engine.bearers is not None else ()
    base = request.scope["saltapi.base"]
    return Ways(
        providers=[
            Provider(
                name=each.name or each.issuer,
                issuer=each.issuer,
                url=f"{base}/v1/login/oidc?provider={number}",
            )
            for number, each in enumerate(logins.offered if logins is not None else ())
        ],
        devices=[
            DeviceProvider(
                name=each.name or each.issuer,
                issuer=each.issuer,
                client_id=each.device_client_id,
                scopes=[*dict.fromkeys(["openid", *each.scopes])],
                audiences=each.audiences,
            )
            for each in devices
        ],
        session=await _has_session(request),
    )


@begin_router.get(
    "/login/oidc",
    operation_id="log_in_at_provider",
    summary="Log in at an identity provider",
    status_code=303,
    response_model=None,
    responses={303: {"description": "Go there; the provider sends the browser back."}},
)
@costs(LOGINS)
async def log_in_at_provider(
    request: Request,
    engine: TheEngine,
    provider: Annotated[int, Query(ge=0, le=99, description="Which one.")] = 0,
    next: Annotated[  # noqa: A002 - what everybody calls it
        str | None,
        Query(max_length=NEXT_CHARACTERS, description="Where to go then: a path of this server."),
    ] = None,
    app: Annotated[
        Literal["saltgui"] | None,
        Query(description="The page in the option `app`, which gets what it needs of a session."),
    ] = None,
) -> Response:
    """
    Send a browser to an identity provider, and in the end to `next`, a path of this server.

    What comes of it is the session's cookie. It is the authorization code flow, with PKCE. SaltGUI,
    which keeps the token itself, is given it by a page of ours, with `app=saltgui`.
    """
    logins = _logins(engine.browser_logins)
    if next is not None and not OWN_PATH.fullmatch(next):
        raise InvalidField("next must be a path of this server, such as '/docs'.", key="next")
    if app is not None and not engine.section.app:
        raise InvalidField("app needs the option app of this module.", key="app")
    home = f"{console_of(request, engine.section.console_path)}#/?session="
    if app is not None:
        home = f"{request.scope['saltapi.base']}/"
    url, secret = await logins.begin(provider)
    where = base64.urlsafe_b64encode((next or home).encode()).decode()
    kept = ".".join([str(provider), secret, where, *([app] if app is not None else [])])
    response = sent_on(url)
    keep(request, response, COOKIE, kept)
    return response


@router.get("/login/oidc/callback", include_in_schema=False)
@costs(LOGINS)
async def come_back_from_provider(
    request: Request,
    engine: TheEngine,
    state: Sent = None,
    code: Sent = None,
    error: Sent = None,
    iss: Sent = None,
) -> Response:
    """Make a session of what the provider says; `redirect_url` of `saltapi_oidc` leads here."""
    logins = _logins(engine.browser_logins)
    found = KEPT.fullmatch(kept_by(request, COOKIE))
    if found is None:
        raise AuthenticationFailed(ANOTHER)
    number, peer = int(found[1]), peer_of(request)
    answer = Answer(state or "", None if error else code, iss)
    engine.api.check_address(peer)
    credentials = await logins.finish(number, found[2], answer, peer=peer)
    session = await engine.api.login(credentials, peer=peer)
    await logins.keep(number, credentials["password"], session)
    response = sent_on(_next(found[3]))
    if found[4] is not None and engine.section.app and landing.may_land(request):
        files = f"{request.scope['saltapi.base']}{engine.section.static_path.rstrip('/')}"
        response = landing.page(request, session, _next(found[3]), files)
    keep(request, response, COOKIE, "")
    return with_cookie(request, response, session["token"], session["expire"])


@router.post("/login/oidc/logout", include_in_schema=False)
@costs(LOGINS)
async def end_provider_sessions(request: Request, engine: TheEngine, sent: LogoutToken) -> Response:
    """
    End sessions; the provider's back-channel logout URL is this one.

    What is sent is the token that OpenID Connect Back-Channel Logout 1.0 describes, as a form.
    """
    if engine.bearers is None:
        raise NotFound("There is no identity provider here.")
    engine.api.check_address(peer_of(request))
    try:
        await engine.bearers.end(sent.logout_token)
    except AuthenticationFailed as error:
        raise BadRequest(str(error)) from None
    return Response(b"", 200, {"Cache-Control": "no-store"})


async def _has_session(request: Request) -> bool:
    if not token_of(request):
        return False
    try:
        await caller_of(request)
    except AuthenticationFailed:
        return False
    return True


def _logins(found: BrowserLogins | None) -> BrowserLogins:
    if found is None or not found.offered:
        raise NotFound("There is no identity provider to log in at: see redirect_url.")
    return found


def _next(text: str) -> str:
    """Return where a browser goes; what it has kept may be another one's cookie."""
    try:
        found = base64.urlsafe_b64decode(text).decode()
    except (binascii.Error, ValueError):
        found = ""
    return found if OWN_PATH.fullmatch(found) else "/"
