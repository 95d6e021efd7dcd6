"""
A stand-in for systemctl where systemd does not run: it starts what a unit says, and stops it.

    python systemctl.py UNITS restart|stop|is-active NAME
    python systemctl.py UNITS daemon-reload

UNITS is the directory of units and of what is laid over them. `restart` returns when the port that
the environment variable PORT names answers, as it does for units of `Type=notify`.
"""

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path


def main(argv: list[str]) -> int:
    """Do what the command line says."""
    units, verb, name = Path(argv[1]), argv[2], (*argv[3:], "")[0]
    pid_file = units / f"{name}.pid"
    match verb:
        case "restart" | "stop":
            stop(pid_file)
            if verb == "restart":
                start(units, name, pid_file)
        case "is-active":
            print("active" if pid_file.exists() else "inactive")  # noqa: T201 - as systemctl does
        case "daemon-reload":
            pass
    return 0


def start(units: Path, name: str, pid_file: Path) -> None:
    """Start what the unit says, and wait until it answers."""
    files = [units / f"{name}.service", *sorted((units / f"{name}.service.d").glob("*.conf"))]
    lines = [line for file in files for line in file.read_text().splitlines()]
    command = next(line for line in reversed(lines) if line.startswith("ExecStart=/"))
    with (units / f"{name}.log").open("ab") as log:
        words = shlex.split(command.removeprefix("ExecStart="))
        program = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)
    pid_file.write_text(str(program.pid))
    while program.poll() is None:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", int(os.environ["PORT"]))) == 0:
                return
        time.sleep(0.1)
    pid_file.unlink()
    sys.exit(f"{name} ended with {program.returncode}")


def stop(pid_file: Path) -> None:
    """End it with all that it has started."""
    if not pid_file.exists():
        return
    pid = int(pid_file.read_text())
    os.kill(pid, signal.SIGTERM)
    while Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
        time.sleep(0.1)
    pid_file.unlink()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
