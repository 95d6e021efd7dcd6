"""
What can go wrong, as one tree.

    Error
    ├── Usage                   what was asked for makes no sense; nothing was sent
    ├── NotReachable            no answer came
    │   └── ConnectionLost      the connection ended after the request was sent
    ├── NotPermitted
    │   ├── AuthenticationFailed    401
    │   └── AuthorizationFailed     403
    ├── BadRequest              400 and every other 4xx
    │   ├── NotFound            404
    │   │   └── NoMinionsMatched
    │   ├── Conflict            409, 412, 422
    │   │   ├── ConfirmationNeeded  `command` is what would run, `confirm` lets it
    │   │   └── OutcomeUnknown      `jids` may run
    │   └── TooManyRequests     429
    ├── ServerError             5xx
    │   └── Unavailable         502, 503, 504
    ├── StreamEnded             the server has ended a stream, and says why
    └── NotSupported            the server has no such URL: no `/v1`, or an older one
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class Error(Exception):
    """
    The root of all errors.

    Attributes:
        detail: A sentence for people.
        code: What went wrong, for programs; the API's codes are in docs/rest_asgi.md.
        status: The HTTP status; None if there was none.
        jids: Jobs that are known to have been started, or may have been.
        problem: The whole problem document (RFC 9457), as far as there was one.
    """

    code = "error"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        status: int | None = None,
        jids: Sequence[str] = (),
        problem: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.status = status
        self.jids = list(jids)
        self.problem = dict(problem or {})

    def __str__(self) -> str:
        if not self.jids:
            return self.detail
        return f"{self.detail} (jids: {', '.join(self.jids)})"


class Usage(Error):
    """What was asked for makes no sense; nothing was sent."""

    code = "usage"


class NotReachable(Error):
    """No answer came."""

    code = "not_reachable"


class ConnectionLost(NotReachable):
    """The connection ended after the request was sent; it may have been acted on."""

    code = "connection_lost"


class NotPermitted(Error):
    """The user may not do this, or is unknown."""


class AuthenticationFailed(NotPermitted):
    """The token or the password is missing, wrong or expired."""

    code = "authentication"


class AuthorizationFailed(NotPermitted):
    """The user may not do this."""

    code = "authorization"


class BadRequest(Error):
    """The request is wrong; nothing has run."""

    code = "bad_request"


class NotFound(BadRequest):
    """There is no such thing, or none that the user may see."""

    code = "not_found"


class NoMinionsMatched(NotFound):
    """The target matches no minion that the master knows."""

    code = "no_minions_matched"


class Conflict(BadRequest):
    """It does not go with what is."""

    code = "conflict"


class ConfirmationNeeded(Conflict):
    """What would run is not sure to be what was meant."""

    code = "confirmation_needed"

    @property
    def command(self) -> dict[str, Any]:
        """The chunk that would run."""
        found = self.problem.get("command")
        return found if isinstance(found, dict) else {}

    @property
    def confirm(self) -> str:
        """What to send along so that exactly this runs."""
        return str(self.problem.get("confirm", ""))


class OutcomeUnknown(Conflict):
    """It is not known whether the command has run; `jids` are the jobs to look at."""

    code = "outcome_unknown"


class TooManyRequests(BadRequest):
    """The user, or the address, asks too often."""

    code = "too_many_requests"


class ServerError(Error):
    """The server, or the master behind it, has failed."""

    code = "internal"


class Unavailable(ServerError):
    """The master or the service is away, busy, or took too long."""

    code = "unavailable"


class StreamEnded(Error):
    """The server has ended a stream for good; `code` is `session`, `slow` or another."""

    code = "ended"


class NotSupported(Error):
    """The server does not have this."""

    code = "not_supported"


_BY_CODE: dict[str, type[Error]] = {
    kind.code: kind
    for kind in (
        AuthenticationFailed,
        AuthorizationFailed,
        NoMinionsMatched,
        ConfirmationNeeded,
        OutcomeUnknown,
        TooManyRequests,
    )
}
_BY_STATUS: dict[int, type[Error]] = {
    401: AuthenticationFailed,
    403: AuthorizationFailed,
    404: NotFound,
    409: Conflict,
    412: Conflict,
    422: Conflict,
    429: TooManyRequests,
    501: NotSupported,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def from_problem(problem: Mapping[str, Any], status: int | None = None) -> Error:
    """
    Return the error that a problem document, or a classic `{"status", "return"}`, tells of.

    Args:
        problem: What the server has sent, decoded.
        status: The HTTP status; what the document says without.
    """
    found = status if status is not None else problem.get("status")
    number = found if isinstance(found, int) else 500
    code = str(problem.get("code") or "")
    kind = _BY_CODE.get(code) or _BY_STATUS.get(number)
    if kind is None:
        kind = ServerError if number >= 500 else BadRequest
    detail = problem.get("detail") or problem.get("return") or problem.get("title")
    text = detail if isinstance(detail, str) else f"The server answered with status {number}."
    jids = problem.get("jids")
    return kind(
        text,
        code=code or None,
        status=number,
        jids=[str(jid) for jid in jids] if isinstance(jids, list) else (),
        problem=problem,
    )
