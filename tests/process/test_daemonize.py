import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from saltapi.errors import CannotStart
from saltapi.process.daemonize import PidFile, account_for

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def test_pid_file(tmp_path: Path) -> None:
    """The file holds the process id while the daemon runs, and is gone afterwards."""
    file = PidFile(tmp_path / "run" / "api.pid")
    file.create()
    assert str(os.getpid()) == file.path.read_text().strip()
    file.remove()
    file.remove()

    assert not file.path.exists()


@pytest.mark.parametrize("content", ["", "not a number", "4194999", "1"])
def test_stale_pid_file_is_replaced(tmp_path: Path, content: str) -> None:
    """A file that a crash left behind does not keep a daemon from starting, nor does a process
    that was started later and has the same number."""
    path = tmp_path / "api.pid"
    path.write_text(content)
    os.utime(path, (1.0, 1.0))
    file = PidFile(path)
    file.create()

    assert str(os.getpid()) == path.read_text().strip()
    file.remove()


def test_pid_of_a_salt_api(tmp_path: Path) -> None:
    """A file that names a running salt-api, which does not lock it, is respected."""
    path = tmp_path / "api.pid"
    command = [sys.executable, "-c", "print(flush=True); input()", "salt-api"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as api:
        assert api.stdout
        api.stdout.readline()  # its command line is not there from the first moment
        path.write_text(str(api.pid))
        with pytest.raises(CannotStart, match=f"runs already as process {api.pid}"):
            PidFile(path).create()
        api.communicate(b"\n")

    assert str(api.pid) == path.read_text()


def test_pid_file_of_another_program(tmp_path: Path) -> None:
    """A file that a living process of another program wrote is never taken over."""
    path = tmp_path / "other.pid"
    with subprocess.Popen(["sleep", "1000"]) as other:
        path.write_text(str(other.pid))
        with pytest.raises(CannotStart, match=f"is the pid file of sleep, process {other.pid}"):
            PidFile(path).create()
        other.kill()

    assert str(other.pid) == path.read_text()


def test_link_is_no_pid_file(tmp_path: Path) -> None:
    """A link where the file should be is not followed."""
    path = tmp_path / "api.pid"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        PidFile(path).create()

    assert not (tmp_path / "elsewhere").exists()


def test_own_account() -> None:
    """Nothing is to be done when the daemon runs as the configured user already."""
    assert account_for(pwd.getpwuid(os.geteuid()).pw_name) is None


def test_unknown_account() -> None:
    """A user that does not exist is an error that names the line of the config."""
    with pytest.raises(CannotStart, match="`user: no-such-user`, and there is no such user"):
        account_for("no-such-user")


@as_root
def test_root_becomes_the_user() -> None:
    """Root gives up its rights for good, groups and environment included."""
    nobody = pwd.getpwnam("nobody")
    code = (
        "import os; from saltapi.process.daemonize import account_for;"
        "account_for('nobody').adopt();"
        "print(*os.getresuid(), *os.getresgid(), *os.getgroups(), os.environ['USER'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "USER": "root"},
        capture_output=True,
        text=True,
        check=True,
    )
    uid, gid = str(nobody.pw_uid), str(nobody.pw_gid)

    assert [uid, uid, uid, gid, gid, gid, gid, "nobody"] == done.stdout.split()


@as_root
def test_other_users_cannot_become_anybody() -> None:
    """A user that is neither root nor the configured one is told how to start."""
    code = (
        "import os; from saltapi.process.daemonize import account_for;"
        " os.seteuid(65534); account_for('root')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert "saltapi was started by user nobody. Start it as root." in done.stderr
