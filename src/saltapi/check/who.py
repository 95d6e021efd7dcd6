"""Who may log in, by which eauth system, and whether that can work."""

import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from saltapi import config
from saltapi.bridge.external_auth import SETTING, problems
from saltapi.check.line import Line
from saltapi.types import Opts

PAM_PROBE_SECONDS = 20


def users(opts: Opts) -> Iterator[Line]:
    """Tell who may log in."""
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
        named = ", ".join(_permissions(users)) if isinstance(users, dict) else ""
        if named:
            yield Line("ok", f"{system}: {named} may log in.")
    for problem in problems(systems):
        yield Line("error", f"{problem}", problem.path)


def _permissions(users: dict[Any, Any]) -> Iterator[str]:
    for key, granted in users.items():
        name = str(key)
        if name.startswith(SETTING):
            continue
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


def pam(opts: Opts) -> Iterator[Line]:
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
