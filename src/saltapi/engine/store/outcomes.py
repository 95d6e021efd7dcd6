"""What came of a request that failed: whether anything ran, and its error as plain values."""

from collections.abc import Mapping, Sequence
from typing import Any

from saltapi import errors
from saltapi.errors import (
    AuditUnavailable,
    AuthenticationFailed,
    AuthorizationFailed,
    BadRequest,
    Conflict,
    JobCacheUnavailable,
    MalformedAnswer,
    MasterUnavailable,
    NoMinionsMatched,
    OutcomeUnknown,
    SaltApiError,
    ServiceBusy,
    Stopping,
    StoreUnavailable,
    TokenStoreUnavailable,
    TooManyRequests,
    WorkerFailed,
)
from saltapi.lowstate import Command

NOTHING_RAN = (
    AuditUnavailable,
    AuthenticationFailed,
    AuthorizationFailed,
    BadRequest,
    Conflict,
    JobCacheUnavailable,
    NoMinionsMatched,
    ServiceBusy,
    StoreUnavailable,
    TokenStoreUnavailable,
    TooManyRequests,
)
UNKNOWN = (MalformedAnswer, MasterUnavailable, OutcomeUnknown, Stopping, WorkerFailed)
"""What says nothing about whether a command was started."""


def nothing_ran(error: SaltApiError, commands: Sequence[Command]) -> bool:
    """Return whether *error*, at the first of *commands*, means that none of them was started."""
    if error.completed or error.index or not commands or not commands[0].interface.is_one_request:
        return False
    if isinstance(error, MasterUnavailable | Stopping):
        return not error.sent
    return isinstance(error, NOTHING_RAN) and not isinstance(error, OutcomeUnknown)


def is_unknown(error: Any) -> bool:
    """Return whether *error* leaves open whether its command was started."""
    if isinstance(error, MasterUnavailable | Stopping):
        return error.sent
    return isinstance(error, UNKNOWN) or type(error) is SaltApiError


def error_as_data(error: SaltApiError) -> dict[str, Any]:
    """Return an error as plain values."""
    return {
        "code": error.code,
        "message": Exception.__str__(error),
        "index": error.index,
        "completed": list(error.completed),
    }


def error_from_data(data: Mapping[str, Any]) -> SaltApiError:
    """Return the error that `error_as_data` was given."""
    kind = next((k for k in _kinds(SaltApiError) if k.code == data["code"]), SaltApiError)
    error = kind.__new__(kind)
    Exception.__init__(error, data["message"])
    error.index = data["index"]
    error.completed = tuple(data["completed"])
    return error


def _kinds(kind: type[SaltApiError]) -> list[type[SaltApiError]]:
    found = [kind]
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            found += _kinds(child)
    return found
