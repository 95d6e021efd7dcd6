"""What is known of a command under way, put together from its records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from saltapi_client.cli import status
from saltapi_client.records import (
    BatchState,
    Failure,
    JobStarted,
    MinionReturn,
    Progress,
    Record,
    Stage,
    StateCounts,
    StateResult,
    Step,
    Summary,
)

DONE = frozenset({"good", "changed", "would", "failed", "missing"})


@dataclass
class MinionProgress:
    """One minion: `kind` is one of `live.SIGNS`."""

    name: str
    kind: str = "waiting"
    number: int = 0
    of: int | None = None
    changed: int = 0
    failed: int = 0
    note: str = ""


@dataclass
class Board:
    """
    All that is known.

    Attributes:
        minions: By name.
        returns: What was returned, by minion.
        failed: Whose function has failed.
        missing: Who has not returned, and why.
        results: What runner and wheel functions have returned.
        errors: Problem documents of commands that broke off.
        steps: What an orchestration is at.
        stage: The last stage of a change in stages that is known.
        batch: How such a change is: its `state`, and the `reason` if it does not go on.
        retcodes: What was returned beside a value by whom a function has failed.
        seconds: How long it took, if the server has said that.
    """

    fun: Any = None
    jids: list[str] = field(default_factory=list)
    minions: dict[str, MinionProgress] = field(default_factory=dict)
    returns: dict[str, Any] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    results: list[Any] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    stage: Stage | None = None
    batch: dict[str, Any] = field(default_factory=dict)
    last_id: str | None = None
    waited_for: bool = True
    of_master: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    retcodes: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None

    def add(self, record: Record) -> None:
        """Take a record in."""
        self.last_id = record.id or self.last_id
        if record.jid and record.jid not in self.jids:
            self.jids.append(record.jid)
        if isinstance(record, JobStarted):
            self.fun = record.fun
            self.of_master = record.client.startswith(("runner", "wheel"))
            if not self.of_master:
                for name in [*record.expected, *record.unknown_minions]:
                    self._minion(name)
        elif isinstance(record, StateResult):
            self._state(record)
        elif isinstance(record, StateCounts):
            self._counts(record)
        elif isinstance(record, MinionReturn):
            self._returned(record)
        elif isinstance(record, Progress):
            for name, what in record.waiting.items():
                minion = self._minion(name)
                if minion.kind not in DONE and not minion.failed:
                    kinds = {"running": "running", "no_answer": "silent"}
                    self._set(minion, kinds.get(what, minion.kind))
        elif isinstance(record, Step):
            self.steps.append(record)
        elif isinstance(record, Stage):
            self.stage = record
        elif isinstance(record, BatchState):
            self.batch = {"state": record.state, "reason": record.reason}
        elif isinstance(record, Summary):
            self._summary(record)
        elif isinstance(record, Failure):
            self.errors.append(record.error)

    def exit_status(self) -> int:
        """Return the exit status for what has come."""
        for error in self.errors:
            from saltapi_client.errors import from_problem

            return status.of_error(from_problem(error))
        return status.of_results(failed=bool(self.failed), missing=bool(self.missing))

    def _minion(self, name: str) -> MinionProgress:
        if name not in self.minions:
            self.minions[name] = MinionProgress(name)
            self.counts["waiting"] = self.counts.get("waiting", 0) + 1
        return self.minions[name]

    def _set(self, minion: MinionProgress, kind: str) -> None:
        self.counts[minion.kind] -= 1
        self.counts[kind] = self.counts.get(kind, 0) + 1
        minion.kind = kind

    def _state(self, record: StateResult) -> None:
        minion = self._minion(record.minion)
        minion.number, minion.of = max(minion.number, record.number), record.of
        if not minion.failed:
            minion.note = record.name or record.state_id
        minion.changed += bool(record.changes)
        if record.result is False:
            minion.failed += 1
            minion.note = f"{record.state_id}: {record.comment}"
        self._runs(minion)

    def _counts(self, record: StateCounts) -> None:
        minion = self._minion(record.minion)
        minion.number, minion.of = record.number, record.of
        minion.changed, minion.failed = record.changed, record.failed
        self._runs(minion)

    def _runs(self, minion: MinionProgress) -> None:
        if minion.kind not in DONE:
            self._set(minion, "failing" if minion.failed else "running")

    def _returned(self, record: MinionReturn) -> None:
        from saltapi_client.cli.output.states import is_states, states_of

        if self.of_master:
            return  # the summary has the result
        minion = self._minion(record.minion)
        self.returns[record.minion] = record.value
        kind = "failed" if record.failed else "good"
        if is_states(record.value):
            states = states_of(record.value)
            minion.number = minion.of = len(states)
            minion.changed = sum(bool(state.changes) for state in states)
            bad = [state for state in states if state.kind == "failed"]
            minion.failed = len(bad)
            kinds = {state.kind for state in states}
            if bad:
                kind, minion.note = "failed", f"{bad[0].key[1]}: {bad[0].comment}"
            elif kind == "good":
                kind = next((k for k in ("would", "changed") if k in kinds), "good")
                minion.note = ""
        elif kind == "failed":
            value = record.value
            minion.note = " ".join(map(str, value)) if isinstance(value, list) else str(value)
            self.retcodes[record.minion] = record.retcode
        if kind == "failed" and record.minion not in self.failed:
            self.failed.append(record.minion)
        self._set(minion, kind)

    def _summary(self, record: Summary) -> None:
        for name in record.failed:
            if name not in self.failed:
                self.failed.append(name)
                if name in self.minions:
                    self._set(self.minions[name], "failed")
        missing = dict(record.missing)
        self.seconds = record.duration_seconds
        self.batch = record.batch or self.batch
        for name, why in missing.items():
            minion = self._minion(name)
            minion.note = str(why)
            self._set(minion, "missing")
        self.missing.update(missing)
        if record.state == "running":
            self.waited_for = False
        elif self.of_master:
            self.results.append(record.result)
