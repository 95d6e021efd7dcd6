"""A rest_wsgi over a real socket, in front of a real master."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saltapi import config
from saltapi.demo import PrivateMaster
from saltapi.netapi.rest_wsgi import RestWsgi, make_server
from tests.daemons import Daemon, Home, free_port
from tests.waiting import scaled

ANSWER_SECONDS = 60.0
ONE, TWO = "minion-1", "minion-2"
PING = {"client": "local", "tgt": "*", "fun": "test.ping"}
JSON = {"Content-Type": "application/json"}
TOO_LARGE = b"[" + b" " * config.MIB + b"]"


@dataclass(frozen=True)
class Answer:
    """A response; its body is always JSON."""

    status: int
    headers: dict[str, str]
    body: Any


class Door:
    """A rest_wsgi at a loopback port."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def connect(self, source: str = "127.0.0.1") -> http.client.HTTPConnection:
        """Return a connection from a loopback address of the caller's choice."""
        return http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=scaled(ANSWER_SECONDS), source_address=(source, 0)
        )

    def ask(
        self,
        body: Any = b"",
        method: str = "POST",
        path: str = "/",
        headers: dict[str, str] = JSON,
        source: str = "127.0.0.1",
    ) -> Answer:
        """Send one request on a connection of its own; *body* is bytes or a lowstate."""
        connection = self.connect(source)
        try:
            return ask(connection, body, method, path, headers)
        finally:
            connection.close()

    def returns(self, *chunks: dict[str, Any]) -> list[Any]:
        """Return the results of a lowstate that must succeed."""
        answer = self.ask(list(chunks))
        assert 200 == answer.status, answer
        found: list[Any] = answer.body["return"]
        return found


def ask(
    connection: http.client.HTTPConnection,
    body: Any,
    method: str = "POST",
    path: str = "/",
    headers: dict[str, str] = JSON,
) -> Answer:
    """Send a request on a connection that stays open."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, body=data or None, headers=headers)
    response = connection.getresponse()
    text = response.read()
    found = {name.title(): value for name, value in response.getheaders()}
    assert "application/json" == found["Content-Type"]
    return Answer(response.status, found, json.loads(text) if text else None)


def home_of(root: Path, master: PrivateMaster, **options: Any) -> Home:
    """Return the home of a daemon that serves rest_wsgi for *master* and logs everything."""
    home = Home(root)
    home.opts = {
        **master.options,
        "log_level_logfile": "debug",
        "log_level": "debug",
        "rest_wsgi": {"port": free_port(), "host": "127.0.0.1"},
        **options,
    }
    return home


def start(home: Home) -> Daemon:
    """Start the `saltapi` command; its files are named by flags, which `root_dir` leaves alone."""
    return Daemon(home, "--log-file", str(home.log_file), "--pid-file", str(home.pid_file))


@contextmanager
def serving(home: Home) -> Iterator[tuple[Door, Daemon]]:
    """Run the `saltapi` command until the end of the block."""
    port = home.opts["rest_wsgi"]["port"]
    with start(home) as daemon:
        daemon.wait_for_log(f"rest_wsgi answers at http://127.0.0.1:{port}")
        yield Door(port), daemon


@contextmanager
def serving_here(
    config_dir: Path,
    kind: type[RestWsgi] = RestWsgi,
    options: dict[str, Any] | None = None,
    **section: Any,
) -> Iterator[Door]:
    """Serve in this process, with more options of the master and of the section."""
    values = {"port": free_port(), "host": "127.0.0.1", **section}
    parsed = config.RestWsgiConfig.parse(values)
    app = kind(config.load(config_dir) | (options or {}), parsed)
    server = make_server(app, parsed)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield Door(parsed.port)
    finally:
        server.stop()
        thread.join()
        app.close()


def error(status: int, sentence: str) -> dict[str, Any]:
    return {"status": status, "return": sentence}


def token_of(master: PrivateMaster) -> str:
    """Return a token as Salt itself makes it."""
    from saltapi import APIClient

    with APIClient(config.load(master.config_dir)) as client:
        session = client.call(lambda inner: inner.sessions.login(master.credentials()))
    return session.token


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
