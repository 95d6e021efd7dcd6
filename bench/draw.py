"""Bars in SVG: who does how much, in light and in dark."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from bench.figures import Key, Results, known_order, shown
from bench.worlds import REAL, SIMULATED

WIDTH = 760
LABEL_WIDTH = 150
VALUE_WIDTH = 90
ROW_HEIGHT = 22
BAR_HEIGHT = 14
TITLE_HEIGHT = 40
MARGIN = 16
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 13px }
.back { fill: #ffffff }
.salt { fill: #9a9aa5 }
.ours { fill: #2f7d5b }
.master { fill: #b8842c }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .back { fill: #0d1117 }
  .salt { fill: #7d7d88 }
  .ours { fill: #4cb388 }
  .master { fill: #d9a441 }
}
"""


@dataclass(frozen=True)
class Chart:
    """One group of bars."""

    title: str
    scenario: str
    world: str
    case: str
    what: str
    unit: str


CHARTS = [
    Chart("Commands a second, 1 client", "command", REAL, "1 client", "rate", "/s"),
    Chart("Commands a second, 50 clients", "command", REAL, "50 clients", "rate", "/s"),
    Chart("Jobs published a second, 50 clients", "async", REAL, "50 clients", "rate", "/s"),
    Chart("Runner test.arg a second", "functions", REAL, "runner test.arg", "rate", "/s"),
    Chart("Wheel key.list_all a second", "functions", REAL, "wheel key.list_all", "rate", "/s"),
    Chart("Logins a second", "sessions", REAL, "login", "rate", "/s"),
    Chart(
        "Commands a second with a master that answers at once, 50 clients",
        *("command", SIMULATED, "50 clients", "rate", "/s"),
    ),
    Chart(
        "Events delivered a second, 1,000 listeners at 100 events a second",
        *("listeners", SIMULATED, "1,000 SSE", "delivered", "/s"),
    ),
    Chart("Until the first answer (less is better)", "start", REAL, "one module", "to ready", "s"),
    Chart(
        "Memory of the module's process (less is better)",
        *("start", REAL, "one module", "module process", "MiB"),
    ),
]


def bars(results: Results, chart: Chart) -> list[tuple[str, float]]:
    """Return the names and values of one chart; empty if nothing was measured."""
    spreads = results.spreads
    wanted = (chart.scenario, chart.world, chart.case, chart.what)
    who = known_order(
        key.contestant for key in spreads if (key.scenario, key.world, key.case, key.what) == wanted
    )
    return [(name, spreads[Key(*wanted, name)].median) for name in who]


def kind_of(contestant: str) -> str:
    """Return the class of a bar."""
    if contestant.startswith("salt."):
        return "salt"
    return "master" if contestant == "master" else "ours"


def svg(results: Results, charts: Sequence[Chart] = tuple(CHARTS)) -> str:
    """Return the drawing of all charts that have bars."""
    parts: list[str] = []
    top = MARGIN
    for chart in charts:
        found = bars(results, chart)
        if not found:
            continue
        parts.append(
            f'<text class="title" x="{MARGIN}" y="{top + 20}">{escape(chart.title)}</text>'
        )
        top += TITLE_HEIGHT - 8
        most = max(value for _, value in found) or 1.0
        for name, value in found:
            room = WIDTH - 2 * MARGIN - LABEL_WIDTH - VALUE_WIDTH
            width = max(1.0, room * value / most)
            left = MARGIN + LABEL_WIDTH
            base = top + BAR_HEIGHT - 2
            parts += [
                f'<text x="{MARGIN}" y="{base}">{escape(name)}</text>',
                f'<rect class="{kind_of(name)}" x="{left}" y="{top}" width="{width:.1f}"'
                f' height="{BAR_HEIGHT}" rx="2"/>',
                f'<text x="{left + width + 6:.1f}" y="{base}">{shown(value)} {chart.unit}</text>',
            ]
            top += ROW_HEIGHT
        top += 8
    height = top + MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}"'
        f' viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Measurements of saltapi">\n'
        f"<style>{STYLE}</style>\n"
        f'<rect class="back" width="{WIDTH}" height="{height}"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )
