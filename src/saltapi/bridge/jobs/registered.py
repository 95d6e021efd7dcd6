"""One job of the registry: what was asked of whom, and what came of it."""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from saltapi.bridge.bus.events import Event
from saltapi.bridge.bus.job_starts import Source, epoch_of, time_of
from saltapi.bridge.jobs import job_events
from saltapi.bridge.jobs.batches import Batch
from saltapi.bridge.jobs.orchestrations import FUNCTIONS, Orchestration
from saltapi.bridge.jobs.progress import JobProgress
from saltapi.bridge.jobs.state_results import Counts, StateResult, counts_of
from saltapi.bridge.jobs.states import JobState, MinionState
from saltapi.masking import mask_return
from saltapi.types import Jid, MinionId

log = logging.getLogger(__name__)

JOB_OVERHEAD_BYTES = 1_000
MINION_OVERHEAD_BYTES = 200


@dataclass(frozen=True, slots=True)
class RegisteredReturn:
    """What one minion returned: as the event holds it, or as `value`."""

    minion: MinionId
    failed: bool
    retcode: Any
    success: Any
    arrived_at: float | None
    """Seconds since the epoch; None for what was read from the job cache."""
    event: Event | None = None
    value: Any = None
    omitted: bool = False
    """Whether the value has to be read from the job cache: the registry had no room for it."""
    counts: Counts | None = None
    """How many states came to what; None if it holds none."""

    def read(self, fun: Any = "", *, masked: bool = False) -> Any:
        """
        Return what the minion returned.

        Args:
            fun: The function.
            masked: Whether without what only administrators see (`saltapi.masking`).
        """
        if self.event is None:
            return mask_return(fun, self.value) if masked else self.value
        event = Event(self.event.id, self.event.tag, self.event.payload)
        return (event.masked if masked else event).data.get("return")


class Reply(NamedTuple):
    """What a minion has said to `saltutil.find_job` last."""

    at: float
    """When, in seconds since the epoch."""
    running: bool
    """Whether it runs the job."""
    ran: bool
    """Whether it has ever said so."""


class RegisteredJob:
    """One job: what was asked of whom, and what came of it."""

    def __init__(self, jid: Jid, kind: str, *, limit_bytes: int) -> None:
        """
        Args:
            jid: The job's id; "" for what has none as a whole.
            kind: `local`, `runner`, `wheel` or `ssh`.
            limit_bytes: How much its returns may take.
        """
        self.jid = jid
        self.kind = kind
        self.source = Source.HEARD
        self.fun: Any = ""
        self.arg: Any = None
        """None where it is not known any more."""
        self.tgt: Any = None if kind == "local" else ""
        """The same."""
        self.tgt_type = ""
        self.delimiter: Any = None
        self.user = ""
        self.vouched = True
        """Whether `user` is sure to be who has started the job."""
        self.contradicted = False
        """Whether another `new` event has told something else of the job."""
        self.eauth: str | None = None
        """The eauth system of `user`, None where only the bus or the job cache told of the job."""
        self.started_at = time_of(jid) or time.time()
        """By the id, so that every process says the same, however late it hears of the job."""
        self.ended_at: float | None = None
        self.minions: dict[MinionId, None] = {}
        """The minions that are expected to return."""
        self.base: tuple[MinionId, ...] = ()
        """The minions that were expected at first, sorted."""
        self.unknown: set[MinionId] = set()
        """Names in a list target that the master does not know."""
        self.returns: dict[MinionId, RegisteredReturn] = {}
        """In the order in which they came."""
        self.silent: dict[MinionId, MinionState] = {}
        """Who is not waited for any more."""
        self.gave_up_at: float | None = None
        """When nobody was waited for any more though some had not returned."""
        self.answers: dict[MinionId, MinionState] = {}
        self.asked_at: float | None = None
        """When minions were last asked whether they run the job."""
        self.replies: dict[MinionId, Reply] = {}
        self.questions = 0
        """Grows with what `saltutil.find_job` brings to light."""
        self.held = 0
        """How many follow the job; it is not forgotten meanwhile."""
        self.growing = False
        """Whether more minions may come, until the job is settled."""
        self.settled = False
        """Whether somebody has waited for the minions to the end."""
        self.error: Exception | None = None
        """What ended a runner or wheel function, or the whole job."""
        self.progress = JobProgress()
        """How far the minions are with their states."""
        self.batch: Batch | None = None
        """The facts of a change in stages; its minions return to the jobs of these."""
        self.whole: RegisteredJob | None = None
        """The change of which this is a stage, which learns what happens here."""
        self.parent: Jid = ""
        """The job that has started this one; "" where nobody knows of one."""
        self.orchestration: Orchestration | None = None
        """The steps of `state.orchestrate`."""
        self.watcher: RegisteredJob | None = None
        """The orchestration that this job is taken for a part of; it changes with this."""
        self.size_bytes = JOB_OVERHEAD_BYTES
        self.on_growth: Callable[[int], None] | None = None
        """Learns of every byte that the job grows by: the registry's, while it keeps the job."""
        self._limit_bytes = limit_bytes
        self._pulse: asyncio.Event | None = None

    @property
    def jids(self) -> list[Jid]:
        """The ids by which the master knows it: its own, or those of its stages."""
        if self.batch is None:
            return [self.jid]
        return [stage.jid for stage in self.batch.stages if stage.jid]

    @property
    def outstanding(self) -> list[MinionId]:
        """The minions that have not returned, in order."""
        return [minion for minion in self.minions if minion not in self.returns]

    @property
    def state(self) -> JobState:
        """How far the job is."""
        waits = len(self.returns) < len(self.minions)  # who returns is one of the minions
        if not self.settled and (waits or self.growing or not self.minions):
            return JobState.RUNNING
        nobody = self.growing and not self.minions  # no master below has told of any minion
        return JobState.INCOMPLETE if waits or nobody or self.unknown else JobState.COMPLETE

    @property
    def failed(self) -> list[MinionId]:
        """The minions whose function has failed."""
        return [found.minion for found in self.returns.values() if found.failed]

    @property
    def missing(self) -> dict[MinionId, MinionState]:
        """Who has not returned and is not waited for, each with the reason."""
        reasons = dict.fromkeys(sorted(self.unknown), MinionState.UNKNOWN)
        if self.settled:
            known = self.silent.get
            reasons |= {m: known(m, MinionState.NO_RESPONSE) for m in self.outstanding}
        return reasons

    @property
    def waiting(self) -> dict[MinionId, MinionState]:
        """Who is waited for, each with what is known of it."""
        if self.settled:
            return {}
        return {m: self.answers.get(m, MinionState.WAITING) for m in self.outstanding}

    def pulse(self) -> asyncio.Event:
        """Return an event that is set when the job changes next."""
        if self._pulse is None:
            self._pulse = asyncio.Event()
        return self._pulse

    def changed(self) -> None:
        """Wake whoever waits for the job."""
        if self._pulse is not None:
            self._pulse.set()
            self._pulse = None
        if self.watcher is not None:
            self.watcher.changed()

    def describe(self, data: Mapping[str, Any]) -> None:
        """Take what a `new` event, the load in the job cache, or whoever has started it, says."""
        self.fun = data.get("fun") or self.fun
        for arg in (data.get("fun_args"), data.get("arg")):
            self.arg = self.arg if arg is None else arg
        self.tgt = self.tgt if data.get("tgt") is None else data["tgt"]
        self.tgt_type = str(data.get("tgt_type") or self.tgt_type)
        if isinstance(kwargs := data.get("kwargs"), Mapping):
            self.delimiter = kwargs.get("delimiter", self.delimiter)
        self.user = str(data.get("user") or self.user)
        self.unknown.update(job_events.names(data.get("missing")))
        if time_of(self.jid) is None:
            self.started_at = epoch_of(data.get("_stamp")) or self.started_at
        self._add_bytes(len(repr(self.arg)) + len(repr(self.tgt)))
        if self.orchestration is None and isinstance(self.fun, str) and self.fun in FUNCTIONS:
            self.orchestration = Orchestration()

    def own(self, user: str, eauth: str) -> None:
        """Note that the job is started here, by *user* of the eauth system *eauth*."""
        self.user, self.eauth, self.source, self.vouched = user, eauth, Source.OURS, True

    def contradict(self, data: Mapping[str, Any]) -> None:
        """Note a further `new` event: it changes nothing; what is another's goes into the log."""
        told = {"arg": data.get("fun_args"), **data}
        same = (told.get(k) in (None, getattr(self, k)) for k in ("fun", "arg", "tgt", "user"))
        if not self.contradicted and not all(same):
            log.warning("Another 'new' event of job %s, perhaps forged, is passed over.", self.jid)
            self.contradicted, self.vouched = True, self.source is not Source.HEARD

    def expect(self, minions: Iterable[MinionId]) -> None:
        """Add minions that are expected to return."""
        self.minions.update(dict.fromkeys(minions))
        if not self.base:
            self.base = tuple(sorted(self.minions))
            self._add_bytes(MINION_OVERHEAD_BYTES * len(self.base))
        self.changed()

    def join(self, minions: Collection[MinionId]) -> None:
        """Add minions that a master below expects to return, as far as there is room."""
        size_bytes = MINION_OVERHEAD_BYTES * len(minions)
        if self.settled or self.size_bytes + size_bytes > self._limit_bytes:
            return
        self.minions.update(dict.fromkeys(minions))
        self.unknown.difference_update(minions)
        self._add_bytes(size_bytes)
        self.changed()

    def excuse(self, minions: Iterable[MinionId]) -> None:
        """Expect nothing of *minions* any more: they only pass on what others return."""
        for minion in minions:
            if minion not in self.returns:
                self.minions.pop(minion, None)

    def miss(self, names: Collection[MinionId]) -> None:
        """Note that the master knows none of *names*, but for those that turned up meanwhile."""
        self.unknown.update(name for name in names if name not in self.minions)

    def take(self, found: RegisteredReturn, size_bytes: int) -> None:
        """Note a return; the first one of each minion counts, as in the job cache."""
        minion = found.minion
        if minion in self.returns:
            return
        if self.size_bytes + size_bytes > self._limit_bytes and found.event is not None:
            found = replace(found, event=None, omitted=True)
            size_bytes = 0
        self.returns[minion] = found
        self.minions.setdefault(minion)
        self.unknown.discard(minion)
        self.silent.pop(minion, None)
        self.answers.pop(minion, None)
        self.replies.pop(minion, None)
        self._add_bytes(size_bytes)
        if found.counts is not None:
            self._add_bytes(self.progress.ended(minion, found.counts))
        if found.arrived_at is not None and len(self.returns) >= len(self.minions):
            self.ended_at = found.arrived_at
        self.changed()
        if self.whole is not None:
            self.whole.take(found, size_bytes)

    def tell(self, minion: MinionId, of: int | None, state: StateResult, event: Event) -> None:
        """Note that one of the job's minions has told of a state."""
        if minion in self.minions and minion not in self.returns:
            room_bytes = self._limit_bytes - self.size_bytes
            self._add_bytes(self.progress.happened(minion, of, state, event, room_bytes))
            if minion in self.answers:  # it says so unasked
                self.answers[minion] = MinionState.RUNNING
            self.changed()
            if self.whole is not None:
                self.whole.tell(minion, of, state, event)

    def answered(self, minion: MinionId, *, running: bool, at: float) -> None:
        """Note what *minion* said when it was asked for the job, in epoch seconds."""
        if minion in self.minions and minion not in self.returns:
            self.answers[minion] = MinionState.RUNNING if running else MinionState.NO_ANSWER
            before = self.replies.get(minion)
            self.replies[minion] = Reply(at, running, running or (before or (0, 0, False))[2])
            self.questions += 1
            self.changed()
            if self.whole is not None:
                self.whole.answered(minion, running=running, at=at)

    def asked(self, minions: Iterable[MinionId], *, at: float) -> None:
        """Note that *minions* are asked, at that time, whether they run the job."""
        self.asked_at = at
        for minion in minions:
            if minion in self.minions and minion not in self.returns:
                self.answers[minion] = MinionState.NO_ANSWER
        self.questions += 1
        self.changed()

    def settle(self, silent: Mapping[MinionId, MinionState], *, at: float | None = None) -> None:
        """Note that nobody is waited for since *at*, or now, and why each silent one is silent."""
        self.silent.update({m: why for m, why in silent.items() if m not in self.returns})
        self.minions.update(dict.fromkeys(m for m in silent if m not in self.unknown))
        self.settled, since = True, at or time.time()
        self.ended_at = self.ended_at or since
        if (self.outstanding or self.growing) and self.gave_up_at is None:
            self.gave_up_at = since
        self.changed()

    def fail(self, error: Exception) -> None:
        """Note that the job was ended by *error*."""
        self.error = error
        self.settle({})

    def _add_bytes(self, size_bytes: int) -> None:
        self.size_bytes += size_bytes
        if self.on_growth is not None:
            self.on_growth(size_bytes)


def returned(
    minion: MinionId, data: Mapping[str, Any], *, arrived_at: float | None
) -> RegisteredReturn:
    """Return what *minion* returned, of the data of an event or of the job cache."""
    failed = job_events.has_failed(data)
    success = data.get("success")
    retcode = data.get("retcode")
    return RegisteredReturn(
        minion,
        failed,
        int(failed) if retcode is None else retcode,
        not failed if success is None else success,
        arrived_at,
        value=data.get("return"),
        counts=counts_of(data.get("return")),
    )
