"""What the faults share: a master that can be frozen, and the table of what came of each."""

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from saltapi.demo import PrivateMaster
from tests.wire import Answer

ROWS = pytest.StashKey[list[tuple[str, str, str]]]()

Tell = Callable[[str, str, str], None]
"""Takes a fault, what clients saw, and how it recovered."""


def pytest_configure(config: pytest.Config) -> None:
    """Begin with an empty table."""
    config.stash[ROWS] = []


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """Add a line to the table."""
    rows = request.config.stash.setdefault(ROWS, [])
    return lambda *row: rows.append(row)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the table."""
    rows = config.stash.get(ROWS, [])
    if rows:
        terminalreporter.section("faults")
        for fault, seen, recovery in rows:
            terminalreporter.write_line(f"| {fault} | {seen} | {recovery} |")


@contextlib.contextmanager
def frozen(master: PrivateMaster) -> Iterator[Callable[[], None]]:
    """Stop all processes of the master; they go on with the call, or when the block ends."""
    guardian = master.master._guardian
    assert guardian is not None
    processes = psutil.Process(guardian.pid).children(recursive=True)
    for process in processes:
        process.suspend()

    def thaw() -> None:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    try:
        yield thaw
    finally:
        thaw()


def facts(answer: Answer) -> dict[str, Any]:
    """Return what an answer says, whatever its type."""
    found = json.loads(answer.body)
    assert isinstance(found, dict)
    return found


def problem(answer: Answer) -> tuple[int, str]:
    """Return status and code of a problem document."""
    return answer.status, facts(answer).get("code", "")
