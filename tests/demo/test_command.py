"""`saltapi demo`, run as people run it."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from saltapi.demo.command import MODULES, main
from saltapi.demo.instructions import instructions
from saltapi.demo.master import is_free
from tests.waiting import eventually, scaled

READY_SECONDS = 60.0
END_SECONDS = 30.0


class Demo:
    """A running `saltapi demo`."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self._log = log
        self.ready: dict[str, Any] = {}

    def wait_ready(self) -> None:
        """Wait for the line of JSON that says how to use it."""
        log = self._log
        eventually(
            lambda: self.process.poll() is not None or "ready after" in log.read_text(),
            READY_SECONDS,
        )
        assert self.process.stdout is not None
        assert self.process.poll() is None, log.read_text()
        self.ready = json.loads(self.process.stdout.readline())

    def stderr(self) -> str:
        """Return what it printed for people."""
        return self._log.read_text()

    def below(self) -> list[psutil.Process]:
        """Return all of its processes but the first."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def run(self, **chunk: Any) -> Any:
        """Return what a chunk returns, sent to `rest_wsgi` with its credentials."""
        credentials = {name: self.ready[name] for name in ("username", "password", "eauth")}
        request = urllib.request.Request(  # noqa: S310
            self.ready["urls"]["rest_wsgi"],
            json.dumps([chunk | credentials]).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=scaled(30)) as response:  # noqa: S310
            return json.load(response)["return"][0]


class Credentials:
    """What `instructions` asks a master for, made of the line of JSON."""

    minion_ids = ("minion-1",)

    def __init__(self, ready: dict[str, Any]) -> None:
        self.username, self.password, self.eauth = (
            ready[name] for name in ("username", "password", "eauth")
        )
        self.config_dir = ready["config_dir"]

    def credentials(self) -> dict[str, str]:
        return {"username": self.username, "password": self.password, "eauth": self.eauth}


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    """Start `saltapi demo --json` with more arguments."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> Demo:
        log = tmp_path / "stderr"
        with log.open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "saltapi", "demo", "--json", *arguments],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=os.environ | {"TMPDIR": str(short_directory(tmp_path))},
            )
        started.append(process)
        return Demo(process, log)

    yield start
    for process in started:
        process.terminate()
        process.wait(scaled(END_SECONDS))
        assert process.stdout is not None
        process.stdout.close()


def short_directory(tmp_path: Path) -> Path:
    directory = tmp_path / "t"
    directory.mkdir()
    return directory


def first_of_free_ports(count: int) -> int:
    """Return the first of *count* ports in a row that nobody uses."""
    return next(
        port
        for port in range(20_000, 30_000, count)
        if all(is_free(port + number) for number in range(count))
    )


def any_left(processes: list[psutil.Process]) -> bool:
    return any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def test_demo_from_start_to_end(demo: Callable[..., Demo]) -> None:
    """The demo takes commands over HTTP until SIGTERM, then exits 0 and leaves nothing."""
    running = demo()
    running.wait_ready()
    answer = running.run(client="local", tgt="*", fun="test.ping")

    assert {"minion-1": True, "minion-2": True} == answer
    assert running.process.pid == running.ready["pid"]

    directory = Path(running.ready["config_dir"]).parent
    processes = running.below()
    running.process.terminate()

    assert 0 == running.process.wait(scaled(END_SECONDS))
    assert not any_left(processes)
    assert not directory.exists()


def test_printed_commands_work(demo: Callable[..., Demo]) -> None:
    """What a person is told to paste works as printed, with rest_asgi and rest_wsgi."""
    running = demo("--minions", "1")
    running.wait_ready()
    text = instructions(running.ready["urls"], Credentials(running.ready))  # type: ignore[arg-type]
    assert text.split()[:2] == ["rest_asgi", running.ready["urls"]["rest_asgi"]]
    assert f"{running.ready['urls']['rest_asgi']}/login" in text
    commands = [part for part in text.split("\n\n") if part.startswith(("curl", "TOKEN"))]
    done = subprocess.run(
        ["sh", "-ec", "\necho\n".join(commands)],
        capture_output=True,
        text=True,
        check=True,
        timeout=scaled(END_SECONDS * 2),
    )
    answers = [line for line in done.stdout.split("\n") if line]

    assert '{"return": [{"minion-1": true}]}' == answers[0]
    assert "minion-1" == json.loads(answers[1])["return"][0]["minion-1"]["id"]
    assert "return:" == answers[2]
    assert '{"return": [{"minion-1": true}]}' == answers[-3]
    assert "load average" in json.loads(answers[-2])["return"][0]["minion-1"]
    assert ["minion-1"] == json.loads(answers[-1])["return"][0]["up"]


@pytest.mark.long
def test_killed_demo_leaves_no_process(demo: Callable[..., Demo]) -> None:
    """When the demo is killed, everything it started goes, a running job too."""
    running = demo("--minions", "1")
    running.wait_ready()
    before = len(running.below())
    running.run(client="local_async", tgt="*", fun="test.sleep", arg=[1000])
    eventually(lambda: len(running.below()) > before)
    processes = running.below()
    running.process.kill()

    eventually(lambda: not any_left(processes))


def test_interrupt_while_it_starts(demo: Callable[..., Demo]) -> None:
    """Ctrl-C before the demo is ready ends it with status 0 and leaves nothing."""
    running = demo()
    eventually(lambda: "starting the master" in running.stderr() and running.below())
    processes = running.below()
    running.process.send_signal(signal.SIGINT)

    assert 0 == running.process.wait(scaled(END_SECONDS))
    assert not any_left(processes)


@pytest.mark.long
def test_options(demo: Callable[..., Demo], tmp_path: Path) -> None:
    """`--minions`, `--port`, `--config` and `--keep` do what they say."""
    port = first_of_free_ports(len(MODULES))
    config = tmp_path / "more.yaml"
    config.write_text("external_auth: {file: {other: ['@runner']}}\ntimeout: 7\n")
    running = demo("--minions", "1", "--port", str(port), "--config", str(config), "--keep")
    running.wait_ready()

    urls = {name: f"http://127.0.0.1:{port + i}" for i, name in enumerate(MODULES)}
    assert urls == running.ready["urls"]
    assert {"minion-1": True} == running.run(client="local", tgt="*", fun="test.ping")
    assert 7 == running.run(client="wheel", fun="config.values")["data"]["return"]["timeout"]

    running.process.terminate()
    running.process.wait(scaled(END_SECONDS))

    assert (Path(running.ready["config_dir"]) / "master").exists()


@pytest.mark.long
def test_dead_api_ends_the_demo(demo: Callable[..., Demo]) -> None:
    """When the API dies, the demo says which log to read, and how it ends, and exits 1."""
    running = demo("--minions", "0")
    running.wait_ready()
    api = next(p for p in running.below() if p.cmdline()[-4:-2] == ["-m", "saltapi"])
    api.kill()

    assert 1 == running.process.wait(scaled(END_SECONDS))
    log = Path(running.ready["config_dir"]).parent / "log" / "api.log"
    assert f"api ended. See {log}, which ends with:" in running.stderr()
    assert log.exists()


def test_taken_port(capsys: pytest.CaptureFixture[str]) -> None:
    """A port that is taken is named before anything starts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        assert 1 == main(["--port", str(port)])
    assert f"Port {port} for rest_asgi is taken. Choose another" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "problem"),
    [("a: [", "is no valid YAML"), ("- a", "must hold a mapping"), (None, "cannot be read")],
)
def test_wrong_config(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, problem: str
) -> None:
    """A file for `--config` that cannot be used is named, with the reason."""
    file = tmp_path / "more.yaml"
    if text is not None:
        file.write_text(text)

    assert 1 == main(["--config", str(file)])
    assert f"{file} {problem}" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--minions", "-1"], ["--port", "70000"], ["--port", "x"]])
def test_wrong_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A number that makes no sense is refused by name."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert 2 == ended.value.code
    assert arguments[0] in capsys.readouterr().err
