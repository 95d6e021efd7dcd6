"""
Which `new` events of jobs are believed: the first of each jid, when it comes at the jid's time.

Whoever may fire events on a minion can forge the `new` event of any job, and nothing in the event
tells: with it they would say whose the job is. But the master announces a job right after its jid
was made and before any minion hears of it. So a `new` is believed only from the first who brings
it, not before the time that the jid carries, not long after it, and only where this process has
seen all that happened since that time. Of other jobs the job cache tells.
"""

import datetime
import enum
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from saltapi.bridge.bus.events import Event
from saltapi.types import Jid

JOBS_LIMIT = 20_000
"""So many jobs are remembered, the latest."""
JID = re.compile(r"([0-9]{20})(_[0-9]{1,10})?")
LATE_SECONDS = 60.0
"""How long after its jid was made a job is announced, at most: publishes wait for the master."""


class Source(enum.StrEnum):
    """Where it is known from what a job is, and whose."""

    OURS = "ours"
    """It was started by this process."""
    HEARD = "heard"
    """The first `new` event of the bus, which came when it had to."""
    READ = "read"
    """The job cache, or a list made of it."""


class JobStarts:
    """Sees the `new` events of jobs, runner and wheel functions."""

    def __init__(
        self, *, late_seconds: float = LATE_SECONDS, clock: Callable[[], float] = time.time
    ) -> None:
        """
        Args:
            late_seconds: How long after the time in its jid a `new` is believed.
            clock: Returns seconds since the epoch.
        """
        self._late_seconds = late_seconds
        self._clock = clock
        self._seen_since = float("-inf")
        self._jobs: OrderedDict[Jid, tuple[float, str | None]] = OrderedDict()

    def connected(self) -> None:
        """Note that events come in from now on: what happened before may have been missed."""
        self._seen_since = self._clock()

    def hear(self, jid: Jid, event_id: str) -> None:
        """Take note of a `new` event of the job *jid*."""
        now, moment = self._clock(), time_of(jid)
        if moment is None or self._jobs.get(jid, (0.0, None))[1] is not None:
            return
        earliest = max(moment, now - self._late_seconds, self._seen_since)
        believed = earliest == moment <= now
        self._jobs[jid] = now, event_id if believed else None
        if len(self._jobs) > JOBS_LIMIT:
            _, (heard_at, _) = self._jobs.popitem(last=False)
            self._seen_since = max(self._seen_since, heard_at)  # it is not known any more

    def knows(self, jid: Jid) -> bool:
        """Return whether a job of this id was announced of late, by whomever."""
        return jid in self._jobs

    def believes(self, event: Event) -> bool:
        """Return whether the `new` event *event* says the truth about its job."""
        found = self._jobs.get(str(event.parts.jid))
        return found is not None and found[1] == event.id


def time_of(jid: Jid) -> float | None:
    """Return when a job was started, in seconds since the epoch, by its id; None if it is none."""
    digits = JID.fullmatch(jid)
    if digits is None:
        return None
    try:
        moment = datetime.datetime.strptime(digits[1], "%Y%m%d%H%M%S%f")
    except ValueError:
        return None
    return moment.replace(tzinfo=datetime.UTC).timestamp()


def jid_at(moment: float) -> Jid:
    """Return the jid of a job that is started at *moment*, in seconds since the epoch."""
    earliest, latest = datetime.datetime.min, datetime.datetime.max
    bounds = [each.replace(tzinfo=datetime.UTC).timestamp() for each in (earliest, latest)]
    at = datetime.datetime.fromtimestamp(min(max(moment, bounds[0]), bounds[1] - 1), datetime.UTC)
    return f"{at.year:04}{at:%m%d%H%M%S%f}"


def epoch_of(stamp: Any) -> float | None:
    """Return the seconds since the epoch of a time as Salt writes it (UTC); None if it is none."""
    if not isinstance(stamp, str):
        return None
    try:
        moment = datetime.datetime.fromisoformat(stamp)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return moment.timestamp()
