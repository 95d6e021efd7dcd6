"""
What many minions returned, folded: each value once, with the minions that returned it.

Results of states are folded by state: who failed, changed, would change or was fine. What differs
between runs anyway (times and durations) is left out of them.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from saltapi import formats
from saltapi.bridge.jobs.state_results import StateResult, are_states, states_of
from saltapi.types import MinionId

OUTCOMES = ("failed", "would_change", "changed", "succeeded")
"""What a state can come to; what asks for attention first."""

Value = Mapping[str, Any]
"""What a minion returned: `return`, `retcode`, …"""


@dataclass(slots=True)
class _State:
    """One state of all minions."""

    facts: dict[str, Any]
    number: int
    groups: dict[Any, dict[str, Any]] = field(default_factory=dict)


def fold(returns: Iterable[tuple[MinionId, Value]]) -> dict[str, list[dict[str, Any]]]:
    """
    Return `groups` of equal returns, the largest first, and `states` of what are results of states.

    Args:
        returns: Minions and what they returned, with `return` and `retcode`.
    """
    groups: dict[Any, dict[str, Any]] = {}
    states: dict[Any, _State] = {}
    for minion, shown in returns:
        value = shown.get("return")
        if are_states(value):
            for state in states_of(value):
                _add_state(states, minion, state)
            continue
        key = (key_of(value), key_of(shown.get("retcode")))
        group = groups.get(key)
        if group is None:
            facts = {name: shown[name] for name in ("omitted", "trimmed") if name in shown}
            named = {"return": value, "retcode": shown.get("retcode"), **facts}
            group = groups[key] = {"count": 0, "minions": [], **named}
        group["minions"].append(minion)
    return {"groups": largest_first(groups), "states": _ordered(states)}


def key_of(value: Any) -> Any:
    """Return something hashable that is the same for equal values, and differs for others."""
    if value is None or isinstance(value, str):
        return value
    try:
        text = json.dumps(value, sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        text = json.dumps(formats.plain(value), sort_keys=True)
    return ("json", text)


def largest_first(groups: Mapping[Any, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return *groups* with their counts, sorted; the minions of each too."""
    for group in groups.values():
        group["minions"].sort()
        group["count"] = len(group["minions"])
    return sorted(groups.values(), key=lambda group: (-group["count"], group["minions"][0]))


def outcome_of(state: StateResult) -> str:
    """Return which of `OUTCOMES` a state came to."""
    if state.result is None:
        return "would_change"
    if state.result is False:
        return "failed"
    return "changed" if state.changes else "succeeded"


def _add_state(states: dict[Any, _State], minion: MinionId, state: StateResult) -> None:
    key = (key_of(state.id), state.fun, key_of(state.name))
    known = states.get(key)
    if known is None:
        facts = {"id": state.id, "fun": state.fun, "name": state.name, "sls": state.sls}
        known = states[key] = _State(facts, state.number)
    known.number = min(known.number, state.number)
    outcome = outcome_of(state)
    changes = key_of(state.changes) if state.changes else None
    same = (outcome, key_of(state.comment), changes)
    group = known.groups.get(same)
    if group is None:
        facts = {"result": state.result, "changes": state.changes, "comment": state.comment}
        group = known.groups[same] = {"outcome": outcome, "count": 0, "minions": [], **facts}
    group["minions"].append(minion)


def _ordered(states: Mapping[Any, _State]) -> list[dict[str, Any]]:
    found = []
    for state in states.values():
        groups = largest_first(state.groups)
        groups.sort(key=lambda group: OUTCOMES.index(group["outcome"]))
        counts = dict.fromkeys(OUTCOMES, 0)
        for group in groups:
            counts[group["outcome"]] += group["count"]
        worst = OUTCOMES.index(groups[0]["outcome"])
        found.append((worst, state.number, {**state.facts, **counts, "groups": groups}))
    return [facts for *_, facts in sorted(found, key=lambda each: each[:2])]
