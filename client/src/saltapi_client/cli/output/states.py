"""What state runs return: told from other values, counted, and laid out as Salt's `highstate`."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from saltapi_client.cli.output import nested
from saltapi_client.cli.terminal import Paint, clean

INDENT = 14
WRAP_COLUMNS = 80
LABEL_COLUMNS = len("Succeeded")


@dataclass(frozen=True)
class State:
    """One state's result; `key` is its place: module, id, name, function."""

    key: tuple[str, str, str, str]
    number: int
    result: bool | None
    changes: Any
    comment: Any
    raw: Mapping[str, Any]

    @property
    def fun(self) -> str:
        """The function, `file.managed`."""
        return f"{self.key[0]}.{self.key[3]}"

    @property
    def steady_changes(self) -> Any:
        """The changes without what differs each time: the number of a command's process."""
        if self.key[0] == "cmd" and isinstance(self.changes, Mapping):
            return {name: value for name, value in self.changes.items() if name != "pid"}
        return self.changes

    @property
    def kind(self) -> str:
        """What became of it: failed, would, changed or fine."""
        if self.result is False:
            return "failed"
        if self.result is None:
            return "would"
        return "changed" if self.changes else "fine"


def is_states(value: Any) -> bool:
    """Return whether a return is that of a state run."""
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(
            isinstance(each, Mapping) and "result" in each and str(name).count("_|-") == 3
            for name, each in value.items()
        )
    )


def states_of(value: Mapping[str, Any]) -> list[State]:
    """Return the states of a return, in the order in which they ran."""
    found = []
    for name, each in value.items():
        module, state_id, what, fun = name.split("_|-")
        number = each.get("__run_num__")
        found.append(
            State(
                (module, state_id, what, fun),
                number if isinstance(number, int) else 0,
                each.get("result"),
                each.get("changes"),
                each.get("comment", ""),
                each,
            )
        )
    return sorted(found, key=lambda state: state.number)


def highstate(minion: str, value: Any, paint: Paint) -> str:
    """Return a minion's states as Salt's highstate outputter shows them."""
    if isinstance(value, list):
        lines = [paint("bad", f"{clean(minion)}:"), paint("bad", "    Data failed to compile:")]
        for error in value:
            lines += [paint("bad", "----------"), paint("bad", f"    {clean(str(error))}")]
        return "\n".join(lines)
    if not is_states(value):
        return nested.minion(minion, value, paint)
    states = states_of(value)
    worst = {state.kind for state in states}
    colour = "bad" if "failed" in worst else "would" if "would" in worst else "good"
    lines = [paint(colour, f"{clean(minion)}:")]
    for state in states:
        lines += _state(state, paint)
    return "\n".join([*lines, *_totals(minion, states, paint)])


def _state(state: State, paint: Paint) -> list[str]:
    colour = {"failed": "bad", "would": "would", "changed": "changed", "fine": "good"}[state.kind]
    _, state_id, name, _ = state.key
    rows = [("ID", state_id), ("Function", state.fun)]
    if name != state_id:
        rows.append(("Name", name))
    rows += [("Result", str(state.result)), ("Comment", _comment(state))]
    if "start_time" in state.raw:
        rows += [("Started", str(state.raw["start_time"])), ("Duration", _duration(state))]
    lines = [paint(colour, "----------")]
    lines += [f"    {paint(colour, f'{label:>8}: {clean(text)}')}" for label, text in rows]
    shown = ""
    if isinstance(state.changes, Mapping):
        if state.changes:
            shown = "\n" + nested.text(state.changes, Paint(False), indent=INDENT)
    elif state.changes:
        shown = f"Invalid Changes data: {state.changes}"
    lines.append(paint(colour, f"     Changes:   {shown}"))
    warnings = state.raw.get("warnings")
    if warnings:
        filled = textwrap.fill(
            "\n".join(map(str, warnings)),
            width=WRAP_COLUMNS,
            initial_indent=" " * INDENT,
            subsequent_indent=" " * INDENT,
        )
        lines.append("    " + paint("bad", f"Warnings: {clean(filled.lstrip())}"))
    return lines


def _comment(state: State) -> str:
    text = state.comment if isinstance(state.comment, str) else str(state.comment)
    return text.strip().replace("\n", "\n" + " " * INDENT)


def _duration(state: State) -> str:
    value = state.raw.get("duration", "")
    return "" if value == "" else f"{value} ms"


def _totals(minion: str, states: list[State], paint: Paint) -> list[str]:
    counts = {name: sum(state.kind == name for state in states) for name in ("failed", "would")}
    good = len(states) - counts["failed"]
    warned = sum("warnings" in state.raw for state in states)
    changed = sum(bool(state.changes) for state in states)
    by_result: dict[Any, int] = {}
    for state in states:
        by_result[state.result] = by_result.get(state.result, 0) + 1
    longest = max([len(str(count)) for count in [*by_result.values(), *([warned] * bool(warned))]])
    width = LABEL_COLUMNS + longest + 2

    def row(label: str, count: int) -> str:
        return f"{label}: {count:>{width - len(label) - 2}}"

    more = []
    if counts["would"]:
        more.append(paint("would", f"unchanged={counts['would']}"))
    if changed:
        more.append(paint("good", f"changed={changed}"))
    lines = [
        paint("key", f"\nSummary for {clean(minion)}\n{'-' * width}"),
        paint("good", row("Succeeded", good)) + (f" ({', '.join(more)})" if more else ""),
        paint("bad" if counts["failed"] else "key", row("Failed", counts["failed"])),
    ]
    if warned:
        lines.append(paint("bad", row("Warnings", warned)))
    lines.append(paint("key", f"{'-' * width}\nTotal states run: {len(states):>{width - 7}}"))
    # One that runs beside others takes no time of its own; the longest of them does.
    beside = [_milliseconds(state) for state in states if "__parallel__" in state.raw]
    total = sum(_milliseconds(state) for state in states if "__parallel__" not in state.raw)
    total += max(beside, default=0.0)
    unit, total = ("s", total / 1000) if total > 999 else ("ms", total)
    lines.append(paint("key", f"Total run time: {f'{total:.3f}'.rjust(width - 5)} {unit}"))
    return lines


def _milliseconds(state: State) -> float:
    try:
        return float(str(state.raw.get("duration", 0) or 0).partition(" ")[0])
    except ValueError:
        return 0.0
