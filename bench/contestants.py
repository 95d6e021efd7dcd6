"""Who is measured: Salt's netapi modules, ours, our engine alone, the master without HTTP."""

import http.client
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from bench.http11 import HOST, request
from bench.processes import Watched
from saltapi.demo import PrivateMaster
from saltapi.demo.master import free_ports, log_of, merge, write_yaml
from tests.waiting import scaled

OURS = [sys.executable, "-P", "-m", "saltapi"]
SALTS = [
    sys.executable,
    "-P",
    "-c",
    "import sys; sys.argv[0] = 'salt-api'; import salt.scripts; salt.scripts.salt_api()",
]
READY_SECONDS = 30.0
POLL_SECONDS = 0.01
ANSWER_SECONDS = 60.0


@dataclass(frozen=True)
class Contestant:
    """
    One row of the table.

    Attributes:
        name: What it is called in the results.
        module: Its section in the master config.
        command: The daemon that runs it; empty for the master without HTTP.
        section: Options of the section, beside port, address and `disable_ssl`.
        websocket: Where all events come on a WebSocket, the token behind it.
        most_listeners: How many listeners it can have at all; None if nothing limits them.
        holds_a_thread: A command takes one of a limited number of threads until it is answered.
        login: It has sessions; without, the token goes into each command.
        has_wheel: It runs wheel functions.
        filtered: Where events of one tag come as server-sent events, the tag behind it.
        only: The scenarios that it is for; all if empty.
    """

    name: str
    module: str
    command: list[str]
    section: Mapping[str, Any] = field(default_factory=dict)
    websocket: str = ""
    most_listeners: int | None = None
    holds_a_thread: bool = False
    login: bool = True
    has_wheel: bool = True
    filtered: str = ""
    only: tuple[str, ...] = ()

    @property
    def is_bare(self) -> bool:
        """Whether it has no daemon: the master without HTTP, or the engine alone."""
        return not self.command


WITH_WEBSOCKETS = {"websockets": True}
CONTESTANTS = [
    Contestant(
        "salt.rest_cherrypy", "rest_cherrypy", SALTS, most_listeners=90, holds_a_thread=True
    ),
    Contestant(
        "salt.rest_tornado",
        "rest_tornado",
        SALTS,
        WITH_WEBSOCKETS,
        websocket="/all_events",
        most_listeners=1_000,
        has_wheel=False,
    ),
    Contestant("rest_cherrypy", "rest_cherrypy", OURS, websocket="/ws", holds_a_thread=True),
    Contestant("rest_tornado", "rest_tornado", OURS, WITH_WEBSOCKETS, "/all_events"),
    Contestant("rest_wsgi", "rest_wsgi", OURS, most_listeners=0, holds_a_thread=True, login=False),
    Contestant("rest_asgi", "rest_asgi", OURS, websocket="/ws", filtered="/v1/events?tag="),
    Contestant("engine", "", [], most_listeners=0, login=False, only=("ingest",)),
    Contestant("master", "", [], most_listeners=0, login=False),
]
NAMES = [contestant.name for contestant in CONTESTANTS]


class CannotRun(Exception):
    """Raised when a contestant does not start; the text says why."""


class Daemon:
    """
    A daemon that serves one module over plain HTTP on loopback.

    Attributes:
        port: Where it listens.
        ready_seconds: How long it took from the start to the first answer.
    """

    def __init__(self, contestant: Contestant, master: PrivateMaster) -> None:
        self.contestant = contestant
        self.name = contestant.name
        (self.port,) = free_ports(1)
        self.ready_seconds = 0.0
        name = f"{contestant.name}-{self.port}"
        directory = master.directory / name
        address = "address" if contestant.module == "rest_tornado" else "host"
        section = {"port": self.port, address: HOST, "disable_ssl": True, **contestant.section}
        changed = {
            contestant.module: section,
            "api_pidfile": str(directory / "api.pid"),
            "api_logfile": str(directory / "api.log"),
        }
        write_yaml(directory / "master", merge(master.options, changed))
        self._program = master.program(name, [*contestant.command, "-c", str(directory)])

    def __enter__(self) -> Self:
        """Start it and wait until it answers."""
        started = time.monotonic()
        self._program.start()
        try:
            while not self._answers():
                self._check(time.monotonic() - started)
                time.sleep(POLL_SECONDS)
            self.ready_seconds = time.monotonic() - started
            self.watched = Watched(self._program)
        except BaseException:
            self._program.kill()
            raise
        return self

    def _check(self, waited_seconds: float) -> None:
        if not self._program.running:
            raise CannotRun(f"It ended. {log_of(self._program)}")
        if waited_seconds > scaled(READY_SECONDS):
            raise CannotRun(f"It does not answer. {log_of(self._program)}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._program.kill()

    def restart(self) -> None:
        """End it and start it again."""
        self._program.kill()
        self.__enter__()

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Send one request on a connection of its own and return status and body."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=ANSWER_SECONDS)
        try:
            data = None if body is None else json.dumps(body)
            headers = {"Accept": "application/json", "Content-Type": "application/json"}
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def log_in(self, credentials: Mapping[str, str]) -> str:
        """Return the token of a new session."""
        status, body = self.ask("POST", "/login", dict(credentials))
        if status != 200:
            raise CannotRun(f"The login failed: {status} {body[:300]!r}")
        token = json.loads(body)["return"][0]["token"]
        return str(token)

    def command(self, chunk: Mapping[str, Any], token: str) -> str:
        """Return the text of a request that runs *chunk*."""
        if self.contestant.login:
            return request("POST", "/", [dict(chunk)], {"X-Auth-Token": token})
        return request("POST", "/", [{**chunk, "token": token}])

    def _answers(self) -> bool:
        try:
            self.ask("GET", "/")
        except (OSError, http.client.HTTPException):
            return False
        return True
