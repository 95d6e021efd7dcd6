"""
Run pip, and say in words what it does.

    python requirements/say.py .venv/bin/python install --require-hashes -r requirements/build.txt

pip's own lines are shown only if it fails. On a terminal there is one line that changes, else a
line for every 25 packages and for each one that is built.
"""

import re
import subprocess
import sys
from pathlib import Path

EVERY = 25
PIN = re.compile(r"^[A-Za-z0-9._-]+==", re.M)
COLLECTING = re.compile(r"(?:Collecting|Processing) (?:\S*/)?([A-Za-z0-9._-]+)")
BUILDING = re.compile(r" *Building wheel for ([A-Za-z0-9._-]+).*: started")
INSTALLING = re.compile(r"Installing collected packages")


def main(argv: list[str]) -> int:
    """Run pip with the interpreter and the arguments in *argv*; return its status."""
    python, arguments = argv[1], argv[2:]
    files = [Path(arguments[n + 1]) for n, word in enumerate(arguments) if word == "-r"]
    total = sum(len(PIN.findall(file.read_text())) for file in files)
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    command = [*pip, arguments[0], "--progress-bar", "off", *arguments[1:]]
    lines, found = [], 0
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        for line in process.stdout or ():
            lines.append(line)
            if collecting := COLLECTING.match(line):
                found += 1
                if sys.stderr.isatty() or found % EVERY == 0:
                    say(f"fetching {found} of {total} packages: {collecting[1]}")
            elif building := BUILDING.match(line):
                say(f"building {building[1]}, which comes as source")
            elif INSTALLING.match(line):
                say(f"installing {found} packages")
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
    if process.returncode:
        sys.stderr.write("".join(lines))
    return process.returncode


def say(text: str) -> None:
    """Print *text*: on a terminal always in the same line."""
    sys.stderr.write(f"\r\033[K  {text}" if sys.stderr.isatty() else f"  {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
