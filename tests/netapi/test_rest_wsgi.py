"""rest_wsgi over a real socket, in front of a real master."""

import http.client
import io
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import wsgiref.simple_server
import wsgiref.validate
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIEnvironment

import pytest

from saltapi import config
from saltapi.demo import PrivateMaster
from saltapi.netapi.rest_wsgi import RestWsgi, make_server
from tests.daemons import Daemon, Home, free_port
from tests.waiting import eventually, scaled

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


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, master: PrivateMaster) -> Home:
    return home_of(tmp_path_factory.mktemp("api"), master)


@pytest.fixture(scope="module")
def daemon(home: Home) -> Iterator[tuple[Door, Daemon]]:
    """The real command, for all tests of this module."""
    with serving(home) as found:
        yield found


@pytest.fixture(scope="module")
def door(daemon: tuple[Door, Daemon]) -> Door:
    return daemon[0]


@pytest.fixture(scope="module")
def login(master: PrivateMaster) -> dict[str, str]:
    """The credentials of somebody who may run everything."""
    return master.credentials()


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


@pytest.fixture
def here(master: PrivateMaster) -> Callable[..., Any]:
    """Return `serving_here` for the session's master."""
    return lambda *args, **section: serving_here(master.config_dir, *args, **section)


def error(status: int, sentence: str) -> dict[str, Any]:
    return {"status": status, "return": sentence}


def token_of(master: PrivateMaster) -> str:
    """Return a token as Salt itself makes it."""
    from saltapi import APIClient

    with APIClient(config.load(master.config_dir)) as client:
        session = client.call(lambda inner: inner.sessions.login(master.credentials()))
    return session.token


# The documentation of 0.8.4


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
class TestManual:
    """
    The requests printed in 0.8.4, "rest_wsgi", "Usage examples".

    User, password and eauth are those of the test's master; what the page's margin has cut off
    the lines (the function, the address) is put back.
    """

    def curl(self, door: Door, login: dict[str, str], chunk: str) -> tuple[str, Any]:
        who = json.dumps(login)[1:-1]
        done = subprocess.run(
            [
                *("curl", "-sS", "-i", "-H", "Content-Type: application/json"),
                *("-d", f"[{{{who}, {chunk}}}]", f"localhost:{door.port}"),
            ],
            capture_output=True,
            text=True,
            timeout=scaled(ANSWER_SECONDS),
            check=True,
        )
        head, _, body = done.stdout.partition("\n\n")
        return head.splitlines()[0], json.loads(body)

    def test_ping(self, door: Door, login: dict[str, str]) -> None:
        """The basic `test.ping` gives the minions in one mapping."""
        status, body = self.curl(door, login, '"client": "local", "tgt": "*", "fun": "test.ping"')

        assert "HTTP/1.1 200 OK" == status
        assert {"return": [{ONE: True, TWO: True}]} == body

    def test_asynchronous_and_lookup(self, door: Door, login: dict[str, str]) -> None:
        """The asynchronous `test.ping` gives a jid, and the job can be looked up with it."""
        status, body = self.curl(
            door, login, '"client": "local_async", "tgt": "*", "fun": "test.ping"'
        )
        assert "HTTP/1.1 200 OK" == status
        (job,) = body["return"]
        assert {"jid", "minions"} == job.keys()
        assert [ONE, TWO] == sorted(job["minions"])

        look_up = f'"client": "runner", "fun": "jobs.lookup_jid", "jid": "{job["jid"]}"'
        both = {"return": [{ONE: True, TWO: True}]}
        eventually(lambda: self.curl(door, login, look_up) == ("HTTP/1.1 200 OK", both))


# Commands


def test_token(door: Door, master: PrivateMaster) -> None:
    """A Salt token in the chunk does as well as a password."""
    assert [{ONE: True, TWO: True}] == door.returns({**PING, "token": token_of(master)})


def test_one_chunk_without_a_list(door: Door, login: dict[str, str]) -> None:
    """A bare mapping counts as a list of one."""
    assert {"return": [{ONE: True, TWO: True}]} == door.ask(PING | login).body


def test_empty_lowstate(door: Door) -> None:
    """No command gives no result."""
    assert {"return": []} == door.ask([]).body


def test_results_in_order(door: Door, login: dict[str, str]) -> None:
    """Results stand in order, those of `local_batch` one by one among the others."""
    chunks: list[dict[str, Any]] = [
        {"client": "local_async", "tgt": ONE, "fun": "test.ping"},
        {"client": "local_batch", "tgt": "*", "fun": "test.ping", "batch": 1},
        {"client": "runner", "fun": "manage.up"},
        {"client": "wheel", "fun": "key.list_all"},
        {"client": "local_subset", "tgt": "*", "fun": "test.ping", "subset": 1},
        {"client": "local", "tgt": TWO, "fun": "test.echo", "arg": ["last"]},
    ]
    job, *batch, up, keys, subset, last = door.returns(*(chunk | login for chunk in chunks))

    assert [ONE] == job["minions"]
    assert [{ONE: True}, {TWO: True}] == sorted(batch, key=str)
    assert [ONE, TWO] == sorted(up)
    assert [ONE, TWO] == sorted(keys["data"]["return"]["minions"])
    assert [True] == list(subset.values())
    assert {TWO: "last"} == last


def test_no_match(door: Door, login: dict[str, str]) -> None:
    """A target that matches nothing is an empty mapping and no error, as in Salt."""
    assert [{}] == door.returns({**PING, "tgt": "nobody", **login})


def test_unknown_function(door: Door, login: dict[str, str]) -> None:
    """A function that the minion does not have is the minion's answer."""
    found = door.returns({"client": "local", "tgt": ONE, "fun": "no.such", **login})

    assert [{ONE: "'no.such' is not available."}] == found


def test_any_language(door: Door, login: dict[str, str]) -> None:
    """Text of any language goes in and comes out as UTF-8, not escaped."""
    chunk = {"client": "local", "tgt": ONE, "fun": "test.echo", "arg": ["größer ≥ 😀"], **login}

    assert [{ONE: "größer ≥ 😀"}] == door.returns(chunk)


def test_many_at_once(here: Callable[..., Any], login: dict[str, str]) -> None:
    """Thirty requests are answered at the same time, not one after the other."""
    count = 30

    class Meeting(RestWsgi):
        """Lets nobody on before all are there."""

        barrier = threading.Barrier(count)

        def _run(self, environ: WSGIEnvironment) -> list[Any]:
            self.barrier.wait(scaled(ANSWER_SECONDS))
            return super()._run(environ)

    with here(Meeting) as door, ThreadPoolExecutor(count) as clients:
        # Thirty at once are slow: the master's own patience is for one.
        own = {"timeout": scaled(ANSWER_SECONDS)}
        chunk = {"client": "local", "tgt": ONE, "fun": "test.ping", **own, **login}
        found = list(clients.map(lambda _: door.returns(chunk), range(count)))

    assert [[{ONE: True}]] * count == found


# What is wrong with a request


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"body": b"{nonsense"}, error(400, "The body is no valid JSON: Expecting property name")),
        ({"body": b""}, error(400, "The body is empty: send a lowstate as JSON.")),
        ({"body": b"null"}, error(400, "Lowstates must be a list")),
        ({"body": b'"text"'}, error(400, "Lowstates must be a list")),
        ({"body": ["text"]}, error(400, "A chunk must be a mapping")),
        ({"body": b'["\xff"]'}, error(400, "The body is not UTF-8.")),
        ({"body": '["é"]'.encode("utf-16")}, error(400, "The body is not UTF-8.")),
        ({"body": b"[NaN]"}, error(400, "The body is no valid JSON: NaN is no JSON number.")),
        ({"body": b'["\\ud800"]'}, error(400, "The body holds a lone surrogate")),
        ({"body": b"[" + b"9" * 5000 + b"]"}, error(400, "The body holds a number that is too")),
        ({"body": b"[" * 50_000}, error(400, "The body is nested deeper than 100 levels.")),
        ({"body": b"[" * 200 + b"]" * 200}, error(400, "The body is nested deeper than 100")),
        ({"body": [{"client": "destroy"}]}, error(400, "Invalid client specified: 'destroy'")),
        ({"body": [{"client": "ssh"}]}, error(400, "Client disabled: 'ssh'. Add to 'netapi_ena")),
        ({"body": [PING]}, error(401, "No authentication credentials given")),
        ({"body": [PING | {"token": "0" * 64}]}, error(401, "The token is unknown or has expir")),
        ({"body": [PING | {"token": "../x"}]}, error(401, "The token is unknown or has expired")),
        ({"body": [PING | {"token": 5}]}, error(401, "Invalid token")),
        ({"body": [PING | {"eauth": "file"}]}, error(401, "Authentication needs username")),
        ({"path": "/login"}, error(404, "There is only one URL here: POST to /.")),
        ({"path": "/%2f"}, error(404, "There is only one URL here: POST to /.")),
        ({"method": "GET"}, error(405, "Only POST is taken here.")),
        ({"method": "PUT", "body": [PING]}, error(405, "Only POST is taken here.")),
        ({"method": "DELETE"}, error(405, "Only POST is taken here.")),
        ({"method": "OPTIONS"}, error(405, "Only POST is taken here.")),
        ({"body": [], "headers": {"Content-Type": "text/plain"}}, error(406, "JSON required")),
        ({"body": [], "headers": {"Content-Type": "application/jsonp"}}, error(406, "JSON requi")),
        ({"body": [], "headers": {}}, error(406, "JSON required: send Content-Type: application")),
        ({"body": TOO_LARGE}, error(413, "The body is larger than 1048576 bytes.")),
        ({"body": TOO_LARGE, "path": "/x"}, error(413, "The body is larger than 1048576 bytes.")),
    ],
)
def test_error(door: Door, request_: dict[str, Any], expected: dict[str, Any]) -> None:
    """Every error is JSON with its status and a sentence, and has a request id."""
    answer = door.ask(**request_)

    assert expected["status"] == answer.status == answer.body["status"]
    assert {"status", "return"} == answer.body.keys()
    assert answer.body["return"].startswith(expected["return"])
    assert 16 == len(answer.headers["X-Request-Id"])
    assert ("POST" if answer.status == 405 else None) == answer.headers.get("Allow")


def test_wrong_password(door: Door, login: dict[str, str]) -> None:
    """A wrong password gets 401, and no chunk has run before it is noticed."""
    marker = {"client": "local_async", "tgt": ONE, "fun": "test.ping"}
    answer = door.ask([marker | login, PING | login | {"password": "wrong"}])

    assert 401 == answer.status
    sentence = "Chunk 2: Could not authenticate using provided credentials"
    assert error(401, sentence) == answer.body


def test_not_permitted(door: Door, master: PrivateMaster) -> None:
    """Somebody who may not run a function gets 401, as from Salt."""
    chunk = {"client": "local", "tgt": ONE, "fun": "cmd.run", "arg": ["id"]}
    answer = door.ask([chunk | master.credentials("low")])

    assert 401 == answer.status
    assert "saltdev" not in answer.body["return"]


def test_head(door: Door) -> None:
    """HEAD is answered like GET, without a body."""
    answer = door.ask(method="HEAD")

    assert (405, None) == (answer.status, answer.body)


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "application/json;charset=UTF-8", "Application/JSON"],
)
def test_content_type(door: Door, content_type: str) -> None:
    """Parameters and capitals in the Content-Type do not matter."""
    assert 200 == door.ask([], headers={"Content-Type": content_type}).status


def test_byte_order_mark(door: Door) -> None:
    """A byte order mark before the JSON does not matter."""
    assert 200 == door.ask(b"\xef\xbb\xbf[]").status


def test_body_without_length(door: Door, login: dict[str, str]) -> None:
    """A body in chunks is taken; its length need not be known before."""
    connection = door.connect()
    data = json.dumps([{"client": "local", "tgt": ONE, "fun": "test.ping", **login}]).encode()
    parts = iter([data[:10], data[10:]])
    connection.request("POST", "/", body=parts, headers=JSON, encode_chunked=True)
    response = connection.getresponse()

    assert {"return": [{ONE: True}]} == json.loads(response.read())
    connection.close()


def test_large_body_without_length(door: Door) -> None:
    """A body in chunks that gets too large gets 413."""
    connection = door.connect()
    connection.request("POST", "/", body=iter([TOO_LARGE]), headers=JSON, encode_chunked=True)

    assert 413 == connection.getresponse().status
    connection.close()


def test_failure_after_results(door: Door, login: dict[str, str]) -> None:
    """When a later command fails, the error comes with the results of those before it."""
    chunks: list[dict[str, Any]] = [
        {"client": "local", "tgt": ONE, "fun": "test.ping"},
        {"client": "runner", "fun": "test.sleep", "s_time": 5, "timeout": 0.5},
        {"client": "local", "tgt": ONE, "fun": "test.ping"},
    ]
    answer = door.ask([chunk | login for chunk in chunks])

    assert 504 == answer.status == answer.body["status"]
    assert answer.body["return"].startswith("Chunk 2: RunnerClient job '")
    assert [{ONE: True}] == answer.body["completed"]


def test_unexpected_error(here: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    """An error of our own gets 500 without details; the log has them under the request id."""

    class Broken(RestWsgi):
        def _run(self, environ: WSGIEnvironment) -> list[Any]:
            raise RuntimeError("details")

    with here(Broken) as door:
        answer = door.ask([])

    assert 500 == answer.status
    assert error(500, "An unexpected error occurred") == answer.body
    record = next(r for r in caplog.records if answer.headers["X-Request-Id"] in r.getMessage())
    assert "details" in str(record.exc_info)


def test_master_down(private_master: Callable[..., PrivateMaster]) -> None:
    """While the master is down a command gets 503 and when to come back, not silence."""
    own = private_master(minions=0)
    with serving_here(own.config_dir) as door:
        assert [{}] == door.returns(PING | own.credentials())
        own.kill_master()
        for chunk in (PING, {"client": "runner", "fun": "manage.up"}):
            answer = door.ask([chunk | own.credentials()])

            assert 503 == answer.status == answer.body["status"]
            assert "5" == answer.headers["Retry-After"]
            assert answer.body["return"].startswith("The Salt master ")


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


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


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


# Other servers


@pytest.fixture(scope="module")
def gunicorn(tmp_path_factory: pytest.TempPathFactory, master: PrivateMaster) -> Iterator[Door]:
    """The application in gunicorn; `saltapi` itself does not run."""
    port = free_port()
    output = tmp_path_factory.mktemp("gunicorn") / "log"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "--threads", "8"),
                *("--bind", f"127.0.0.1:{port}", "saltapi.netapi.rest_wsgi:application"),
            ],
            env={**os.environ, "SALT_MASTER_CONFIG": str(master.config_dir / "master")},
            stdout=file,
            stderr=file,
        )
    try:
        eventually(lambda: listens(port))
        yield Door(port)
        process.terminate()
        assert 0 == process.wait(scaled(30))
        assert "Traceback" not in output.read_text()
    finally:
        process.kill()
        process.wait()


def test_gunicorn_commands(gunicorn: Door, login: dict[str, str]) -> None:
    """Under gunicorn commands run, several at a time, without `port` in the config."""
    with ThreadPoolExecutor(8) as clients:
        found = list(clients.map(lambda _: gunicorn.returns(PING | login), range(8)))

    assert [[{ONE: True, TWO: True}]] * 8 == found


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"body": b"{nonsense"}, 400),
        ({"body": [PING]}, 401),
        ({"path": "/x", "body": [PING]}, 404),
        ({"method": "GET"}, 405),
        ({"body": [], "headers": {"Content-Type": "text/plain"}}, 406),
        ({"body": TOO_LARGE}, 413),
    ],
)
def test_gunicorn_errors(gunicorn: Door, request_: dict[str, Any], status: int) -> None:
    """Under gunicorn errors look the same."""
    answer = gunicorn.ask(**request_)

    assert status == answer.status == answer.body["status"]
    assert 16 == len(answer.headers["X-Request-Id"])


def test_gunicorn_kept_connection(gunicorn: Door) -> None:
    """Under gunicorn too a connection goes on after an error."""
    connection = gunicorn.connect()

    assert 404 == ask(connection, [PING], path="/x").status
    assert 200 == ask(connection, []).status
    connection.close()


def test_wrong_config_in_another_server(tmp_path: Path) -> None:
    """Another server's clients get a JSON error when the config is wrong; its log says why."""
    config_file = tmp_path / "master"
    config_file.write_text("rest_wsgi:\n  threads: many\n")
    code = (
        "from saltapi.netapi.rest_wsgi import application\n"
        "environ = {'REQUEST_METHOD': 'GET'}\n"
        "print(application(environ, lambda *_: None)[0].decode())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "SALT_MASTER_CONFIG": str(config_file)},
        capture_output=True,
        text=True,
        timeout=scaled(ANSWER_SECONDS),
        check=True,
    )

    assert 500 == json.loads(done.stdout)["status"]
    assert "rest_wsgi.threads" in done.stderr
    assert "Traceback" not in done.stderr


def test_wsgi_conformance(master: PrivateMaster, login: dict[str, str]) -> None:
    """The application keeps to PEP 3333, as the validator of the standard library sees it."""
    parsed = config.RestWsgiConfig.parse({"port": 1})
    app = RestWsgi(config.load(master.config_dir), parsed)
    server = wsgiref.simple_server.make_server("127.0.0.1", 0, wsgiref.validate.validator(app))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        door = Door(server.server_port)
        assert [{ONE: True, TWO: True}] == door.returns(PING | login)
        assert 405 == door.ask(method="GET").status
        assert 413 == door.ask(TOO_LARGE).status
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        app.close()


def test_address_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The log line has the client's address where a trusted proxy tells it."""
    section = config.RestWsgiConfig.parse({"port": 1, "trusted_proxies": "127.0.0.1"})
    app = RestWsgi({}, section)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "HTTP_X_FORWARDED_FOR": "203.0.113.9",
    }
    with caplog.at_level("INFO"):
        for peer in ("127.0.0.1", "127.0.0.2"):
            app({**environ, "REMOTE_ADDR": peer}, lambda *_: lambda _: None)

    lines = [line for line in caplog.messages if "GET" in line]
    assert ["203.0.113.9", "127.0.0.2"] == [line.split()[0] for line in lines]
