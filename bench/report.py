"""Results as tables for people and as JSON for programs."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from bench.figures import RATIO_MODULES, Key, Results, Spread, known_order, shown
from bench.scenario import Scenario
from bench.worlds import SIMULATED, WIDE

FAILED = "failed"
NOTHING = "-"


def cell(spread: Spread | None) -> str:
    """Return the median, and the smallest and the largest where there were several rounds."""
    if spread is None:
        return NOTHING
    if spread.rounds == 1 or spread.least == spread.most:
        return shown(spread.median)
    return f"{shown(spread.median)} ({shown(spread.least)} to {shown(spread.most)})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose columns are aligned."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    )


def scenario_part(results: Results, scenario: Scenario, world: str) -> str:
    """Return the part of the report with one scenario on one master; "" if there is nothing."""
    spreads = {
        key: spread
        for key, spread in results.spreads.items()
        if (key.scenario, key.world) == (scenario.name, world)
    }
    failures = {
        who: reason
        for (name, kind, who), reason in results.failures.items()
        if (name, kind) == (scenario.name, world)
    }
    if not spreads and not failures:
        return ""
    who_took_part = known_order([*(key.contestant for key in spreads), *failures])
    rows = []
    cases = dict.fromkeys((key.case, key.what) for key in spreads)
    order = list(dict.fromkeys(case for case, _ in cases))
    for case, what in sorted(cases, key=lambda pair: order.index(pair[0])):
        unit = scenario.figures[what]
        cells = [
            cell(spreads.get(Key(scenario.name, world, case, what, who))) for who in who_took_part
        ]
        rows.append([f"{case}: {what}{', ' + unit if unit else ''}", *cells])
    if failures:
        rows.append(["", *(FAILED if who in failures else "" for who in who_took_part)])
    where = {SIMULATED: ", simulated master", WIDE: ", real master"}.get(world, "")
    parts = [f"### {scenario.name}{where}\n\n{scenario.title}\n", table(["", *who_took_part], rows)]
    parts += [f"\n{who} {FAILED}: {reason}" for who, reason in failures.items()]
    parts += [
        f"\n{who}, {remark}"
        for (name, kind, who), remark in results.remarks.items()
        if (name, kind) == (scenario.name, world)
    ]
    return "\n".join(parts)


def ratio_part(results: Results) -> str:
    """Return the ratios of our modules; "" if there are none."""
    found = {module: results.ratios(module) for module in RATIO_MODULES}
    names = [
        name
        for name in next(iter(found.values()))
        if any(ratios[name] is not None for ratios in found.values())
    ]
    if not names:
        return ""
    rows = []
    for name in names:
        values = [found[module][name] for module in RATIO_MODULES]
        rows.append([name, *(NOTHING if value is None else shown(value) for value in values)])
    return "### ratios\n\n" + table(["", *RATIO_MODULES], rows)


def text(results: Results, scenarios: Sequence[Scenario], machine: dict[str, str]) -> str:
    """Return the whole report."""
    parts = ["\n".join(f"{name}: {value}" for name, value in machine.items())]
    for scenario in scenarios:
        parts += [scenario_part(results, scenario, world) for world in scenario.worlds]
    parts.append(ratio_part(results))
    return "\n\n".join(filter(None, parts))


def as_json(
    results: Results, scenarios: Sequence[Scenario], machine: dict[str, str], size: str
) -> dict[str, Any]:
    """Return the whole report as values for JSON."""
    units = {scenario.name: scenario.figures for scenario in scenarios}
    return {
        "machine": machine,
        "size": size,
        "ratios": results.ratios(),
        "ratios_by_module": {module: results.ratios(module) for module in RATIO_MODULES},
        "figures": [
            {
                **dataclasses.asdict(key),
                "unit": units[key.scenario][key.what],
                **dataclasses.asdict(spread),
            }
            for key, spread in results.spreads.items()
        ],
        "failures": [
            {"scenario": scenario, "world": world, "contestant": who, "reason": reason}
            for (scenario, world, who), reason in results.failures.items()
        ],
        "remarks": [
            {"scenario": scenario, "world": world, "contestant": who, "remark": remark}
            for (scenario, world, who), remark in results.remarks.items()
        ],
    }
