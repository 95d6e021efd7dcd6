"""How much slower this machine is now than the one that the deadlines of the tests are for."""

import os
import tempfile
import time

CORES = 2
"""What the tests keep busy by themselves, and what the reference machine has."""
ROUNDS = 5
CPU_SECONDS = 0.05
"""What `compute_seconds` finds on the reference machine when it is quiet."""
WRITES = 20
FSYNC_SECONDS = 0.005
"""What a disk may take without making anything late."""
LARGEST_FACTOR = 10.0
"""Who hangs shall be found out some day."""

FLOOR = "SALTAPI_TEST_TIMEOUT_FACTOR"
"""The environment variable with the least factor, for people who know better."""
MEASURED = "SALTAPI_TEST_MEASURED_FACTOR"
"""The environment variable by which all processes of a run have the same factor."""


def timeout_factor() -> float:
    """
    Return what the deadlines of the tests have to be multiplied with here and now.

    It is measured once for a run: processes that this one starts take its word.
    """
    if MEASURED not in os.environ:
        os.environ[MEASURED] = str(measured_factor())
    return max(float(os.environ.get(FLOOR) or 1), float(os.environ[MEASURED]))


def measured_factor() -> float:
    """Measure processor, disk and load, and return a factor between 1 and `LARGEST_FACTOR`."""
    slowness = max(compute_seconds() / CPU_SECONDS, fsync_seconds() / FSYNC_SECONDS)
    return factor(slowness, os.getloadavg()[0], os.cpu_count() or 1)


def factor(slowness: float, load: float, cores: int) -> float:
    """
    Return the factor for a machine.

    Args:
        slowness: How many times as long as on the reference machine things take.
        load: How many processes want to run, beside those of the tests.
        cores: How many can.
    """
    crowd = max(1.0, (CORES + load) / cores)
    return round(min(max(1.0, slowness) * crowd, LARGEST_FACTOR), 1)


def compute_seconds() -> float:
    """Return how long some arithmetic takes; others that run meanwhile make it longer."""
    started = time.perf_counter()
    total = 0
    for _ in range(ROUNDS):
        for number in range(1_000_000):
            total += number * number % 7
    return (time.perf_counter() - started) / ROUNDS


def fsync_seconds() -> float:
    """Return how long it takes until 4 KiB are on the disk that the masters will write to."""
    with tempfile.TemporaryFile(buffering=0) as file:
        started = time.perf_counter()
        for _ in range(WRITES):
            file.write(b"\0" * 4096)
            os.fsync(file.fileno())
        return (time.perf_counter() - started) / WRITES
