"""The completion of the shell offers what the command has."""

import argparse
import subprocess

import pytest

from saltapi import cli
from tests.packages.folder import ROOT

PARSER = cli._parser(["check", "demo", "make-cert", "install-unit"])
COMMANDS = next(a for a in PARSER._actions if isinstance(a, argparse._SubParsersAction)).choices


def completed(*words: str) -> set[str]:
    """Return what bash offers after *words*."""
    typed = " ".join(f"'{word}'" for word in ("saltapi", *words, ""))
    script = (
        f"source {ROOT}/packaging/saltapi.bash; COMP_WORDS=({typed});"
        f" COMP_CWORD={len(words) + 1}; _saltapi; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def flags_of(parser: argparse.ArgumentParser) -> set[str]:
    """Return all flags of a parser."""
    return {flag for action in parser._actions for flag in action.option_strings}


def test_commands() -> None:
    """First there are the commands, and the flags of `serve`."""
    assert flags_of(PARSER) | set(COMMANDS) == completed()


@pytest.mark.parametrize("command", COMMANDS)
def test_flags(command: str) -> None:
    """After a command there are its flags."""
    assert flags_of(COMMANDS[command]) == completed(command)


def test_values() -> None:
    """A level is one of Salt's."""
    assert {"quiet", "debug"} <= completed("-l")
