"""What the minions of a job have returned, as a session may see it."""

import fnmatch
from collections.abc import AsyncIterator
from typing import Any, Self

from saltapi.bridge.jobs.registered import RegisteredJob, RegisteredReturn
from saltapi.engine.jobs.service import JobService
from saltapi.engine.jobs.times import time_text
from saltapi.masking import mask_return
from saltapi.types import MinionId, Session

TRIMMED = "VALUE_TRIMMED"
"""What stands where the minion or the bus has cut a value out of an event."""


class Values:
    """Shows returns; those that the registry has left out are read from the job cache, once."""

    def __init__(
        self, job_service: JobService, session: Session, job: RegisteredJob, *, masked: bool
    ) -> None:
        self.masked = masked
        self._job_service = job_service
        self._session = session
        self._job = job
        self._cached: dict[MinionId, Any] | None = None

    @classmethod
    async def of(
        cls, job_service: JobService, session: Session, job: RegisteredJob, *, whole: bool
    ) -> Self:
        """Return the values as *session* may see them."""
        masked = not whole and not await job_service.administrators.includes(session)
        return cls(job_service, session, job, masked=masked)

    def result(self) -> Any:
        """Return what a runner or wheel function has returned; None while it has not."""
        found = next(iter(self._job.returns.values()), None)
        return None if found is None else found.read(self._job.fun, masked=self.masked)

    async def shown(self, found: RegisteredReturn) -> dict[str, Any]:
        """
        Return `return`, `retcode`, `success` and `arrived`.

        Beside them `omitted` if there is no value, `trimmed` where Salt has cut out of it what
        would not fit into an event, and `states` with the counts of what are results of states.
        """
        shown = {
            "return": None if found.omitted else found.read(self._job.fun, masked=self.masked),
            "retcode": found.retcode,
            "success": found.success,
            "arrived": time_text(found.arrived_at),
        }
        if found.omitted:
            if self._cached is None:
                self._cached = await self._job_service.values(self._session, self._job)
            if found.minion in self._cached:
                value = self._cached[found.minion]
                shown["return"] = mask_return(self._job.fun, value) if self.masked else value
            else:
                shown["omitted"] = True
        if is_trimmed(shown["return"]):
            shown["trimmed"] = True
        if found.counts is not None:
            shown["states"] = found.counts.plain()
        return shown


async def shown_returns(
    values: Values, job: RegisteredJob, pattern: str | None
) -> AsyncIterator[tuple[MinionId, dict[str, Any]]]:
    """Yield what each minion has returned whose id matches a shell pattern; all without."""
    for found in list(job.returns.values()):
        if pattern is None or fnmatch.fnmatchcase(found.minion, pattern):
            yield found.minion, await values.shown(found)


def is_trimmed(value: Any) -> bool:
    """Return whether Salt has put its mark for what it cut (`salt.utils.dicttrim`) into *value*."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):  # Salt looks into nothing else
            waiting.extend(item.values())
        elif item == TRIMMED:
            return True
    return False
