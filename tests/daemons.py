"""The real `saltapi` command with a config directory of its own, for tests of the daemon."""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import yaml

from saltapi.demo.master import free_ports
from tests.waiting import scaled

DEADLINE_SECONDS = scaled(30.0)
COMMAND = [sys.executable, "-m", "saltapi"]

HTTP_MODULE = '''
"""A netapi module as the 0.8.4 documentation describes it."""

import http.server


def __virtual__():
    if "port" not in __opts__.get("NAME", {}):
        return False
    return "NAME"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(__opts__["NAME"]["greeting"]).encode())


def start():
    port = __opts__["NAME"]["port"]
    http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
'''


class Home:
    """A config directory with the file `master`, and a directory for netapi modules."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.modules = root / "netapi"
        self.modules.mkdir()
        self.pid_file = root / "api.pid"
        self.log_file = root / "api.log"
        self.opts: dict[str, Any] = {
            "root_dir": str(root),
            "netapi_dirs": [str(self.modules)],
            "api_pidfile": str(self.pid_file),
            "api_logfile": str(self.log_file),
            "log_level_logfile": "info",
            "api_shutdown_timeout": scaled(5),
        }

    def add_module(self, name: str, source: str, **section: Any) -> None:
        """Write a netapi module, and a section for it if there is anything in it."""
        (self.modules / f"{name}.py").write_text(source)
        if section:
            self.opts[name] = section

    def add_http_module(self, name: str = "rest_hello") -> str:
        """Write a module that answers over HTTP; return its URL."""
        port = free_port()
        self.add_module(name, HTTP_MODULE.replace("NAME", name), port=port, greeting="hello")
        return f"http://127.0.0.1:{port}"

    def write(self, **opts: Any) -> None:
        """Write the file `master`."""
        (self.root / "master").write_text(yaml.safe_dump({**self.opts, **opts}))

    def log(self) -> str:
        """Return what the log file holds."""
        return self.log_file.read_text() if self.log_file.exists() else ""

    def run(
        self, *args: str, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        return subprocess.run(
            [*COMMAND, *args],
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS * 2,
            env={**os.environ, **(env or {})},
            check=False,
        )


class Daemon:
    """`saltapi -c DIR` in the foreground; ended with everything it started."""

    def __init__(self, home: Home, *args: str, env: dict[str, str] | None = None) -> None:
        home.write()
        self.home = home
        self._stderr = (home.root / "stderr").open("wb")
        self.process = subprocess.Popen(
            [*COMMAND, "-c", str(home.root), *args],
            stdout=self._stderr,
            stderr=self._stderr,
            env={**os.environ, **(env or {})},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        children = children_of(self.process.pid)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE_SECONDS)
        self._stderr.close()
        wait_until(lambda: not any(is_running(pid) for pid in children))

    def stderr(self) -> str:
        """Return what it has printed so far."""
        return (self.home.root / "stderr").read_text()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Return the exit status."""
        return self.process.wait(DEADLINE_SECONDS)

    def wait_for_log(self, text: str) -> None:
        """Wait until the log file holds *text*."""
        wait_until(lambda: text in self.home.log())

    def children(self) -> list[int]:
        """Return the processes of the modules."""
        return children_of(self.process.pid)


def free_port() -> int:
    """Return a port of the loopback interface that nobody uses."""
    (port,) = free_ports(1)
    return port


def get(url: str) -> str | None:
    """Return the body at *url*; None while nobody answers."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def wait_until(condition: Callable[[], object]) -> None:
    """Return as soon as *condition* holds; fail after the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the deadline has passed"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Tell whether there is such a process that is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def children_of(pid: int) -> list[int]:
    """Return the ids of the children of *pid*."""
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except OSError:
        return []
