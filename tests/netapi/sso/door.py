"""Requests to each of the modules, with a token wherever one goes."""

import socket
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saltapi.demo.master import HOST
from tests.apis import ApiServer
from tests.oidc_master import OidcMaster
from tests.waiting import eventually
from tests.wire import Answer, send

MODULES = ("rest_asgi", "rest_cherrypy", "rest_tornado", "rest_wsgi")
PING = {"client": "local", "tgt": "minion-1", "fun": "test.ping"}
PONG = {"minion-1": True}
JSON = {"Content-Type": "application/json"}


@dataclass
class Doors:
    """The modules of one daemon."""

    master: OidcMaster
    server: ApiServer
    ports: dict[str, int]
    audit: Path

    def wait(self) -> None:
        """Return when all of them listen."""
        eventually(lambda: all(map(_listens, self.ports.values())), 60.0)

    def send(self, module: str, method: str, path: str, **options: Any) -> Answer:
        """Send a request to a module."""
        return send(self.ports[module], method, path, **options)

    def run(self, module: str, token: str, chunk: Any, *, by: str = "header") -> Answer:
        """Run a chunk with *token* `by` a bearer header, `X-Auth-Token`, `/run`, or the chunk."""
        url = "/" if module == "rest_wsgi" or by in {"header", "x"} else "/run"
        headers = {
            "header": {"Authorization": f"Bearer {token}"},
            "run": {"Authorization": f"Bearer {token}"},
            "x": {"X-Auth-Token": token},
            "chunk": {},
        }[by]
        body = [{**chunk, "token": token}] if by == "chunk" else [chunk]
        return self.send(module, "POST", url, headers={**JSON, **headers}, json_body=body)

    def login(self, username: str | None = None) -> str:
        """Return the token of a session of the file's users."""
        return self.server.login(username)

    def v1(self, method: str, path: str, token: str, body: Any = None) -> Answer:
        """Send a request below `/v1`."""
        headers = {"X-Auth-Token": token}
        return self.server.send(method, f"/v1{path}", headers=headers, json_body=body)

    def make(self, token: str, **body: Any) -> str:
        """Return a new token for machines."""
        answer = self.v1("POST", "/tokens", token, {"name": "test", **body})
        assert 201 == answer.status, answer
        return str(answer.value()["token"])


def ways(module: str) -> list[str]:
    """Return how a token goes to a module."""
    return ["header", "chunk"] if module == "rest_wsgi" else ["header", "run", "x", "chunk"]


WAYS = [(module, by) for module in MODULES for by in ways(module)]
"""Every way in."""


def result(answer: Answer) -> Any:
    """Return the result of the only chunk; None if it was refused."""
    if answer.status != 200:
        return None
    return answer.value()["return"][0]


def is_refused(doors: Doors, module: str, token: str) -> bool:
    """Return whether a token opens nothing at a module."""
    return bool(PONG != result(doors.run(module, token, PING)))


def _listens(port: int) -> bool:
    with closing(socket.socket()) as client:
        client.settimeout(1)
        return client.connect_ex((HOST, port)) == 0
