"""
The steps of an orchestration (`state.orchestrate`), by the events of Salt's and its return.

Salt says when a step begins: `salt/run/<id>/args`, where <id> is the jid of `salt-run`, else what
the argument `orchestration_jid` says. No event says which job it starts: the next one that is
announced with the same function, target and arguments, by the master's own user, is taken for it.
What came of a step, and of which job, is in the return of the orchestration alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from saltapi.types import Jid

FUNCTIONS = frozenset({"runner.state.orchestrate", "runner.state.orch", "runner.state.sls"})
ARGUMENT = "orchestration_jid"
BEGUN = "args"
"""What the event of a step ends with."""
OF_STATES = frozenset({"state.sls", "state.highstate", "state.top"})
STEPS_LIMIT = 1_000
JOBS_LIMIT = 10_000
TAG_MARK = "_|-"


@dataclass(slots=True)
class Step:
    """One step: `kind` is `state`, `function`, `runner`, `wheel`, or another state's module."""

    number: int
    """In the order in which they became known, from 1."""
    kind: str
    name: Any
    tgt: Any = None
    tgt_type: str | None = None
    arg: list[Any] | None = None
    divided: bool = False
    """Whether it starts several jobs, each for some minions of its target."""
    jids: list[Jid] = field(default_factory=list)
    id: Any = None
    ended: bool = False
    result: bool | None = None
    comment: Any = None
    duration_ms: float | None = None
    start: str | None = None


class Orchestration:
    """What is known of one orchestration."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.step_of: dict[Jid, Step] = {}
        """The jobs of its steps."""
        self.ended = False

    def begin(self, data: Mapping[str, Any]) -> bool:
        """Take what an event says of a step that begins; False if it says nothing."""
        kind = data.get("type")
        if not isinstance(kind, str) or len(self.steps) >= STEPS_LIMIT or self.ended:
            return False
        step = Step(len(self.steps) + 1, kind, data.get("name"))
        args = data.get("args")
        if kind in {"state", "function"} and isinstance(args, Mapping):
            named = args.get("kwarg")
            step.arg = list(args["arg"]) if isinstance(args.get("arg"), list) else []
            if isinstance(named, Mapping) and named:
                step.arg.append({"__kwarg__": True, **named})
            step.tgt, step.tgt_type = data.get("tgt"), str(args.get("tgt_type") or "glob")
            step.divided = args.get("batch") is not None or args.get("subset") is not None
        self.steps.append(step)
        return True

    def announced(self, jid: Jid, kind: str, data: Mapping[str, Any]) -> bool:
        """Return whether the job that *data* announces is taken for one of a step."""
        if self.ended or jid in self.step_of or len(self.step_of) >= JOBS_LIMIT:
            return False
        for step in reversed(self.steps):
            if _fits(step, kind, data):
                step.jids.append(jid)
                self.step_of[jid] = step
                return True
        return False

    def end(self, value: Any) -> None:
        """Take what the orchestration has returned; idempotent."""
        if self.ended:
            return
        self.ended = True
        if isinstance(value, Mapping) and "data" not in value:  # as the job cache has it
            value = value.get("return")
        found = value.get("data") if isinstance(value, Mapping) else None
        states = next(iter(found.values()), None) if isinstance(found, Mapping) and found else None
        if not isinstance(states, Mapping):
            return
        order = [(tag, data) for tag, data in states.items() if isinstance(data, Mapping)]
        order.sort(key=lambda each: _number(each[1]))
        for tag, data in order:
            self._take(str(tag), data)

    def _take(self, tag: str, data: Mapping[str, Any]) -> None:
        module, _, rest = tag.partition(TAG_MARK)
        kind = rest.rpartition(TAG_MARK)[2] if module == "salt" else module
        jid, name = data.get("__jid__"), data.get("name")
        step = self.step_of.get(str(jid)) or next(
            (s for s in self.steps if (s.kind, s.name, s.ended) == (kind, name, False)), None
        )
        if step is None or step.ended:
            if len(self.steps) >= STEPS_LIMIT:
                return
            step = Step(len(self.steps) + 1, kind, name)
            self.steps.append(step)
        if isinstance(jid, str) and jid not in step.jids:
            step.jids.append(jid)
            self.step_of[jid] = step
        result, duration = data.get("result"), data.get("duration")
        step.id, step.comment, step.ended = data.get("__id__"), data.get("comment"), True
        step.result = result if isinstance(result, bool) else None
        step.duration_ms = float(duration) if isinstance(duration, int | float) else None
        step.start = data.get("start_time") if isinstance(data.get("start_time"), str) else None


def ids_of(jid: Jid, arg: Any) -> set[Jid]:
    """Return what the events of the steps of an orchestration, the job *jid*, may call it."""
    named = [each.get(ARGUMENT) for each in arg or () if isinstance(each, Mapping)]
    return {jid, *(each for each in named if isinstance(each, str))}


def _fits(step: Step, kind: str, data: Mapping[str, Any]) -> bool:
    """Return whether a job may be one that *step* starts."""
    fun = data.get("fun")
    if kind != "local":
        return not step.jids and step.kind == kind and fun == f"{kind}.{step.name}"
    if step.kind == "state":
        right = fun in OF_STATES
    else:
        right = step.kind == "function" and fun == step.name
    if not right or data.get("arg") != step.arg:
        return False
    if step.divided:
        return data.get("tgt_type") == "list" or data.get("tgt") == step.tgt
    return not step.jids and (data.get("tgt"), data.get("tgt_type")) == (step.tgt, step.tgt_type)


def _number(data: Mapping[str, Any]) -> int:
    number = data.get("__run_num__")
    return number if isinstance(number, int) else 0
