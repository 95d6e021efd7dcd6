"""The jobs of late with what their minions returned, each as one JSON text; for the view."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from saltapi import formats
from saltapi.bridge.bus.events import Event
from saltapi.bridge.jobs import job_events
from saltapi.bridge.jobs.job_events import JobReturned, JobStarted
from saltapi.config import MIB
from saltapi.types import Jid, MinionId

JOBS_LIMIT = 1_000
"""So many jobs are kept, the newest."""
JOBS_LIMIT_BYTES = 32 * MIB
"""So many bytes of all jobs together are kept."""
RETURNS_LIMIT_BYTES = 1 * MIB
"""So many bytes of returns are kept of one job; of further minions only how they ended."""
OMITTED = "The return is left out here: together they are too large. Look it up by the jid."
PENDING = b'{"success": false}'


class RecentJob:
    """One job; `text` says all about it."""

    def __init__(self, jid: Jid, data: Mapping[str, Any]) -> None:
        """
        Args:
            jid: The job's id.
            data: The data of its `new` event.
        """
        self.jid = jid
        self._data = {
            "start_time": data.get("_stamp"),
            **{key: data.get(key) for key in ("fun", "tgt", "tgt_type")},
        }
        self._minions: dict[MinionId, bytes] = {}
        self._running: set[MinionId] = set()
        self._returns_bytes = 0
        self._text: bytes | None = None

    @property
    def complete(self) -> bool:
        """Whether every minion has returned, however it went."""
        return not self._running

    @property
    def size_bytes(self) -> int:
        """What the job takes, roughly."""
        return self._returns_bytes + 100 * len(self._minions)

    def expect(self, minions: Iterable[MinionId]) -> None:
        """Add the minions that the master sent the job to."""
        for minion in minions:
            if minion not in self._minions:
                self._minions[minion] = PENDING
                self._running.add(minion)
        self._text = None

    def returned(self, minion: MinionId, data: Mapping[str, Any]) -> None:
        """Note what *minion* returned: the data of its `ret` event."""
        value = formats.dump_json(data.get("return"))
        if self._returns_bytes + len(value) > RETURNS_LIMIT_BYTES:
            value = formats.dump_json(OMITTED)
        self._returns_bytes += len(value)
        self._minions[minion] = b'{"return": %b, "retcode": %b, "success": %b}' % (
            value,
            formats.dump_json(data.get("retcode")),
            formats.dump_json(data.get("success", False)),
        )
        self._running.discard(minion)
        self._text = None

    def text(self) -> bytes:
        """Return `{"jobs": {jid: {…}}}`, made once for each change."""
        if self._text is None:
            dump = formats.dump_json
            minions = b", ".join(b"%b: %b" % (dump(m), v) for m, v in self._minions.items())
            self._text = (
                b'{"jobs": {%(jid)b: {"jid": %(jid)b, "start_time": %(start_time)b,'
                b' "minions": {%(minions)b}, "fun": %(fun)b, "tgt": %(tgt)b,'
                b' "tgt_type": %(tgt_type)b, "state": %(state)b}}}'
            ) % {
                b"jid": dump(self.jid),
                b"minions": minions,
                b"state": b'"complete"' if self.complete else b'"running"',
                **{key.encode(): dump(value) for key, value in self._data.items()},
            }
        return self._text


class RecentJobs:
    """Follows the events of jobs; the oldest jobs are forgotten first."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[Jid, RecentJob] = OrderedDict()
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self._jobs)

    def get(self, jid: Jid) -> RecentJob | None:
        """Return the job, None if it is not known or forgotten."""
        return self._jobs.get(jid)

    def clear(self) -> None:
        """Forget all."""
        self._jobs.clear()
        self._size_bytes = 0

    def take(self, event: Event) -> RecentJob | None:
        """
        Return the job that *event* changes; None if it changes none.

        Returns of jobs whose start was not seen are passed over: nobody could say what they are
        returns of.
        """
        job = self._changed(event)
        while len(self._jobs) > JOBS_LIMIT or self._size_bytes > JOBS_LIMIT_BYTES:
            _, oldest = self._jobs.popitem(last=False)
            self._size_bytes -= oldest.size_bytes
        return job

    def _changed(self, event: Event) -> RecentJob | None:
        found = job_events.read(event)
        if isinstance(found, JobStarted):
            if found.jid in self._jobs:  # the first counts: whoever may fire events can forge more
                return None
            job = self._jobs[found.jid] = RecentJob(found.jid, found.data)
            job.expect(found.minions)
        elif isinstance(found, JobReturned) and found.jid in self._jobs:
            job = self._jobs[found.jid]
            self._size_bytes -= job.size_bytes
            job.returned(found.minion, found.data)
        else:
            return None
        self._size_bytes += job.size_bytes
        return job
