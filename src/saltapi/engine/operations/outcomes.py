"""What comes of each chunk of a lowstate that stands for itself (`Api.run_each`)."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from saltapi.engine.store.idempotency import Keyed
from saltapi.engine.store.outcomes import (
    error_as_data,
    error_from_data,
    is_unknown,
    nothing_ran,
)
from saltapi.errors import (
    AuditUnavailable,
    AuthenticationFailed,
    AuthorizationFailed,
    SaltApiError,
    TooManyRequests,
)
from saltapi.lowstate import Command


def accepted(command: Command | SaltApiError) -> Command:
    """Return *command*, or raise what is wrong with it."""
    if isinstance(command, SaltApiError):
        raise command
    return command


async def of_each(
    commands: Iterable[Command | SaltApiError], run: Callable[[Command], Awaitable[Any]]
) -> list[Any]:
    """
    Return what comes of each command, its result or an error, up to one that is not permitted.

    Args:
        commands: Commands, or what is wrong with the credentials of one.
        run: Runs one.

    Raises:
        AuditUnavailable, TooManyRequests: `completed` holds what was run.
    """
    found: list[Any] = []
    for command in commands:
        try:
            found.append(await run(accepted(command)))
        except (AuditUnavailable, TooManyRequests) as error:
            error.completed = tuple(found)
            raise
        except SaltApiError as error:
            found.append(error)
            if isinstance(error, AuthenticationFailed | AuthorizationFailed):
                break
    return found


async def keep(reservation: Keyed, outcomes: Sequence[Any]) -> None:
    """
    Keep *outcomes*, a result or an error for each command that was tried.

    If none of them has run, the key can be used again; if it is not known of one,
    nothing is kept, and a repeat is told that it is not known what has been started.
    """
    pairs = zip(outcomes, reservation.commands, strict=False)
    if all(isinstance(o, SaltApiError) and nothing_ran(o, [command]) for o, command in pairs):
        await reservation.failed(outcomes[0])
    elif not any(map(is_unknown, outcomes)):
        await reservation.done([_as_data(outcome) for outcome in outcomes])


def kept(reservation: Keyed) -> list[Any]:
    """
    Return the outcomes that `keep` was given.

    Raises:
        OutcomeUnknown: They may have run or not, or what came of them was not kept.
    """
    return [
        error_from_data(data["error"]) if "error" in data else data["return"]
        for data in reservation.outcome()
    ]


def _as_data(outcome: Any) -> dict[str, Any]:
    if isinstance(outcome, SaltApiError):
        return {"error": error_as_data(outcome)}
    return {"return": outcome}
