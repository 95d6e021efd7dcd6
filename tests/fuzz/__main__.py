"""The command line."""

import argparse
import secrets
import sys

from tests.fuzz.run import run

CASES = 10_000


def main() -> int:
    """Run the fuzzer and return the exit status: 1 if something ran that was not allowed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description="Send random commands of users with random permissions to all modules, and"
        " compare what ran with what Salt allows.",
    )
    parser.add_argument("--cases", type=int, default=CASES, help=f"how many; {CASES}")
    parser.add_argument("--seed", type=int, help="where chance begins; another one each time")
    options = parser.parse_args()
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    _tell(f"seed {seed}")
    report = run(seed, options.cases, _tell)
    for outcome, count in sorted(report.outcomes.items()):
        _tell(f"{count:7} {outcome}")
    for text in report.wrong:
        _tell(f"NOT ALLOWED: {text}")
    return 1 if report.wrong else 0


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
