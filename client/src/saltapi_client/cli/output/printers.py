"""How results are written, by the name that `--out` has for it."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from saltapi_client.cli.live import Live
from saltapi_client.cli.output import folding, nested, tables
from saltapi_client.cli.output.states import highstate, is_states
from saltapi_client.cli.output.writing import in_json, say, show, tell, write
from saltapi_client.cli.progress import Board
from saltapi_client.cli.terminal import Paint, clean, is_terminal, paint_of, size
from saltapi_client.cli.watching import Printer
from saltapi_client.records import Failure, JobStarted, MinionReturn, Record, Summary


def printer_of(args: argparse.Namespace) -> Printer:
    """Return the printer that a command line asks for; NDJSON where nobody looks."""
    out, paint = args.out or "auto", paint_of(args)
    if out == "auto":
        out = "auto" if is_terminal() else "ndjson"
    if out == "auto":
        return Folded(paint)
    if out == "ndjson":
        return Lines(after=getattr(args, "after", None))
    if out in {"nested", "highstate", "raw"}:
        return Each(out, paint)
    return AtTheEnd(out, paint)


class Quiet:
    """Shows nothing but what went wrong."""

    def record(self, _record: Record, _board: Board) -> None:
        """Do nothing."""

    def tick(self, _board: Board) -> None:
        """Do nothing."""

    def pause(self) -> None:
        """Do nothing."""

    def end(self, board: Board) -> None:
        """Say what could not be done, on standard error."""
        complain(board)


def complain(board: Board) -> None:
    """Say who is missing and what broke off."""
    for error in board.errors:
        say(f"saltctl: {error.get('detail', error)}")
    by_reason: dict[str, list[str]] = {}
    for minion, why in board.missing.items():
        by_reason.setdefault(str(why), []).append(minion)
    for why, minions in by_reason.items():
        from saltapi_client.cli.output.names import folded

        said = "not run" if why == "not_run" else f"missing, {why.replace('_', ' ')}"
        many = f"{len(minions)} minions: " if len(minions) > 1 else ""
        say(f"{said}: {many}{folded(minions)}")
    if board.batch.get("reason"):
        state, reason = (str(board.batch.get(name)) for name in ("state", "reason"))
        say(f"The change is {state}: {reason.replace('_', ' ')}.")


class Lines(Quiet):
    """Every record as a line of JSON, when it comes; *after* one, all but the job."""

    def __init__(self, after: str | None = None) -> None:
        self._is_known = after is not None

    def record(self, record: Record, _board: Board) -> None:
        """Write the record as the server has sent it."""
        if not (self._is_known and isinstance(record, JobStarted)):
            write(in_json(record_document(record)))

    def end(self, _board: Board) -> None:
        """Do nothing: the records have said it."""


class Each(Quiet):
    """Every minion when it returns, in a layout of Salt's."""

    def __init__(self, layout: str, paint: Paint) -> None:
        self._layout = layout
        self._paint = paint

    def record(self, record: Record, board: Board) -> None:
        """Write what a minion, or a function of the master, has returned."""
        if isinstance(record, MinionReturn) and board.minions:
            write(self._text(record.minion, record.value))
        elif isinstance(record, Summary) and board.of_master and board.waited_for:
            value = record.result
            write(repr(value) if self._layout == "raw" else self._result(value))

    def _text(self, minion: str, value: Any) -> str:
        if self._layout == "raw":
            return repr({minion: value})
        if self._layout == "highstate":
            return highstate(minion, value, self._paint)
        return nested.minion(minion, value, self._paint)

    def _result(self, value: Any) -> str:
        if self._layout == "highstate":
            found = orchestrated(value)
            if found:
                return "\n".join(highstate(name, each, self._paint) for name, each in found.items())
        return nested.text(value, self._paint)


def orchestrated(value: Any) -> Mapping[str, Any]:
    """Return the states in what an orchestration has returned, by master; nothing in others."""
    data = value.get("data") if isinstance(value, Mapping) else None
    if isinstance(data, Mapping) and data and all(is_states(each) for each in data.values()):
        return data
    return {}


class AtTheEnd(Quiet):
    """Everything at once: yaml, json, table, quiet."""

    def __init__(self, layout: str, paint: Paint) -> None:
        self._layout = layout
        self._paint = paint

    def end(self, board: Board) -> None:
        """Write it."""
        if self._layout != "quiet":
            if self._layout == "table" and board.minions:
                write(self._table(board))
            else:
                show(document_of(board), self._layout, self._paint)
        complain(board)

    def _table(self, board: Board) -> str:
        rows = []
        for name, minion in sorted(board.minions.items()):
            value = board.returns.get(name, minion.note)
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            if is_states(value):
                text = f"{minion.of} states, {minion.changed} changed, {minion.failed} failed"
            rows.append((name, minion.kind, text))
        width = size()[0] if is_terminal() else None
        return tables.text(("minion", "state", "return"), rows, self._paint, width)


class Folded(Quiet):
    """For a terminal: a live view, and the results folded at the end."""

    def __init__(self, paint: Paint) -> None:
        self._paint = paint
        self._live = Live(paint)

    def record(self, record: Record, _board: Board) -> None:
        """Say at once what broke off."""
        if isinstance(record, Failure):
            self._live.clear()

    def tick(self, board: Board) -> None:
        """Draw."""
        if board.minions or board.jids:
            self._live.draw(board)

    def pause(self) -> None:
        """Take the view away."""
        self._live.clear()

    def end(self, board: Board) -> None:
        """Write the results."""
        self._live.clear()
        if not board.waited_for:
            tell("\n".join(f"Started. To see it: saltctl follow {jid}" for jid in board.jids))
            return
        if board.returns and board.minions:
            columns = size()[0]
            said = exit_statuses(board)
            write(folding.text(board.returns, board.failed, self._paint, columns, said))
        elif board.results:
            for value in board.results:
                show(value, "nested", self._paint)
        complain(board)
        if board.failed or board.missing or any(map(is_states, board.returns.values())):
            took = "" if board.seconds is None else f", {board.seconds:.1f} s"
            for jid in map(clean, board.jids):
                write(self._paint("dim", f"job {jid}{took}"))


def exit_statuses(board: Board) -> dict[str, str]:
    """Return with which status a command of the shell has failed, by minion."""
    if not str(board.fun).startswith("cmd."):
        return {}
    return {minion: f"(exit status {code})" for minion, code in board.retcodes.items()}


def document_of(board: Board) -> Any:
    """Return the results as one value: by minion, or what a function of the master returned."""
    if not board.waited_for:
        return {"jids": board.jids}
    if board.minions:
        return board.returns
    return board.results[0] if len(board.results) == 1 else board.results


def record_document(record: Record) -> dict[str, Any]:
    """Return a record as the server has sent it, or as `/v1` would have."""
    if record.raw:
        return dict(record.raw)
    found = dataclasses.asdict(record)
    del found["raw"]
    if isinstance(record, MinionReturn):
        found["return"] = found.pop("value")
    return {"type": record.type, **found}
