"""Requests that come with a ticket in place of a token (`saltapi.engine.sessions.tickets`)."""

import re
from urllib.parse import parse_qsl, urlencode

from starlette.types import Scope

from saltapi.config import RestAsgiConfig
from saltapi.engine.engine import Engine
from saltapi.errors import BadRequest
from saltapi.netapi.rest_asgi.protection import QUERY_FIELDS

TICKET = "ticket"
STREAM = re.compile(r"/events|/ws|/v1/events|/v1/jobs/[^/]+/events|/v1/minions/events")
"""The paths of the streams that a ticket opens."""
JOB = re.compile(r"/v1/jobs/[^/]+")
"""The path of a job, which one may wait for."""
TOKEN_HEADER = b"x-auth-token"


async def with_token(engine: Engine[RestAsgiConfig], scope: Scope) -> Scope:
    """
    Return the scope of a request for a stream with the token that its ticket stands for.

    The ticket is of no use from then on, and not in the returned scope. Other requests are
    returned as they are: a ticket opens nothing but streams, and a job that is waited for.

    Args:
        engine: What all requests share.
        scope: The request, located (`saltapi.netapi.rest_asgi.paths`).

    Raises:
        AuthenticationFailed: The ticket is unknown, used or has expired.
        BadRequest: The query cannot be read.
    """
    query = scope["query_string"].decode("latin-1")
    if f"{TICKET}=" not in query:
        return scope
    path = scope["path"].removeprefix(scope["saltapi.base"])
    is_stream = scope.get("method", "GET") == "GET" and STREAM.fullmatch(path)
    is_job = scope.get("method") == "GET" and JOB.fullmatch(path)
    if not is_stream and not is_job:
        return scope
    try:
        fields = parse_qsl(query, keep_blank_values=True, max_num_fields=QUERY_FIELDS)
    except ValueError as error:
        raise BadRequest("The query has too many fields.") from error
    tickets = [value for name, value in fields if name == TICKET]
    if not tickets or not (is_stream or any(name == "wait" for name, _ in fields)):
        return scope
    token = await engine.tickets.redeem(tickets[0])
    rest = urlencode([(name, value) for name, value in fields if name != TICKET])
    headers = [(name, value) for name, value in scope["headers"] if name != TOKEN_HEADER]
    return {
        **scope,
        "query_string": rest.encode("latin-1"),
        "headers": [*headers, (TOKEN_HEADER, token.encode())],
    }
