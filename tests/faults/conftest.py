"""What the faults share: a master that can be frozen, and the table of what came of each."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import psutil
import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.faults.load import Load
from tests.wire import Answer

ROWS = pytest.StashKey[list[tuple[str, str, str]]]()

Tell = Callable[[str, str, str], None]
"""Takes a fault, what clients saw, and how it recovered."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the faults be made under other conditions."""
    parser.addoption("--workers", type=int, help="how many processes serve")
    parser.addoption("--load", type=int, help="how many clients send requests meanwhile")


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
def served(
    request: pytest.FixtureRequest,
    master: PrivateMaster,
    *,
    workers: int = 1,
    options: Mapping[str, Any] | None = None,
) -> Iterator[ApiServer]:
    """Yield rest_asgi with the processes and under the load that pytest was told."""
    workers = request.config.getoption("--workers", None) or workers
    section = {"workers": workers}
    with ApiServer(master, OURS, section, module="rest_asgi", options=options) as api:
        clients = request.config.getoption("--load", None) or 0
        with Load(api, api.login() if clients else "", clients) as load:
            yield api
        if clients:
            name = f"{clients} other clients in {request.node.name.removeprefix('tests/faults/')}"
            request.config.stash[ROWS].append((name, load.seen, f"slowest {load.slowest:.1f} s"))
            assert not load.wrong


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
