"""What differs between the returns of two jobs: minion by minion, equal differences once."""

from collections.abc import Iterator, Mapping
from typing import Any

from saltapi.bridge.jobs.state_results import are_states, states_of
from saltapi.engine.jobs.folding import key_of, largest_first
from saltapi.types import MinionId

DIFFERENCES_LIMIT = 100
"""Of one minion so many are shown; `more` says how many there are besides."""
LEVELS_LIMIT = 10
"""What is nested deeper is compared as a whole."""
_ABSENT: Any = object()


def differences(before: Mapping[MinionId, Any], after: Mapping[MinionId, Any]) -> dict[str, Any]:
    """
    Return what of *after* is not as it was *before*; values by minion.

    Returns:
        `same`, the number of minions without a difference; `groups` of minions with equal
        `differences`, the largest first; `only_before` and `only_after`, minions of one job alone.
        A difference has a `path` of keys, `before` and `after`, one of them left out where there
        is nothing.
    """
    groups: dict[Any, dict[str, Any]] = {}
    same = 0
    for minion in before.keys() & after.keys():
        found = list(_differences(_lasting(before[minion]), _lasting(after[minion]), (), 0))
        if not found:
            same += 1
            continue
        key = key_of(found)
        if key not in groups:
            shown = found[:DIFFERENCES_LIMIT]
            more = len(found) - len(shown)
            groups[key] = {"count": 0, "minions": [], "differences": shown, "more": more}
        groups[key]["minions"].append(minion)
    return {
        "same": same,
        "groups": largest_first(groups),
        "only_before": sorted(before.keys() - after.keys()),
        "only_after": sorted(after.keys() - before.keys()),
    }


def _lasting(value: Any) -> Any:
    """Return *value* without what differs from run to run anyway."""
    if not are_states(value):
        return value
    return {
        f"{state.fun} {state.id} {state.name}": {
            "result": state.result,
            "changes": state.changes,
            "comment": state.comment,
        }
        for state in states_of(value)
    }


def _differences(
    before: Any, after: Any, path: tuple[str, ...], levels: int
) -> Iterator[dict[str, Any]]:
    both = isinstance(before, Mapping) and isinstance(after, Mapping)
    if both and levels < LEVELS_LIMIT:
        for key in dict.fromkeys([*before, *after]):
            pair = before.get(key, _ABSENT), after.get(key, _ABSENT)
            yield from _differences(*pair, (*path, str(key)), levels + 1)
    elif before is _ABSENT or after is _ABSENT or key_of(before) != key_of(after):
        known = {"before": before, "after": after}
        shown = {name: value for name, value in known.items() if value is not _ABSENT}
        yield {"path": list(path), **shown}
