"""Results folded: equal answers once, states by state, failures first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from saltapi_client.cli.output import brief, nested
from saltapi_client.cli.output.names import folded
from saltapi_client.cli.output.states import State, is_states, states_of
from saltapi_client.cli.terminal import Paint, clean, cut, width_of, wrapped

LINE_EACH_MINIONS = 20
"""Up to so many minions with short answers get a line each."""


@dataclass
class Group:
    """Minions with the same answer; `said` is more about it, in a few words."""

    value: Any
    failed: bool
    said: str = ""
    minions: list[str] = field(default_factory=list)


def groups_of(
    returns: Mapping[str, Any],
    failed: Sequence[str] = (),
    said: Mapping[str, str] | None = None,
) -> list[Group]:
    """Return the minions by their answers: failures first, then the largest."""
    found: dict[tuple[bool, str, str], Group] = {}
    bad, more = set(failed), said or {}
    for minion, value in returns.items():
        words = more.get(minion, "")
        key = (minion in bad, words, json.dumps(value, sort_keys=True, default=str))
        found.setdefault(key, Group(value, minion in bad, words)).minions.append(minion)
    return sorted(found.values(), key=lambda group: (not group.failed, -len(group.minions)))


def text(
    returns: Mapping[str, Any],
    failed: Sequence[str],
    paint: Paint,
    width: int,
    said: Mapping[str, str] | None = None,
) -> str:
    """
    Return all answers, folded, for a terminal so many columns wide.

    Args:
        returns: By minion.
        failed: Whose function has failed.
        paint: The colours.
        width: The columns.
        said: By minion a few words to say beside its answer, as an exit status.
    """
    states = {minion: value for minion, value in returns.items() if is_states(value)}
    others = {minion: value for minion, value in returns.items() if minion not in states}
    parts = [values_text(others, failed, paint, width, said or {})] if others else []
    if states:
        parts.append(states_text(states, paint, width))
    return "\n".join(parts)


def values_text(
    returns: Mapping[str, Any],
    failed: Sequence[str],
    paint: Paint,
    width: int,
    said: Mapping[str, str],
) -> str:
    """Return answers that are no states."""
    bad = set(failed)
    if len(returns) <= LINE_EACH_MINIONS and all(
        brief.is_short(value) for value in returns.values()
    ):
        column = max(map(width_of, returns)) + 2
        lines = []
        for minion in sorted(returns):
            words = f"{returns[minion]}  {said.get(minion, '')}".strip()
            shown = cut(words, max(width - column, 10))
            space = " " * (column - width_of(minion))
            lines.append(
                f"{clean(minion)}{space}{paint('bad' if minion in bad else 'good', shown)}"
            )
        return "\n".join(lines)
    lines = []
    for group in groups_of(returns, failed, said):
        colour = "bad" if group.failed else "good"
        lines.append(heading(group, paint, width, colour))
        if group.failed and is_sentences(group.value):
            for sentence in group.value:
                lines += [paint("bad", line) for line in wrapped(sentence, width, 4)]
        else:
            lines.append(nested.text(group.value, paint, indent=4) or "    (nothing)")
    return "\n".join(lines)


def is_sentences(value: Any) -> bool:
    """Return whether a value is a list of texts, as states that do not compile return it."""
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def heading(group: Group, paint: Paint, width: int, colour: str) -> str:
    """Return who it is: names, and how many if there are several; and what is said of it."""
    names, said = folded(group.minions), f"  {group.said}" if group.said else ""
    if len(group.minions) == 1:
        return paint(colour, f"{names}:") + said
    count = f"{len(group.minions)} minions: "
    return paint(colour, count) + cut(names, width - len(count) - len(said)) + said


def states_text(returns: Mapping[str, Mapping[str, Any]], paint: Paint, width: int) -> str:
    """Return states folded: who failed, would change and changed, and how many were fine."""
    found: dict[tuple[str, tuple[str, ...], str], list[tuple[str, State]]] = {}
    fine = 0
    for minion, value in returns.items():
        for state in states_of(value):
            if state.kind == "fine":
                fine += 1
                continue
            told = json.dumps([state.comment, state.steady_changes], sort_keys=True, default=str)
            found.setdefault((state.kind, state.key, told), []).append((minion, state))
    order = {"failed": 0, "would": 1, "changed": 2}
    lines = []
    for (kind, key, _), each in sorted(
        found.items(), key=lambda item: (order[item[0][0]], item[1][0][1].number)
    ):
        state = each[0][1]
        colour = {"failed": "bad", "would": "would", "changed": "changed"}[kind]
        sign = {"failed": "✗", "would": "~", "changed": "±"}[kind]
        name = f" ({clean(key[2])})" if key[2] != key[1] else ""
        fun = paint("dim", clean(state.fun))
        lines.append(f"{paint(colour, f'{sign} {clean(key[1])}{name}')}  {fun}")
        lines.append("    " + cut(_who(each), width - 4))
        lines += wrapped(str(state.comment).strip(), width, 4)
        lines += brief.lines(state.steady_changes, paint, 6)
    counts = _counts(returns)
    lines.append(_counted(len(returns), fine, counts, paint))
    return "\n".join(lines)


def _who(each: Sequence[tuple[str, State]]) -> str:
    minions = [minion for minion, _ in each]
    return folded(minions) if len(minions) == 1 else f"{len(minions)} minions: {folded(minions)}"


def _counts(returns: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    found = {"failed": 0, "would": 0, "changed": 0}
    for value in returns.values():
        kinds = {state.kind for state in states_of(value)}
        for kind in found:
            found[kind] += kind in kinds
    return found


def _counted(minions: int, fine: int, counts: Mapping[str, int], paint: Paint) -> str:
    said = {"failed": "failed on", "would": "would change on", "changed": "changed on"}
    colours = {"failed": "bad", "would": "would", "changed": "changed"}
    parts = [paint(colours[k], f"{said[k]} {n}") for k, n in counts.items() if n]
    text = f"{minions} minion{'s' * (minions != 1)}: "
    said_fine = f"{fine} state{'s were' if fine != 1 else ' was'} fine" if fine else ""
    return text + "; ".join(filter(None, [", ".join(parts), said_fine]))
