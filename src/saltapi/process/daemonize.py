"""What makes a process a daemon: its pid file, its user, and letting go of the terminal."""

import fcntl
import os
import pwd
import select
import sys
from dataclasses import dataclass
from pathlib import Path

from saltapi.errors import CannotStart
from saltapi.process.others import holder

READY_WAIT_SECONDS = 60
"""How long `saltapi -d` waits at the terminal to learn whether the daemon runs."""


@dataclass(frozen=True, slots=True)
class Account:
    """The user that the daemon gives up its rights for."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str

    def adopt(self) -> None:
        """
        Become this user, for good, with its groups and environment.

        Raises:
            CannotStart: The system does not permit it.
        """
        try:
            os.initgroups(self.name, self.gid)
            os.setgid(self.gid)
            os.setuid(self.uid)
        except OSError as error:
            raise CannotStart(
                f"saltapi cannot become user {self.name}: {error.strerror}."
            ) from error
        values = {
            "HOME": self.home,
            "SHELL": self.shell,
            "USER": self.name,
            "LOGNAME": self.name,
        }
        os.environ.update({name: text for name, text in values.items() if name in os.environ})


def account_for(user: str) -> Account | None:
    """
    Return the account of *user*, the option of the master config; None if we are that user.

    Raises:
        CannotStart: There is no such user, or we are neither that user nor root.
    """
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise CannotStart(
            f"The master config says `user: {user}`, and there is no such user."
        ) from None
    if os.geteuid() == entry.pw_uid:
        return None
    if os.geteuid() != 0:
        starter = "root" if entry.pw_uid == 0 else f"{user} or as root"
        raise CannotStart(
            f"The master config says `user: {user}`, and saltapi was started by user"
            f" {_user_name(os.geteuid())}. Start it as {starter}."
        )
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir, entry.pw_shell)


class PidFile:
    """
    The file that holds our process id while we run.

    It is locked as well: the lock goes away with the process, so a file that a crash or a
    power cut left behind never keeps a daemon from starting.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._descriptor: int | None = None

    def create(self) -> None:
        """
        Write our process id.

        Raises:
            CannotStart: The file is that of a living process: of another daemon, or of any other.
            OSError: The file cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.path, flags, 0o644)
        written = os.read(descriptor, 32).decode(errors="replace").strip()
        owner = holder(self.path)
        if not _lock(descriptor) or (owner is not None and owner.api):
            os.close(descriptor)
            raise CannotStart(
                f"saltapi or salt-api runs already as process {written}, says {self.path}."
                " Stop it first, or give this one another --pid-file."
            )
        if owner is not None:
            os.close(descriptor)
            raise CannotStart(
                f"{self.path} is the pid file of {owner.name}, process {owner.pid}. Give saltapi"
                " another one: api_pidfile in the master config, or --pid-file."
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def remove(self) -> None:
        """Remove the file, or empty it if its directory is not ours; safe to call twice."""
        if self._descriptor is None:
            return
        try:
            self.path.unlink(missing_ok=True)
        except OSError:
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)
        self._descriptor = None


class Terminal:
    """The terminal that `saltapi -d` was typed at, as the daemon sees it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def leave(self) -> None:
        """Let go of the terminal's input and output."""
        sys.stdout.flush()
        sys.stderr.flush()
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.close(null)

    def release(self) -> None:
        """Same as `leave`, and let the command that waits there end with status 0."""
        self.leave()
        os.write(self._descriptor, b"1")
        os.close(self._descriptor)


def detach() -> Terminal:
    """
    Go on as a daemon, in a session of its own and in the root directory.

    Only the daemon returns from this. The process that was called waits until the daemon has
    called `Terminal.release`, exit status 0, or has ended, exit status 1.
    """
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        os._exit(_await_verdict(reader))
    os.setsid()
    if os.fork():  # whoever leads a session could get a terminal again
        os._exit(0)
    os.close(reader)
    os.chdir("/")
    os.umask(0o022)
    return Terminal(writer)


def _await_verdict(reader: int) -> int:
    if not select.select([reader], [], [], READY_WAIT_SECONDS)[0]:
        sys.stderr.write(
            f"saltapi runs, but no netapi module answers after {READY_WAIT_SECONDS} s;"
            " its log says why.\n"
        )
        sys.stderr.flush()
        return 1
    return 0 if os.read(reader, 1) else 1


def _lock(descriptor: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
