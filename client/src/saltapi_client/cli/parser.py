"""The command line, by argparse, as `declarations` says."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

from saltapi_client import __version__
from saltapi_client.cli import status
from saltapi_client.cli.declarations import BY_NAME, COMMANDS
from saltapi_client.cli.options import COMMON, SALT, Command, Option
from saltapi_client.cli.terminal import size

LISTED = re.compile(r"  \S+ +")
"""The beginning of a line of a list: a name, and the place of what is said of it."""
EXAMPLE = "  saltctl "
"""The beginning of a line that somebody copies; it stays whole."""
USAGE = """\
saltctl [options] TARGET FUNCTION [ARGUMENT ...]
       saltctl COMMAND [options] ..."""


def parse(argv: Sequence[str]) -> tuple[Command, argparse.Namespace]:
    """
    Return the command and its values.

    Raises:
        SystemExit: With status 2, if they are wrong; with 0 after `--help` or `--version`.
    """
    place = command_place(argv)
    name = argv[place] if place is not None else ""
    if name in BY_NAME and place is not None:
        command = BY_NAME[name]
        rest = [*argv[:place], *argv[place + 1 :]]
        return command, parser_of(command).parse_intermixed_args(joined(rest, command))
    parser = parser_of(SALT)
    found = parser.parse_intermixed_args(joined(argv, SALT))
    if len(found.words) < 2:
        parser.error("a target and a function are needed, or a command" + near(name))
    return SALT, found


def joined(argv: Sequence[str], command: Command) -> list[str]:
    """Return *argv* with values that begin with a dash beside their options: `--sort=-id`."""
    options = (*command.options, *COMMON)
    known = {name for option in options for name in option.names}
    takes = {name for o in options if o.takes_value for name in o.names if name.startswith("--")}
    found: list[str] = []
    for word in argv:
        if found and found[-1] in takes and word.startswith("-") and word not in known:
            found[-1] += f"={word}"
        else:
            found.append(word)
    return found


def near(name: str) -> str:
    """Return a hint at the command that was meant, if one is like *name*."""
    if not name:
        return "; saltctl --help lists them"
    import difflib

    found = difflib.get_close_matches(name, BY_NAME, 1)
    return f"; did you mean {found[0]}?" if found else "; saltctl --help lists them"


def command_place(argv: Sequence[str]) -> int | None:
    """Return the place of the first word that is no option and no option's value."""
    takes_value = {
        name
        for option in (*COMMON, *SALT.options)
        for name in option.names
        if name.startswith("-") and option.takes_value
    }
    skip = False
    for place, word in enumerate(argv):
        if skip:
            skip = False
        elif word == "--":
            return None
        elif word.startswith("-") and len(word) > 1:
            skip = word in takes_value
        else:
            return place
    return None


def parser_of(command: Command) -> argparse.ArgumentParser:
    """Return the parser of one command."""
    is_salt = command is SALT
    parser = argparse.ArgumentParser(
        prog="saltctl" if is_salt else f"saltctl {command.name}",
        usage=USAGE if is_salt else usage(command),
        description=description(command),
        epilog=epilog(command),
        formatter_class=Wrapped,
        allow_abbrev=False,
    )
    if is_salt:
        parser.add_argument("--version", action="version", version=f"saltctl {__version__}")
    for option in command.options:
        add(parser, option)
    common = parser.add_argument_group("options of all commands")
    for option in COMMON:
        add(common, option)
    return parser


class Wrapped(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of texts, and lets what is too wide go on below, indented as it began."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=size()[0] - 2)  # one is made for each option

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        import textwrap

        found = []
        for line in text.splitlines():
            listed = LISTED.match(line)
            below = " " * listed.end() if listed else ""
            is_whole = not line or line.startswith(EXAMPLE)
            found += [line] if is_whole else textwrap.wrap(line, width, subsequent_indent=below)
        return "\n".join(indent + line for line in found)


def usage(command: Command) -> str:
    """Return how a command is called; its options are listed below it."""
    words = [f"saltctl {command.name} [options]"]
    for option in command.options:
        if not option.names[0].startswith("-"):
            name = option.how.get("metavar") or option.names[0].upper()
            how = option.how.get("nargs")
            words.append(f"[{name}]" if how in {"?", "*"} else name + " ..." * (how == "+"))
    return " ".join(words)


def add(parser: argparse._ActionsContainer, option: Option) -> None:
    """Add an option to a parser or a group."""
    parser.add_argument(*option.names, help=option.help, **option.how)


def description(command: Command) -> str:
    """Return what a command does, in sentences."""
    first = command.help[0].upper() + command.help[1:]
    first += "" if first.endswith("?") else "."
    text = f"{first}\n\n{command.text}" if command.text else first
    if command is not SALT:
        return text
    width = max(len(each.name) for each in COMMANDS) + 2
    listed = "\n".join(f"  {each.name:{width}}{each.help}" for each in COMMANDS)
    return f"{text}\n\ncommands (saltctl COMMAND --help):\n{listed}"


def epilog(command: Command) -> str:
    """Return the end of a command's help: examples and the exit status."""
    examples = "\n".join(f"  {example}" for example in command.examples)
    meanings = "\n".join(f"  {number}  {text}" for number, text in status.MEANINGS.items())
    return f"examples:\n{examples}\n\nexit status:\n{meanings}"
