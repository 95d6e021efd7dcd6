"""`/login`, `/logout`, `/token`."""

from typing import Any

from fastapi import Request, Response

from saltapi.netapi._http.answers import LOGGED_OUT, LOGIN_PAGE, welcome
from saltapi.netapi.rest_asgi.classic import documents
from saltapi.netapi.rest_asgi.classic.route import (
    Operation,
    add_header,
    answered,
    with_cookie,
)
from saltapi.netapi.rest_asgi.protection import LOGINS, READS
from saltapi.netapi.rest_asgi.requests import decoded_body, engine_of, peer_of, token_of


async def show_login(request: Request) -> Response:
    """Say how to log in."""
    add_header(request, "WWW-Authenticate", "Session")
    return await answered(request, LOGIN_PAGE)


async def login(request: Request) -> Response:
    """
    Log in.

    The token comes in the body, in the header `X-Auth-Token` and as a cookie.
    """
    body = await decoded_body(request)
    session = await engine_of(request).api.login(body, peer=peer_of(request))
    add_header(request, "X-Auth-Token", session["token"])
    add_header(request, "Cache-Control", "no-store")
    response = await answered(request, {"return": [session]})
    return with_cookie(request, response, session["token"], session["expire"])


async def logout(request: Request) -> Response:
    """
    End the session everywhere.

    The token is revoked, the cookie taken back, and the session's streams end.
    """
    add_header(request, "Cache-Control", "private")
    await engine_of(request).api.logout(token_of(request), peer=peer_of(request))
    return with_cookie(request, await answered(request, LOGGED_OUT), "", None)


async def show_token(request: Request) -> Response:
    """Say which clients are enabled."""
    return await answered(request, welcome(engine_of(request).config.netapi_enable_clients))


async def make_tokens(request: Request) -> Response:
    """Make a token for each set of credentials, to send inside chunks to `/run`."""
    body = await decoded_body(request)
    add_header(request, "Cache-Control", "no-store")
    tokens = await engine_of(request).api.make_tokens(body, peer=peer_of(request))
    return await answered(request, tokens)


_SENT: dict[str, Any] = {"tag": "session", "body": documents.CREDENTIALS}
_SESSION = "The session, in a list of one."
_TOKENS = "The tokens, in the order of the credentials."
_ENDED: dict[str, Any] = {
    "tag": "session",
    "session": True,
    "answer": "The token is revoked.",
    "content": documents.LOGGED_OUT,
}

LOGIN = [
    Operation("GET", show_login, READS, content=documents.LOGIN_PAGE, answer="How to log in."),
    Operation("POST", login, LOGINS, answer=_SESSION, content=documents.SESSION, **_SENT),
]
LOGOUT = [Operation("POST", logout, READS, **_ENDED)]
TOKEN = [
    Operation("GET", show_token, READS, content=documents.WELCOME, answer="Welcome."),
    Operation("POST", make_tokens, LOGINS, answer=_TOKENS, content=documents.TOKENS, **_SENT),
]
