"""Real servers that Salt keeps things in, for tests to stop: redis and PostgreSQL."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from saltapi.demo.master import free_ports
from tests.waiting import eventually

JOBS = """
CREATE TABLE jids (jid varchar(255) NOT NULL primary key, load jsonb NOT NULL);
CREATE TABLE salt_returns (fun varchar(50) NOT NULL, jid varchar(255) NOT NULL,
  return jsonb NOT NULL, id varchar(255) NOT NULL, success varchar(10) NOT NULL,
  full_ret jsonb NOT NULL, alter_time TIMESTAMP WITH TIME ZONE DEFAULT NOW());
CREATE TABLE salt_events (id BIGSERIAL, tag varchar(255) NOT NULL, data jsonb NOT NULL,
  alter_time TIMESTAMP WITH TIME ZONE DEFAULT NOW(), master_id varchar(255) NOT NULL);
"""


class Server:
    """One of them, on a free port of the loopback interface."""

    def __init__(self, directory: Path, command: list[str], user: str | None = None) -> None:
        self._command = command
        self._directory = directory
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, user=self._user)

    def freeze(self) -> None:
        """Stop all of its processes."""
        self._each(psutil.Process.suspend)

    def thaw(self) -> None:
        """Let them go on."""
        self._each(psutil.Process.resume)

    def remove(self) -> None:
        """End it, and remove all that it has kept."""
        self.stop()
        shutil.rmtree(self._directory)

    def stop(self) -> None:
        """End it; idempotent."""
        if self._process is not None:
            self.thaw()
            self._process.send_signal(signal.SIGINT)  # without waiting for its clients
            self._process.wait()
            self._process = None

    def _each(self, do: Callable[[psutil.Process], None]) -> None:
        assert self._process is not None
        top = psutil.Process(self._process.pid)
        for process in (top, *top.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):  # it has one for each client
                do(process)


def redis(directory: Path) -> tuple[Server, dict[str, object]]:
    """Return a redis-server, and the options of a master that has its tokens there."""
    _need("redis", "redis-server", "redis-server")
    (port,) = free_ports(1)
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    server = Server(directory, [*command, "--appendonly", "yes", "--dir", str(directory)])
    options = {
        "eauth_tokens.cache_driver": "redis",
        "cache.redis.host": "127.0.0.1",
        "cache.redis.port": port,
    }
    return server, options


def postgres() -> tuple[Server, dict[str, object]]:
    """Return a PostgreSQL server that runs, and the options of a master that has its jobs there."""
    _need("psycopg2", "initdb", "postgresql")
    _need("psycopg2", "psql", "postgresql-client")
    (port,) = free_ports(1)
    directory = Path(tempfile.mkdtemp(prefix="saltapi-postgres-"))
    data = directory / "data"
    user = "postgres" if os.getuid() == 0 else None
    if user:  # it does not run as root, and may not look into root's directories
        shutil.chown(directory, user)
    subprocess.run(
        ["initdb", "-D", str(data), "-U", "salt", "-A", "trust"],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=directory,
        user=user,
    )
    command = ["postgres", "-D", str(data), "-p", str(port), "-k", str(directory)]
    server = Server(directory, [*command, "-h", "127.0.0.1", "-F"], user)
    server.start()
    psql = ["psql", "-h", "127.0.0.1", "-p", str(port), "-U", "salt", "-d", "postgres", "-c", JOBS]
    eventually(lambda: 0 == subprocess.run(psql, check=False, capture_output=True).returncode)
    connection = {"host": "127.0.0.1", "port": port, "user": "salt", "pass": "", "db": "postgres"}
    return server, {
        "master_job_cache": "pgjsonb",
        **{f"returner.pgjsonb.{key}": value for key, value in connection.items()},
    }


def _need(module: str, program: str, package: str) -> None:
    pytest.importorskip(module, reason=f"pip install {module.replace('2', '2-binary')}")
    if shutil.which(program) is None:
        pytest.skip(f"apt-get install {package}")
