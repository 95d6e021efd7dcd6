"""`saltctl` in a terminal of tmux: what is typed, and what somebody sees."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.waiting import eventually, scaled

TMUX = shutil.which("tmux")
LINES = 24
COMMAND_SECONDS = 5
PROMPT = "ready$ "


class Screen:
    """A terminal so many columns wide, with a shell in it; a context manager."""

    def __init__(self, directory: Path, env: Mapping[str, str], columns: int) -> None:
        self._socket = str(directory / "tmux")
        self.columns = columns
        self._env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(directory)}
        startup = directory / "startup"
        lines = [f"export {name}={shlex.quote(value)}" for name, value in env.items()]
        lines += [
            "unset COLUMNS LINES",
            f'saltctl() {{ {shlex.quote(sys.executable)} -m saltapi_client "$@"; }}',
            f"PS1={shlex.quote(PROMPT)}",
        ]
        startup.write_text("\n".join([line for line in lines if "TERM=" not in line]))
        self._shell = f"bash --noprofile --rcfile {startup} -i"

    def __enter__(self) -> Self:
        size = ["-x", str(self.columns), "-y", str(LINES)]
        self.tmux("-f", "/dev/null", "new-session", "-d", *size, self._shell)
        self.tmux("set-option", "-g", "history-limit", "20000")
        self.until(lambda text: PROMPT.strip() in text)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.tmux("kill-server")

    def tmux(self, *words: str) -> str:
        """Give tmux an order; return what it says."""
        assert TMUX is not None
        return subprocess.run(
            [TMUX, "-S", self._socket, *words],
            env=self._env, check=True, capture_output=True, text=True,
            timeout=scaled(COMMAND_SECONDS),
        ).stdout  # fmt: skip

    def type(self, text: str, *keys: str) -> None:
        """Type a text, and then keys as tmux names them."""
        if text:
            self.tmux("send-keys", "-l", text)
        if keys:
            self.tmux("send-keys", *keys)

    def run(self, command: str) -> str:
        """Run a command to its end; return what is to be seen of it, from its own line on."""
        self.type(f"clear; tmux -S {self._socket} clear-history; {command}", "Enter")
        return self.until(lambda text: text.endswith(PROMPT.strip()), from_beginning=True)

    def resize(self, columns: int) -> None:
        """Make the window as wide as this."""
        self.tmux("resize-window", "-x", str(columns), "-y", str(LINES))
        self.columns = columns

    def seen(self, *, from_beginning: bool = False) -> str:
        """Return what is to be seen, without what is empty at the end."""
        whole = ["-S", "-"] if from_beginning else []
        return self.tmux("capture-pane", "-p", *whole).rstrip()

    def until(self, is_there: Callable[[str], bool], *, from_beginning: bool = False) -> str:
        """Wait until something is to be seen; return all that is."""

        def check(text: str) -> None:
            assert is_there(text), f"there is:\n{text}"

        return self.holds(check, from_beginning=from_beginning)

    def holds(self, check: Callable[[str], None], *, from_beginning: bool = False) -> str:
        """Wait until what is to be seen passes a check; return it. It may be half drawn before."""
        failures: list[AssertionError] = []
        found = [""]

        def look() -> bool:
            found[0] = self.seen(from_beginning=from_beginning)
            try:
                check(found[0])
            except AssertionError as error:
                failures.append(error)
                return False
            return True

        try:
            eventually(look, COMMAND_SECONDS)
        except AssertionError:
            raise failures[-1] from None
        return found[0]

    def shows_cursor(self) -> bool:
        """Return whether the cursor is to be seen."""
        return self.tmux("display-message", "-p", "#{cursor_flag}").strip() == "1"
