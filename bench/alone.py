"""Figures of one thing alone, without a master: `python -m bench fleet fold`."""

import time
from collections.abc import Callable
from typing import Any

from bench.fleet import fleet_figures
from saltapi.engine.jobs.folding import fold

ROUNDS = 20
MINIONS = 1_000
STATES = 100


def fold_figures() -> list[str]:
    """Return how long the returns of a thousand minions take to fold."""
    kinds: list[Any] = [{"version": "1.2", "packages": ["a", "b"]}, "not available", True]
    answers = [(f"web-{n}", {"return": kinds[n % 3], "retcode": 0}) for n in range(MINIONS)]
    states = [(f"web-{n}", {"return": _states(n), "retcode": 0}) for n in range(MINIONS)]
    return [
        f"fold: {MINIONS} minions, three kinds of answers: {_best(lambda: fold(answers)):.1f} ms",
        f"fold: {MINIONS} minions with {STATES} states each: {_best(lambda: fold(states)):.0f} ms",
    ]


def _states(minion: int) -> dict[str, Any]:
    return {
        f"pkg_|-p{n}_|-p{n}_|-installed": {
            "result": not (n == 7 and minion % 50 == 0),
            "changes": {"p": {"old": "1", "new": "2"}} if n == minion % 3 else {},
            "comment": "All specified packages are already installed",
            "__run_num__": n,
            "duration": float(minion),
        }
        for n in range(STATES)
    }


def _best(run: Callable[[], object]) -> float:
    """Return the milliseconds of the fastest of some rounds."""
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        run()
        took.append(time.perf_counter() - began)
        if sum(took) > 5:
            break
    return min(took) * 1_000


ALONE: dict[str, Callable[[], list[str]]] = {"fold": fold_figures, "fleet": fleet_figures}
"""By the name that the command line has for it."""
