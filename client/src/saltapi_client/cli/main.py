"""`main`: parse, call the command, turn errors into a sentence and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from saltapi_client import errors
from saltapi_client.cli import status


def main(argv: Sequence[str] | None = None) -> int:
    """Run `saltctl` with a command line; return its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error does
    try:
        return _run(words)
    except KeyboardInterrupt:
        return status.STOPPED
    except BrokenPipeError:
        # Who read standard output has gone; nothing more may be written to it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return status.STOPPED


def _run(words: list[str]) -> int:
    if words[:1] == ["__complete"]:
        from saltapi_client.cli import completion

        return completion.complete(words[1:])
    from saltapi_client.cli.parser import parse

    try:
        command, args = parse(words)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else status.USAGE
    module, _, function = command.home.partition(":")
    try:
        run = getattr(import_module(f"saltapi_client.cli.{module}"), function)
        found: int = run(args)
        sys.stdout.flush()
    except errors.Error as error:
        from saltapi_client.cli.terminal import clean

        sys.stderr.write(f"saltctl: {clean(str(error))}\n")
        is_rejected = isinstance(error, errors.AuthenticationFailed) and error.status
        if is_rejected and command.name != "login":
            sys.stderr.write("saltctl: log in again: saltctl login\n")
        return status.of_error(error)
    return found
