"""
Records of the states that the minions of a job run: each of them, or counts.

A state is told of when its event comes, and what no event has told of, when its minion returns: so
minions that fire no such events (before Salt 3006, or `state.single`), events that were missed, and
a process that has just started make no difference to what is told in the end.
"""

import asyncio
from typing import Any, Literal, TypeAlias

from saltapi.bridge.bus.events import Event
from saltapi.bridge.jobs import state_results
from saltapi.bridge.jobs.progress import MinionProgress
from saltapi.bridge.jobs.registered import RegisteredJob
from saltapi.bridge.jobs.state_results import STATES_LIMIT, StateResult
from saltapi.engine.jobs import cursors
from saltapi.engine.jobs.values import Values
from saltapi.masking import without_private_keys
from saltapi.types import MinionId

Progress: TypeAlias = Literal["none", "states", "counts"]
"""What is told of states: nothing, each of them, or how many of each minion came to what."""

COUNTS_SECONDS = 1.0
"""How often the counts of one minion are told at most."""
RECORDS_AT_ONCE = 100
CURSOR_OF_STATE = "cursor"
"""What the cursor is called in the record of a state, whose `id` is the state's."""
NEVER = float("inf")

Record = dict[str, Any]


class StateTeller:
    """Makes the records of states of one stream."""

    def __init__(
        self, job: RegisteredJob, seen: cursors.Cursor, values: Values, progress: Progress
    ) -> None:
        """
        Args:
            job: The job.
            seen: What the listener has already.
            values: The returns as the listener may see them.
            progress: What the listener wants to be told.
        """
        tells_states = progress == "states"
        self.maker = cursors.CursorMaker(
            job.base, seen.minions, seen.states if tells_states else {}
        )
        self.maker.steps = seen.steps
        self.values = values
        self.due = NEVER
        """When there is something to tell next, on the loop's clock, if nothing happens before."""
        self._job = job
        self._seen = seen.minions
        self._progress = progress
        self._version = 0
        self._waiting: dict[MinionId, None] = {}
        self._told_at: dict[MinionId, float] = {}

    def cursor(self, name: str = "id") -> Record:
        """Return the cursor of the record that goes out now, where it goes with every record."""
        short = len(self.maker.states) <= cursors.EACH_MINIONS_LIMIT
        return {name: self.maker.cursor()} if short else {}

    def identified(self, some: list[Record]) -> list[Record]:
        """Return records that go out together; the last one has a cursor in any case."""
        if some:
            name = CURSOR_OF_STATE if some[-1]["type"] == "state" else "id"
            some[-1].setdefault(name, self.maker.cursor())
        return some

    def news(self) -> list[Record]:
        """Return records of what running minions have told since; some at a time."""
        if self._progress == "none":
            return []
        for minion in self._job.progress.changed_since(self._version):
            if minion not in self._seen:
                self._waiting[minion] = None
        self._version = self._job.progress.version
        return self._states() if self._progress == "states" else self._counts()

    def rest(self, minion: MinionId, value: Any) -> list[Record]:
        """Return records of the states of a return that were not told of."""
        self._waiting.pop(minion, None)
        if self._progress != "states":
            return []
        states = state_results.states_of(value)
        some = []
        for state in states:
            told = self.maker.states.get(minion, 0)
            if state.number <= STATES_LIMIT:
                bit = 1 << (state.number - 1)
                if told & bit:
                    continue
                self.maker.states[minion] = told | bit
            some.append(self._record(minion, state, len(states)))
        return some

    def _states(self) -> list[Record]:
        some: list[Record] = []
        while self._waiting and len(some) < RECORDS_AT_ONCE:
            minion = next(iter(self._waiting))
            known = self._job.progress.minions[minion]
            told = self.maker.states.get(minion, 0)
            for number, event in sorted(known.events.items()):
                if told >> (number - 1) & 1:
                    continue
                if len(some) >= RECORDS_AT_ONCE:
                    return self.identified(some)
                state = self._read(event)
                if state is not None:
                    told |= 1 << (number - 1)
                    self.maker.states[minion] = told
                    some.append(self._record(minion, state, known.of))
            del self._waiting[minion]
        return self.identified(some)

    def _counts(self) -> list[Record]:
        now = asyncio.get_running_loop().time()
        some: list[Record] = []
        self.due = NEVER
        for minion in list(self._waiting):
            due = self._told_at.get(minion, 0.0) + COUNTS_SECONDS
            known = self._job.progress.minions[minion]
            if known.ended:  # its return says it
                del self._waiting[minion]
            elif now < due:
                self.due = min(self.due, due)
            elif len(some) < RECORDS_AT_ONCE:
                del self._waiting[minion]
                self._told_at[minion] = now
                some.append(
                    {"type": "counts", "jid": self._jid, "minion": minion, **how_far(known)}
                )
            else:
                self.due = now
        return some

    def _read(self, event: Event) -> StateResult | None:
        kept = Event(event.id, event.tag, event.payload)
        found = state_results.read(kept.masked if self.values.masked else kept)
        return None if found is None else found[2]

    def _record(self, minion: MinionId, state: StateResult, of: int | None) -> Record:
        return {
            "type": "state",
            **self.cursor(CURSOR_OF_STATE),
            "jid": self._jid,
            "minion": minion,
            "number": state.number,
            "of": max(of or 0, state.number),
            **shown(state),
        }

    @property
    def _jid(self) -> str | None:
        return self._job.jid or None


def shown(state: StateResult) -> Record:
    """Return what came of a state."""
    return {
        "id": state.id,
        "fun": state.fun,
        "name": state.name,
        "result": state.result,
        "changes": state.changes,
        "comment": state.comment,
        "duration_ms": state.duration_ms,
        "start": state.start,
    }


def how_far(known: MinionProgress) -> Record:
    """Return at which state a minion is, and what those before came to."""
    return {"number": known.number, "of": known.of, **known.counts.plain()}


def running_states(job: RegisteredJob, *, masked: bool) -> dict[MinionId, Record]:
    """Return at which state each minion is that has told of one and has not returned."""
    found: dict[MinionId, Record] = {}
    for minion, known in sorted(job.progress.minions.items()):
        if not known.ended:
            names = dict(zip(("id", "name", "fun"), known.last, strict=True))
            found[minion] = {
                **how_far(known),
                **(without_private_keys(names) if masked else names),
            }
    return found
