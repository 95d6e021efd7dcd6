"""
Print the pins of everything that one line of Salt and `direct.in` need.

    python requirements/pin.py 3008.3 python3.11 python3.12 python3.13

asks pip of each interpreter what it would install, and merges the answers: what they do not
agree on gets a marker.
"""

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

DIRECT = Path(__file__).with_name("direct.in")


def main(argv: list[str]) -> int:
    """Print the pins for the version of Salt in *argv[1]* and the interpreters after it."""
    salt, interpreters = argv[1], argv[2:]
    pythons_of: dict[tuple[str, str], list[str]] = defaultdict(list)
    for interpreter in interpreters:
        report = resolve(interpreter, salt)
        for package in report["install"]:
            metadata = package["metadata"]
            pin = (metadata["name"], metadata["version"])
            pythons_of[pin].append(report["environment"]["python_version"])
    lines = ["# Made by `make pins`; change direct.in instead."]
    for (name, version), pythons in sorted(pythons_of.items(), key=lambda pin: pin[0][0].lower()):
        marker = ""
        if len(pythons) < len(interpreters):
            marker = " ; " + " or ".join(f'python_version == "{python}"' for python in pythons)
        lines.append(f"{name}=={version}{marker}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def resolve(interpreter: str, salt: str) -> dict[str, Any]:
    """Return pip's report of what *interpreter* would install into an empty environment."""
    with tempfile.TemporaryDirectory() as directory:
        venv, report = Path(directory, "venv"), Path(directory, "report.json")
        subprocess.run([interpreter, "-m", "venv", venv], check=True)
        pip = [venv / "bin" / "pip", "--quiet", "--disable-pip-version-check"]
        install = ["install", "--dry-run", "--report", report, "-r", DIRECT, f"salt=={salt}"]
        subprocess.run([*pip, *install], check=True, stdout=sys.stderr)
        found: dict[str, Any] = json.loads(report.read_text())
        return found


if __name__ == "__main__":
    sys.exit(main(sys.argv))
