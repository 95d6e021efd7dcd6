"""The `saltapi` command: serve, demo, check, make-cert, install-unit, store, version."""

import argparse
import logging
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import saltapi
from saltapi.errors import CannotStart
from saltapi.types import Opts

if TYPE_CHECKING:
    from saltapi.process import daemonize, loader

log = logging.getLogger(__name__)

EXAMPLE_SECTION = "rest_wsgi:\n  port: 8000"


def main(argv: list[str] | None = None) -> int:
    """
    Run the command.

    Args:
        argv: The arguments, without the name of the command; those of the process by default.

    Returns:
        The exit status: 0 all is well, 1 it cannot start or has failed. Wrong usage ends in
        SystemExit with status 2, as argparse does it.
    """
    argv = sys.argv[1:] if argv is None else argv
    args = _parser(argv).parse_args(argv)
    try:
        match args.command:
            case "demo":
                from saltapi import demo

                return demo.run(args)
            case "check":
                from saltapi import check

                return check.run(args)
            case "make-cert":
                from saltapi.process import certificates

                return certificates.run(args)
            case "install-unit":
                from saltapi.process import unit

                return unit.run(args)
            case "store":
                return _store(args)
            case "version":
                sys.stdout.write(_versions())
                return 0
            case _:
                return _serve(args)
    except CannotStart as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _parser(argv: list[str]) -> argparse.ArgumentParser:
    """Return the parser; options of commands that need much to be imported only if named."""
    parser = argparse.ArgumentParser(prog="saltapi", description="The HTTP door to a Salt master.")
    parser.add_argument("--version", action="version", version=f"saltapi {saltapi.__version__}")
    _add_config_dir(parser, default="/etc/salt")
    _add_serve_arguments(parser, default=None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the netapi modules (the default)")
    # A flag may stand before or after the word `serve`; one that is absent changes nothing.
    _add_config_dir(serve, default=argparse.SUPPRESS)
    _add_serve_arguments(serve, default=argparse.SUPPRESS)

    demo_parser = commands.add_parser("demo", help="start a private master, minions and the API")
    if "demo" in argv:
        from saltapi import demo

        demo.add_arguments(demo_parser)

    check_parser = commands.add_parser("check", help="say what would run with this config, and who")
    _add_config_dir(check_parser, default=argparse.SUPPRESS)
    if "check" in argv:
        from saltapi import check

        check.add_arguments(check_parser)

    make_cert = commands.add_parser("make-cert", help="make a self-signed certificate and key")
    _add_config_dir(make_cert, default=argparse.SUPPRESS)
    if "make-cert" in argv:
        from saltapi.process import certificates

        certificates.add_arguments(make_cert)

    install_unit = commands.add_parser("install-unit", help="write or remove the systemd units")
    _add_config_dir(install_unit, default=argparse.SUPPRESS)
    if "install-unit" in argv:
        from saltapi.process import unit

        unit.add_arguments(install_unit)

    store = commands.add_parser("store", help="say whether keys of commands were lost")
    _add_config_dir(store, default=argparse.SUPPRESS)
    store.add_argument("--reset", action="store_true", help="take commands with keys again")

    commands.add_parser("version", help="print the versions of saltapi, Salt and Python")
    return parser


def _add_config_dir(parser: argparse.ArgumentParser, *, default: str) -> None:
    parser.add_argument(
        "-c",
        "--config-dir",
        metavar="DIR",
        default=default,
        help="directory of the master config (default: /etc/salt)",
    )


def _add_serve_arguments(parser: argparse.ArgumentParser, *, default: str | None) -> None:
    add = parser.add_argument
    add("-d", "--daemon", action="store_true", default=default, help="run in the background")
    add(
        "-l",
        "--log-level",
        metavar="LEVEL",
        default=default,
        help="what is logged to the console: quiet, critical, error, warning, info, profile, "
        "debug, trace, garbage or all",
    )
    add("--pid-file", metavar="FILE", default=default, help="instead of api_pidfile")
    add("--log-file", metavar="FILE", default=default, help="instead of api_logfile")
    add(
        "--log-file-level",
        metavar="LEVEL",
        default=default,
        help="what is logged to the log file (default: log_level_logfile, or log_level)",
    )


def _serve(args: argparse.Namespace) -> int:
    """Load the config, become a daemon as far as wanted, and run the modules."""
    from saltapi import config
    from saltapi.process import daemonize, loader
    from saltapi.process import log as logs
    from saltapi.process.sd_notify import Notifier
    from saltapi.process.supervisor import Supervisor

    opts = config.load(Path(args.config_dir).absolute())
    _apply(args, opts)
    config.EngineConfig.of(opts)
    account = daemonize.account_for(opts["user"])
    if account:
        logs.create_file(str(opts["log_file"]), account.uid, account.gid)
    terminal = daemonize.detach() if args.daemon else None
    pid_file = daemonize.PidFile(opts["pidfile"])
    try:
        pid_file_problem = _create(pid_file, must=bool(args.pid_file))
        if account:
            account.adopt()
        logs.setup(opts)
        if pid_file_problem:
            log.warning("%s", pid_file_problem)
        loaded = loader.load(opts)
        if not loaded.modules:
            raise CannotStart(_nothing_to_run(opts, loaded))
        loaded.log()

        supervisor = Supervisor(loaded.modules, opts, notifier=Notifier())
        if terminal:
            supervisor.on_ready = [logs.leave_console, terminal.release]
            supervisor.in_child = [logs.leave_console, terminal.leave]
        return supervisor.run()
    finally:
        pid_file.remove()


def _store(args: argparse.Namespace) -> int:
    """Say which stores have lost something, and take them as they are if that is wanted."""
    from saltapi import config
    from saltapi.engine.store import choice, identity, sqlite

    directory = choice.store_directory(config.load(Path(args.config_dir).absolute()))
    status = 0
    for path in sorted([*directory.glob("*.sqlite"), *directory.glob("*.nats.id")]):
        if path.suffix == ".id":  # what is noted of a bucket; the file itself is not here
            path = path.with_suffix("")
        if args.reset and sqlite.reset(path):
            state = "reset: keys are taken again"
        elif identity.noted_lost_at(path) is not None:
            state, status = "keys were lost; commands with keys are refused", 1
        else:
            state = "whole"
        sys.stdout.write(f"{path.stem}: {state}\n")
    return status


def _apply(args: argparse.Namespace, opts: Opts) -> None:
    """Let the flags win over the config."""
    if args.log_level:
        opts["log_level"] = args.log_level
    if args.log_file_level:
        opts["log_level_logfile"] = args.log_file_level
    if args.pid_file:
        opts["pidfile"] = str(Path(args.pid_file).absolute())
    if args.log_file:
        is_url = "://" in args.log_file
        opts["log_file"] = args.log_file if is_url else str(Path(args.log_file).absolute())


def _create(pid_file: "daemonize.PidFile", *, must: bool) -> str | None:
    """Create the pid file; return what is wrong if it cannot be and need not be created."""
    try:
        pid_file.create()
    except OSError as error:
        problem = f"The pid file {pid_file.path} cannot be written: {error.strerror}."
        if must:
            raise CannotStart(problem) from error
        return f"{problem} saltapi runs without one; set api_pidfile in the master config."
    return None


def _nothing_to_run(opts: Opts, loaded: "loader.Loaded") -> str:
    """Return the sentence for a config that makes no module run."""
    wanted = [skipped for skipped in loaded.skipped if skipped.configured]
    reasons = "".join(f"\n{skipped.name} does not run: {skipped.reason}" for skipped in wanted)
    if reasons:
        return f"No netapi module can run.{reasons}"
    return (
        f"No netapi module is configured. Add a section to {opts['conf_file']}, for example:\n"
        f"\n{EXAMPLE_SECTION}\n"
    )


def _versions() -> str:
    """Return the versions of what we are and of what we stand on, one a line."""
    try:
        from salt.version import __saltstack_version__ as salt
    except ImportError:
        salt = "is not installed"
    return f"saltapi {saltapi.__version__}\nSalt {salt}\nPython {platform.python_version()}\n"
