"""The command line."""

import argparse
import json
import signal
import sys
import time
from pathlib import Path

from bench import draw, machine, report
from bench.alone import ALONE
from bench.catalogue import BY_NAME, SCENARIOS
from bench.contestants import CONTESTANTS, NAMES
from bench.run import Plan, Run
from bench.scenario import SIZES
from bench.worlds import WIDE, WORLDS
from saltapi.process.descriptors import allow_many_connections

NOT_QUICK = ["salt.rest_tornado", "rest_cherrypy", "rest_wsgi"]
ROUNDS = {"full": 2, "quick": 1, "tiny": 1}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure saltapi beside Salt's netapi modules and beside the bare master.",
    )
    found.add_argument(
        "scenarios",
        nargs="*",
        metavar="NAME",
        help=f"what to measure, everything by default: {', '.join(BY_NAME)};"
        f" of one function alone: {', '.join(ALONE)}",
    )
    found.add_argument("--quick", action="store_true", help="less of everything, in two minutes")
    found.add_argument("--size", choices=SIZES, help="how much: full (default), quick or tiny")
    found.add_argument("--rounds", type=int, help="how many rounds; 2, or 1 with --quick")
    found.add_argument(
        "--modules",
        type=lambda text: text.split(","),
        metavar="NAME,…",
        help=f"whom to measure, by default everybody (--quick: without {', '.join(NOT_QUICK)}):"
        f" {', '.join(NAMES)}",
    )
    found.add_argument(
        "--master",
        choices=WORLDS,
        help="use one master only: real, wide (real, with 1,000 minions), simulated",
    )
    found.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    found.add_argument("--svg", type=Path, metavar="FILE", help="draw the results")
    return found


def plan(arguments: argparse.Namespace) -> Plan:
    """Return what the command line asks for; ends the program if there is no such thing."""
    wanted = set(arguments.scenarios)
    size = arguments.size or ("quick" if arguments.quick else "full")
    quick = size == "quick"
    modules = arguments.modules or [n for n in NAMES if not (quick and n in NOT_QUICK)]
    for names, known in ((wanted, set(BY_NAME)), (set(modules), set(NAMES))):
        if names - known:
            parser().error(f"unknown: {', '.join(sorted(names - known))}")
    worlds = [name for name in WORLDS if not (quick and name == WIDE)]
    return Plan(
        scenarios=[
            one
            for one in SCENARIOS
            if one.name in wanted or (not wanted and (one.quick or not quick))
        ],
        contestants=[one for one in CONTESTANTS if one.name in modules],
        worlds=[arguments.master] if arguments.master else worlds,
        rounds=arguments.rounds or ROUNDS[size],
        size=size,
    )


def main() -> int:
    """Measure, print, write."""
    arguments = parser().parse_args()
    for name in [name for name in arguments.scenarios if name in ALONE]:
        print("\n".join(ALONE[name]()))
        arguments.scenarios.remove(name)
        if not arguments.scenarios:
            return 0
    todo = plan(arguments)
    allow_many_connections()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    found = machine.describe()
    if reason := machine.unrest():
        found["not quiet"] = reason
        say(f"{reason} The figures will not be worth much.")
    started = time.monotonic()
    run = Run(todo, say)
    status = 0
    try:
        run.run()
    except KeyboardInterrupt:
        say("Interrupted; this is what there is so far.")
        status = 130
    found["took"] = f"{time.monotonic() - started:.0f} s"
    print(report.text(run.results, todo.scenarios, found))
    if arguments.json:
        values = report.as_json(run.results, todo.scenarios, found, todo.size)
        arguments.json.write_text(json.dumps(values, indent=1) + "\n")
    if arguments.svg:
        arguments.svg.write_text(draw.svg(run.results))
    return status


def say(line: str) -> None:
    """Tell the people who wait."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
