"""Salt's daemon and ours, beside the one in use: the same config, other ports on loopback."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from saltapi.check.against.sides import ANSWER_SECONDS, Side
from saltapi.errors import CannotStart
from saltapi.process import daemonize
from saltapi.process.programs import Program
from saltapi.types import Opts

HOST = "127.0.0.1"
READY_SECONDS = 90.0
POLL_SECONDS = 0.1
SEEDED = Path(__file__).with_name("seeded.py")
PEERS = {
    "rest_cherrypy": "rest_cherrypy",
    "rest_tornado": "rest_tornado",
    "rest_asgi": "rest_cherrypy",
}
"""Our modules, each with the one of Salt's that it is compared with."""
SECTIONS = {*PEERS, "rest_wsgi"}
"""Sections that are left out where they are not compared."""
LEFT_OUT = {
    *("ssl_crt", "ssl_key", "ssl_chain", "ssl_ca_certs", "ssl_cert_reqs", "ssl_allowed_cn"),
    *("ssl_cert", "socket", "systemd_socket", "log_access_file", "log_error_file"),
}
"""Options of a section that would take what the daemon in use has, or that need TLS."""
ADDRESS = {"rest_tornado": "address"}
SALTS_SECONDS = {"rest_tornado": 15.0}
"""How long Salt's module may take: it does not answer some requests at all."""


@contextlib.contextmanager
def both(opts: Opts, modules: list[str], token: str) -> Iterator[dict[str, list[Side]]]:
    """
    Start `salt-api` and saltapi with the config of *opts*; yield both sides of each of *modules*.

    Both are gone afterwards, with everything that they started, and so are their files.

    Args:
        token: One of Salt's, for all requests that need one.

    Raises:
        CannotStart: One of them does not answer in time, or ended; the text has the end of its log.
    """
    directory = Path(tempfile.mkdtemp(prefix="saltapi-check-"))
    session = secrets.token_hex(20)
    programs: list[Program] = []
    default = signal.signal(signal.SIGTERM, _leave)
    try:
        (directory / "session").write_text(f"{session} {token}")
        salts = _Server("salt-api", directory, opts, {PEERS[module] for module in modules})
        ours = _Server("saltapi", directory, opts, modules)
        commands = {
            salts: [str(SEEDED), str(directory / "session")],
            ours: ["-m", "saltapi", "-c"],
        }
        _give(directory, opts)
        for server, command in commands.items():
            programs.append(server.start([sys.executable, "-P", *command]))
        for server, program in zip(commands, programs, strict=True):
            server.wait(program)
        sessions = {"rest_cherrypy": session}
        yield {
            module: [
                salts.side(PEERS[module], sessions.get(PEERS[module], token), token, SALTS_SECONDS),
                ours.side(module, token, token, {}),
            ]
            for module in modules
        }
    finally:
        for program in programs:
            program.stop()
        shutil.rmtree(directory, ignore_errors=True)
        signal.signal(signal.SIGTERM, default)


def _leave(number: int, _frame: FrameType | None) -> None:
    """End as after Ctrl-C: with everything that is to be done before."""
    raise SystemExit(128 + number)


class _Server:
    """One of the two daemons: its config, and where its modules listen."""

    def __init__(self, name: str, directory: Path, opts: Opts, modules: Iterable[str]) -> None:
        self.name = name
        self.directory = directory / name
        self.directory.mkdir(mode=0o700)
        self.sections = {module: _section(module, opts[module]) for module in modules}
        values = {
            **_written(opts),
            **self.sections,
            "default_include": str(self.directory / "none" / "*.conf"),
            "api_pidfile": str(self.directory / "api.pid"),
            "api_logfile": str(self.directory / "api.log"),
            "log_level": "warning",
            "log_level_logfile": "quiet",
        }
        import salt.utils.yaml

        text = salt.utils.yaml.safe_dump(values, default_flow_style=False, allow_unicode=True)
        (self.directory / "master").write_text(text, encoding="utf-8")

    def start(self, command: list[str]) -> Program:
        log = self.directory / "output.log"
        program = Program(self.name, [*command, str(self.directory)], log, self.directory)
        program.start()
        return program

    def wait(self, program: Program) -> None:
        """Wait until all modules take connections."""
        deadline = time.monotonic() + READY_SECONDS
        for module, section in self.sections.items():
            while not _answers(section["port"]):
                if not program.running or time.monotonic() > deadline:
                    what = "does not answer" if program.running else "ended"
                    said = program.last_lines()
                    raise CannotStart(f"{self.name}, {module}, {what}. The log ends with:\n{said}")
                time.sleep(POLL_SECONDS)

    def side(self, module: str, token: str, salt_token: str, seconds: Mapping[str, float]) -> Side:
        prefix = str(self.sections[module].get("root_prefix") or "").strip("/")
        values = {"TOKEN": token, "SALT_TOKEN": salt_token}
        return Side(
            self.sections[module]["port"],
            values,
            prefix=f"/{prefix}" if prefix else "",
            seconds=seconds.get(module, ANSWER_SECONDS),
        )


def _section(module: str, section: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in section.items() if name not in LEFT_OUT}
    return {**kept, "port": _free_port(), ADDRESS.get(module, "host"): HOST, "disable_ssl": True}


def _written(opts: Opts) -> dict[str, Any]:
    """Return what stands in the files of the config, merged as Salt does it."""
    import salt.config

    path = str(opts["conf_file"])
    values: dict[str, Any] = salt.config.load_config(path, "SALT_MASTER_CONFIG", path)
    included = values.get("default_include", salt.config.DEFAULT_MASTER_OPTS["default_include"])
    more = values.pop("include", [])
    values.update(salt.config.include_config(included, path, verbose=False))
    values.update(salt.config.include_config(more, path, verbose=False))
    return {name: value for name, value in values.items() if name not in {*SECTIONS, "include"}}


def _give(directory: Path, opts: Opts) -> None:
    """Give all files to the user whom the daemons become."""
    account = daemonize.account_for(opts["user"])
    if account:
        for path in (directory, *directory.rglob("*")):
            os.chown(path, account.uid, account.gid)


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        return int(server.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((HOST, port)) == 0
