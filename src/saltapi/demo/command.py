"""The command `saltapi demo`."""

import argparse
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from saltapi.demo.instructions import instructions
from saltapi.demo.master import (
    HOST,
    LINE_SECONDS,
    PrivateMaster,
    free_ports,
    is_free,
    log_of,
    merge,
)
from saltapi.errors import CannotStart
from saltapi.process.programs import Program

READY_SECONDS = 300.0
"""How long everything may take to start; a machine with other things to do needs minutes."""
POLL_SECONDS = 0.1
LAST_PORT = 65535

MODULES: dict[str, dict[str, Any]] = {
    "rest_asgi": {"host": HOST, "disable_ssl": True},
    "rest_cherrypy": {"host": HOST, "disable_ssl": True},
    "rest_wsgi": {"host": HOST},
    "rest_tornado": {"host": HOST, "disable_ssl": True, "websockets": True},
}
"""The netapi modules that the demo starts: section of the master config -> its options, without
the port."""
PATIENT = {"timeout": 20, "gather_job_timeout": 20}
"""Options of the master: minions that are slow because the machine is are not called silent."""
PATIENT_MINION = {
    "auth_timeout": 20,
    "return_retry_timer": 20,
    "return_retry_timer_max": 40,
    "request_channel_timeout": 60,
}
"""Options of the minions: they ask a master that is slow once, and wait."""
WIPE = "\r\033[K"
"""What a terminal takes for: this line once more, from its beginning."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `saltapi demo` to *parser*."""
    parser.add_argument(
        "--minions", type=minion_count, default=2, metavar="N", help="how many minions (2)"
    )
    parser.add_argument(
        "--port",
        type=port_number,
        metavar="PORT",
        help="port of the first module, the others get the next ones (any free ports)",
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=READY_SECONDS,
        metavar="SECONDS",
        help=f"how long everything may take to start ({READY_SECONDS:.0f})",
    )
    parser.add_argument("--keep", action="store_true", help="leave the directory when it ends")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="YAML to merge into the master's config"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="when ready, print one line of JSON on standard output",
    )


def minion_count(text: str) -> int:
    """Return the number of minions that *text* says."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of minions")
    return int(text)


def port_number(text: str) -> int:
    """Return the port that *text* says."""
    if not text.isdecimal() or not 1 <= int(text) <= LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; ports are 1 to {LAST_PORT}")
    return int(text)


def seconds(text: str) -> float:
    """Return the time that *text* says."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return value


def main(argv: list[str]) -> int:
    """Run the demo with the command line *argv*; return its exit status."""
    parser = argparse.ArgumentParser(prog="saltapi demo")
    add_arguments(parser)
    return run(parser.parse_args(argv))


def run(args: argparse.Namespace) -> int:
    """
    Run the demo until Ctrl-C or SIGTERM.

    Returns the exit status: 0 when somebody ended it, 1 when something did not start or died
    (the reason, the log to read and the end of it are on standard error).
    """
    stop_signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.default_int_handler) for number in stop_signals}
    demo: Demo | None = None
    try:
        demo = Demo(args)
        demo.run()
    except KeyboardInterrupt:
        return 0
    except CannotStart as error:
        say(f"saltapi demo: {error}")
        if demo is not None:
            demo.master.keep = True  # for the logs in it
        return 1
    finally:
        for number in stop_signals:  # a second Ctrl-C must not leave anything behind
            signal.signal(number, signal.SIG_IGN)
        if demo is not None:
            demo.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


class Demo:
    """A private master, its minions and the API."""

    def __init__(self, args: argparse.Namespace) -> None:
        """
        Raises:
            CannotStart: The file with more configuration is not usable, or a port is taken.
        """
        self.json: bool = args.json
        extra = read_config(args.config) if args.config else {}
        options = merge(PATIENT | module_options(args.port), extra)
        self.addresses = {
            name: (address(options[name]), int(options[name]["port"]))
            for name in MODULES
            if isinstance(options[name], Mapping)
        }
        self.urls = {
            name: f"{scheme(options[name])}://{host}:{port}"
            for name, (host, port) in self.addresses.items()
        }
        """The address of every module."""
        for name, (_host, port) in self.addresses.items():
            if not is_free(port):
                raise CannotStart(f"Port {port} for {name} is taken. Choose another with --port.")
        self.timeout: float = args.timeout
        self.master = PrivateMaster(
            minions=args.minions, options=options, minion_options=PATIENT_MINION, keep=args.keep
        )
        command = [sys.executable, "-P", "-m", "saltapi", "-c", str(self.master.config_dir)]
        self.api: Program = self.master.program("api", command)

    def run(self) -> None:
        """
        Start everything, say how to use it, and wait.

        Raises:
            CannotStart: Something did not start, or died later.
            KeyboardInterrupt: Somebody wants it to end.
        """
        began = time.monotonic()
        say(f"saltapi demo: everything is in {self.master.directory}")
        count = len(self.master.minion_ids)
        say(f"starting the master and {count} minion{'' if count == 1 else 's'}")
        self.master.start()
        wait = Waiting(began, began + self.timeout)
        self.master.wait_ready(say, timeout=self.timeout, waiting=wait.tell)
        say("starting the API")
        self.api.start()
        self.wait_for_api(wait)
        say(f"ready after {time.monotonic() - began:.0f} s")
        print_out(self.as_json() if self.json else instructions(self.urls, self.master))
        while True:
            for program in (self.master.master, self.api):
                if not program.running:
                    raise CannotStart(f"{program.name} ended. {log_of(program)}")
            time.sleep(POLL_SECONDS)

    def wait_for_api(self, wait: "Waiting") -> None:
        """Wait until every module's port answers."""
        next_line = time.monotonic() + LINE_SECONDS
        for name, where in self.addresses.items():
            while not answers(where):
                if not self.api.running:
                    raise CannotStart(f"The API ended. {log_of(self.api)}")
                if time.monotonic() > wait.deadline:
                    raise CannotStart(f"{name} does not answer in time. {log_of(self.api)}")
                if time.monotonic() > next_line:
                    next_line = time.monotonic() + LINE_SECONDS
                    wait.tell(name)
                time.sleep(POLL_SECONDS)
            say(f"{name} answers")

    def as_json(self) -> str:
        """Return what a program needs to use the demo, as one line."""
        return json.dumps(
            {
                "urls": self.urls,
                "username": self.master.username,
                "password": self.master.password,
                "eauth": self.master.eauth,
                "config_dir": str(self.master.config_dir),
                "pid": os.getpid(),
            }
        )

    def stop(self) -> None:
        """Take everything down."""
        self.api.stop()
        self.master.stop()
        if self.master.keep:
            say(f"saltapi demo: kept {self.master.directory}")


class Waiting:
    """Says once a second what is waited for: on a terminal always in the same line."""

    def __init__(self, began: float, deadline: float) -> None:
        self._began = began
        self.deadline = deadline

    def tell(self, what: str) -> None:
        """Print what is waited for, for how long, and how busy the machine is."""
        now = time.monotonic()
        load = f"load {os.getloadavg()[0]:.0f} on {len(os.sched_getaffinity(0))} cores"
        line = (
            f"waiting for {what}: {now - self._began:.0f} s, at most"
            f" {self.deadline - self._began:.0f}; {load}"
        )
        if sys.stderr.isatty():
            sys.stderr.write(f"{WIPE}{line}")
            sys.stderr.flush()
        else:
            say(line)


def module_options(first_port: int | None) -> dict[str, Any]:
    """Return the sections of all modules, each with a port."""
    if first_port is None:
        ports = free_ports(len(MODULES))
    else:
        ports = list(range(first_port, first_port + len(MODULES)))
    return {
        name: {"port": port, **options}
        for (name, options), port in zip(MODULES.items(), ports, strict=True)
    }


def read_config(path: Path) -> dict[str, Any]:
    """
    Return the mapping in the YAML file *path*.

    Raises:
        CannotStart: The file cannot be read or holds something else.
    """
    try:
        values = yaml.safe_load(path.read_text())
    except OSError as error:
        raise CannotStart(f"{path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CannotStart(f"{path} is no valid YAML: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise CannotStart(f"{path} must hold a mapping of master options.")
    return values


def address(options: Mapping[str, Any]) -> str:
    """Return the host at which a module with *options* can be reached from here."""
    host = str(options.get("host", HOST))
    return HOST if host == "0.0.0.0" else host  # noqa: S104 - it is compared, not bound


def scheme(options: Mapping[str, Any]) -> str:
    """Return how a module with *options* is spoken to: "http" or "https"."""
    return "https" if options.get("ssl_crt") and not options.get("disable_ssl") else "http"


def answers(where: tuple[str, int]) -> bool:
    """Tell whether somebody listens at *where*."""
    try:
        socket.create_connection(where, timeout=1).close()
    except OSError:
        return False
    return True


def say(line: str) -> None:
    """Print *line* for the people who watch."""
    sys.stderr.write(f"{WIPE if sys.stderr.isatty() else ''}{line}\n")
    sys.stderr.flush()


def print_out(text: str) -> None:
    """Print a result."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
