"""
What `saltapi check` says: which modules would run, what may be asked, and by whom.

Nothing is started and no port is bound; netapi modules are imported and asked whether they
run. An error means that something cannot work as the config says, a warning that somebody
probably did not want this.
"""

import difflib
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from saltapi import config
from saltapi.bridge.external_auth import problems
from saltapi.check import sections
from saltapi.check.line import Line
from saltapi.check.sections import NETAPI_SECTIONS, SECTION_OPTIONS
from saltapi.errors import CannotStart
from saltapi.interfaces import INTERFACES
from saltapi.process import daemonize
from saltapi.types import Opts

LIKENESS = 0.84
"""How like a known option an unknown one must be to be called a slip of the pen."""

PAM_PROBE_SECONDS = 20


def run(config_dir: str | Path) -> int:
    """
    Print what the master config in *config_dir* makes of saltapi.

    Returns:
        The exit status: 0 if a module would run and nothing is wrong, else 1.

    Raises:
        CannotStart: The config cannot be loaded at all.
    """
    opts = config.load(Path(config_dir).absolute())
    lines = list(check(opts))
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 1 if any(line.level == "error" for line in lines) else 0


def check(opts: Opts) -> Iterator[Line]:
    """Yield all there is to say about the master's *opts*."""
    yield Line("ok", f"{opts['conf_file']} is read by Salt {config.require_supported_salt()}.")
    yield from _account(opts)
    try:
        engine = config.EngineConfig.of(opts)
    except CannotStart as error:
        yield Line("error", str(error))
        engine = config.EngineConfig()
    yield from sections.modules(opts)
    yield from sections.sections(opts)
    yield from _options(opts)
    yield from _clients(engine)
    yield from _who(opts)
    yield from sections.limits(opts)
    yield from _pam(opts)
    yield from _engine(engine, opts)


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
        *config.SECTIONS,
        *NETAPI_SECTIONS,
        *SECTION_OPTIONS,
    }
    for name in sorted(_written(opts) - known):
        like = difflib.get_close_matches(name, known, n=1, cutoff=LIKENESS)
        if like:
            yield Line("warning", f"{name} is not an option. Did you mean {like[0]}?")


def _written(opts: Opts) -> set[str]:
    """Return the names that stand at the top level of the config file and its includes."""
    import salt.config

    path = opts["conf_file"]
    written = salt.config.load_config(path, "SALT_MASTER_CONFIG", path)
    default = written.get("default_include", salt.config.DEFAULT_MASTER_OPTS["default_include"])
    for include in (default, written.get("include", [])):
        written.update(salt.config.include_config(include, path, verbose=False))
    return {name for name in written if isinstance(name, str)}


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
            yield Line("warning", f"netapi_enable_clients: there is no client {name}.{meant}")


def _who(opts: Opts) -> Iterator[Line]:
    systems = opts.get("external_auth")
    if not systems:
        yield Line("warning", "external_auth is empty: nobody can log in.")
        return
    known = _eauth_systems(opts)
    for system, users in systems.items() if isinstance(systems, dict) else ():
        if system not in known:
            like = config.nearest(str(system), sorted(known))
            meant = f" Did you mean {like}?" if like else ""
            yield Line("warning", f"external_auth: Salt has no eauth system {system}.{meant}")
        if system == "auto":
            yield Line("warning", "external_auth: auto lets everybody in, with any password.")
        if isinstance(users, dict) and users:
            yield Line("ok", f"{system}: {', '.join(_permissions(users))} may log in.")
    for problem in problems(systems):
        yield Line("error", problem)


def _permissions(users: dict[Any, Any]) -> Iterator[str]:
    for key, granted in users.items():
        name = str(key)
        count = len(granted) if isinstance(granted, list | dict) else 0
        if name == "*":
            who = "everybody"
        elif name.endswith("%"):
            who = f"group {name[:-1]}"
        else:
            who = f"user {name}"
        yield f"{who} ({count} permission{'' if count == 1 else 's'})"


def _eauth_systems(opts: Opts) -> set[str]:
    import salt.loader

    return {found.name for found in pkgutil.iter_modules(salt.loader._module_dirs(opts, "auth"))}


def _pam(opts: Opts) -> Iterator[Line]:
    """Try whether the interpreter that Salt checks PAM passwords with can do so."""
    if "pam" not in (opts.get("external_auth") or {}):
        return
    import salt

    script = Path(salt.__file__).parent / "auth" / "pam.py"
    configured = opts.get("auth.pam.python")
    python = Path(configured or _default_pam_python())
    resolved = python.resolve()  # as Salt does: in a virtual environment it leads out of it
    probe = f"import runpy; runpy.run_path({str(script)!r}, run_name='probe')"
    try:
        done = subprocess.run(
            [resolved, "-c", probe],
            cwd=script.parent,
            capture_output=True,
            timeout=PAM_PROBE_SECONDS,
            check=False,
        )
        works = done.returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        works = False
    if works:
        yield Line("ok", f"pam: passwords are checked by {resolved}.")
        return
    link = f" (that is what {python} links to)" if resolved != python else ""
    yield Line(
        "error",
        f"pam: {resolved}{link} cannot run Salt, so every login fails. Set `auth.pam.python` to"
        f' a real file, not a link: a script `#!/bin/sh` with `exec {sys.executable} "$@"`.',
    )


def _default_pam_python() -> str:
    import salt.utils.package

    system = "/usr/bin/python3"
    if salt.utils.package.bundled() or not Path(system).exists():
        return sys.executable
    return system


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
