import errno
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from saltapi.errors import CannotStart
from saltapi.process.child import Child, State
from saltapi.process.loader import Module
from saltapi.process.sd_notify import Notifier
from saltapi.process.supervisor import Supervisor, cannot_start_reason
from tests.daemons import Daemon, Home, children_of, free_port, get, is_running, wait_until
from tests.waiting import scaled

SLOW_MODULE = """
import http.server
import threading
import time
from pathlib import Path

from saltapi import service

received = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        Path(__opts__["rest_slow"]["received"]).touch()
        time.sleep(1)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"finished")


def reload():
    with Path(__opts__["rest_slow"]["reloads"]).open("a") as file:
        file.write("x")
    if Path(__opts__["rest_slow"]["received"]).exists():
        raise ValueError("nothing to reload")


def start():
    port = __opts__["rest_slow"]["port"]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = False
    threading.Thread(target=server.serve_forever).start()
    service.run_until_stopped(ready=f"http://127.0.0.1:{port}", reload=reload)
    server.shutdown()
    server.server_close()
"""

CRASHING_MODULE = """
import os


def start():
    os._exit(3)
"""

STUBBORN_MODULE = """
import os
import signal
import time
from pathlib import Path


def start():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(__opts__["rest_stubborn"]["pid_file"]).write_text(f"{os.getpid()}\\n")
    while True:
        time.sleep(60)
"""

ASYNC_MODULE = """
import asyncio
from pathlib import Path

from saltapi.process import lifecycle


def start():
    asyncio.run(serve())


async def serve():
    file = Path(__opts__["rest_loop"]["file"])
    await lifecycle.run_until_stopped_async(
        ready="http://127.0.0.1:1", reload=lambda: file.write_text("reloaded")
    )
    file.write_text("stopped")
"""


HANGING_MODULE = """
import asyncio
import time
from pathlib import Path

from saltapi.process import lifecycle
from saltapi.errors import CannotStart


def start():
    asyncio.run(serve())


async def serve():
    section = __opts__["rest_hang"]
    if Path(section["broken"]).exists():
        raise CannotStart("Its certificate is broken.")
    asyncio.get_running_loop().call_later(0.5, hang, Path(section["hang"]))
    await lifecycle.run_until_stopped_async(ready="http://127.0.0.1:1")


def hang(file):
    if file.exists():
        file.unlink()
        time.sleep(600)
    asyncio.get_running_loop().call_later(0.1, hang, file)
"""


@pytest.fixture
def hanging(home: Home) -> Home:
    """Have a module that hangs, or cannot start, when the file of this name is there."""
    files = {name: str(home.root / name) for name in ("hang", "broken")}
    home.add_module("rest_hang", HANGING_MODULE, **files)
    return home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def slow(home: Home) -> str:
    port = free_port()
    home.add_module(
        "rest_slow",
        SLOW_MODULE,
        port=port,
        received=str(home.root / "received"),
        reloads=str(home.root / "reloads"),
    )
    return f"http://127.0.0.1:{port}"


class Manager:
    """A service manager: what arrives at NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(scaled(30))
        self.messages: list[str] = []

    def wait_for(self, start: str) -> str:
        while True:
            message = self.socket.recv(4096).decode()
            self.messages.append(message)
            if message.startswith(start):
                return message


@pytest.fixture
def manager() -> Iterator[Manager]:
    manager = Manager(f"\0saltapi-test-{os.getpid()}")
    yield manager
    manager.socket.close()


def test_module_written_as_documented(home: Home) -> None:
    """A module written as the 0.8.4 documentation says runs from `netapi_dirs`."""
    url = home.add_http_module()
    with Daemon(home) as daemon:
        wait_until(lambda: get(url) == "hello")
        daemon.signal(signal.SIGTERM)

        assert 0 == daemon.wait()


def test_module_of_the_manual(home: Home) -> None:
    """The module in docs/daemon.md runs as it stands there."""
    manual = (Path(__file__).parents[2] / "docs" / "daemon.md").read_text()
    source = manual.partition("```python\n")[2].partition("```")[0]
    port = free_port()
    home.add_module("rest_hello", source, port=port, greeting="from the manual")
    with Daemon(home):
        wait_until(lambda: get(f"http://127.0.0.1:{port}") == "from the manual")


def test_fork_that_fails(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that cannot be forked now is tried again; the supervisor lives on."""

    def no_memory() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    process = Child("rest_x", lambda _report_fd: None)
    monkeypatch.setattr(os, "fork", no_memory)
    process.start()

    assert State.WAITING is process.state
    assert "could not be forked (Resource temporarily unavailable)" == process.detail
    assert process.report_fd is None
    assert not process.alive


def test_one_process_per_module(home: Home) -> None:
    """Each module has a process of its own, and one that is killed comes back alone."""
    urls = [home.add_http_module("rest_one"), home.add_http_module("rest_two")]
    with Daemon(home) as daemon:
        wait_until(lambda: all(get(url) == "hello" for url in urls))
        before = daemon.children()
        assert 2 == len(before)
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: len(set(daemon.children()) - set(before)) == 1)
        wait_until(lambda: all(get(url) == "hello" for url in urls))

        assert before[1] in daemon.children()
        assert "was ended by SIGKILL; it is started again in 0.5 s." in home.log()


def test_backoff(home: Home) -> None:
    """A module that crashes is started again after 0.5 s, then 1 s, then 2 s."""
    home.add_module("rest_crash", CRASHING_MODULE)
    with Daemon(home) as daemon:
        for wait in ("0.5", "1.0", "2.0"):
            daemon.wait_for_log(f"rest_crash ended with status 3; it is started again in {wait} s.")
        daemon.signal(signal.SIGTERM)

        assert 0 == daemon.wait()


def test_module_that_returns(home: Home) -> None:
    """A module whose start() returns is started again like one that dies."""
    home.add_module("rest_short", "def start():\n    pass\n")
    with Daemon(home) as daemon:
        daemon.wait_for_log("rest_short ended by itself; it is started again in 0.5 s.")


def test_module_that_hangs(hanging: Home) -> None:
    """A module whose loop stands still is ended and replaced; the others do not notice."""
    url = hanging.add_http_module("rest_other")
    hanging.opts["api_heartbeat_seconds"] = 2
    with Daemon(hanging) as daemon:
        daemon.wait_for_log("rest_hang answers at")
        wait_until(lambda: get(url) == "hello")
        before = daemon.children()
        (hanging.root / "hang").touch()
        daemon.wait_for_log(
            "rest_hang gave no sign of life for 2 s and was killed; it is started again in 0.5 s."
        )
        wait_until(lambda: hanging.log().count("rest_hang answers at") == 2)

        assert 1 == len(set(before) & set(daemon.children()))
        assert "hello" == get(url)


def test_module_that_cannot_start_any_more(hanging: Home) -> None:
    """A daemon that has answered stays when its only module cannot start: it may again later."""
    with Daemon(hanging) as daemon:
        daemon.wait_for_log("rest_hang answers at")
        (hanging.root / "broken").touch()
        os.kill(daemon.children()[0], signal.SIGKILL)
        daemon.wait_for_log("rest_hang cannot start: Its certificate is broken.")
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("SIGHUP: log files are open again")

        assert daemon.process.poll() is None
        daemon.signal(signal.SIGTERM)
        assert 0 == daemon.wait()


def test_watchdog_hangs_on_the_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service manager is told that we live only while no module outlives its own end."""
    fed: list[float] = []
    notifier = Notifier()
    monkeypatch.setattr(notifier, "watchdog_interval_seconds", 0.0)
    monkeypatch.setattr(notifier, "watchdog", lambda: fed.append(time.monotonic()))
    module = Module("rest_x", lambda: None, "a test")
    supervisor = Supervisor([module], {}, notifier=notifier)
    supervisor._feed_watchdog()
    assert 1 == len(fed)

    supervisor._modules[0].is_stuck = True
    supervisor._feed_watchdog()
    assert 1 == len(fed)


def test_traceback_of_a_crash_is_logged(home: Home) -> None:
    """An exception in start() is in the log, without the credentials in its text."""
    home.add_module("rest_bad", "def start():\n    raise ValueError('password=hunter2')\n")
    with Daemon(home) as daemon:
        daemon.wait_for_log("rest_bad ended with status 1")

    assert "ValueError: password=***" in home.log()
    assert "hunter2" not in home.log()


def test_port_taken(home: Home) -> None:
    """A module whose port is taken says so in one sentence, and alone ends the daemon."""
    url = home.add_http_module()
    port = int(url.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)), Daemon(home) as daemon:
        assert 1 == daemon.wait()
        sentence = f"rest_hello cannot start: Another program uses port {port}."
        assert 1 == daemon.stderr().count(sentence)
        assert "Traceback" not in daemon.stderr()


def test_others_run_when_one_cannot(home: Home) -> None:
    """A module that cannot start does not spin and does not stop the others."""
    taken, url = home.add_http_module("rest_one"), home.add_http_module("rest_two")
    port = int(taken.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)), Daemon(home) as daemon:
        wait_until(lambda: get(url) == "hello")
        daemon.wait_for_log("rest_one cannot start:")
        wait_until(lambda: len(daemon.children()) == 1)
        daemon.signal(signal.SIGTERM)

        assert 0 == daemon.wait()
        assert 1 == home.log().count("rest_one cannot start:")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (CannotStart("The key is missing."), "The key is missing."),
        (ModuleNotFoundError("No module named 'x'"), "It needs something that is not installed"),
        (PermissionError(13, "Permission denied", "/tls.key"), "/tls.key: Permission denied."),
        (PermissionError(13, "Permission denied"), "Permission denied; it needs port 80."),
        (ValueError("odd"), None),
        (ConnectionResetError(104, "reset"), None),
    ],
)
def test_cannot_start_reason(error: Exception, sentence: str | None) -> None:
    """What can never work has a sentence for the user; what may pass has none."""
    reason = cannot_start_reason(error, "rest_x", {"rest_x": {"port": 80}})

    assert reason == sentence or (sentence and reason and reason.startswith(sentence))


def test_sigterm_finishes_what_is_in_flight(home: Home, slow: str) -> None:
    """A request in flight gets its answer after SIGTERM, and the daemon exits with 0."""
    answers: list[str | None] = []
    with Daemon(home) as daemon:
        daemon.wait_for_log(f"rest_slow answers at {slow}")
        client = threading.Thread(target=lambda: answers.append(get(slow)))
        client.start()
        wait_until((home.root / "received").exists)
        daemon.signal(signal.SIGTERM)
        client.join()

        assert 0 == daemon.wait()
        assert ["finished"] == answers
        assert "has not stopped in time" not in home.log()


def test_module_that_ignores_sigterm(home: Home) -> None:
    """A module that does not stop within the limit is killed, and the daemon exits with 0."""
    pid_file = home.root / "stubborn"
    home.add_module("rest_stubborn", STUBBORN_MODULE, pid_file=str(pid_file))
    home.opts["api_shutdown_timeout"] = 0.1
    with Daemon(home) as daemon:
        wait_until(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"))
        child = int(pid_file.read_text())
        daemon.signal(signal.SIGTERM)

        assert 0 == daemon.wait()
        assert not is_running(child)
        assert "rest_stubborn has not stopped in time and is killed." in home.log()


def test_second_interrupt_gives_up(home: Home) -> None:
    """A second Ctrl-C does not wait for a module that does not stop."""
    pid_file = home.root / "stubborn"
    home.add_module("rest_stubborn", STUBBORN_MODULE, pid_file=str(pid_file))
    home.opts["api_shutdown_timeout"] = 600
    with Daemon(home) as daemon:
        wait_until(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"))
        child = int(pid_file.read_text())
        daemon.signal(signal.SIGINT)
        daemon.wait_for_log("Stopping")
        daemon.signal(signal.SIGINT)

        assert 0 == daemon.wait()
        assert not is_running(child)


def test_sighup_reopens_logs_and_reloads(home: Home, slow: str) -> None:
    """After SIGHUP a moved log file is written anew, and modules have reloaded."""
    home.add_http_module("rest_other")
    with Daemon(home) as daemon:
        daemon.wait_for_log(f"rest_slow answers at {slow}")
        before = daemon.children()
        home.log_file.rename(home.root / "api.log.1")
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("log files are open again")
        wait_until((home.root / "reloads").exists)
        daemon.wait_for_log("rest_slow has reloaded.")

        assert before == daemon.children()


def test_failing_reload_changes_nothing(home: Home, slow: str) -> None:
    """A module whose reload fails logs it and goes on."""
    (home.root / "received").touch()
    with Daemon(home) as daemon:
        daemon.wait_for_log(f"rest_slow answers at {slow}")
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("reloading failed")

        assert "finished" == get(slow)


def test_module_on_an_event_loop(home: Home) -> None:
    """`run_until_stopped_async` reloads on SIGHUP and returns on SIGTERM."""
    file = home.root / "state"
    home.add_module("rest_loop", ASYNC_MODULE, file=str(file))
    with Daemon(home) as daemon:
        daemon.wait_for_log("rest_loop answers at http://127.0.0.1:1")
        daemon.signal(signal.SIGHUP)
        wait_until(lambda: file.exists() and file.read_text() == "reloaded")
        daemon.signal(signal.SIGTERM)

        assert 0 == daemon.wait()
        assert "stopped" == file.read_text()


def test_killed_supervisor_leaves_no_child(home: Home, slow: str) -> None:
    """When the supervisor is killed with SIGKILL, its modules end too."""
    url = home.add_http_module("rest_other")
    with Daemon(home) as daemon:
        wait_until(lambda: get(url) == "hello")
        daemon.wait_for_log(f"rest_slow answers at {slow}")
        children = daemon.children()
        assert 2 == len(children)
        daemon.signal(signal.SIGKILL)
        daemon.wait()

        wait_until(lambda: not any(is_running(child) for child in children))


def test_notifies_the_service_manager(home: Home, slow: str, manager: Manager) -> None:
    """The manager hears READY once a module answers, WATCHDOG, a reload, and STOPPING."""
    env = {
        "NOTIFY_SOCKET": f"@saltapi-test-{os.getpid()}",
        "WATCHDOG_USEC": "200000",
    }
    with Daemon(home, env=env) as daemon:
        manager.wait_for("READY=1")
        assert "finished" == get(slow)
        assert f"STATUS=rest_slow answers at {slow}" == manager.wait_for("STATUS=rest_slow answers")
        manager.wait_for("WATCHDOG=1")
        manager.wait_for("WATCHDOG=1")
        daemon.signal(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in manager.wait_for("RELOADING=1")
        manager.wait_for("READY=1")
        daemon.signal(signal.SIGTERM)
        manager.wait_for("STOPPING=1")

        assert 0 == daemon.wait()
        assert 2 == manager.messages.count("READY=1")


def test_not_ready_before_a_module_answers(home: Home, manager: Manager) -> None:
    """A daemon whose only module crashes is never READY."""
    home.add_module("rest_crash", CRASHING_MODULE)
    with Daemon(home, env={"NOTIFY_SOCKET": f"@saltapi-test-{os.getpid()}"}) as daemon:
        daemon.wait_for_log("it is started again in 1.0 s.")
        daemon.signal(signal.SIGTERM)
        manager.wait_for("STOPPING=1")

        assert "READY=1" not in manager.messages


def test_no_module_configured(home: Home) -> None:
    """A daemon without a module does not idle: it names what to add, and exits with 1."""
    home.write()
    done = home.run("-c", str(home.root))

    assert 1 == done.returncode
    assert f"Add a section to {home.root / 'master'}" in done.stderr
    assert "rest_wsgi:\n  port: 8000" in done.stderr


def test_configured_module_that_cannot_run(home: Home) -> None:
    """If the only configured module does not load, its reason is on standard error."""
    home.add_module("rest_x", "import no_such_package\n", port=1)
    home.write()
    done = home.run("-c", str(home.root))

    assert 1 == done.returncode
    assert "rest_x does not run: it needs something that is not installed" in done.stderr
    assert "Traceback" not in done.stderr


def test_background(home: Home) -> None:
    """`-d` returns 0 when the module answers; the daemon writes its pid and stops in order."""
    url = home.add_http_module()
    home.write()
    done = home.run("-c", str(home.root), "-d")
    pid = int(home.pid_file.read_text())
    try:
        assert (0, "") == (done.returncode, done.stderr)
        assert "hello" == get(url)
        assert os.getsid(pid) != os.getsid(0)
        for fd in (0, 1, 2):
            for process in (pid, *children_of(pid)):
                assert "/dev/null" == str(Path(f"/proc/{process}/fd/{fd}").readlink())
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not is_running(pid))

    assert not home.pid_file.exists()


def test_background_failure_is_told(home: Home) -> None:
    """`-d` exits with 1 and says why when no module can start."""
    url = home.add_http_module()
    home.write()
    with socket.create_server(("127.0.0.1", int(url.rpartition(":")[2]))):
        done = home.run("-c", str(home.root), "-d")

    assert 1 == done.returncode
    assert "rest_hello cannot start: Another program uses port" in done.stderr


def test_second_daemon_is_refused(home: Home) -> None:
    """While one daemon runs, a second one with the same pid file does not start."""
    url = home.add_http_module()
    with Daemon(home) as daemon:
        wait_until(lambda: get(url) == "hello")
        done = home.run("-c", str(home.root))

        assert 1 == done.returncode
        assert f"runs already as process {daemon.process.pid}" in done.stderr
        assert "hello" == get(url)
        daemon.signal(signal.SIGTERM)
        daemon.wait()
        assert not home.pid_file.exists()


def test_unwritable_pid_file(home: Home) -> None:
    """A pid file that cannot be written is a warning, and an error if a flag asked for it."""
    url = home.add_http_module()
    nowhere = str(home.root / "master" / "api.pid")
    home.opts["api_pidfile"] = nowhere
    with Daemon(home) as daemon:
        wait_until(lambda: get(url) == "hello")
        daemon.wait_for_log(f"The pid file {nowhere} cannot be written")
    done = home.run("-c", str(home.root), "--pid-file", nowhere)

    assert 1 == done.returncode
    assert f"The pid file {nowhere} cannot be written" in done.stderr
