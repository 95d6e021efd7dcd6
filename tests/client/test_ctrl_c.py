"""Ctrl-C, while something is waited for."""

import fcntl
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.answers import Answers
from tests.client.conftest import environment
from tests.client.test_exit_status import JOB, lines
from tests.issuer import DEVICE, running
from tests.waiting import scaled

JID = "20261127180000000000"


def environment_at(server: Answers, home: Path) -> dict[str, str]:
    """Return the environment of the command, at this server."""
    return environment(home) | {
        "SALTAPI_URL": server.url, "SALTAPI_USER": "u", "SALTAPI_PASS": "p",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "expected", "said"),
    [
        ("l\n", 6, "saltctl follow 20261127180000000000"),
        ("\n", 6, "saltctl follow 20261127180000000000"),
        ("s\n", 6, "a: terminated"),
        (None, 6, "saltctl follow 20261127180000000000"),
    ],
)
@pytest.mark.parametrize("words", [["*", "test.ping"], ["follow", JID]], ids=lambda w: w[0])
def test_a_job(
    tmp_path: Path, words: list[str], typed: str | None, expected: int, said: str
) -> None:
    """Ctrl-C asks once: leave it running, or stop it; where nobody is there, it is left running."""
    path = "/v1/run" if words[0] == "*" else f"/v1/jobs/{JID}/events"
    with Answers() as server:
        server.by_path |= {
            path: lines({**JOB, "jid": JID}),
            f"/v1/jobs/{JID}": {"outcomes": {"a": "terminated"}},
        }
        server.held = {path}
        env = environment_at(server, tmp_path)
        ours, theirs = pty.openpty()
        stdin = theirs if typed is not None else subprocess.DEVNULL
        with subprocess.Popen(
            [sys.executable, "-m", "saltapi_client", *words],
            stdin=stdin, stdout=theirs, stderr=theirs, env=env, start_new_session=True,
        ) as process:  # fmt: skip
            os.close(theirs)
            seen = b""
            while b"0 of 2 minions" not in seen:
                seen += os.read(ours, 1000)
            process.send_signal(signal.SIGINT)
            if typed is not None:
                while b"[l]" not in seen:
                    seen += os.read(ours, 1000)
                os.write(ours, typed.encode())
            try:
                while data := os.read(ours, 1000):
                    seen += data
            except OSError:
                pass  # the other end is closed
            assert expected == process.wait(scaled(10))
        os.close(ours)
        stops = [method for method, path, _ in server.asked if path == f"/v1/jobs/{JID}"]

    assert said in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    assert (["DELETE"] if typed == "s\n" else []) == stops


def test_events(tmp_path: Path) -> None:
    """Ctrl-C ends `events` without a word; the place is kept, and what runs for one ends first."""
    done, cursor, program = (tmp_path / name for name in ("done", "cursor", "program"))
    program.write_text(f"echo begun\nwhile ! test -e {tmp_path}/go; do sleep 0.1; done\n>{done}\n")
    event = {"type": "event", "id": "1-a-b", "tag": "salt/x", "data": {}}
    with Answers() as server:
        server.by_path["/v1/events"] = lines({"type": "start", "id": "1-a-a"}, event)
        server.held = {"/v1/events"}
        with subprocess.Popen(
            [sys.executable, "-m", "saltapi_client", "events", "--cursor", str(cursor),
             "--exec", f"sh {program}"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment_at(server, tmp_path),
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert process.stderr is not None
            assert "begun\n" == process.stdout.readline()
            process.send_signal(signal.SIGINT)
            assert 6 == process.wait(scaled(20))
            (tmp_path / "go").touch()
            assert "" == process.stderr.read()  # the program has it open, too
    with (tmp_path / "cursor.lock").open() as lock:  # the next saltctl waits for it as well
        fcntl.flock(lock, fcntl.LOCK_EX)
    assert done.exists()
    assert "1-a-b\n" == cursor.read_text()


def test_device_login(tmp_path: Path) -> None:
    """Ctrl-C while a browser is waited for ends the login, and nothing is kept."""
    with running() as issuer, Answers() as server:
        issuer.device_errors[:] = ["authorization_pending"] * 1000
        provider = {"name": "x", "issuer": issuer.url, "client_id": DEVICE}
        server.by_path["/v1/login"] = {
            "devices": [{**provider, "scopes": ["openid"], "audiences": ["salt"]}]
        }
        with subprocess.Popen(
            [sys.executable, "-m", "saltapi_client", "login", "--device"],
            stderr=subprocess.PIPE, text=True, env=environment_at(server, tmp_path),
        ) as process:  # fmt: skip
            assert process.stderr is not None
            assert "WDJB-MJHT" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            assert "Traceback" not in process.stderr.read()
            assert 6 == process.wait(scaled(20))
    assert not list(tmp_path.rglob("*.json"))
