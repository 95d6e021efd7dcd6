"""The way from salt-api to saltapi and back, as the page has it."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from saltapi.demo import PrivateMaster
from saltapi.demo.master import HOST, free_ports, write_yaml
from tests.docs.commands import ROOT, Command, check, run, to_run
from tests.wire import send

PAGE = ROOT / "docs" / "migrate.md"
SYSTEMCTL = Path(__file__).with_name("systemctl.py")
PROGRAMS = {
    "saltapi": '-m saltapi -c {salt} "$@"',
    "salt-api": "-c \"import sys; sys.argv[0] = 'salt-api'; import salt.scripts;"
    ' salt.scripts.salt_api()" "$@"',
    "systemctl": f'{SYSTEMCTL} {{units}} "$@"',
}
UNIT = "[Service]\nType=notify\nNotifyAccess=all\nExecStart={bin}/salt-api -c {salt}\n"


class Machine:
    """A machine with a running salt-api, in a folder."""

    def __init__(self, master: PrivateMaster, folder: Path) -> None:
        self.port, second = free_ports(2)
        self.salt, self.units, self.bin = (folder / name for name in ("salt", "units", "bin"))
        for path in (self.units, self.bin, self.salt / "master.d"):
            path.mkdir(parents=True)
        # Salt puts pid files and logs below the master's root_dir, wherever they are said to be.
        runs = Path(tempfile.mkdtemp(dir=master.options["root_dir"]))
        own = {"api_pidfile": str(runs / "api.pid"), "api_logfile": str(runs / "api.log")}
        write_yaml(self.salt / "master", {**master.options, **own})
        section = {"port": self.port, "host": HOST, "disable_ssl": True}
        write_yaml(self.salt / "master.d" / "api.conf", {"rest_cherrypy": section})
        for name, rest in PROGRAMS.items():
            words = rest.format(salt=self.salt, units=self.units)
            program = self.bin / name
            program.write_text(f"#!/bin/sh\nexec {sys.executable} -P {words}\n")
            program.chmod(0o755)
        (self.units / "salt-api.service").write_text(UNIT.format(bin=self.bin, salt=self.salt))
        self.env = {"PATH": f"{self.bin}:/usr/bin:/bin", "PORT": str(self.port)}
        self.facts = {
            "/etc/salt-trial": str(folder / "trial"),
            "/run/saltapi-trial.pid": str(runs / "trial.pid"),
            "/var/log/salt/api-trial": str(runs / "trial.log"),
            "/var/run/salt-api.pid": own["api_pidfile"],
            "/var/cache/salt/master/saltapi": str(folder / "none"),
            "/etc/systemd/system": str(self.units),
            "/etc/salt": str(self.salt),
            "http://localhost": f"http://{HOST}",
            "8000": str(self.port),
            "8001": str(second),
        }
        self.folder = folder

    def systemctl(self, *words: str) -> None:
        """Run the stand-in for systemctl."""
        subprocess.run([self.bin / "systemctl", *words], check=True, env=self.env)

    def type(self, commands: list[Command]) -> None:
        """Run commands of the page."""
        check(run(commands, self.facts, self.folder, self.env), self.facts)

    def is_ours(self) -> bool:
        """Tell whether saltapi answers, and not Salt's own."""
        return send(self.port, "GET", "/").header("X-Request-Id") is not None


@pytest.fixture
def machine(master: PrivateMaster, tmp_path: Path) -> Iterator[Machine]:
    """A machine with a running salt-api; nothing of it is left."""
    made = Machine(master, tmp_path)
    made.systemctl("restart", "salt-api")
    try:
        yield made
    finally:
        made.systemctl("stop", "salt-api")


@pytest.mark.long
@pytest.mark.timeout(240)
def test_there_and_back(machine: Machine) -> None:
    """Tried on a second port, switched, verified and undone; the master is as it was."""
    commands = to_run(PAGE)
    switch, undo = (
        next(n for n, command in enumerate(commands) if words in command.text)
        for words in ("mkdir -p /etc/systemd", "rm /etc/systemd")
    )
    before = files(machine)
    assert not machine.is_ours()

    machine.type(commands[:switch])
    assert not machine.is_ours()
    assert before == files(machine)

    machine.type(commands[switch:undo])
    assert machine.is_ours()
    if shutil.which("systemd-analyze"):
        unit = str(machine.units / "salt-api.service")
        verify = ["systemd-analyze", "verify", "--man=no", unit]
        done = subprocess.run(verify, check=False, capture_output=True, text=True)
        assert "salt-api.service" not in done.stderr

    machine.type(commands[undo:])
    assert not machine.is_ours()
    assert before == files(machine)


def files(machine: Machine) -> dict[Path, bytes]:
    """Return what config and units consist of."""
    found = [*machine.salt.rglob("*"), *machine.units.rglob("*")]
    left_out = {".log", ".pid"}
    return {p: p.read_bytes() for p in found if p.is_file() and p.suffix not in left_out}
