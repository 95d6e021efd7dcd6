"""Medians, ratios, and how they are shown."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.figures import Key, Results, Spread, shown
from bench.report import cell, table
from bench.samples import latency
from bench.worlds import REAL

ROOT = Path(__file__).parents[2]


def results_of(rates: dict[str, list[float]]) -> Results:
    """Return results with the rates of contestants in `command` with 10 clients."""
    found = Results()
    for contestant, values in rates.items():
        for value in values:
            found.add(Key("command", REAL, "10 clients", "rate", contestant), value)
    return found


def test_spread() -> None:
    """A figure is the median of the rounds, with the smallest and the largest."""
    assert Spread(2.0, 1.0, 9.0, 3) == Spread.of([9.0, 1.0, 2.0])


def test_ratio() -> None:
    """A ratio is that of the medians."""
    found = results_of({"rest_asgi": [10, 30, 20], "salt.rest_cherrypy": [2], "master": [25]})
    ratios = found.ratios()

    assert 10 == ratios["command_vs_rest_cherrypy"]
    assert 0.8 == ratios["command_vs_master"]
    assert ratios["command_vs_rest_tornado"] is None


def test_functions_ratio() -> None:
    """The ratio of functions is that of the function that gains least."""
    found = Results()
    for case, rate in (("runner test.arg", 60.0), ("wheel key.list_all", 30.0)):
        found.add(Key("functions", REAL, case, "rate", "rest_asgi"), rate)
        found.add(Key("functions", REAL, case, "rate", "salt.rest_cherrypy"), 2.0)

    assert 15 == found.ratios()["functions_vs_rest_cherrypy"]


def test_latency() -> None:
    """Times become milliseconds."""
    assert {"median_ms": 3000, "p99_ms": 5000, "worst_ms": 5000} == latency([5, 1, 3])


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (3.0, "3"), (0.12345, "0.123"), (12.345, "12.3"), (1234567.8, "1,234,568")],
)
def test_shown(value: float, text: str) -> None:
    """A number has three significant digits."""
    assert text == shown(value)


def test_cell() -> None:
    """A cell has the spread if there were several rounds."""
    assert "2" == cell(Spread(2, 2, 2, 1))
    assert "2 (1.50 to 4)" == cell(Spread(2, 1.5, 4, 3))
    assert "-" == cell(None)


def test_table() -> None:
    """The columns of a table are aligned."""
    expected = "|      | b |\n| ---- | - |\n| long | 1 |"
    assert expected == table(["", "b"], [["long", "1"]])


def test_unknown_name() -> None:
    """An unknown scenario is named, and nothing is started."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", "comand"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )

    assert 2 == done.returncode
    assert "comand" in done.stderr
