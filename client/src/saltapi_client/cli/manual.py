"""The manual page, made of the same declarations as the command line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from saltapi_client import __version__
from saltapi_client.cli import status
from saltapi_client.cli.declarations import COMMANDS
from saltapi_client.cli.options import COMMON, SALT, Command, Option

if TYPE_CHECKING:
    import argparse

ENVIRONMENT = {
    "SALTAPI_URL, SALTAPI_USER, SALTAPI_PASS, SALTAPI_EAUTH": "server and user, as pepper has them",
    "SALTCTL_PROFILE": "the profile, where no --profile is given",
    "SALTCTL_HOME": "one directory for config, sessions and cache",
    "SALTCTL_KEYRING": "`no` keeps sessions in a file, also where there is a keyring",
    "PEPPERRC, PEPPERPROFILE": "pepper's file, and the section of it",
    "NO_COLOR": "no colours",
}


def page(_args: argparse.Namespace) -> int:
    """Print the manual page."""
    sys.stdout.write(text())
    return 0


def text() -> str:
    """Return the page, for man."""
    lines = [
        f'.TH SALTCTL 1 "" "saltctl {__version__}"',
        ".SH NAME",
        "saltctl \\- a Salt master from afar, over its HTTP API",
        ".SH SYNOPSIS",
        ".B saltctl",
        "[options] TARGET FUNCTION [ARGUMENT ...]",
        ".br",
        ".B saltctl",
        "COMMAND [options] ...",
        ".SH DESCRIPTION",
        escaped("Runs functions on minions, calls runners and wheel functions, and shows jobs,"),
        escaped("events, minions and keys. It needs no Salt here, and an API there."),
        ".SH RUNNING FUNCTIONS ON MINIONS",
        *_command(SALT),
        ".SH COMMANDS",
    ]
    for command in COMMANDS:
        lines += [f".SS {escaped(command.name)}", *_command(command)]
    lines += [".SH OPTIONS OF ALL COMMANDS", *_options(COMMON), ".SH EXIT STATUS"]
    for number, meaning in status.MEANINGS.items():
        lines += [".TP", f".B {number}", escaped(meaning)]
    lines.append(".SH ENVIRONMENT")
    for name, meaning in ENVIRONMENT.items():
        lines += [".TP", f".B {escaped(name)}", escaped(meaning)]
    return "\n".join(lines) + "\n"


def _command(command: Command) -> list[str]:
    help_text = command.help[0].upper() + command.help[1:]
    lines = [escaped(help_text if help_text.endswith("?") else f"{help_text}.")]
    if command.text:
        lines.append(escaped(command.text))
    lines += _options(command.options)
    lines += [".PP", "Examples:", ".nf", *(f"    {escaped(e)}" for e in command.examples), ".fi"]
    return lines


def _options(options: tuple[Option, ...]) -> list[str]:
    lines = []
    for option in options:
        value = option.how.get("metavar", "")
        names = ", ".join(escaped(name) for name in option.names)
        shown = f"{names} {escaped(value)}".strip()
        if not option.names[0].startswith("-"):
            shown = escaped(value or option.names[0])
        lines += [".TP", f".B {shown}", escaped(option.help.replace("%%", "%"))]
    return lines


def escaped(value: str) -> str:
    """Return a text as roff takes it."""
    found = value.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{found}" if found.startswith((".", "'")) else found
