"""What the scenarios find out."""

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.contestants import CONTESTANTS
from bench.worlds import REAL, SIMULATED

ASGI = "rest_asgi"
RATIO_MODULES = ["rest_cherrypy", "rest_tornado", ASGI]
FUNCTIONS = ["runner jobs.list_jobs", "runner test.arg", "wheel key.list_all"]


@dataclass(frozen=True, order=True)
class Key:
    """What a figure is of: `command`, real master, `10 clients`, `rate`, by one contestant."""

    scenario: str
    world: str
    case: str
    what: str
    contestant: str


@dataclass(frozen=True)
class Spread:
    """The median of several rounds, with the smallest and the largest."""

    median: float
    least: float
    most: float
    rounds: int

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Return the spread of *values*."""
        found = list(values)
        return cls(statistics.median(found), min(found), max(found), len(found))


class Results:
    """All figures of a run, and what failed."""

    def __init__(self) -> None:
        self._values: dict[Key, list[float]] = {}
        self._failures: dict[tuple[str, str, str], str] = {}
        self._remarks: dict[tuple[str, str, str], str] = {}

    def add(self, key: Key, value: float) -> None:
        """Note a figure of one round."""
        self._values.setdefault(key, []).append(value)

    def fail(self, scenario: str, world: str, contestant: str, reason: str) -> None:
        """Note that *contestant* could not do a scenario; the first reason counts."""
        self._failures.setdefault((scenario, world, contestant), reason)

    def remark(self, scenario: str, world: str, contestant: str, text: str) -> None:
        """Note something that has to be known of figures; the first remark counts."""
        self._remarks.setdefault((scenario, world, contestant), text)

    @property
    def remarks(self) -> Mapping[tuple[str, str, str], str]:
        """Scenario, world and contestant -> what has to be known."""
        return self._remarks

    @property
    def failures(self) -> Mapping[tuple[str, str, str], str]:
        """Scenario, world and contestant -> why it failed."""
        return self._failures

    @property
    def spreads(self) -> dict[Key, Spread]:
        """All figures, in the order in which they came."""
        return {key: Spread.of(values) for key, values in self._values.items()}

    def median(self, *parts: str) -> float | None:
        """Return the median of the figure with the key of *parts*; None if there is none."""
        values = self._values.get(Key(*parts))
        return statistics.median(values) if values else None

    def ratio(self, key: tuple[str, str, str, str], one: str, other: str) -> float | None:
        """Return the figure of *one* divided by that of *other*."""
        above, below = self.median(*key, one), self.median(*key, other)
        return None if above is None or not below else above / below

    def ratios(self, module: str = ASGI) -> dict[str, float | None]:
        """
        Return how *module* compares, None for what was not measured.

        Rates are divided by rates: more than 1 is faster. Those of functions are the smallest
        of the three functions.
        """
        found: dict[str, float | None] = {}
        others = {
            "rest_cherrypy": "salt.rest_cherrypy",
            "rest_tornado": "salt.rest_tornado",
            "master": "master",
        }
        for name, other in others.items():
            rate = ("command", REAL, "10 clients", "rate")
            found[f"command_vs_{name}"] = self.ratio(rate, module, other)
            rate = ("command", REAL, "50 clients", "rate")
            found[f"command_50_vs_{name}"] = self.ratio(rate, module, other)
            rate = ("async", REAL, "50 clients", "rate")
            found[f"async_50_vs_{name}"] = self.ratio(rate, module, other)
            functions = {
                case: self.ratio(("functions", REAL, case, "rate"), module, other)
                for case in FUNCTIONS
            }
            known = [ratio for ratio in functions.values() if ratio is not None]
            found[f"functions_vs_{name}"] = min(known) if known else None
            for case, ratio in functions.items():
                found[f"{case.split()[1]}_vs_{name}"] = ratio
        added = [
            self.median("command", REAL, "1 client", "median", who) for who in (module, "master")
        ]
        found["command_added_ms"] = (
            None if added[0] is None or added[1] is None else added[0] - added[1]
        )
        found["command_rate_simulated"] = self.median(
            "command", SIMULATED, "50 clients", "rate", module
        )
        return found | self._listeners(module)

    def _listeners(self, module: str) -> dict[str, float | None]:
        """Return what the largest number of SSE listeners with events got of *module*."""
        cases = [
            key.case
            for key in self._values
            if key.scenario == "listeners" and key.what == "delivered" and key.contestant == module
        ]
        case = next((case for case in cases if case.startswith("1,000 SSE")), "")
        case = case or max((case for case in cases if "SSE" in case), key=_first_number, default="")
        return {
            f"listeners_{name}": self.median("listeners", SIMULATED, case, what, module)
            for name, what in (
                ("per_second", "delivered"),
                ("lost", "lost"),
                ("p99_ms", "p99"),
                ("requests_to_master", "requests to the master"),
            )
        }


def _first_number(case: str) -> int:
    return int(case.split()[0].replace(",", ""))


def known_order(names: Iterable[str]) -> list[str]:
    """Return *names* of contestants in the order of the table."""
    wanted = set(names)
    return [contestant.name for contestant in CONTESTANTS if contestant.name in wanted]


def shown(value: float) -> str:
    """Return *value* with three significant digits, no exponent and thousands apart."""
    if not math.isfinite(value) or value == int(value):
        return f"{value:,.0f}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 3)}f}"
