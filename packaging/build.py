"""
Build deb and rpm: python packaging/build.py NFPM [FORMAT …]

Needs the wheel of saltapi in dist (`make dist`), the program nfpm, and a Python that has what
saltapi needs. The wheels of that are those of requirements/salt-3008.txt, by their hashes, for each
Python that Salt's packages have.
"""

import gzip
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "packages"
PINS = ROOT / "requirements" / "salt-3008.txt"
PYTHONS = ("3.11", "3.14")
GLIBC_MINORS = (28, 17, 12, 5)
"""Salt's packages are for systems with glibc 2.28 or newer."""
SALTS = {"salt", "cryptography"}
"""What Salt's packages have, new enough, in all lines that are supported."""
FORMATS = ("deb", "rpm")


def main(argv: list[str]) -> int:
    """Build the packages of the formats in *argv[2:]* into dist, with the program *argv[1]*."""
    (wheel,) = (ROOT / "dist").glob("saltapi-*.whl")
    shutil.rmtree(BUILD, ignore_errors=True)
    (BUILD / "wheels").mkdir(parents=True)
    shutil.copy(wheel, BUILD / "wheels")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for python in PYTHONS:
        fetch(project["dependencies"], python)
    page = (ROOT / "packaging" / "saltapi.1").read_bytes()
    (BUILD / "saltapi.1.gz").write_bytes(gzip.compress(page, mtime=0))
    # Salt's packages rotate the log of the API; logrotate refuses a file that stands twice.
    rotated = (ROOT / "packaging" / "saltapi.logrotate").read_text()
    (BUILD / "logrotate").write_text(rotated.replace("/var/log/salt/api ", "", 1))
    for kind in argv[2:] or FORMATS:
        nfpm(argv[1], kind, project["version"])
    return 0


def nfpm(program: str, kind: str, version: str, tree: Path = ROOT) -> None:
    """Build the package of one format from what is in *tree*, into its folder dist."""
    environment = {
        **os.environ,
        # `~` sorts before the end, in both formats: 0.9.0~dev0 comes before 0.9.0.
        "VERSION": re.sub(r"\.?(dev|a|b|rc)", r"~\1", version),
        "SOURCE_DATE_EPOCH": changed_at(),
    }
    command = [Path(program).absolute(), "package", "--packager", kind]
    config = ["--config", "packaging/nfpm.yaml", "--target", "dist"]
    subprocess.run([*command, *config], cwd=tree, env=environment, check=True)


def changed_at() -> str:
    """Return when the last commit was made, so that the same commit gives the same package."""
    git = ["git", "log", "-1", "--format=%ct"]
    done = subprocess.run(git, cwd=ROOT, check=False, capture_output=True, text=True)
    return done.stdout.strip() or "0"


def fetch(requirements: Iterable[str], python: str) -> None:
    """Fetch the wheels of *requirements*, and of what they need, for a version of Python."""
    pins = pinned()
    listed = BUILD / f"requirements-{python}.txt"
    listed.write_text("".join(pins[name] for name in sorted(closure(requirements, python))))
    platforms = [f"--platform=manylinux_2_{minor}_x86_64" for minor in GLIBC_MINORS]
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download"),
            *("--no-deps", "--require-hashes", "--only-binary=:all:", *platforms),
            *(f"--python-version={python}", "--dest", str(BUILD / "wheels"), "-r", str(listed)),
        ],
        check=True,
    )


def pinned() -> dict[str, str]:
    """Return the lines of each pin, by the name of the package."""
    pins = re.findall(r"^(([\w.-]+)==[^\n\\]*(?:\\\n[^\n\\]*)*\n)", PINS.read_text(), re.MULTILINE)
    return {canonicalize_name(name): text for text, name in pins}


def closure(requirements: Iterable[str], python: str) -> set[str]:
    """Return the names of what *requirements* need, without Salt and what it has for certain."""
    found: set[str] = set()
    waiting = list(requirements)
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        environment = {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
        if name in found | SALTS or (
            requirement.marker and not requirement.marker.evaluate(environment)
        ):
            continue
        found.add(name)
        waiting += requires(name) or []
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv))
