"""
What handlers ask of a request, as FastAPI dependencies; and the body, read within its limits.

All of them are coroutines: FastAPI would run plain functions in a thread.
"""

import asyncio
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, APIKeyHeader, HTTPBearer
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.types import Scope

from saltapi.config import RestAsgiConfig
from saltapi.engine.engine import Engine
from saltapi.engine.sessions.caller import Caller
from saltapi.errors import BadRequest, BodyTooLarge
from saltapi.netapi._http import answers
from saltapi.netapi._http.bodies import DRAINED_BYTES, STRANGERS, TOO_LARGE, decoded
from saltapi.netapi.rest_asgi.reception import drop_rest, is_paced
from saltapi.types import Session

BODY_TIMEOUT_SECONDS = 300.0
"""How long a body may take, where the server does not look at its pace."""

CALLERS = "saltapi.callers"
"""Where the scope of a request has who asks, by token."""

_HEADER = APIKeyHeader(
    name="X-Auth-Token", auto_error=False, description="The token that a login gives."
)
_BEARER = HTTPBearer(auto_error=False, description="The token that a login gives.")
_COOKIE = APIKeyCookie(
    name=answers.COOKIE, auto_error=False, description="The token, as a login hands it a browser."
)


SESSION_SCHEMES = (_HEADER, _BEARER, _COOKIE)
"""The ways to send the token of a session."""


def engine_of(connection: HTTPConnection) -> Engine[RestAsgiConfig]:
    """Return what all requests share."""
    engine: Engine[RestAsgiConfig] = connection.app.state.engine
    return engine


async def _engine(connection: HTTPConnection) -> Engine[RestAsgiConfig]:
    return engine_of(connection)


TheEngine = Annotated[Engine[RestAsgiConfig], Depends(_engine)]
"""What all requests share."""


def peer_of(connection: HTTPConnection) -> str:
    """Return the address of whoever holds the connection; "" for a unix socket."""
    return connection.client.host if connection.client is not None else ""


async def _peer(connection: HTTPConnection) -> str:
    return peer_of(connection)


Peer = Annotated[str, Depends(_peer)]
"""The address of whoever holds the connection."""


def tokens_of(connection: HTTPConnection) -> list[str]:
    """Return the session tokens that a request may mean, from a header before the cookie."""
    headers = {
        "X-Auth-Token": connection.headers.get("X-Auth-Token", ""),
        "Authorization": connection.headers.get("Authorization", ""),
    }
    engine = engine_of(connection)
    has_cookies = engine.section.enable_sessions
    cookie = connection.cookies.get(answers.COOKIE) if has_cookies else None
    return answers.session_tokens(headers, cookie, engine.api.takes)


def token_of(connection: HTTPConnection) -> str:
    """Return the session token of a request, as `without_foreign_bearer` leaves it; or ""."""
    return next(iter(tokens_of(connection)), "")


async def without_foreign_bearer(scope: Scope) -> Scope:
    """
    Return the scope of a request without a bearer token that is no session's beside a cookie.

    Raises:
        MasterUnavailable
    """
    connection = HTTPConnection(scope)
    tokens = tokens_of(connection)
    if len(tokens) < 2 or tokens[0] == await engine_of(connection).api.token_among(tokens):
        return scope
    headers = [(name, value) for name, value in scope["headers"] if name != b"authorization"]
    return {**scope, "headers": headers}


async def identify(connection: HTTPConnection, token: str) -> Caller:
    """
    Return who asks with *token*; found out once for each request, whoever asks again.

    Raises:
        AddressRefused, AuthenticationFailed, MasterUnavailable
    """
    known: dict[str, Caller] = connection.scope.setdefault(CALLERS, {})
    if token not in known:
        peer = peer_of(connection)
        known[token] = await engine_of(connection).api.identify(token, peer=peer)
    return known[token]


def stranger_of(connection: HTTPConnection) -> Caller:
    """Return who asks where commands bring their own credentials; the cookie is not looked at."""
    header = connection.headers.get("Authorization", "")
    bearer = answers.bearer_of(header, engine_of(connection).api.takes)
    return Caller(peer_of(connection), bearer=bearer)


async def caller_of(connection: HTTPConnection) -> Caller:
    """Same as `identify`, with the token of header or cookie."""
    return await identify(connection, token_of(connection))


async def _caller(
    request: Request,
    _header: Annotated[Any, Depends(_HEADER)],
    _bearer: Annotated[Any, Depends(_BEARER)],
    _cookie: Annotated[Any, Depends(_COOKIE)],
) -> Caller:
    return await caller_of(request)


TheCaller = Annotated[Caller, Depends(_caller)]
"""Who asks; to strangers it is 401, whatever else they sent."""


async def _session(caller: TheCaller) -> Session:
    return caller.known()


TheSession = Annotated[Session, Depends(_session)]
"""The session of `TheCaller`."""


async def read_body(request: Request) -> bytes:
    """
    Return the body as it was sent; asked again, the same.

    Raises:
        BodyTooLarge, BadRequest
    """
    if not hasattr(request.state, "raw_body"):
        limit_bytes = request.app.state.engine.section.max_request_body_size
        seconds = None if is_paced(request.scope) else BODY_TIMEOUT_SECONDS
        try:
            async with asyncio.timeout(seconds):
                request.state.raw_body = await _read(request, limit_bytes)
        except TimeoutError:
            raise BadRequest("The body took too long to come.") from None
        except ClientDisconnect:
            raise BadRequest("The body is shorter than its Content-Length.") from None
    body: bytes = request.state.raw_body
    return body


async def _read(request: Request, limit_bytes: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    allowed, sentence = limit_bytes, TOO_LARGE
    strangers_bytes = engine_of(request).config.api_stranger_body_bytes
    is_known = strangers_bytes >= limit_bytes
    announced = request.headers.get("Content-Length", "")
    expected = int(announced) if announced.isdecimal() else 0
    async for part in request.stream():
        size += len(part)
        if not is_known and max(size, expected) > strangers_bytes:
            is_known = True
            if not await _may_be_long(request):
                allowed, sentence = strangers_bytes, STRANGERS
        if size <= allowed:
            parts.append(part)
        else:  # read to its end, so that a client that still sends gets to read the answer
            parts.clear()
            drop_rest(request.scope)
        if size > allowed + DRAINED_BYTES:
            break
    if size > allowed:
        raise BodyTooLarge(sentence.format(allowed))
    return b"".join(parts)


async def _may_be_long(request: Request) -> bool:
    """
    Return whether a body may be as long as bodies may be at all.

    It may with a session, and where who it is stands in the body, or in how it is signed.

    Raises:
        AddressRefused, AuthenticationFailed, MasterUnavailable: The request has a token, and that
            is no session's now.
    """
    engine = engine_of(request)
    section = engine.section
    path = request.scope["path"].removeprefix(request.scope["saltapi.base"])
    takes_hooks = section.webhook_disable_auth or section.webhook_secrets
    if path == "/run" or (takes_hooks and f"{path}/".startswith(f"{section.webhook_url}/")):
        return True
    if not token_of(request):
        return False
    await caller_of(request)
    return True


async def decoded_body(request: Request, *, is_hook: bool = False) -> Any:
    """
    Return the request's body, decoded by its Content-Type; None if there is none.

    That of a hook (*is_hook*) may be anything, also no form where it is called one.

    Raises:
        BodyTooLarge, NotAcceptable, BadRequest
    """
    raw = await read_body(request)
    if not raw:
        return None
    return await decoded(request.headers.get("Content-Type", ""), raw, is_hook=is_hook)
