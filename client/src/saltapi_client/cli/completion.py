"""
Completion for bash, zsh and fish.

The shell asks `saltctl __complete WORDS`, which answers from the declarations and a cache, and
asks no server: what is old is asked for again by a process that nobody waits for.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from saltapi_client.cli.declarations import BY_NAME, COMMANDS
from saltapi_client.cli.options import COMMON, SALT, Option
from saltapi_client.cli.places import place

if TYPE_CHECKING:
    import argparse

FRESH_SECONDS = 120.0
TRY_SECONDS = 30.0
"""How often one that could not be made is tried."""
KEPT_NAMES = 20_000
JIDS = 50
FILE = "completion.json"

SCRIPTS = {
    "bash": """\
_saltctl() {
    local IFS=$'\\n'
    COMPREPLY=($(saltctl __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _saltctl saltctl
""",
    "zsh": """\
#compdef saltctl
_saltctl() {
    local -a found
    found=("${(@f)$(saltctl __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    compadd -- ${found:#}
}
compdef _saltctl saltctl
""",
    "fish": """\
function __saltctl
    saltctl __complete (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null
end
complete -c saltctl -f -a '(__saltctl)'
""",
}


def script(args: argparse.Namespace) -> int:
    """Print the completion of a shell."""
    sys.stdout.write(SCRIPTS[args.shell])
    return 0


def complete(words: list[str]) -> int:
    """Print what the last of *words* can become, one a line."""
    if words[:1] == ["--refresh"]:
        refresh(words[1:])
        return 0
    found = candidates(words or [""])
    sys.stdout.write("".join(f"{word}\n" for word in found))
    return 0


def candidates(words: list[str]) -> list[str]:
    """Return what the last of *words* can become."""
    *before, start = words
    names = [word for word in before if not word.startswith("-")]
    command = next((word for word in names if word in BY_NAME), "")
    options = (*(BY_NAME[command].options if command else SALT.options), *COMMON)
    previous = before[-1] if before else ""
    for option in options:
        if previous in option.names and previous.startswith("-") and option.takes_value:
            return matching(values_of(option.completes, before), start)
    if start.startswith("-"):
        return matching([n for o in options for n in o.names if n.startswith("-")], start)
    positional = [word for word in places(before, options) if word != command]
    if command in {"run", "wheel"}:
        client = {"run": "runner", "wheel": "wheel"}[command]
        return matching(values_of(client, before), start) if not positional else []
    if command and command != "check":
        asked = [option for option in BY_NAME[command].options if is_positional(option)]
        kind = asked[len(positional)].completes if len(positional) < len(asked) else ""
        return matching(values_of(kind, before), start)
    if not positional:
        found = matching([each.name for each in COMMANDS], start) if not command else []
        return found + matching(values_of("minions", before), start)
    return matching(values_of("functions", before), start) if len(positional) == 1 else []


def is_positional(option: Option) -> bool:
    """Return whether it is an argument."""
    return not option.names[0].startswith("-")


def places(before: list[str], options: tuple[Option, ...]) -> list[str]:
    """Return the words that are no options and no options' values."""
    with_value = {name for option in options if option.takes_value for name in option.names}
    found, skip = [], False
    for word in before:
        if skip:
            skip = False
        elif word.startswith("-"):
            skip = word in with_value
        else:
            found.append(word)
    return found


def matching(names: list[str], start: str) -> list[str]:
    """Return the names that begin so."""
    return [name for name in names if name.startswith(start)]


def values_of(kind: str, before: list[str]) -> list[str]:
    """Return the values of a kind: from the cache, or the words themselves."""
    if kind not in {"minions", "functions", "jids", "runner", "wheel"}:
        return kind.split()
    names = cached(profile_words(before)).get(kind)
    return names if isinstance(names, list) else []


def profile_words(before: list[str]) -> list[str]:
    """Return the options among *before* that say which server it is."""
    found: list[str] = []
    for name in ("--profile", "--url", "--user", "--eauth", "--ca"):
        if name in before[:-1]:
            found += [name, before[before.index(name) + 1]]
    return found


def cached(words: list[str]) -> dict[str, Any]:
    """Return what is known of a server; lets it be asked again if that is old."""
    name = " ".join([os.environ.get("SALTAPI_URL", ""), *words]).strip() or "default"
    kept: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        kept = json.loads((place("cache") / FILE).read_text(encoding="utf-8"))
    found = kept.get(name) if isinstance(kept, dict) else None
    found = found if isinstance(found, dict) else {}
    if time.time() - float(found.get("time", 0)) > FRESH_SECONDS:
        start_refresh(name, words)
    return found


def start_refresh(name: str, words: list[str]) -> None:
    """Start a process that asks the server, unless one was started a moment ago."""
    mark = place("cache") / "completion.asked"
    with suppress(OSError):
        if mark.exists() and time.time() - mark.stat().st_mtime < TRY_SECONDS:
            return
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
        import subprocess

        subprocess.Popen(
            [sys.executable, "-m", "saltapi_client", "__complete", "--refresh", name, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def refresh(words: list[str]) -> None:
    """Ask the server for names, and keep them under *words[0]*."""
    import re

    from saltapi_client import errors
    from saltapi_client.cli.connecting import connect
    from saltapi_client.cli.parser import parse
    from saltapi_client.cli.places import write_private

    name, *options = words
    _, args = parse(["whoami", *options])
    found: dict[str, Any] = {"time": time.time()}
    with connect(args) as client:
        with suppress(errors.Error):
            found["minions"] = [m.id for m in client.minions(limit=KEPT_NAMES)]
        with suppress(errors.Error):
            found["jids"] = [job.jid for job in client.jobs(limit=JIDS)]
        for kind, asked in (("functions", "local"), ("runner", "runner"), ("wheel", "wheel")):
            with suppress(errors.Error):
                found[kind] = sorted(client.functions(client=asked))
        if "functions" not in found and found.get("minions"):
            with suppress(errors.Error):
                for record in client.run(
                    found["minions"][:1], "sys.list_functions", tgt_type="list"
                ):
                    if isinstance(getattr(record, "value", None), list):
                        found["functions"] = record.value  # type: ignore[union-attr]
    for kind in {*found} - {"time"}:
        # A shell puts them into a command as they are.
        found[kind] = [name for name in found[kind] if re.fullmatch(r"[\w.:@/+-]+", str(name))]
    path = place("cache") / FILE
    kept: Any = {}
    with suppress(OSError, ValueError):
        kept = json.loads(path.read_text(encoding="utf-8"))
    write_private(path, json.dumps({**(kept if isinstance(kept, dict) else {}), name: found}))
