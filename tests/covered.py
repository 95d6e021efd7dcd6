"""
Print how much of each package of saltapi the tests ran, branches included.

    python -m tests.covered COVERAGE.json

reads what `coverage json` wrote; `make coverage` does both.
"""

import json
import sys
from collections import Counter
from pathlib import Path, PurePath
from typing import Any

PACKAGE = "saltapi"


def package_of(path: str) -> str:
    """Return the folder of the package that a file is in; modules at its root are one."""
    parts = PurePath(path).parts
    below = parts[parts.index(PACKAGE) + 1 :]
    return "/".join(below[: min(2, len(below) - 1)]) or "(root)"


def percents(report: dict[str, Any]) -> dict[str, float]:
    """Return the percentage of lines and branches that were run, by package."""
    done: Counter[str] = Counter()
    there: Counter[str] = Counter()
    for path, file in report["files"].items():
        summary = file["summary"]
        package = package_of(path)
        done[package] += summary["covered_lines"] + summary["covered_branches"]
        there[package] += summary["num_statements"] + summary["num_branches"]
    return {
        package: 100 * done[package] / count for package, count in sorted(there.items()) if count
    }


def main(path: str) -> None:
    """Print a line for each package."""
    for package, percent in percents(json.loads(Path(path).read_text())).items():
        sys.stdout.write(f"{percent:6.1f} %  {package}\n")


if __name__ == "__main__":
    main(sys.argv[1])
