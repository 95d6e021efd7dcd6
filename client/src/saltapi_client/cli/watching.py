"""Following a command to its end, with Ctrl-C."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from saltapi_client import errors
from saltapi_client.cli import status
from saltapi_client.cli.output.writing import say
from saltapi_client.cli.progress import Board
from saltapi_client.cli.terminal import is_terminal
from saltapi_client.client import Client
from saltapi_client.records import Record
from saltapi_client.runs import Run

POLL_SECONDS = 0.1
WAITING_RECORDS = 1000


class Printer(Protocol):
    """Shows what happens."""

    def record(self, record: Record, board: Board, /) -> None:
        """Show a record; *board* knows it already."""

    def tick(self, board: Board, /) -> None:
        """Do what has to be done several times a second."""

    def pause(self) -> None:
        """Leave the terminal to somebody else for a while."""

    def end(self, board: Board, /) -> None:
        """Show the end."""


def watch(client: Client, run: Run, printer: Printer) -> int:
    """
    Show a command to its end; return the exit status.

    Raises:
        Error: As the command; what came before is shown.
    """
    board = Board()
    items: queue.Queue[Any] = queue.Queue(WAITING_RECORDS)
    threading.Thread(target=_read, args=(run, items), daemon=True).start()
    ended = False
    # Ctrl-C waits until a record is taken in, and until a picture is drawn; so does Ctrl-Z.
    pressed, suspended = threading.Event(), threading.Event()
    default = signal.signal(signal.SIGINT, lambda *_: pressed.set())
    kept = _handled({"SIGTSTP": lambda *_: suspended.set(), "SIGTERM": _terminated})
    try:
        while not ended:
            for item in _some(items):
                if item is None:
                    ended = True
                elif isinstance(item, Exception):
                    raise item
                else:
                    board.add(item)
                    printer.record(item, board)
            printer.tick(board)
            if suspended.is_set():
                printer.pause()
                suspended.clear()
                os.kill(os.getpid(), signal.SIGSTOP)
            if pressed.is_set():
                printer.pause()
                note = signal.signal(signal.SIGINT, default)
                if _interrupted(client, run):
                    return status.STOPPED
                pressed.clear()
                signal.signal(signal.SIGINT, note)
    except errors.Error:
        printer.end(board)
        raise
    finally:
        signal.signal(signal.SIGINT, default)
        printer.pause()
        for number, handler in kept.items():
            signal.signal(number, handler)
        run.close()
    printer.end(board)
    return board.exit_status()


def _handled(handlers: Mapping[str, Any]) -> dict[int, Any]:
    """Handle signals, those that the system has; return what has handled them before."""
    numbers = {getattr(signal, name, None): handler for name, handler in handlers.items()}
    return {n: signal.signal(n, handler) for n, handler in numbers.items() if n is not None}


def _terminated(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)  # so that the terminal is left as it was


def _read(run: Run, items: queue.Queue[Any]) -> None:
    try:
        for record in run:
            items.put(record)
        items.put(None)
    except Exception as error:  # noqa: BLE001 - it is raised where it can be shown
        items.put(error)


def _some(items: queue.Queue[Any]) -> Iterator[Any]:
    """Yield what has come, after a short wait for the first."""
    try:
        yield items.get(timeout=POLL_SECONDS)
        for _ in range(WAITING_RECORDS):
            yield items.get_nowait()
    except queue.Empty:
        return


def _interrupted(client: Client, run: Run) -> bool:
    """Ask once what to do about Ctrl-C; return whether that is the end."""
    jids = list(run.jids)
    follow = "\n".join(f"  saltctl follow {jid}" for jid in jids)
    if not jids:
        say("\nNo job is known yet; what was sent may run. saltctl jobs lists them.")
        return True
    answer = "l"
    if is_terminal(sys.stderr) and sys.stdin.isatty():
        sys.stderr.write("\nl: leave it running   s: stop it on the minions   c: go on [l] ")
        sys.stderr.flush()
        try:
            answer = sys.stdin.readline().strip().lower()[:1] or "l"
        except KeyboardInterrupt:
            answer = "l"
    if answer == "c":
        return False
    if answer == "s":
        for jid in jids:
            outcomes = client.stop(jid)
            say("\n".join(f"  {minion}: {what}" for minion, what in sorted(outcomes.items())))
        return True
    say(f"\nIt goes on. To see it again:\n{follow}")
    return True
