"""Numbers for Prometheus: of one process, and of all of them together."""

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from saltapi.config import load
from saltapi.demo import PrivateMaster
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.engine.monitoring import metrics
from saltapi.engine.monitoring.metrics import Metrics
from saltapi.engine.monitoring.shared import SharedMetrics
from tests.waiting import POLL_SECONDS, scaled

Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def counted(master: PrivateMaster) -> Callable[[], Metrics]:
    """Make the numbers of a process that has connected to nothing."""
    opts = load(master.config_dir)
    return lambda: Metrics(AsyncAPIClient(opts))


def values_of(text: bytes) -> Values:
    """Return the samples in Prometheus' text format."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def value(values: Values, name: str, **labels: str) -> float | None:
    return values.get((name, frozenset(labels.items())))


REQUESTS = {"route": "/v1/jobs", "method": "GET"}


def test_requests(counted: Callable[[], Metrics]) -> None:
    """Requests are counted by route, method and status, times by its class."""
    found = counted()
    for status, seconds in ((200, 0.02), (201, 0.03), (404, 700.0)):
        found.answered("/v1/jobs", "GET", status, seconds)
    found.answered(None, "BREW", 404, 0.0)
    found.error("not_found")
    values = values_of(metrics.text_of(found.families()))

    assert 1.0 == value(values, "saltapi_http_requests_total", **REQUESTS, status="200")
    name = "saltapi_http_request_duration_seconds"
    assert 2.0 == value(values, f"{name}_count", **REQUESTS, status="2xx")
    assert 0.05 == value(values, f"{name}_sum", **REQUESTS, status="2xx")
    assert 1.0 == value(values, f"{name}_bucket", **REQUESTS, status="2xx", le="0.025")
    assert 0.0 == value(values, f"{name}_bucket", **REQUESTS, status="4xx", le="300.0")
    odd = {"route": "none", "method": "other"}
    assert 1.0 == value(values, "saltapi_http_requests_total", **odd, status="404")
    assert 1.0 == value(values, "saltapi_errors_total", code="not_found")


def test_names(counted: Callable[[], Metrics]) -> None:
    """The list of names, which the documentation has, is complete."""
    found = counted()
    names = {f"{f.name}_total" if f.type == "counter" else f.name for f in found.families()}

    assert set(metrics.NAMES) == names


def test_merged(counted: Callable[[], Metrics]) -> None:
    """Several processes are added up; ages are the oldest, starts the first."""
    one, other = counted(), counted()
    one.answered("/v1/jobs", "GET", 200, 0.02)
    other.answered("/v1/jobs", "GET", 200, 0.02)
    other.answered("/v1/jobs", "GET", 500, 0.02)
    plain = [metrics.plain_of(process.families()) for process in (one, other)]
    values = values_of(metrics.text_of(metrics.merged(plain)))

    assert 2.0 == value(values, "saltapi_http_requests_total", **REQUESTS, status="200")
    assert 1.0 == value(values, "saltapi_http_requests_total", **REQUESTS, status="500")
    name = "saltapi_http_request_duration_seconds_count"
    assert 2.0 == value(values, name, **REQUESTS, status="2xx")
    assert 2.0 == value(values, "saltapi_processes")
    single = values_of(metrics.text_of(one.families()))
    for name in ("process_start_time_seconds", "process_max_fds"):
        assert value(single, name) == value(values, name)


@asynccontextmanager
async def sharing(own: Metrics, directory: Path) -> AsyncIterator[SharedMetrics]:
    shared = SharedMetrics(own, directory)
    await shared.start()
    try:
        yield shared
    finally:
        await shared.close()


async def until(shared: SharedMetrics, true: Callable[[Values], Any]) -> Values:
    """Return the numbers as soon as *true* of them holds."""
    deadline = time.monotonic() + scaled(20)
    while not true(values := values_of(await shared.text())):
        assert time.monotonic() < deadline
        await asyncio.sleep(POLL_SECONDS)
    return values


async def test_shared(counted: Callable[[], Metrics], tmp_path: Path) -> None:
    """Whoever is asked shows all; what has ended leaves its counters, and no gauges."""
    one, other = counted(), counted()
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(sharing(one, tmp_path / "m"))
        async with sharing(other, tmp_path / "m") as second:
            one.answered("/v1/jobs", "GET", 200, 0.02)
            other.answered("/v1/jobs", "GET", 200, 0.02)
            other.in_flight = 3
            for shared in (first, second):
                await until(
                    shared,
                    lambda values: (
                        2.0
                        == value(values, "saltapi_http_requests_total", **REQUESTS, status="200")
                        and 3.0 == value(values, "saltapi_http_requests_in_flight")
                        and 2.0 == value(values, "saltapi_processes")
                    ),
                )
        for _ in range(2):
            values = values_of(await first.text())
            assert 2.0 == value(values, "saltapi_http_requests_total", **REQUESTS, status="200")
            assert 0.0 == value(values, "saltapi_http_requests_in_flight")
            assert 1.0 == value(values, "saltapi_processes")
    async with sharing(counted(), tmp_path / "m") as afresh:
        values = values_of(await afresh.text())
        assert value(values, "saltapi_http_requests_total", **REQUESTS, status="200") is None


HOLD = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(fd, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


async def test_killed(counted: Callable[[], Metrics], tmp_path: Path) -> None:
    """A process that was killed leaves what it had shown."""
    lost = counted()
    lost.answered("/v1/jobs", "GET", 200, 0.02)
    directory = tmp_path / "m"
    async with sharing(counted(), directory) as shared:
        lock = directory / "77-ab.lock"
        holder = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", HOLD, lock), stdin=PIPE, stdout=PIPE
        )
        assert holder.stdout is not None
        assert b"held\n" == await holder.stdout.readline()
        text = metrics.plain_of(lost.families())
        lock.with_suffix(".json").write_text(json.dumps(text))
        assert 2.0 == value(values_of(await shared.text()), "saltapi_processes")

        holder.kill()
        await holder.wait()
        for _ in range(2):
            values = values_of(await shared.text())
            assert 1.0 == value(values, "saltapi_processes")
            assert 1.0 == value(values, "saltapi_http_requests_total", **REQUESTS, status="200")
        assert not lock.exists()


async def test_no_directory(counted: Callable[[], Metrics], tmp_path: Path) -> None:
    """Where nothing can be shared, the numbers are those of the process."""
    (tmp_path / "m").write_text("no directory")
    async with sharing(counted(), tmp_path / "m") as shared:
        assert 1.0 == value(values_of(await shared.text()), "saltapi_processes")


async def test_damaged_file(counted: Callable[[], Metrics], tmp_path: Path) -> None:
    """A file that is no JSON is passed over."""
    async with sharing(counted(), tmp_path / "m") as shared:
        (tmp_path / "m" / "ended.json").write_text("{")
        assert 1.0 == value(values_of(await shared.text()), "saltapi_processes")
