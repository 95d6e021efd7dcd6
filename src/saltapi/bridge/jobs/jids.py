"""
Job ids: new ones, and those that clients bring along.

A jid is the time at which it was made, in UTC, to the microsecond (`salt.utils.jid.gen_jid`). Who
publishes under the jid of another job takes its place in the job cache, so a jid of a client's is
taken only if it carries the present time and nobody has it: then it cannot be that of a job before.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable

import salt.utils.jid

from saltapi.bridge.bus.hub import Hub
from saltapi.bridge.bus.job_starts import time_of
from saltapi.errors import Conflict
from saltapi.types import Jid, Opts

TIME_DIGITS = 20
PRESENT_SECONDS = 60.0
"""How far from now the time in a client's jid may be."""
CLAIMS_LIMIT = 20_000
"""So many jids of clients are remembered, the latest."""
REFUSED = (
    f"A jid of your own must carry the present time (UTC, within {PRESENT_SECONDS:.0f} seconds) and"
    " be the id of no other job; leave jid out to get a new one."
)
"""One sentence for both, so that nobody learns from it which jobs there are."""


class Jids:
    """Makes jids, and lets clients have theirs."""

    def __init__(self, opts: Opts, hub: Hub) -> None:
        """
        Args:
            opts: The master's options.
            hub: Knows the jobs of late.
        """
        self._opts = opts
        self._hub = hub
        self._last: Jid = ""
        self._claimed: OrderedDict[Jid, None] = OrderedDict()
        self._takers: list[Callable[[Jid], Awaitable[bool]]] = []

    def ask(self, taken: Callable[[Jid], Awaitable[bool]]) -> None:
        """Let *taken* say of a client's jid, too, whether it is somebody's; it may claim it."""
        self._takers.append(taken)

    def new(self) -> Jid:
        """Return a jid as the installed Salt makes them, which nobody has."""
        while True:
            jid = str(salt.utils.jid.gen_jid(self._opts))
            if jid != self._last and not self._is_known(jid):
                self._last = jid
                return jid
            time.sleep(0)  # they are made of microseconds

    async def claim(self, jids: Iterable[Jid | None]) -> None:
        """
        Return if a client may have all of *jids*, and let nobody else have them.

        Args:
            jids: Those of all chunks of a request; None for a chunk without.

        Raises:
            Conflict: One does not carry the present time, or is the id of another job. The error
                does not say which of both, nor which jid.
        """
        wanted = [jid for jid in jids if jid is not None]
        if len(set(wanted)) < len(wanted) or not all(map(self._is_free, wanted)):
            raise Conflict(REFUSED)
        self._claimed.update(dict.fromkeys(wanted))
        while len(self._claimed) > CLAIMS_LIMIT:
            self._claimed.popitem(last=False)
        for jid in wanted:
            for taken in self._takers:
                if await taken(jid):
                    raise Conflict(REFUSED)

    def _is_free(self, jid: Jid) -> bool:
        moment = time_of(jid)
        if moment is None or abs(time.time() - moment) > PRESENT_SECONDS:
            return False
        return not self._is_known(jid) and not self._is_known(jid[:TIME_DIGITS])

    def _is_known(self, jid: Jid) -> bool:
        return jid in self._claimed or self._hub.starts.knows(jid) or self._hub.watches(jid)
