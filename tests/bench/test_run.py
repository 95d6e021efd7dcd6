"""Every scenario, once, in its smallest form."""

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import psutil
import pytest

from bench import draw, report
from bench.catalogue import BY_NAME, SCENARIOS
from bench.contestants import CONTESTANTS
from bench.figures import Results
from bench.run import Plan, Run
from bench.scenario import Scenario
from bench.worlds import REAL, SIMULATED

MODULE = "rest_tornado"
WHO = [contestant for contestant in CONTESTANTS if contestant.name in {MODULE, "engine"}]
BARE = [contestant for contestant in CONTESTANTS if contestant.name == "master"]
BROKEN = replace(
    next(contestant for contestant in CONTESTANTS if contestant.name == "rest_wsgi"),
    section={"threads": "none"},
)
MACHINE = {"processor": "a slow one"}
WORLDS = [REAL, SIMULATED]
"""Without the thousand minions, which take a while to start."""
PROMISED = [
    (scenario, world) for scenario in SCENARIOS for world in scenario.worlds if world in WORLDS
]


def lines() -> list[str]:
    """Return a list that lines for people can be put into."""
    return []


@pytest.fixture(scope="module")
def results() -> Results:
    """What one of our modules, and the engine alone, get in all scenarios."""
    before = set(psutil.Process().children(recursive=True))
    said = lines()
    found = Run(Plan(SCENARIOS, WHO, WORLDS, rounds=1, size="tiny"), said.append).run()
    assert {} == found.failures, said
    assert set(psutil.Process().children(recursive=True)) <= before
    return found


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("scenario", "world"),
    PROMISED,
    ids=[f"{scenario.name}-{world}" for scenario, world in PROMISED],
)
def test_figures(results: Results, scenario: Scenario, world: str) -> None:
    """A scenario gives all figures that it promises, on each of its masters."""
    found = {
        key.what: spread.median
        for key, spread in results.spreads.items()
        if (key.scenario, key.world) == (scenario.name, world)
    }
    optional = {"memory", "CPU of each delivery"} if scenario.name == "growth" else set()
    if scenario.name == "growth" and world == REAL:
        optional.add("latency, 99 %")

    assert set(scenario.figures) - optional == set(found) - optional
    assert all(value >= 0 for what, value in found.items() if what != "memory of each")


@pytest.mark.long
def test_nothing_wrong(results: Results) -> None:
    """Every answer is right, every event is delivered, and no listener asks the master."""
    counted = {"wrong", "failed", "lost", "disconnected", "requests to the master"}
    found = {
        (key.scenario, key.case, key.what): spread.most
        for key, spread in results.spreads.items()
        if key.what in counted and spread.most
    }

    assert {} == found
    assert {} == results.remarks


@pytest.mark.long
def test_ratios(results: Results) -> None:
    """The JSON has the ratios that others rely on, None where nothing was measured."""
    values = json.loads(json.dumps(report.as_json(results, SCENARIOS, MACHINE, "tiny")))
    names = {
        "command_vs_rest_cherrypy",
        "command_vs_master",
        "functions_vs_rest_cherrypy",
        "listeners_per_second",
        "listeners_lost",
    }

    assert names <= set(values["ratios"])
    assert 0 == values["ratios_by_module"][MODULE]["listeners_lost"]
    assert values["ratios_by_module"][MODULE]["command_vs_master"] is None
    assert MACHINE == values["machine"]


@pytest.mark.long
def test_text(results: Results) -> None:
    """The table names the machine, every scenario and everybody who took part."""
    text = report.text(results, SCENARIOS, MACHINE)

    assert "a slow one" in text
    assert all(f"### {scenario.name}" in text for scenario in SCENARIOS)
    assert MODULE in text


@pytest.mark.long
def test_drawing(results: Results) -> None:
    """The drawing is SVG with a bar for each figure that it shows."""
    charts = [draw.Chart("Hooks", "hook", SIMULATED, "10 clients", "rate", "/s")]
    drawing = ElementTree.fromstring(draw.svg(results, charts))  # noqa: S314 - our own

    bars = drawing.findall("{http://www.w3.org/2000/svg}rect[@class='ours']")
    assert 1 == len(bars)


@pytest.mark.long
def test_who_cannot_start() -> None:
    """Who does not start is left out with the reason, and the others go on."""
    said = lines()
    plan = Plan([BY_NAME["command"]], [BROKEN, *BARE], worlds=[SIMULATED], rounds=1, size="tiny")
    found = Run(plan, said.append).run()
    key = ("command", SIMULATED, BROKEN.name)

    assert [key] == list(found.failures)
    assert found.median("command", SIMULATED, "50 clients", "rate", "master")
    assert any(line.startswith(f"{BROKEN.name} is left out.") for line in said)
