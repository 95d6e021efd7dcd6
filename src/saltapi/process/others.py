"""Other processes on this machine: who listens on a port, who holds a pid file, which APIs run."""

import ipaddress
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LISTENS = "0A"
"""How the kernel writes TCP_LISTEN in /proc/net/tcp."""
API_NAMES = ("salt-api", "saltapi")
API_WORDS = 6
"""How many words of a command line are looked at: interpreter, its flags, the program."""
OTHER_COMMANDS = ("check", "demo", "make-cert", "version")
CLOCK_SECONDS = 2.0
"""How exactly the start of a process and the time of a file can be compared."""


class Process(NamedTuple):
    """A running process."""

    pid: int

    @property
    def words(self) -> list[str]:
        """Its command line, at spaces too, since a title has no others; empty if it has ended."""
        try:
            text = Path(f"/proc/{self.pid}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            return []
        return text.replace("\0", " ").split()

    @property
    def name(self) -> str:
        """What it calls itself."""
        try:
            return Path(f"/proc/{self.pid}/comm").read_text(errors="replace").strip()
        except OSError:
            return "a process that has ended"

    @property
    def parent(self) -> int:
        """The id of its parent; 0 if there is none."""
        fields = self._stat()
        return int(fields[1]) if fields else 0

    @property
    def api(self) -> str | None:
        """`salt-api` or `saltapi`, if it is one that serves."""
        words = self.words[:API_WORDS]
        if words and not Path(words[0]).name.startswith("python"):
            del words[1:]
        for word, following in zip(words, [*self.words[1:], ""], strict=False):
            if Path(word).name in API_NAMES and following not in OTHER_COMMANDS:
                return Path(word).name
        return None

    @property
    def started(self) -> float | None:
        """When it was started, in seconds since the epoch; None if it has ended."""
        fields = self._stat()
        if not fields or fields[0] == "Z":
            return None
        booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        return booted + int(fields[19]) / os.sysconf("SC_CLK_TCK")

    def _stat(self) -> list[str]:
        """Return the fields of /proc/PID/stat from the third one, the state."""
        try:
            text = Path(f"/proc/{self.pid}/stat").read_text(errors="replace")
        except OSError:
            return []
        return text.rpartition(")")[2].split()

    def wrote(self, path: Path) -> bool:
        """Tell whether *path* can be its pid file: numbers of processes are used again."""
        started = self.started
        return started is not None and started <= path.stat().st_mtime + CLOCK_SECONDS


def holder(pid_file: Path) -> Process | None:
    """Return the living process that wrote *pid_file*; None for a file that was left behind."""
    try:
        with pid_file.open("rb") as file:
            text = file.read(32).decode(errors="replace").strip()
    except OSError:
        return None
    if not text.isdecimal() or int(text) == os.getpid():
        return None
    process = Process(int(text))
    return process if process.wrote(pid_file) else None


def apis() -> list[Process]:
    """Return the salt-api and saltapi processes, without their children and without ourselves."""
    own = os.getpid()
    found = {process.pid: process for process in _processes() if process.api}
    above = {process: process.parent for process in found.values()}
    return [
        process
        for process, parent in above.items()
        if process.pid != own and parent not in found and parent != own
    ]


def listener(host: str, port: int) -> Process | None:
    """
    Return who listens where a server at *host* and *port* would; None if nobody does.

    Its process id is 0 if it belongs to a user whose processes we may not look at.
    """
    wanted = _addresses(host)
    sockets = {inode for address, inode in _listening(port) if _overlap(address, wanted)}
    if not sockets:
        return None
    links = {f"socket:[{inode}]" for inode in sockets}
    found = [process for process in _processes() if not links.isdisjoint(_descriptors(process))]
    return min(found, default=Process(0))


def _processes() -> Iterator[Process]:
    for name in os.listdir("/proc"):
        if name.isdecimal():
            yield Process(int(name))


def _descriptors(process: Process) -> Iterator[str]:
    try:
        with os.scandir(f"/proc/{process.pid}/fd") as entries:
            for entry in entries:
                yield os.readlink(entry.path)
    except OSError:
        return


def _listening(port: int) -> Iterator[tuple[str, str]]:
    """Yield address and inode of each socket that listens on *port*."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _, local, _, state, *rest = line.split()
            address, _, number = local.partition(":")
            if state == LISTENS and int(number, 16) == port:
                yield _readable(address), rest[5]


def _readable(text: str) -> str:
    """Return the address that the kernel writes in words of four bytes, each turned around."""
    words = [bytes.fromhex(text[i : i + 8])[::-1] for i in range(0, len(text), 8)]
    return str(ipaddress.ip_address(b"".join(words)))


def _addresses(host: str) -> set[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {str(entry[4][0]) for entry in found}


def _overlap(address: str, wanted: set[str]) -> bool:
    """Tell whether two listeners are in each other's way; who has all addresses always is."""
    everywhere = {"0.0.0.0", "::"}  # noqa: S104 - they are compared, not bound
    return bool(wanted) and (address in everywhere or bool(wanted & {*everywhere, address}))
