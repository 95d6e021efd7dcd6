"""
`saltapi install-unit`: the systemd units for the Python that runs it, written, checked, taken back.

The templates are those of the package (`packaging/` in a source tree), with the program and the
config directory of here in them.
"""

import argparse
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from saltapi.errors import CannotStart

NAMES = ("saltapi.service", "saltapi.socket")
DIRECTORY = Path("/etc/systemd/system")
SYSTEMD_RUNS = Path("/run/systemd/system")
"""Is there where systemd is process 1 (sd_booted(3))."""
MARK = "# Written by `saltapi install-unit`; `saltapi install-unit --remove` takes it away.\n"
VERIFY_SECONDS = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `saltapi install-unit` to *parser*."""
    add = parser.add_argument
    add("--dir", type=Path, default=DIRECTORY, help=f"where units are (default: {DIRECTORY})")
    add("--remove", action="store_true", help="stop what runs of them, and remove the units")


def run(args: argparse.Namespace) -> int:
    """
    Write the units, or remove them, and say what comes next.

    Returns:
        The exit status, 0.

    Raises:
        CannotStart: A unit of somebody else is there, a file cannot be written, or systemd finds a
            mistake in a unit; nothing is left then.
    """
    paths = [args.dir / name for name in NAMES]
    for path in paths:
        if path.exists() and not path.read_text().startswith(MARK):
            raise CannotStart(
                f"{path} was not written by saltapi install-unit. Remove it, or name another"
                " directory with --dir."
            )
    try:
        if args.remove:
            _remove(paths)
        else:
            _install(paths, Path(args.config_dir).absolute())
    except OSError as error:
        raise CannotStart(f"{error.filename} cannot be written: {error.strerror}.") from error
    return 0


def _install(paths: list[Path], config_dir: Path) -> None:
    for path in paths:
        path.write_text(MARK + _unit(path.name, config_dir))
    problem = _problem(paths)
    if problem:
        for path in paths:
            path.unlink()
        raise CannotStart(f"systemd does not take the unit, so it was removed again:\n{problem}")
    _systemctl("daemon-reload")
    sys.stdout.write(
        "".join(f"Wrote {path}\n" for path in paths)
        + f"Ask first:  {_program()} check -c {config_dir}\n"
        "Then run:   systemctl enable --now saltapi.service\n"
        "Take back:  saltapi install-unit --remove\n"
    )


def _remove(paths: list[Path]) -> None:
    found = [path for path in paths if path.exists()]
    if not found:
        sys.stdout.write(f"There is none in {paths[0].parent}.\n")
        return
    _systemctl("disable", "--now", *(path.name for path in found))
    for path in found:
        path.unlink()
        sys.stdout.write(f"Removed {path}\n")
    _systemctl("daemon-reload")


def _unit(name: str, config_dir: Path) -> str:
    """Return a unit with the program and the config directory of here."""
    text = _template(name).read_text()
    start = f"ExecStart={_program()} -c {_quoted(config_dir)}"
    text = re.sub(r"^ExecStart=.*$", lambda _: start, text, flags=re.MULTILINE)
    return text.replace("ReadWritePaths=-/etc/salt/pki", f"ReadWritePaths=-{config_dir}/pki")


def _program() -> str:
    """Return the words that start saltapi with this Python."""
    return f"{_quoted(sys.executable)} -P -m saltapi"


def _quoted(word: str | Path) -> str:
    """Return *word* as systemd.service(5) wants it: quoted, with nothing to be expanded."""
    text = str(word).replace("%", "%%").replace("$", "$$")
    return text if re.fullmatch(r"[\w/.+:@%$-]+", text) else '"' + text.replace('"', '\\"') + '"'


def _template(name: str) -> Path:
    """
    Return a file that the package brings.

    Raises:
        CannotStart: It is not where pip puts such files.
    """
    package = Path(__file__).parents[1]
    homes = (
        package.parents[1] / "packaging",  # a source tree
        Path(sysconfig.get_path("data"), "share", "saltapi"),
        package.parent / "share" / "saltapi",  # pip install --target, as salt-pip does it
    )
    for home in homes:
        if (home / name).exists():
            return home / name
    raise CannotStart(f"{name} is in none of {', '.join(map(str, homes))}. Install saltapi again.")


def _problem(paths: list[Path]) -> str:
    """Return what systemd finds wrong with the units; "" if nothing, or if there is no systemd."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        return ""
    done = subprocess.run(
        [analyze, "verify", "--man=no", *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=VERIFY_SECONDS,
        check=False,
    )
    own = [line for line in done.stderr.splitlines() if "saltapi." in line]
    return "\n".join(own) if done.returncode else ""


def _systemctl(*words: str) -> None:
    if SYSTEMD_RUNS.is_dir():
        subprocess.run(["systemctl", *words], check=False)
