"""
What `saltapi check` says: which modules would run, what may be asked, and by whom.

Nothing is started and no port is bound, but for `--against-salt-api`; netapi modules are imported
and asked whether they run. An error means that something cannot work as the config says, a warning
that somebody probably did not want this.
"""

import argparse
import difflib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from saltapi import config
from saltapi.check import against, running, sections, who
from saltapi.check.line import Line
from saltapi.check.sections import NETAPI_SECTIONS, SECTION_OPTIONS
from saltapi.config import event_log, oidc, shared_store
from saltapi.engine.store import choice, mounts
from saltapi.errors import CannotStart
from saltapi.interfaces import INTERFACES
from saltapi.process import daemonize
from saltapi.types import Opts

LIKENESS = 0.84
"""How like a known option an unknown one must be to be called a slip of the pen."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `saltapi check` to *parser*."""
    add = parser.add_argument
    add("-v", "--verbose", action="store_true", help="notes too: what could be, but need not")
    add("--json", action="store_true", help="print one JSON document, notes included")
    against.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """
    Print what the master config in *args.config_dir* makes of saltapi.

    Returns:
        The exit status: 0 if a module would run and nothing is wrong, else 1.

    Raises:
        CannotStart: There is no config, or Salt is missing; as JSON that is a line as well.
    """
    path = Path(args.config_dir).absolute()
    files = config.ConfigFiles(path / "master" if path.is_dir() else path)
    try:
        lines = list(_lines(path, files, args))
    except CannotStart as error:
        if not args.json:
            raise
        lines = [Line("error", str(error))]
    failed = any(line.level == "error" for line in lines)
    if args.json:
        sys.stdout.write(_as_json(lines, files))
    else:
        sys.stdout.write("".join(_as_text(lines, files, notes=args.verbose)))
    return 1 if failed else 0


def _lines(path: Path, files: config.ConfigFiles, args: argparse.Namespace) -> Iterator[Line]:
    """Yield what keeps the files in *path* from being read, or all there is to say."""
    config.require_supported_salt()
    mistakes = files.problems() if files.exist else []
    if mistakes:
        yield from (Line("error", mistake) for mistake in mistakes)
    elif args.against_salt_api:
        yield from against.lines(config.load(path), args)
    else:
        yield from check(config.load(path), args.token_file)


def _as_text(lines: Iterable[Line], files: config.ConfigFiles, *, notes: bool) -> Iterator[str]:
    hidden = 0
    for line in lines:
        if line.level == "note" and not notes:
            hidden += 1
            continue
        place = files.place(line.path) if line.path else None
        yield f"{line} ({place})\n" if place else f"{line}\n"
    if hidden:
        yield f"{hidden} note{'' if hidden == 1 else 's'} more with --verbose.\n"


def _as_json(lines: Iterable[Line], files: config.ConfigFiles) -> str:
    found = [
        {
            "level": line.level,
            "text": line.text,
            "option": config.dotted(line.path) or None,
            "place": files.place(line.path) if line.path else None,
        }
        for line in lines
    ]
    ok = all(line["level"] != "error" for line in found)
    return json.dumps({"ok": ok, "lines": found}, indent=2) + "\n"


def check(opts: Opts, token_file: str | None = None) -> Iterator[Line]:
    """Yield all there is to say about the master's *opts*, and a token of a provider's."""
    from saltapi.check import providers  # which needs Salt, and there it is for sure

    yield Line("ok", f"{opts['conf_file']} is read by Salt {config.require_supported_salt()}.")
    yield from _account(opts)
    try:
        engine = config.EngineConfig.of(opts)
    except config.WrongConfig as error:
        yield from sections.problems(error)
        engine = config.EngineConfig()
    else:
        yield from _store(opts)
        yield from _event_log(opts)
    yield from sections.modules(opts)
    yield from sections.sections(opts)
    yield from _options(opts)
    yield from _clients(engine)
    yield from who.users(opts)
    yield from providers.providers(opts, token_file)
    yield from sections.limits(opts)
    yield from who.pam(opts)
    yield from _engine(engine, opts)
    yield from running.processes(opts)


def _account(opts: Opts) -> Iterator[Line]:
    try:
        daemonize.account_for(opts["user"])
    except CannotStart as error:
        yield Line("error", str(error))
    else:
        yield Line("ok", f"saltapi would run as user {opts['user']}.")


def _options(opts: Opts) -> Iterator[Line]:
    """Compare what stands in the config files with every name that Salt and we know."""
    import salt.config

    known = {
        *salt.config.VALID_OPTS,
        *salt.config.DEFAULT_MASTER_OPTS,
        *salt.config.DEFAULT_API_OPTS,
        *config.EngineConfig.option_names(),
        oidc.OPTION,
        shared_store.OPTION,
        event_log.OPTION,
        *config.SECTIONS,
        *NETAPI_SECTIONS,
        *SECTION_OPTIONS,
    }
    for name in sorted(config.ConfigFiles(Path(opts["conf_file"])).names() - known):
        like = difflib.get_close_matches(name, known, n=1, cutoff=LIKENESS)
        if like:
            yield Line("warning", f"{name} is not an option. Did you mean {like[0]}?", (name,))


def _clients(engine: config.EngineConfig) -> Iterator[Line]:
    enabled = engine.netapi_enable_clients
    known = [name for name in INTERFACES if name in enabled]
    if known:
        yield Line("ok", f"Enabled clients: {', '.join(known)}.")
    else:
        yield Line("warning", "No client is enabled: every command is refused.")
    for name in INTERFACES:
        if name not in enabled:
            yield Line(
                "note",
                f"Client {name} is disabled; `- {name}` in netapi_enable_clients enables it.",
            )
    for name in enabled:
        if name not in INTERFACES:
            like = config.nearest(name, list(INTERFACES))
            meant = f" Did you mean {like}?" if like else ""
            yield Line(
                "warning",
                f"netapi_enable_clients: there is no client {name}.{meant}",
                ("netapi_enable_clients",),
            )


def _store(opts: Opts) -> Iterator[Line]:
    """Tell where what processes and machines share is kept."""
    try:
        section = shared_store.store_of(opts)
        directory = choice.store_directory(opts)
        choice.store_for(opts, "check")
    except config.WrongConfig as error:
        yield from sections.problems(error)
        return
    except CannotStart as error:
        yield Line("error", str(error), (shared_store.OPTION,))
        return
    tokens = {opts.get("eauth_tokens.cache_driver"), opts.get("eauth_tokens")}
    if shared_store.TOKEN_DRIVER in tokens and (section is None or not section.secret_file):
        text = (
            f"Tokens are kept by {shared_store.TOKEN_DRIVER}: it needs saltapi_store.secret_file."
        )
        yield Line("error", text, (shared_store.OPTION,))
    kind = mounts.network_file_system(directory)
    if section is not None:
        yield Line("ok", f"What machines share is kept by {', '.join(section.servers)}.")
        yield _masters(opts, section)
    elif kind is not None:
        yield Line(
            "warning",
            f"{directory} is on {kind}, where SQLite may lose what processes share;"
            " set store_directory to a directory on a disk.",
            ("store_directory",),
        )
    if section is not None and section.tls is False:
        yield Line(
            "warning",
            "saltapi_store.tls is false: what machines share travels in the clear.",
            (shared_store.OPTION,),
        )


def _masters(opts: Opts, section: shared_store.StoreSection) -> Line:
    """Tell whether doors of other masters are asked for their jobs."""
    if not section.secret_file:
        return Line(
            "note",
            "A job of another master is not known here: it takes saltapi_store.secret_file.",
            (shared_store.OPTION,),
        )
    try:
        name = event_log.master_name_of(opts)
    except CannotStart:  # `_event_log` says so
        name = "another name"
    return Line("ok", f"rest_asgi asks other masters for their jobs; this one is {name} to them.")


def _event_log(opts: Opts) -> Iterator[Line]:
    """Tell how long the events of all masters are kept."""
    try:
        section = event_log.event_log_of(opts)
    except config.WrongConfig as error:
        yield from sections.problems(error)
    except CannotStart as error:
        yield Line("error", str(error), (event_log.OPTION,))
    else:
        if section is not None:
            days, size = section.max_age / 86_400, section.max_bytes / 2**30
            yield Line(
                "ok",
                f"Events of {section.master} are kept for {days:g} days, all masters' together in"
                f" {size:g} GiB.",
            )


def _engine(engine: config.EngineConfig, opts: Opts) -> Iterator[Line]:
    if engine.netapi_allow_raw_shell:
        yield Line(
            "warning",
            "netapi_allow_raw_shell: whoever may use the ssh client runs any command on any"
            " host of the roster.",
        )
    yield Line("ok", f"Runners are waited for {engine.rest_timeout:g} s (rest_timeout).")
    if engine.function_workers == 0:
        yield Line("note", "function_workers is 0: every runner and wheel goes to the master.")
        return
    directories = [Path(opts[name]) for name in ("cachedir", "pki_dir")]
    missing = [str(path) for path in directories if not path.exists()]
    closed = [str(path) for path in directories if not os.access(path, os.R_OK)]
    if missing:
        yield Line("note", f"There is no {' and no '.join(missing)} yet: start the master first.")
    elif closed:
        yield Line(
            "warning",
            f"This user cannot read {', '.join(closed)}: every runner and wheel goes to the"
            " master, which is slower, and lists of functions are for who may run everything.",
        )
    else:
        yield Line("ok", f"{engine.function_workers} function workers answer quick functions.")
