"""
Errors as answers: problem documents (RFC 9457) below `/v1`, elsewhere as rest_cherrypy has them.
"""

import asyncio
import traceback
from collections.abc import Mapping
from typing import Any

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from saltapi import errors, formats, trace
from saltapi.masking import redact
from saltapi.netapi._http import answers

PROBLEM_TYPE = "application/problem+json"
PROBLEM_YAML_TYPE = "application/problem+yaml"
URN = "urn:saltapi:error:"
TITLES = {
    "address_refused": "Address refused",
    "audit_unavailable": "Audit log unavailable",
    "authentication": "Not authenticated",
    "authorization": "Not permitted",
    "bad_request": "Bad request",
    "body_too_large": "Body too large",
    "certificate_refused": "Certificate refused",
    "client_disabled": "Client disabled",
    "confirmation_needed": "Confirmation needed",
    "conflict": "Conflict",
    "internal": "Internal error",
    "invalid_chunk": "Invalid chunk",
    "invalid_field": "Invalid field",
    "job_cache_unavailable": "Job cache unavailable",
    "key_reused": "Idempotency key reused",
    "malformed_answer": "Malformed answer of the master",
    "master_busy": "Master busy",
    "master_unavailable": "Master unavailable",
    "method_not_allowed": "Method not allowed",
    "no_minions_matched": "No minions matched",
    "not_acceptable": "Not acceptable",
    "not_found": "Not found",
    "not_supported": "Not supported",
    "origin_refused": "Origin refused",
    "outcome_unknown": "Outcome unknown",
    "precondition_failed": "Precondition failed",
    "service_busy": "Service busy",
    "still_starting": "Still starting",
    "stopping": "The service is stopping",
    "provider_unavailable": "Identity provider unavailable",
    "store_unavailable": "Store unavailable",
    "timeout": "Timed out",
    "token_store_unavailable": "Token store unavailable",
    "too_many_requests": "Too many requests",
    "too_slow": "Too slow",
    "upgrade_required": "Upgrade required",
    "worker_failed": "Function worker failed",
}
FORBIDDEN = 403
"""What `/v1` answers to somebody known who may not do this; elsewhere it is 401, as in Salt."""


def no_such_path(connection: HTTPConnection) -> errors.NotFound:
    """Return the error for a path at which there is nothing."""
    return errors.NotFound(f"The path '{connection.scope['saltapi.path']}' was not found.")


def speaks_problems(connection: HTTPConnection) -> bool:
    """Return whether errors of the request are problem documents."""
    return bool(connection.scope.get("saltapi.v1"))


def status_of(kind: type[errors.SaltApiError], *, of_v1: bool) -> int:
    """Return the HTTP status of errors of this kind, below `/v1` or elsewhere."""
    return FORBIDDEN if of_v1 and issubclass(kind, errors.AuthorizationFailed) else kind.status


def error_response(connection: HTTPConnection, error: errors.SaltApiError) -> Response:
    """Return the answer to a request that ended with *error*, in a format that it accepts."""
    trace.note_error(error)
    connection.app.state.engine.metrics.error(error.code)
    of_v1 = speaks_problems(connection)
    status = status_of(type(error), of_v1=of_v1)
    accept = connection.headers.get("Accept")
    headers = {
        **getattr(connection.state, "headers", {}),
        **answers.error_headers(status, error),
    }
    if error.completed:  # the results that were there before it
        return _LateResponse(accept, status, error, headers, of_v1=of_v1)
    content_type, body = _body(accept, status, error, of_v1=of_v1)
    return Response(body, status, {**headers, "Content-Type": content_type})


class _LateResponse(Response):
    """An error whose body may be large, and is written in a thread when it is sent."""

    def __init__(
        self,
        accept: str | None,
        status: int,
        error: errors.SaltApiError,
        headers: Mapping[str, str],
        *,
        of_v1: bool,
    ) -> None:
        super().__init__(None, status, headers)
        self._make = lambda: _body(accept, status, error, of_v1=of_v1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        content_type, self.body = await asyncio.to_thread(self._make)
        self.headers["Content-Type"] = content_type
        self.headers["Content-Length"] = str(len(self.body))
        await super().__call__(scope, receive, send)


def unexpected(connection: HTTPConnection) -> Response:
    """Return the answer to a request that met an error of ours, while that is handled."""
    sentence = answers.UNEXPECTED
    if connection.app.state.engine.section.debug:
        sentence = redact(traceback.format_exc())
    return error_response(connection, errors.SaltApiError(sentence))


def problem(error: errors.SaltApiError, status: int | None = None) -> dict[str, Any]:
    """Return *error* as a problem document (RFC 9457)."""
    current = trace.current.get()
    found: dict[str, Any] = {
        "type": URN + error.code,
        "title": TITLES[error.code],
        "status": error.status if status is None else status,
        "detail": str(error),
        "code": error.code,
        "request_id": current.request_id if current is not None else "",
    }
    if error.index is not None:
        found["chunk"] = error.index
    key = getattr(error, "key", None)
    if key is not None:
        found["field"] = key
    jids = getattr(error, "jids", ())
    if jids:
        found["jids"] = list(jids)
    if isinstance(error, errors.ConfirmationNeeded):
        found |= {"command": error.command, "confirm": error.confirm}
    if error.completed:
        found["completed"] = list(error.completed)
    return found


def _body(
    accept: str | None, status: int, error: errors.SaltApiError, *, of_v1: bool
) -> tuple[str, bytes]:
    if of_v1:
        return _problem_body(accept, status, error)
    return answers.error_body(accept, status, str(error), error)


def _problem_body(accept: str | None, status: int, error: errors.SaltApiError) -> tuple[str, bytes]:
    document = problem(error, status)
    try:
        media_type = formats.negotiate(accept)
    except errors.NotAcceptable:
        media_type = formats.JSON_TYPE
    if media_type == formats.YAML_TYPE:
        return PROBLEM_YAML_TYPE, formats.dump_yaml(document)
    return PROBLEM_TYPE, formats.dump_json_in_parts(document)
