"""Netapi daemons on a private master: ours, and Salt's own to compare with."""

import datetime
import http.client
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Self

from saltapi.demo import PrivateMaster
from saltapi.demo.master import HOST, free_ports, log_of, merge, write_yaml
from tests.waiting import eventually
from tests.wire import Answer, send

READY_SECONDS = 60.0
OURS = [sys.executable, "-P", "-m", "saltapi"]
SALTS = [
    sys.executable,
    "-P",
    "-c",
    "import sys; sys.argv[0] = 'salt-api'; import salt.scripts; salt.scripts.salt_api()",
]


def jid_of_now(later_seconds: float = 0.0) -> str:
    """Return a jid such as a client makes, *later_seconds* from now."""
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=later_seconds)
    return f"{moment:%Y%m%d%H%M%S%f}"


class ApiServer:
    """
    A daemon that serves one netapi module over plain HTTP on a copy of a master's config.

    Attributes:
        port: Where it listens, on loopback.
        url: The same, as a URL without a slash at its end.
        program: The running program.
    """

    def __init__(
        self,
        master: PrivateMaster,
        command: list[str],
        section: Mapping[str, Any] | None = None,
        *,
        module: str = "rest_cherrypy",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """
        Args:
            master: The master; it must have been started.
            command: `OURS` or `SALTS`.
            section: Options of the module, beside its port, host and `disable_ssl`.
            module: The name of the module and of its section.
            options: Top-level options of the config, merged over the master's.
        """
        self.master = master
        self.module = module
        (self.port,) = free_ports(1)
        name = f"{'api' if command is OURS else 'salt-api'}-{self.port}"
        self.directory = master.directory / name
        self.api_log = self.directory / "api.log"
        values = {"port": self.port, "host": HOST, "disable_ssl": True, **(section or {})}
        changed = {
            module: values,
            "api_pidfile": str(self.directory / "api.pid"),
            "api_logfile": str(self.api_log),
        }
        write_yaml(self.directory / "master", merge(merge(master.options, changed), options or {}))
        self.program = master.program(name, [*command, "-c", str(self.directory)])
        self.url = f"http://{HOST}:{self.port}"

    def __enter__(self) -> Self:
        self.program.start()
        try:
            eventually(self._answers, READY_SECONDS)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it with everything it started."""
        self.program.stop()

    def _answers(self) -> bool:
        assert self.program.running, log_of(self.program)
        try:
            urllib.request.urlopen(self.url, timeout=5).close()  # noqa: S310 - http, loopback
        except (urllib.error.HTTPError, http.client.RemoteDisconnected, ConnectionResetError):
            return True  # the last two: it speaks TLS
        except OSError:
            return False
        return True

    def send(self, method: str, path: str, **options: Any) -> Answer:
        """Send a request, as `tests.wire.send`, to this server."""
        return send(self.port, method, path, **options)

    def login(self, username: str | None = None, **extra: Any) -> str:
        """Return the token of a new session."""
        answer = self.send(
            "POST", "/login", json_body={**self.master.credentials(username), **extra}
        )
        assert 200 == answer.status, answer
        token = answer.value()["return"][0]["token"]
        assert isinstance(token, str)
        return token

    def log(self) -> str:
        """Return everything that it has logged and printed."""
        text = self.program.log_file.read_text(errors="replace")
        if os.path.exists(self.api_log):
            text += self.api_log.read_text(errors="replace")
        return text
