"""A private Salt master with minions, on loopback, in a directory of its own."""

import hashlib
import os
import pwd
import random
import secrets
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from saltapi.errors import CannotStart
from saltapi.interfaces import INTERFACES, Kind
from saltapi.process.programs import Program
from saltapi.types import MinionId

HOST = "127.0.0.1"
READY_SECONDS = 60.0
POLL_SECONDS = 0.05
LINE_SECONDS = 1.0
"""How often people who wait are told what for."""
NAMES_SHOWN = 5
PORTS = range(20000, 32000)
"""Where free ports are looked for: below those that the kernel hands out by itself, so that a
port stays ours while the master that uses it is down."""
LONGEST_DIRECTORY = 50
"""In characters: Salt puts unix sockets below it, whose paths end at 107."""

ENABLED_CLIENTS = [name for name, found in INTERFACES.items() if found.kind is not Kind.SSH]
EVERYTHING = [".*", "@runner", "@wheel", "@jobs"]
PROBE = Path(__file__).with_name("probe.py")

Progress = Callable[[str], None]
"""Takes one line per step for the people who wait."""


class PrivateMaster:
    """
    A Salt master and its minions, made for the occasion, for the user who runs this.

    Nothing of it survives: not `stop`, not the end of this process, whatever it died of.

    Attributes:
        directory: Holds everything that belongs to it.
        config_dir: The directory with the file `master`.
        publish_port, request_port: The master's ports.
        eauth, username, password: Somebody who may run everything.
        minion_ids: The ids of its minions.
    """

    eauth = "file"

    def __init__(
        self,
        *,
        minions: int | Sequence[MinionId] = 2,
        transport: str = "zeromq",
        users: Mapping[str, Sequence[Any]] | None = None,
        options: Mapping[str, Any] | None = None,
        minion_options: Mapping[str, Any] | None = None,
        username: str = "saltdev",
        keep: bool = False,
    ) -> None:
        """
        Make the directory and the configuration; `start` starts it.

        Args:
            minions: How many minions, or their ids.
            transport: `zeromq` or `tcp`.
            users: More users, with what each may run (as in `external_auth`).
            options: Master options, merged over ours.
            minion_options: Minion options, merged over ours.
            username: The name of the user who may run everything.
            keep: Leave the directory where it is when everything stops.

        Raises:
            CannotStart: The user who runs this has no name.
        """
        self.username = username
        self.keep = keep
        self.minion_ids = (
            [f"minion-{n}" for n in range(1, minions + 1)]
            if isinstance(minions, int)
            else list(minions)
        )
        self._passwords = {name: secrets.token_hex(12) for name in [username, *(users or {})]}
        self.password = self._passwords[username]
        self.publish_port, self.request_port, *tcp_ports = free_ports(6)
        self.directory = make_directory()
        self.config_dir = self.directory / "config"
        logs = self.directory / "log"
        logs.mkdir()

        names = ("tcp_master_pub_port", "tcp_master_pull_port", "tcp_master_publish_pull")
        master = {
            **self._common("master"),
            "interface": HOST,
            "publish_port": self.publish_port,
            "ret_port": self.request_port,
            "transport": transport,
            **dict(zip((*names, "tcp_master_workers"), tcp_ports, strict=True)),
            "auto_accept": True,
            "token_dir": str(self.directory / "master" / "tokens"),
            "file_roots": {"base": [str(self.directory / "states")]},
            "pillar_roots": {"base": [str(self.directory / "pillar")]},
            "external_auth": {
                self.eauth: {
                    "^filename": str(self._write_users()),
                    "^filetype": "text",
                    "^hashtype": "sha256",
                    username: EVERYTHING,
                    **{name: list(may) for name, may in (users or {}).items()},
                }
            },
            "netapi_enable_clients": ENABLED_CLIENTS,
            "api_pidfile": str(self.directory / "run" / "api.pid"),
            "api_logfile": str(logs / "api.salt.log"),
        }
        self.options = merge(master, options or {})
        write_yaml(self.config_dir / "master", self.options)
        self.master = self._salt("master", "master", self.config_dir)
        self.minions = {
            minion: self._minion(minion, transport, minion_options or {})
            for minion in self.minion_ids
        }

    def _common(self, name: str) -> dict[str, Any]:
        """Return the options that tell a daemon of Salt who it is and where to write."""
        own = self.directory / name
        for folder in (own / "pki", own / "cache", own / "s", self.directory / "run"):
            folder.mkdir(parents=True, exist_ok=True)
        return {
            "user": own_name(),
            "root_dir": str(own),
            "pki_dir": str(own / "pki"),
            "cachedir": str(own / "cache"),
            "sock_dir": str(own / "s"),
            "pidfile": str(self.directory / "run" / f"{name}.pid"),
            "log_file": str(self.directory / "log" / f"{name}.salt.log"),
            "log_level_logfile": "quiet",  # what it prints goes to a file already
            "log_level": "warning",
            "ipv6": False,
        }

    def _minion(self, minion: MinionId, transport: str, options: Mapping[str, Any]) -> Program:
        values = {
            **self._common(minion),
            "id": minion,
            "master": HOST,
            "master_port": self.request_port,
            "publish_port": self.publish_port,
            "transport": transport,
            "conf_file": str(self.directory / minion / "config" / "minion"),
            "extension_modules": str(self.directory / minion / "extmods"),
            # A minion waits long and at random before it comes back, for the sake of masters
            # with thousands of them.
            "acceptance_wait_time": 1,
            "random_reauth_delay": 1,
            "recon_default": 100,
            "recon_max": 500,
            "recon_randomize": False,
            "auth_timeout": 3,
            "auth_tries": 1,
            "enable_fqdns_grains": False,
            "enable_gpu_grains": False,
            "mine_enabled": False,
        }
        config = self.directory / minion / "config"
        write_yaml(config / "minion", merge(values, options))
        return self._salt(minion, "minion", config)

    def _salt(self, name: str, daemon: str, config_dir: Path) -> Program:
        code = (
            f"import sys; sys.argv[0] = 'salt-{daemon}'; import salt.scripts;"
            f" salt.scripts.salt_{daemon}()"
        )
        command = [sys.executable, "-P", "-c", code, "-c", str(config_dir)]
        if daemon == "minion":
            command.append("--disable-keepalive")  # its guardian is enough
        return self.program(name, command)

    def program(self, name: str, command: list[str]) -> Program:
        """Return a program that prints into the `log` directory; it is not started."""
        return Program(name, command, self.directory / "log" / f"{name}.log", self.directory)

    def _write_users(self) -> Path:
        """Write the file that Salt's eauth module `file` reads, passwords as SHA-256."""
        path = self.directory / "users"
        lines = [
            f"{name}:{hashlib.sha256(password.encode()).hexdigest()}\n"
            for name, password in self._passwords.items()
        ]
        path.write_text("".join(lines))
        return path

    def credentials(self, username: str | None = None) -> dict[str, str]:
        """Return `eauth`, `username` and `password` of a user, as a chunk takes them."""
        name = username or self.username
        return {"eauth": self.eauth, "username": name, "password": self._passwords[name]}

    @property
    def programs(self) -> list[Program]:
        """The master and its minions."""
        return [self.master, *self.minions.values()]

    def start(self) -> None:
        """Start the master and all minions; `wait_ready` tells when they are there."""
        for program in self.programs:
            program.start()

    def wait_ready(
        self,
        progress: Progress = lambda _line: None,
        *,
        minions: Iterable[MinionId] | None = None,
        timeout: float = READY_SECONDS,
        needs: Sequence[Program] = (),
        waiting: Progress = lambda _line: None,
    ) -> None:
        """
        Wait until the master answers and *minions* (all that run) have answered a `test.ping`.

        Args:
            progress: Is told about every step.
            minions: The ids to wait for; they need not be minions that we started.
            timeout: Seconds to wait.
            needs: More programs without which there is nothing to wait for.
            waiting: Is told, once a second, what is waited for.

        Raises:
            CannotStart: They do not in time, or one of them ended; the text names its log and
                has the end of it.
        """
        wanted = (
            [minion for minion, program in self.minions.items() if program.running]
            if minions is None
            else list(minions)
        )
        command = [sys.executable, "-P", str(PROBE), str(self.config_dir), *wanted]
        probe = self.program("probe", command)
        probe.log_file.unlink(missing_ok=True)
        probe.start()
        try:
            for late in self._follow(probe, wanted, progress, time.monotonic() + timeout, needs):
                waiting(late)
        finally:
            probe.kill()

    def _follow(
        self,
        probe: Program,
        wanted: Sequence[MinionId],
        progress: Progress,
        deadline: float,
        needs: Sequence[Program],
    ) -> Iterator[str]:
        """Yield what is waited for, once a second, until it is there."""
        messages = {"master": "the master answers"}
        messages |= {f"minion {minion}": f"{minion} answers" for minion in wanted}
        awaited = [*(p for p in self.programs if p.running), *needs]
        told: set[str] = set()
        next_line = time.monotonic() + LINE_SECONDS
        while messages.keys() - told:
            for line in probe.last_lines(len(wanted) + 100).splitlines():
                if line in messages and line not in told:
                    told.add(line)
                    progress(messages[line])
            ended = next((p for p in [*awaited, probe] if not p.running), None)
            if ended is not None and messages.keys() - told:
                if ended is probe and ended.exit_status == 0:
                    continue
                raise CannotStart(f"{ended.name} ended. {log_of(ended)}")
            late = [name.removeprefix("minion ") for name in messages if name not in told]
            if late and time.monotonic() > deadline:
                silent = self.minions.get(min(late), self.master)
                raise CannotStart(f"{silent.name} does not answer in time. {log_of(silent)}")
            if late and time.monotonic() > next_line:
                next_line = time.monotonic() + LINE_SECONDS
                yield "the master" if "master" in late else listed(late)
            time.sleep(POLL_SECONDS)

    def kill_master(self) -> None:
        """Kill the master and all of its processes with SIGKILL."""
        self.master.kill()

    def start_master(self) -> None:
        """
        Start the master again, on the same ports.

        With `tcp` the minions are started anew too: Salt's own do not always find back.
        """
        self.master.start()
        if self.options["transport"] == "tcp":
            for minion in self.minions.values():
                if minion.running:
                    minion.kill()
                    minion.start()

    def stop_minion(self, minion: MinionId) -> None:
        """Kill a minion: the master knows it, it does not answer."""
        self.minions[minion].kill()

    def start_minion(self, minion: MinionId) -> None:
        """Start a minion again."""
        self.minions[minion].start()

    def stop(self) -> None:
        """End everything and remove the directory (unless `keep`). Safe to call again."""
        for program in self.programs:
            program.request_stop(b"K")
        for program in self.programs:
            program.kill()
        if not self.keep:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def log_of(program: Program) -> str:
    """Return where a program's log is and how it ends, for an error message."""
    return f"See {program.log_file}, which ends with:\n{program.last_lines()}"


def listed(names: Sequence[str]) -> str:
    """Return some of *names*, and how many more there are."""
    more = len(names) - NAMES_SHOWN
    shown = ", ".join(names[:NAMES_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown


def own_name() -> str:
    """Return the name of the user who runs this."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise CannotStart(
            f"User id {os.geteuid()} has no name, and Salt needs one; add it to /etc/passwd."
        ) from None


def make_directory() -> Path:
    """Make a directory that only we may enter, with a path short enough for unix sockets."""
    parent = tempfile.gettempdir()
    if len(parent) > LONGEST_DIRECTORY:
        parent = "/tmp"  # noqa: S108 - mkdtemp makes the name unguessable
    return Path(tempfile.mkdtemp(prefix="saltapi-", dir=parent))


def free_ports(count: int) -> list[int]:
    """Return *count* loopback ports that nobody listens on."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        if is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise CannotStart(f"There are no {count} free ports between {PORTS.start} and {PORTS.stop}.")


def is_free(port: int) -> bool:
    """Tell whether a server could listen on *port* of the loopback address."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((HOST, port))
        except OSError:
            return False
    return True


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return *base* with *over* laid over it, mappings inside them merged the same way."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = merge(old, value)
        merged[key] = value
    return merged


def write_yaml(path: Path, values: Mapping[str, Any]) -> None:
    """Write *values* to *path*, making its directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(dict(values), sort_keys=False))
