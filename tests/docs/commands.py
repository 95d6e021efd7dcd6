"""
The commands that the pages print, run as somebody would who pastes them one after the other.

A block of `console` holds commands behind `$ `, each with the answer that it shows. What cannot be
run where the tests run has its reason in the line above the block, where readers do not see it:

    <!-- not run: it needs a running systemd -->

A reason may name the test that runs it otherwise. A block of `sh` or `bash` is a script to copy: it
needs such a line, or a test of its own.
"""

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.waiting import scaled

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")])
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>console|sh|bash|shell)\n(?P<code>.*?)^ *```$", re.M | re.S
)
MARK = re.compile(r"<!-- not run: (.{10,}) -->\n *\Z")
COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)\n?((?:(?!\$ ).*\n?)*)", re.M)
STREAM = re.compile(r"\bcurl (-\w*N)")
STREAM_SECONDS = scaled(2)
STREAM_ENDED = 28
"""How curl ends when it was told to stop reading a stream."""
RUN_SECONDS = scaled(100)
NUMBER = re.compile(r"\d[\d.:]*")


@dataclass(frozen=True)
class Command:
    """One command, and the answer that the page shows for it."""

    text: str
    answer: str
    line: int


@dataclass(frozen=True)
class Block:
    """A block of commands on a page."""

    page: Path
    line: int
    language: str
    reason: str | None
    """Why it is not run; None if it is."""
    commands: list[Command] = field(default_factory=list)


@dataclass(frozen=True)
class Done:
    """What became of a command."""

    command: Command
    status: int
    output: str


def blocks(page: Path) -> list[Block]:
    """Return the blocks of commands of *page*."""
    text = page.read_text()
    found = []
    for fence in FENCE.finditer(text):
        mark = MARK.search(text[: fence.start()])
        line = text.count("\n", 0, fence.start()) + 1
        code = re.sub(rf"^{fence['indent']}", "", fence["code"], flags=re.M)
        commands = [
            Command(one[1], one[2].strip("\n"), line + 1 + code.count("\n", 0, one.start()))
            for one in COMMAND.finditer(code)
        ]
        found.append(Block(page, line, fence["language"], mark and mark[1], commands))
    return found


def to_run(page: Path) -> list[Command]:
    """Return the commands of *page* that are to be run, in order."""
    return [command for block in blocks(page) if not block.reason for command in block.commands]


def run(
    commands: Sequence[Command],
    replace: Mapping[str, str],
    cwd: Path,
    env: Mapping[str, str] | None = None,
) -> list[Done]:
    """
    Run *commands* in one shell, one after the other; streams are read for a moment.

    Args:
        commands: They know each other's variables.
        replace: What stands there -> what it is here: addresses, passwords.
        cwd: Where the shell is.
        env: More variables of the environment.
    """
    script = "".join(
        f"{_here(command.text, replace)}\nprintf '\\n<<< %d {number}\\n' $?\n"
        for number, command in enumerate(commands)
    )
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    parts = re.split(r"\n<<< (\d+) \d+\n", done.stdout)
    assert len(parts) == 2 * len(commands) + 1, done.stdout
    return [
        Done(command, int(status), output)
        for command, output, status in zip(commands, parts[::2], parts[1::2], strict=False)
    ]


def check(done: Sequence[Done], replace: Mapping[str, str]) -> None:
    """Fail with the first command that went wrong, or has another answer than the page shows."""
    for one in done:
        is_stream = STREAM.search(one.command.text)
        told = f"line {one.command.line}: {one.command.text}\n{one.output}"
        assert one.status in ({0, STREAM_ENDED} if is_stream else {0}), told
        if one.command.answer:
            assert alike(_here(one.command.answer, replace), one.output), told


def alike(shown: str, real: str) -> bool:
    """
    Tell whether an answer is what the page shows.

    JSON has the same shape: keys, lengths of lists, words such as true; texts and numbers may be
    others. Other text is the same but for numbers. `…` stands for anything.
    """
    try:
        return _alike(json.loads(shown), json.loads(real))
    except ValueError:
        pass
    parts = [re.escape(NUMBER.sub("0", part.strip())) for part in shown.split("…")]
    return re.search(".*?".join(parts), NUMBER.sub("0", real), re.S) is not None


def _alike(shown: Any, real: Any) -> bool:
    if shown == "…":
        return True
    if isinstance(shown, dict) and isinstance(real, dict):
        return shown.keys() == real.keys() and all(_alike(shown[key], real[key]) for key in shown)
    if isinstance(shown, list) and isinstance(real, list):
        return len(shown) == len(real) and all(map(_alike, shown, real))
    if isinstance(shown, bool | None):
        return bool(shown is real)
    return type(shown) is type(real)


def _here(text: str, replace: Mapping[str, str]) -> str:
    for there, here in replace.items():
        text = text.replace(there, here)
    return STREAM.sub(rf"curl --max-time {STREAM_SECONDS} \1", text)
