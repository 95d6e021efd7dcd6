"""
Print the pins of everything that one line of Salt and `direct.in` need, each with its hashes.

    python requirements/pin.py 3008.4 python3.11 python3.12 python3.13
    python requirements/pin.py build python3.11 python3.12 python3.13

asks pip of each interpreter what it would install, and merges the answers: what they do not
agree on gets a marker. The second does the same for `build.in`; so do `docs`, `generators` and
`package`. The hashes are of the files that pip takes on Linux with glibc, on both architectures,
for every Python that saltapi supports.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
ARCHITECTURES = ("x86_64", "aarch64")
GLIBC_MINORS = range(40, 4, -1)
ALONE = ("build", "docs", "generators", "package")
MISSING = re.compile(r"No matching distribution found for ([A-Za-z0-9._-]+)==")


def main(argv: list[str]) -> int:
    """Print the pins for the version of Salt in *argv[1]* and the interpreters after it."""
    what, interpreters = argv[1], argv[2:]
    wanted = ["-r", str(HERE / f"{what}.in")]
    if what not in ALONE:
        wanted = ["-r", str(HERE / "direct.in"), f"salt=={what}"]
    pythons_of: dict[str, list[str]] = defaultdict(list)
    for interpreter in interpreters:
        report = resolve(interpreter, wanted)
        for package in report["install"]:
            pythons_of[pin_of(package)].append(report["environment"]["python_version"])
    lines = []
    for pin, pythons in sorted(pythons_of.items(), key=lambda item: item[0].lower()):
        marker = ""
        if len(pythons) < len(interpreters):
            marker = " ; " + " or ".join(f'python_version == "{python}"' for python in pythons)
        lines.append(f"{pin}{marker}")
    source = f"{what}.in" if what in ALONE else "direct.in"
    sys.stdout.write(f"# Made by `make pins`; change {source} instead.\n{with_hashes(lines)}")
    return 0


def resolve(interpreter: str, wanted: list[str]) -> dict[str, Any]:
    """Return pip's report of what *interpreter* would install into an empty environment."""
    with tempfile.TemporaryDirectory() as directory:
        venv = Path(directory, "venv")
        subprocess.run([interpreter, "-m", "venv", venv], check=True)
        return report_of(str(venv / "bin" / "python"), ["--ignore-installed", *wanted])[0]


def report_of(python: str, options: Iterable[str]) -> tuple[dict[str, Any], str]:
    """Return pip's report, and the name of the package that it has not found; else ""."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "report.json")
        pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        command = [*pip, "--dry-run", "--report", str(report), *options]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        missing = MISSING.search(done.stderr)
        if done.returncode and missing is None:
            raise SystemExit(done.stderr)
        return (json.loads(report.read_text()), "") if missing is None else ({}, missing[1])


def with_hashes(lines: list[str]) -> str:
    """Return the text of a file of requirements: *lines* of pins, each with all its hashes."""
    pins = [line.partition(" ; ")[0] for line in lines]
    hashes: dict[str, set[str]] = defaultdict(set)
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    compiled = {pin for pin, line in zip(pins, lines, strict=True) if not is_for(line, here)}
    options = ["--no-deps", "--ignore-installed"]
    for package in report_of(sys.executable, [*options, *(p for p in pins if p not in compiled)])[
        0
    ]["install"]:
        hashes[pin_of(package)].add(hash_of(package))
        name = package["download_info"]["url"].rpartition("/")[2]
        if name.endswith(".whl") and not name.endswith("-none-any.whl"):
            compiled.add(pin_of(package))
    for version in VERSIONS:
        for architecture in ARCHITECTURES:
            wanted = [
                pin
                for pin, line in zip(pins, lines, strict=True)
                if pin in compiled and is_for(line, version)
            ]
            for package in wheels(wanted, version, architecture):
                hashes[pin_of(package)].add(hash_of(package))
    text = ""
    for pin, line in zip(pins, lines, strict=True):
        text += " \\\n".join([line, *(f"    --hash={found}" for found in sorted(hashes[pin]))])
        text += "\n"
    return text


def wheels(pins: list[str], version: str, architecture: str) -> list[dict[str, Any]]:
    """Return pip's reports of the wheels for a Python on an architecture, as far as there are."""
    options = ["--no-deps", "--only-binary=:all:", "--target=unused", f"--python-version={version}"]
    names = [f"manylinux_2_{minor}" for minor in GLIBC_MINORS]
    names += ["manylinux2014", "manylinux2010", "manylinux1", "linux"]
    options += [f"--platform={name}_{architecture}" for name in names]
    while pins:
        report, missing = report_of(sys.executable, [*options, *pins])
        if not missing:
            found: list[dict[str, Any]] = report["install"]
            return found
        pins = [pin for pin in pins if pin.partition("==")[0].lower() != missing.lower()]
    return []


def is_for(line: str, version: str) -> bool:
    """Return whether the marker of a pin lets it in for a version of Python."""
    marker = line.partition(" ; ")[2]
    return not marker or f'"{version}"' in marker


def pin_of(package: dict[str, Any]) -> str:
    """Return the pin of a package in a report."""
    return f"{package['metadata']['name']}=={package['metadata']['version']}"


def hash_of(package: dict[str, Any]) -> str:
    """Return the hash of a package's file, as requirements have it."""
    return f"sha256:{package['download_info']['archive_info']['hashes']['sha256']}"


if __name__ == "__main__":
    sys.exit(main(sys.argv))
