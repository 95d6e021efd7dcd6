"""
The minions of the master, as the bus shows them: one record each, for as long as the process runs
(their last highstates are known for longer: `highstates`).

Every event is looked at once, so it must be quick. What whoever may fire events could have made up
says no more than that somebody was there: what a minion may run and see does not depend on it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from sys import intern
from typing import Any

from saltapi.bridge.bus.events import Event
from saltapi.bridge.bus.hub import Hub
from saltapi.bridge.bus.job_starts import epoch_of
from saltapi.bridge.bus.tags import Kind
from saltapi.bridge.fleet.minion_data import Summary
from saltapi.bridge.jobs import job_events
from saltapi.bridge.jobs.job_events import FIND_JOB, JobReturned, JobStarted
from saltapi.bridge.jobs.state_results import counts_of
from saltapi.engine.fleet.minion import (
    NOTHING,
    LastHighstate,
    LastJob,
    Minion,
    is_highstate,
    is_test,
)
from saltapi.types import MinionId

log = logging.getLogger(__name__)

MINIONS_LIMIT = 100_000
"""So many minions are told apart."""
QUESTIONS_LIMIT = 1_000
"""So many questions for jobs are waited for at once."""
REFRESHED = "minion/refresh/"
SIGNS = {"start": "start", "minion_start": "start"}
AUTH_TAG = "salt/auth"
ACT_CHARACTERS = 20
PRESENT_ACTS = frozenset({"accept", "pend"})


class MinionRegistry:
    """Follows the hub."""

    def __init__(
        self,
        hub: Hub,
        *,
        answer_seconds: float,
        exact_presence: bool,
        user_of: Callable[[Event], tuple[str | None, tuple[str, ...]]],
    ) -> None:
        """
        Args:
            hub: Where the events come from.
            answer_seconds: How long a minion has to say whether it runs a job.
            exact_presence: Whether presence events are about minions, and not about addresses.
            user_of: Returns who started the job of an event, and its functions.
        """
        self._hub = hub
        self._answer_seconds = answer_seconds
        self._exact_presence = exact_presence
        self._user_of = user_of
        self._questions: set[asyncio.TimerHandle] = set()
        self.minions: dict[MinionId, Minion] = {}
        self.membership = 0
        """Another number whenever a minion has come or gone."""
        self.outdated: set[MinionId] = set()
        """Minions whose data the master has written since it was read."""
        self.on_change: Callable[[MinionId], None] = lambda _minion: None
        """Called for each minion about which something has changed."""
        self.on_highstate: Callable[[MinionId, LastHighstate | None], None] = lambda *_: None
        """Called for each highstate that a minion returns; with None when it is deleted."""
        self._recalled: dict[MinionId, LastHighstate] = {}
        """Those of before, of minions that have no record yet."""
        self.on_key: Callable[[], None] = lambda: None
        """Called when a key has changed."""
        hub.observe(self._observe)

    def close(self) -> None:
        """Wait for nothing more; idempotent."""
        for timer in self._questions:
            timer.cancel()
        self._questions.clear()

    def minion(self, minion: MinionId) -> Minion | None:
        """Return the record of a minion, a new one if need be; None if there are too many."""
        found = self.minions.get(minion)
        if found is None and len(self.minions) < MINIONS_LIMIT:
            found = self.minions[minion] = Minion(minion)
            self.membership += 1
            found.highstate = self._recalled.pop(minion, None)
        return found

    def recall(self, highstates: Mapping[MinionId, LastHighstate]) -> list[MinionId]:
        """Take highstates of before; return the minions of which none as late was known."""
        taken = []
        for name, highstate in highstates.items():
            minion = self.minions.get(name)
            known = self._recalled.get(name) if minion is None else minion.highstate
            if known is not None and known.job.at >= highstate.job.at:
                continue
            if minion is not None:
                minion.highstate = highstate
                self.on_change(name)
            elif name in self._recalled or len(self._recalled) < MINIONS_LIMIT:
                self._recalled[name] = highstate
            else:
                continue
            taken.append(name)
        return taken

    def learn(self, summaries: dict[MinionId, Summary], *, whole: bool) -> None:
        """
        Take what the master has cached.

        Args:
            summaries: By minion.
            whole: Whether these are all that there are.
        """
        for name, summary in summaries.items():
            minion = self.minion(name)
            if minion is None:
                continue
            if minion.summary != summary:
                minion.take(summary)
                self.on_change(name)
            if summary.updated is not None and (minion.seen_at or 0) < summary.updated:
                minion.seen(summary.updated, "data")
        if whole:
            for name, minion in self.minions.items():
                if name not in summaries and minion.summary.addresses:
                    minion.take(NOTHING)

    def _observe(self, event: Event) -> None:
        try:
            self._take(event)
        except Exception:  # what one event holds must not stop the reader of all
            log.exception("An event with tag %r cannot be noted of a minion.", event.tag)

    def _take(self, event: Event) -> None:
        tag = event.parts
        if tag.syndics:
            return
        if tag.kind is Kind.JOB:
            self._job(event)
        elif tag.kind is Kind.MINION and tag.name and event.data.get("id") == tag.name:
            is_start = tag.part == "start"
            self._seen(tag.name, event, "start" if is_start else _sign(event.tag))
            if is_start and (minion := self.minions.get(tag.name)):
                minion.started_at = _time_of(event)
        elif event.tag.startswith(REFRESHED):
            self.outdated.add(event.tag.removeprefix(REFRESHED))
        elif tag.kind is Kind.KEY:
            self._key(event)
        elif tag.kind is Kind.PRESENCE and self._exact_presence:
            for name in job_events.names(event.data.get("new")):
                self._seen(name, event, "presence")
            for name in job_events.names(event.data.get("present")):
                self._seen(name, event, "presence")
            self._lost(job_events.names(event.data.get("lost")), _time_of(event))

    def _key(self, event: Event) -> None:
        minion, act = event.data.get("id"), event.data.get("act")
        if not isinstance(minion, str):
            return
        if event.tag == AUTH_TAG:
            if event.data.get("result") and act in PRESENT_ACTS:
                known = minion in self.minions
                self._seen(minion, event, "auth")
                if not known or act == "pend":
                    self.on_key()
            elif act not in PRESENT_ACTS:
                self.on_key()
                if isinstance(act, str) and (refused := self.minions.get(minion)):
                    refused.refused = _time_of(event), intern(act[:ACT_CHARACTERS])
            return
        self.on_key()
        if isinstance(act, str) and (changed := self.minions.get(minion)):
            changed.key_act = _time_of(event), intern(act[:ACT_CHARACTERS])
        if act == "delete":
            self.minions.pop(minion, None)
            self.membership += 1
            self._recalled.pop(minion, None)
            self.on_highstate(minion, None)
        self.on_change(minion)

    def _job(self, event: Event) -> None:
        found = job_events.read(event)
        if isinstance(found, JobReturned):
            self._returned(found, event)
        elif (
            isinstance(found, JobStarted)
            and found.data.get("fun") == FIND_JOB
            and self._hub.starts.believes(event)
            and len(self._questions) < QUESTIONS_LIMIT
        ):
            self._wait_for(found.minions, _time_of(event))

    def _returned(self, found: JobReturned, event: Event) -> None:
        self._seen(found.minion, event, "return")
        minion, data = self.minions.get(found.minion), found.data
        fun = data.get("fun")
        if minion is None or fun == FIND_JOB or "return" not in data:
            return
        user, funs = self._user_of(event)
        job = LastJob(
            found.jid,
            funs,
            fun if isinstance(fun, str) else "",
            user,
            job_events.has_failed(data),
            _time_of(event),
        )
        minion.job = job
        args = data.get("fun_args")
        if is_highstate(fun, args):
            minion.highstate = LastHighstate(job, counts_of(data["return"]), is_test(args))
            self.on_highstate(found.minion, minion.highstate)
        self.on_change(found.minion)

    def _seen(self, minion: MinionId, event: Event, by: str) -> None:
        found = self.minion(minion)
        if found is not None:
            was_silent = found.is_silent or found.seen_at is None
            found.seen(_time_of(event), by)
            if was_silent:
                self.on_change(minion)

    def _wait_for(self, minions: Iterable[MinionId], asked_at: float) -> None:
        """Note later who of *minions* has given no sign of life since *asked_at*."""

        def check() -> None:
            self._questions.discard(timer)
            silent = [
                name
                for name in minions
                if (known := self.minions.get(name)) and (known.seen_at or 0) < asked_at
            ]
            self._lost(silent, asked_at)

        timer = asyncio.get_running_loop().call_later(self._answer_seconds, check)
        self._questions.add(timer)

    def _lost(self, minions: Iterable[MinionId], at: float) -> None:
        for name in minions:
            minion = self.minions.get(name)
            if minion is not None and (minion.lost_at or 0) < at:
                minion.lost_at = at
                self.on_change(name)


def _sign(tag: str) -> str:
    return "beacon" if tag.startswith("salt/beacon/") else "event"


def _time_of(event: Event) -> float:
    found: Any = epoch_of(event.data.get("_stamp"))
    return float(found) if found else time.time()
