"""The exit status: the same meaning for each command."""

from __future__ import annotations

from saltapi_client import errors

OK = 0
FAILED = 1
USAGE = 2
MISSING = 3
NOT_PERMITTED = 4
NOT_REACHABLE = 5
STOPPED = 6

MEANINGS = {
    OK: "all succeeded",
    FAILED: "some failed",
    USAGE: "the command line or the request is wrong; nothing has run",
    MISSING: "some are missing: no failure, but not every minion has returned; or not found",
    NOT_PERMITTED: "not permitted, or not logged in",
    NOT_REACHABLE: "not reachable: the server or its master does not answer",
    STOPPED: "stopped by you, before the end",
}


def of_error(error: errors.Error) -> int:
    """Return the exit status for an error."""
    if isinstance(error, errors.NotPermitted):
        return NOT_PERMITTED
    if isinstance(error, (errors.NotReachable, errors.Unavailable)):
        return NOT_REACHABLE
    if isinstance(error, errors.NotFound):
        return MISSING
    if isinstance(error, (errors.OutcomeUnknown, errors.ServerError, errors.StreamEnded)):
        return FAILED
    if isinstance(error, errors.TooManyRequests):
        return NOT_REACHABLE
    return USAGE


def of_results(*, failed: bool, missing: bool) -> int:
    """Return the exit status for what minions returned: a failure says more than a silence."""
    if failed:
        return FAILED
    return MISSING if missing else OK
