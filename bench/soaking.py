"""What the clients of a soak do, and how often."""

import base64
import http.client
import json
import random
import socket
import struct
import time
import uuid
from collections.abc import Callable
from typing import Any

from bench.http11 import HOST, request
from saltapi.demo import PrivateMaster

ANSWER_SECONDS = 30.0
REQUESTS_WITH_A_TOKEN = 200
"""After so many a client logs in again; half of them log out before."""
DEAD_TIMEOUT_SECONDS = 1


class Client:
    """One client: a connection that it keeps, and a session."""

    def __init__(self, port: int, master: PrivateMaster, seed: int, *, dead: str) -> None:
        """
        Args:
            port: Where the module is.
            master: Whose users it logs in.
            seed: Makes it choose as it does.
            dead: A minion that does not answer.
        """
        self.random = random.Random(seed)  # noqa: S311 - nobody is to guess nothing
        self.dead = dead
        self._port = port
        self._credentials = master.credentials()
        self._connection: http.client.HTTPConnection | None = None
        self._used_at = 0.0
        self._token = ""
        self._left = 0
        self._jid = ""

    def forget(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[str, Any]:
        """Return the status and what the answer says."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection(HOST, self._port, timeout=ANSWER_SECONDS)
        data = None if body is None else json.dumps(body)
        sent = {"Accept": "application/json", "Content-Type": "application/json", **(headers or {})}
        try:
            self._connection.request(method, path, data, sent)
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            idle_seconds = time.monotonic() - self._used_at if self._used_at else 0.0
            raise OSError(f"{error!r} after {idle_seconds:.0f} s") from error
        self._used_at = time.monotonic()
        try:
            return str(answer.status), json.loads(text)
        except ValueError:
            return str(answer.status), None

    def token(self) -> str:
        """Return the token of the session; now and then it is a new one."""
        if not self._left:
            if self._token and self.random.random() < 0.5:
                self.ask("POST", "/logout", {}, {"X-Auth-Token": self._token})
            status, said = self.ask("POST", "/login", self._credentials)
            if status != "200":
                raise OSError(f"login {status}")
            self._token, self._left = said["return"][0]["token"], REQUESTS_WITH_A_TOKEN
        self._left -= 1
        return self._token

    def run(self, more: dict[str, str] | None = None, **chunk: Any) -> str:
        """Run *chunk* and return the status."""
        status, said = self.ask(
            "POST", "/", [chunk], {"X-Auth-Token": self.token(), **(more or {})}
        )
        if chunk["client"] == "local_async" and status == "200":
            self._jid = said["return"][0].get("jid", "")
        return status

    def get(self, path: str) -> str:
        """Return the status of *path*."""
        return self.ask("GET", path, headers={"X-Auth-Token": self.token()})[0]

    def job(self) -> str:
        """Look at the last job."""
        return self.get(f"/jobs/{self._jid}" if self._jid else "/jobs")

    def log_in_wrongly(self) -> str:
        """Send a wrong password."""
        return self.ask("POST", "/login", {**self._credentials, "password": uuid.uuid4().hex})[0]

    def repeat(self) -> str:
        """Send one command two times with one key."""
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        chunk = {"client": "local_async", "tgt": "sim-1", "fun": "test.ping"}
        return f"{self.run(headers, **chunk)}, {self.run(headers, **chunk)}"

    def drop_stream(self) -> str:
        """Listen for a moment, and go away without a word."""
        text = request("GET", "/events", headers={"X-Auth-Token": self.token(), "Accept": "*/*"})
        return self._drop(text)

    def drop_websocket(self) -> str:
        """The same with a WebSocket, without a close."""
        key = base64.b64encode(self.random.randbytes(16)).decode()
        upgrade = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": key,
            "Sec-WebSocket-Version": "13",
        }
        return self._drop(request("GET", f"/ws/{self.token()}", headers=upgrade))

    def _drop(self, text: str) -> str:
        with socket.create_connection((HOST, self._port), timeout=ANSWER_SECONDS) as connection:
            connection.sendall(text.encode())
            status = connection.recv(4096)[9:12].decode(errors="replace")
            if self.random.random() < 0.5:
                linger = struct.pack("ii", 1, 0)  # a reset in place of an end
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            return status


def _command(**chunk: Any) -> Callable[[Client], str]:
    return lambda client: client.run(**chunk)


def _path(path: str) -> Callable[[Client], str]:
    return lambda client: client.get(path)


ACTIONS: dict[str, tuple[Callable[[Client], str], int]] = {
    "ping": (_command(client="local", tgt="sim-[0-4]", fun="test.ping"), 30),
    "echo": (_command(client="local", tgt="sim-2", fun="test.echo", arg=["x" * 5000]), 5),
    "async": (_command(client="local_async", tgt="sim-0", fun="test.ping"), 15),
    "dead minion": (
        lambda client: client.run(
            client="local", tgt=client.dead, fun="test.ping", timeout=DEAD_TIMEOUT_SECONDS
        ),
        1,
    ),
    "failing": (_command(client="local", tgt="sim-1", fun="sim.fail"), 3),
    "runner": (_command(client="runner", fun="test.arg", arg=[1, 2]), 3),
    "jobs": (_path("/jobs"), 1),
    "job": (Client.job, 5),
    "keys": (_path("/keys"), 2),
    "minion keys": (_command(client="wheel", fun="key.list_all"), 2),
    "repeated": (Client.repeat, 3),
    "no such client": (_command(client="locl", tgt="*", fun="test.ping"), 5),
    "no such page": (_path("/nothing"), 5),
    "unknown token": (
        lambda client: client.ask("GET", "/jobs", headers={"X-Auth-Token": uuid.uuid4().hex})[0],
        5,
    ),
    "wrong password": (Client.log_in_wrongly, 1),
    "dropped stream": (Client.drop_stream, 8),
    "dropped WebSocket": (Client.drop_websocket, 8),
    "web hook": (
        lambda client: client.ask(
            "POST", "/hook/soak", {"a": "b" * 200}, {"X-Auth-Token": client.token()}
        )[0],
        5,
    ),
}
"""What is done, and how often of a hundred or so."""
