"""Connections to rest_wsgi: kept, cut off, from which address, and what is logged of them."""

import json
import select
import signal
import socket
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from saltapi.demo import PrivateMaster
from saltapi.netapi.rest_wsgi import RestWsgi
from tests.daemons import Daemon, Home
from tests.netapi.rest_wsgi.serving import (
    ANSWER_SECONDS,
    JSON,
    ONE,
    PING,
    TWO,
    Door,
    ask,
    error,
    home_of,
    listens,
    serving,
    start,
    token_of,
)
from tests.waiting import eventually, scaled

# Connections


def test_kept_connection(door: Door, login: dict[str, str]) -> None:
    """A connection goes on after errors, whatever body came with them."""
    body = json.dumps([{"client": "local", "tgt": ONE, "fun": "test.ping", **login}]).encode()
    connection = door.connect()
    connection.connect()
    used = connection.sock
    statuses = [
        ask(connection, body, path="/x").status,
        ask(connection, body, method="GET").status,
        ask(connection, body, headers={"Content-Type": "text/plain"}).status,
        ask(connection, body[:-1]).status,
        ask(connection, body).status,
    ]

    assert [404, 405, 406, 400, 200] == statuses
    assert used is connection.sock
    connection.close()


def raw(door: Door, data: bytes, *, shut: bool = False) -> bytes:
    """Return all that comes back for *data* until the server ends the connection."""
    with socket.create_connection(("127.0.0.1", door.port), scaled(ANSWER_SECONDS)) as client:
        client.sendall(data)
        if shut:
            client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_body_shorter_than_said(door: Door) -> None:
    """A body that ends before its Content-Length gets 400 and is not run."""
    head = b"POST / HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"
    answer = raw(door, head + b"[]", shut=True)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"shorter than its Content-Length" in answer


def test_body_longer_than_said(door: Door) -> None:
    """What stands behind the Content-Length is another request, and no part of the body."""
    head = b"POST / HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
    last = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
    answer = raw(door, head + b"[]" + last)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert 1 == answer.count(b"HTTP/1.1 405 ")


@pytest.mark.parametrize(
    "half", [b"POST / HTTP/1.1\r\nX: ", b"POST / HTTP/1.1\r\nContent-Length: 99\r\n\r\n["]
)
def test_unfinished_requests(here: Callable[..., Any], half: bytes) -> None:
    """More unfinished requests than there are threads keep nobody waiting."""
    with here(RestWsgi) as door, ExitStack() as stack:
        address = ("127.0.0.1", door.port)
        held = [stack.enter_context(socket.create_connection(address)) for _ in range(150)]
        for connection in held:
            connection.sendall(half)
        assert 405 == door.ask(method="GET").status
        assert [] == select.select(held, [], [], 0)[0], "the answer came when the others had ended"


def test_path_cannot_forge_the_log(door: Door, home: Home) -> None:
    """A line break in the path is no line break in the log."""
    answer = door.ask(path="/%0a%1b[31mforged")
    request_id = answer.headers["X-Request-Id"]
    eventually(lambda: request_id in home.log())

    assert 404 == answer.status
    assert r"/\n\x1b[31mforged 404" in home.log()


def test_client_that_leaves(door: Door, home: Home, tmp_path: Path, login: dict[str, str]) -> None:
    """A client that leaves does not end its command, and nobody else notices."""
    started, done = tmp_path / "started", tmp_path / "done"
    command = f"touch {started}; sleep 1; touch {done}"
    chunk = {"client": "local", "tgt": ONE, "fun": "cmd.run", "arg": [command], **login}
    before = len(home.log())
    connection = door.connect()
    connection.request("POST", "/", body=json.dumps([chunk]), headers=JSON)
    eventually(started.exists)
    connection.close()
    eventually(done.exists)

    assert [{ONE: True, TWO: True}] == door.returns(PING | login)
    assert "Traceback" not in home.log()[before:]


def test_sigterm(tmp_path: Path, master: PrivateMaster, login: dict[str, str]) -> None:
    """A command in flight is answered after SIGTERM, nobody else is let in, the exit is 0."""
    home = home_of(tmp_path, master)
    started = tmp_path / "started"
    command = f"touch {started}; sleep 2; echo finished"
    chunk = {"client": "local", "tgt": ONE, "fun": "cmd.run", "arg": [command], **login}
    with serving(home) as (door, daemon), ThreadPoolExecutor(1) as client:
        answer: Future[list[Any]] = client.submit(door.returns, chunk)
        eventually(started.exists)
        daemon.signal(signal.SIGTERM)
        eventually(lambda: not listens(door.port))

        assert [{ONE: "finished"}] == answer.result()
        assert 0 == daemon.wait()
        assert "Traceback" not in home.log()
        assert "is killed" not in home.log()


def test_port_taken(tmp_path: Path, master: PrivateMaster) -> None:
    """If the port is taken the command says so in a sentence and ends."""
    home = home_of(tmp_path, master, log_level="warning")
    port = home.opts["rest_wsgi"]["port"]
    with socket.create_server(("127.0.0.1", port)), start(home) as daemon:
        assert 1 == daemon.wait()
        sentence = f"rest_wsgi cannot listen on 127.0.0.1:{port}: Address already in use."
        assert sentence in daemon.stderr()
        assert "Traceback" not in daemon.stderr()


# Secrets and addresses


def test_no_secret_in_the_log(
    daemon: tuple[Door, Daemon], home: Home, master: PrivateMaster, login: dict[str, str]
) -> None:
    """Even at level debug neither a password nor a token is logged, right or wrong."""
    door, process = daemon
    token, guess, wrong = token_of(master), "ab" * 32, "a-wrong-password"
    door.ask([PING | login, PING | {"token": token}])
    door.ask([{"client": "runner", "fun": "test.arg", **login}])
    door.ask([{"client": "wheel", "fun": "key.list_all", "token": token}])
    door.ask([{"client": "local", "tgt": ONE, "fun": "no.such", "token": token}])
    door.ask([PING | login | {"password": wrong}])
    door.ask([PING | {"token": guess}])
    door.ask(json.dumps([PING | login]).encode()[:-1])
    last = door.ask(path="/x").headers["X-Request-Id"]
    eventually(lambda: last in home.log())
    logged = home.log() + process.stderr()

    assert "[DEBUG" in logged
    secrets = (login["password"], token, guess, wrong)
    assert [] == [secret for secret in secrets if secret in logged]


def test_authorized_ips(here: Callable[..., Any], login: dict[str, str]) -> None:
    """`authorized_ips` looks at the peer's address; a header that claims another is no help."""
    claims = {
        **JSON,
        "Remote-Addr": "127.0.0.2",
        "Remote_Addr": "127.0.0.2",
        "X-Forwarded-For": "127.0.0.2",
        "X-Real-IP": "127.0.0.2",
        "Forwarded": "for=127.0.0.2",
    }
    with here(authorized_ips=["127.0.0.2"]) as door:
        for headers in (JSON, claims):
            answer = door.ask([PING | login], headers=headers)

            assert 403 == answer.status
            assert error(403, "Requests from this address are not allowed.") == answer.body
        assert 200 == door.ask([PING | login], source="127.0.0.2").status


def test_api_acl(here: Callable[..., Any], master: PrivateMaster, login: dict[str, str]) -> None:
    """`api_acl` ties a user to addresses, with a password and with a token."""
    token = {"token": token_of(master)}
    acl = {"users": {login["username"]: ["127.0.0.2"], "*": ["127.0.0.0/8"]}}
    with here(api_acl=acl) as door:
        for credentials in (login, token):
            assert 401 == door.ask([PING | credentials]).status
            assert 200 == door.ask([PING | credentials], source="127.0.0.2").status
        assert 200 == door.ask([PING | master.credentials("low")]).status


def test_many_failed_logins(here: Callable[..., Any], login: dict[str, str]) -> None:
    """Whoever fails too often gets 429 and when to come back, even with the right password."""
    with here(options={"api_login_failures": 1}) as door:
        assert 401 == door.ask([PING | login | {"password": "wrong"}]).status
        answer = door.ask([PING | login])

        assert 429 == answer.status == answer.body["status"]
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        assert 200 == door.ask([PING | login], source="127.0.0.2").status
