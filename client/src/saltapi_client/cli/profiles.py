"""
Which server, as whom: from options, the environment, a saved profile, or pepper's `.pepperrc`.

The first of these that says something counts, for each value alone.
"""

from __future__ import annotations

import argparse
import configparser
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saltapi_client import errors
from saltapi_client.cli.places import place, write_private

FILE = "config.ini"
DEFAULT = "main"
SAVED = ("url", "user", "eauth", "ca", "cert", "cert_key", "insecure", "proxy")
_VARIABLES = {
    "url": "SALTAPI_URL",
    "user": "SALTAPI_USER",
    "password": "SALTAPI_PASS",
    "eauth": "SALTAPI_EAUTH",
}


@dataclass(frozen=True)
class Settings:
    """
    What a command goes by.

    Attributes:
        profile: The name of the profile.
        values: By name: `url`, `user`, `eauth`, `password`, certificates, …; only what is set.
    """

    profile: str
    values: Mapping[str, str]

    def get(self, name: str) -> str | None:
        """Return a value; None if nobody has said it."""
        return self.values.get(name) or None


def settings(args: argparse.Namespace, *, is_new: bool = False) -> Settings:
    """
    Return what holds for a command line.

    Args:
        args: The command line.
        is_new: Whether the profile that it names may be a new one.

    Raises:
        Usage: The profile does not exist, or a file cannot be read.
    """
    saved = read(place("config") / FILE)
    default = saved.get("saltctl", "default", fallback=DEFAULT)
    named = args.profile or os.environ.get("SALTCTL_PROFILE")
    name = named or default
    # A password is for the server that stands beside it: of two files only one counts.
    found = dict(saved[name]) if saved.has_section(name) and name != "saltctl" else pepper(named)
    if not found and args.profile and not is_new:
        known = ", ".join(s for s in saved.sections() if s != "saltctl") or "none"
        raise errors.Usage(f"There is no profile {name}; there is: {known}")
    elsewhere = bool(named and found.get("url")) and bool(os.environ.get("SALTAPI_URL"))
    for key, variable in _VARIABLES.items():
        # Who names a profile means it; what the environment says is for commands that do not.
        kept = (named and key in found) or (elsewhere and key == "password")
        if os.environ.get(variable) and not kept:
            found[key] = os.environ[variable]
    for key in SAVED:
        value = getattr(args, key, None)
        if value not in (None, False):
            found[key] = "yes" if value is True else str(value)
    return Settings(name, found)


def save(chosen: Settings) -> Path:
    """Save what holds as the profile; the first one is the default. Return the file."""
    path = place("config") / FILE
    saved = read(path)
    if not saved.has_section("saltctl"):
        saved["saltctl"] = {"default": chosen.profile}
    saved[chosen.profile] = {key: chosen.values[key] for key in SAVED if chosen.values.get(key)}
    text = io.StringIO()
    saved.write(text)
    write_private(path, text.getvalue())
    return path


def pepper(named: str | None = None) -> dict[str, str]:
    """Return what a section of pepper's file says, by our names; nothing if there is none."""
    path = Path(os.environ.get("PEPPERRC") or Path.home() / ".pepperrc")
    section = named or os.environ.get("PEPPERPROFILE", DEFAULT)
    file = read(path)
    if not file.has_section(section):
        return {}
    found = {key: file.get(section, name, fallback="") for key, name in _VARIABLES.items()}
    if found["eauth"] == "auto":
        del found["eauth"]
    return {key: value for key, value in found.items() if value}


def read(path: Path) -> configparser.ConfigParser:
    """
    Return a file of sections; an empty one if it is not there.

    Raises:
        Usage: It is no such file, or may not be read.
    """
    found: Any = configparser.ConfigParser(interpolation=None)
    try:
        found.read(path, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError) as error:
        raise errors.Usage(f"Cannot read {path}: {error}") from error
    parser: configparser.ConfigParser = found
    return parser
