"""When this process did not hear the bus, as far as that matters to what it tells."""

import time
from collections import deque
from typing import NamedTuple

OUTAGES_LIMIT = 100
"""So many are remembered, the latest."""


class Outage(NamedTuple):
    """A time in which events were missed, in seconds since the epoch."""

    begin: float
    end: float | None
    """None while it lasts."""


class Outages:
    """The latest outages, and since when the bus is heard."""

    def __init__(self) -> None:
        self._known: deque[Outage] = deque(maxlen=OUTAGES_LIMIT)
        self.heard_since: float | None = None
        """When the bus was first heard; None if it never was."""

    def lost(self) -> None:
        """Note that the bus is not heard from now on."""
        self._known.append(Outage(time.time(), None))

    def back(self) -> None:
        """Note that the bus is heard again."""
        now = time.time()
        self.heard_since = self.heard_since or now
        if self._known and self._known[-1].end is None:
            self._known[-1] = self._known[-1]._replace(end=now)

    def since(self, begin: float) -> list[Outage]:
        """Return the outages that have lasted beyond *begin*, in order."""
        return [each for each in self._known if each.end is None or each.end > begin]
