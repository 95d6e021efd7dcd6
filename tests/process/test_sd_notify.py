import os
import socket
from pathlib import Path

import pytest

from saltapi.process.sd_notify import Notifier
from tests.waiting import scaled


def test_socket_in_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages go to the socket that NOTIFY_SOCKET names."""
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(scaled(10))
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        notifier = Notifier()
        notifier.ready()
        notifier.status("two\nlines")

        assert [b"READY=1", b"STATUS=two lines"] == [manager.recv(4096), manager.recv(4096)]


def test_children_do_not_inherit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables are gone from the environment once they are read."""
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.setenv(name, "1")
    Notifier()

    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & set(os.environ)


def test_without_a_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without NOTIFY_SOCKET, or with nobody behind it, messages go nowhere."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    Notifier().ready()
    monkeypatch.setenv("NOTIFY_SOCKET", "@nobody-listens-here")
    Notifier().ready()


@pytest.mark.parametrize(
    ("pid", "interval"),
    [("", 1.5), (str(os.getpid()), 1.5), ("1", None)],
    ids=["any", "ours", "another's"],
)
def test_watchdog_interval(
    pid: str, interval: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watchdog is fed at half of what the manager waits, if it waits for us."""
    monkeypatch.setenv("NOTIFY_SOCKET", "@nobody-listens-here")
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    monkeypatch.setenv("WATCHDOG_PID", pid)

    assert interval == Notifier().watchdog_interval_seconds
