"""The limits around every route, on a server that runs; and bodies that never end."""

import asyncio
import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import Body, Request
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute
from starlette.websockets import WebSocket

from saltapi import config
from saltapi.bridge.requests.turns import RETRY_AFTER_SECONDS
from saltapi.demo import PrivateMaster
from saltapi.engine.limits.requests import RequestClass
from saltapi.netapi.rest_asgi import requests
from saltapi.netapi.rest_asgi.app import Application, create_app
from saltapi.netapi.rest_asgi.protection import Classes, Protection, costs
from tests.apis import OURS, ApiServer
from tests.netapi.rest_asgi.running import NAME, RunningServer
from tests.netapi.running import HOST, TOKEN
from tests.waiting import eventually, scaled
from tests.wire import Answer

SECTION = {
    "commands_at_once": 2,
    "user_commands_at_once": 1,
    "user_queue_requests": 1,
    "queue_requests": 2,
    "queue_seconds": 20,
    "user_streams_at_once": 1,
    "streams_at_once": 10,
    "max_request_body_size": 1000,
}
HEAD = b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


class SlowServer(RunningServer):
    """The module with routes that answer when the test says so."""

    async def _start(self) -> None:
        await super()._start()
        self.release = asyncio.Event()
        self.began = 0
        api = self.server.application.api
        routes: list[tuple[str, Any]] = [
            ("/slow", self._read_by_us),
            ("/v1/slow", self._read_by_fastapi),
        ]
        for path, handler in routes:
            api.add_api_route(path, handler, methods=["POST"])
        api.add_api_route("/quick", self._quick, methods=["GET"])
        api.add_api_route("/v1/stream/events", self._stream, methods=["GET"])
        api.add_api_websocket_route("/v1/stream/ws", self._socket)
        self.server.application.protected = Protection(api, self.server.application.engine)

    @costs(RequestClass.COMMANDS)
    async def _read_by_us(self, request: Request) -> Any:
        return await self._answer(await requests.decoded_body(request))

    @costs(RequestClass.COMMANDS)
    async def _read_by_fastapi(self, value: dict[str, Any] = Body()) -> Any:  # noqa: B008
        return await self._answer(value)

    async def _answer(self, value: Any) -> Any:
        self.began += 1
        await self.release.wait()
        return {"got": value}

    @costs(RequestClass.READS)
    async def _quick(self) -> str:
        return "done"

    @costs(RequestClass.STREAMS)
    async def _stream(self) -> StreamingResponse:
        async def parts() -> Any:
            yield b"begun\n"
            await self.release.wait()

        return StreamingResponse(parts())

    @costs(RequestClass.STREAMS)
    async def _socket(self, socket: WebSocket) -> None:
        await socket.accept()
        await self.release.wait()

    @property
    def commands(self) -> Any:
        """The slots of commands."""
        return self.server.application.engine.limits.slots[RequestClass.COMMANDS]

    def go_on(self) -> None:
        """Let everything that is held be answered."""
        self.loop.call_soon_threadsafe(self.release.set)

    def post(self, path: str, token: str | None = TOKEN) -> Answer:
        """Send a command."""
        headers = {"X-Auth-Token": token} if token else {}
        return self.send("POST", path, headers=headers, json_body={"a": 1})


@pytest.fixture
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlowServer]:
    """The module with small limits."""
    with SlowServer(tmp_path_factory.mktemp("asgi"), **SECTION) as running:
        yield running


@contextmanager
def held(server: SlowServer, path: str, *tokens: str | None) -> Iterator[list[Future[Answer]]]:
    """Have a command of each of *tokens* under way, or waiting for its slot."""
    with ThreadPoolExecutor(len(tokens)) as pool:
        answers = []
        for token in tokens:
            before = server.commands.running + server.commands.waiting
            answers.append(pool.submit(server.post, path, token))
            eventually(lambda: server.commands.running + server.commands.waiting > before)  # noqa: B023
        try:
            yield answers
        finally:
            server.go_on()


@pytest.mark.parametrize("path", ["/slow", "/v1/slow"])
def test_commands_of_one_user(slow: SlowServer, path: str) -> None:
    """Commands over the user's limit wait, those over the queue get 429; others go on."""
    with held(slow, path, TOKEN, TOKEN) as answers:
        assert (1, 1) == (slow.commands.running, slow.commands.waiting)
        refused = slow.post(path)
        assert 429 == refused.status
        assert str(RETRY_AFTER_SECONDS) == refused.header("Retry-After")
        assert "too many commands at once" in str(refused.value())
        assert refused.header("X-Request-Id")
        with held(slow, path, None) as others:
            eventually(lambda: slow.began == 2)
    assert [200] * 3 == [answer.result().status for answer in (*answers, *others)]
    eventually(lambda: (slow.commands.running, slow.commands.waiting) == (0, 0))


def test_errors_of_both_kinds(slow: SlowServer) -> None:
    """Below `/v1` a refusal is a problem document, elsewhere it is as in rest_cherrypy."""
    with held(slow, "/slow", TOKEN, TOKEN):
        problem, classic = slow.post("/v1/slow"), slow.post("/slow")
    assert "application/problem+json" == problem.media_type
    assert "too_many_requests" == json.loads(problem.body)["code"]
    assert {"status", "return"} == set(json.loads(classic.body))


def test_commands_of_all(slow: SlowServer) -> None:
    """When all places of the queue are taken the next one gets 503."""
    with held(slow, "/slow", TOKEN, TOKEN, None, None):
        assert (2, 2) == (slow.commands.running, slow.commands.waiting)
        with socket.create_connection(
            (HOST, slow.port), scaled(20), source_address=("127.0.0.2", 0)
        ) as connection:
            connection.sendall(HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}")
            answer = receive(connection)
    assert b"HTTP/1.1 503 " == answer[:13]
    assert b"retry-after: 5\r\n" in answer.lower()
    assert b"The service has too many commands at once" in answer


def test_reads_do_not_wait_for_commands(slow: SlowServer) -> None:
    """Other classes of requests do not notice that all slots for commands are taken."""
    with held(slow, "/slow", TOKEN, None):
        assert 200 == slow.send("GET", "/quick").status


def test_slow_body(slow: SlowServer) -> None:
    """A client that sends its body slowly holds no slot meanwhile."""
    with slow.connect() as connection:
        head = b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        connection.sendall(head + b"X-Auth-Token: " + TOKEN.encode() + b"\r\n")
        connection.sendall(b"Content-Length: 2\r\n\r\n{")
        with held(slow, "/slow", TOKEN):
            eventually(lambda: slow.began == 1)
            assert (1, 0) == (slow.commands.running, slow.commands.waiting)
        connection.sendall(b"}")
        eventually(lambda: slow.began == 2)


def test_streams(slow: SlowServer) -> None:
    """Streams over a user's limit are refused at once; one that ends makes room."""
    path = "/v1/stream/events"
    headers = {"X-Auth-Token": TOKEN}
    with slow.connect() as connection:
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {TOKEN}\r\n\r\n".encode()
        )
        assert b" 200 " in connection.recv(4096)
        assert 429 == slow.send("GET", path, headers=headers).status
        upgrade = {
            **headers,
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        assert 429 == slow.send("GET", "/v1/stream/ws", headers=upgrade).status
    streams = slow.server.application.engine.limits.slots[RequestClass.STREAMS]
    eventually(lambda: streams.running == 0)
    slow.go_on()
    assert 200 == slow.send("GET", path, headers=headers).status


def test_rates(tmp_path: Any) -> None:
    """Users, and addresses of strangers, have so many requests a minute; probes have no limit."""
    rates = {"user_requests_per_minute": 2, "address_requests_per_minute": 3}
    headers = {"X-Auth-Token": TOKEN}
    with SlowServer(tmp_path, **rates) as server:
        found = [server.send("GET", "/quick", headers=headers) for _ in range(3)]
        assert [200, 200, 429] == [answer.status for answer in found]
        assert 0 < int(found[-1].header("Retry-After") or 0) <= 30
        found = [server.send("GET", "/quick") for _ in range(4)]
        assert [200, 200, 200, 429] == [answer.status for answer in found]
        assert 200 == server.send("GET", "/livez").status


def test_a_query_of_too_many_fields(tmp_path: Path) -> None:
    """Whose request it is, is not looked for in a query without end; the handler answers that."""
    query = "token=x" + "&a=1" * 101
    with RunningServer(tmp_path) as server:
        assert 400 == server.send("GET", f"/events?{query}").status
        assert 404 == server.send("GET", f"/?{query}").status


def application_of(directory: Path, **section: Any) -> Application:
    """Return the module, not started."""
    path = directory / "master"
    path.write_text(json.dumps({"root_dir": str(directory), NAME: {"port": 1, **section}}))
    return create_app(config.load(path))


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Application:
    """The module with URLs of its own."""
    directory = tmp_path_factory.mktemp("classes")
    return application_of(directory, webhook_url="/hooks/in", static="/", static_path="/assets")


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/", "", "reads"),
        ("POST", "/", "", "commands"),
        ("POST", "/login", "", "logins"),
        ("POST", "/token", "", "logins"),
        ("GET", "/login", "", "reads"),
        ("POST", "/logout", "", "reads"),
        ("POST", "/run", "", "commands"),
        ("POST", "/v1/run", "", "commands"),
        ("GET", "/minions/x", "", "commands"),
        ("GET", "/jobs", "", "reads"),
        ("GET", "/v1/jobs/20260101000000000001", "", "reads"),
        ("GET", "/v1/jobs/20260101000000000001", "wait=30", "streams"),
        ("GET", "/v1/jobs/20260101000000000001/events", "", "streams"),
        ("GET", "/v1/jobs", "wait=30", "reads"),
        ("GET", "/v1/whoami", "wait=30", "reads"),
        ("DELETE", "/v1/jobs/20260101000000000001", "", "commands"),
        ("POST", "/hooks/in/events", "", "commands"),
        ("GET", "/assets/events", "", "reads"),
        ("GET", "/events", "", "streams"),
        ("GET", "/events/" + TOKEN, "", "streams"),
        ("WEBSOCKET", "/ws/" + TOKEN, "", "streams"),
        ("WEBSOCKET", "/nowhere", "", "streams"),
        ("GET", "/nowhere", "", "reads"),
        ("POST", "/nowhere", "", "commands"),
        ("GET", "/v1/events", "", "streams"),
        ("POST", "/v1/events/ticket", "", "reads"),
        ("POST", "/v1/check", "", "reads"),
        ("GET", "/livez", "", None),
        ("GET", "/metrics", "", None),
        ("OPTIONS", "/run", "", None),
    ],
)
def test_classes(
    application: Application, method: str, path: str, query: str, expected: str | None
) -> None:
    """Every request has a class by what it costs, as its route says, whatever the URL is."""
    assert expected == Classes(application.api.routes).of(method, path, query)


def test_classes_below_a_prefix(tmp_path: Path) -> None:
    """Where everything is below `root_prefix`, so are the routes that say what requests cost."""
    classes = Classes(application_of(tmp_path, root_prefix="/salt/api").api.routes)
    assert RequestClass.LOGINS == classes.of("POST", "/salt/api/login")
    assert RequestClass.STREAMS == classes.of("GET", "/salt/api/v1/events")
    assert classes.of("GET", "/salt/api/livez") is None


def test_a_route_without_a_class() -> None:
    """A route that does not say what its requests cost is an error of ours."""

    async def endpoint() -> None: ...

    with pytest.raises(AttributeError):
        Classes([APIRoute("/new", endpoint)])
    Classes([APIRoute("/new", costs(RequestClass.READS)(endpoint))])


# Bodies


def receive(connection: socket.socket) -> bytes:
    """Return what comes until the connection ends."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_body_too_large(slow: SlowServer, chunked: bool) -> None:
    """A body over `max_request_body_size` gets 413, whether or not it says its size."""
    slow.go_on()
    body = b'"' + b"x" * 2000 + b'"'
    with slow.connect() as connection:
        if chunked:
            framed = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
            connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + framed)
        else:
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert b"HTTP/1.1 413 " == connection.recv(65536)[:13]


def test_chunks_without_end(slow: SlowServer) -> None:
    """A body that never ends is not read for ever, nor kept."""
    slow.go_on()
    with slow.connect() as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        stop = threading.Event()

        def pour() -> None:
            try:
                while not stop.is_set():
                    connection.sendall(chunk)
            except OSError:
                return

        pouring = threading.Thread(target=pour)
        pouring.start()
        try:
            assert b"HTTP/1.1 413 " == connection.recv(65536)[:13]
        finally:
            stop.set()
            with contextlib.suppress(OSError):  # the server has ended it already
                connection.shutdown(socket.SHUT_RDWR)
            pouring.join()


def test_body_that_does_not_come(slow: SlowServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that does not come in time gets an answer, also under servers that do not mind."""
    monkeypatch.setattr(requests, "BODY_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(requests, "is_paced", lambda _scope: False)
    with slow.connect() as connection:
        connection.sendall(HEAD + b"Connection: close\r\nContent-Length: 10\r\n\r\n{")
        answer = receive(connection)

    assert b"HTTP/1.1 400 " == answer[:13]
    assert b"took too long" in answer
    assert 0 == slow.commands.running


def test_depth(slow: SlowServer) -> None:
    """JSON and YAML that are nested too deeply get 400 and a sentence."""
    slow.go_on()
    for media_type, text in (
        ("application/json", "[" * 200 + "]" * 200),
        ("application/x-yaml", "[" * 200 + "]" * 200),
    ):
        answer = slow.send(
            "POST", "/slow", headers={"Content-Type": media_type}, body=text.encode()
        )
        assert 400 == answer.status
        assert "nested deeper than 100 levels" in str(answer.value())


# Logins


@pytest.fixture(scope="module")
def processes(master: PrivateMaster) -> Iterator[ApiServer]:
    """The module in two processes that let few failures pass."""
    with ApiServer(
        master, OURS, {"workers": 2}, module=NAME, options={"api_login_failures": 4}
    ) as server:
        yield server


def post_from(address: str, server: ApiServer, path: str, value: Any) -> int:
    """Return the status of a request that comes from a loopback *address*."""
    connection = http.client.HTTPConnection(
        HOST, server.port, timeout=scaled(60), source_address=(address, 0)
    )
    with contextlib.closing(connection):
        headers = {"Content-Type": "application/json"}
        connection.request("POST", path, json.dumps(value), headers)
        return connection.getresponse().status


@pytest.mark.parametrize(
    ("path", "address"), [("/login", "127.0.0.2"), ("/token", "127.0.0.3"), ("/run", "127.0.0.4")]
)
def test_brute_force(processes: ApiServer, path: str, address: str) -> None:
    """Wrong passwords that come all at once, to every process, are not all tried."""

    def attempt(number: int) -> int:
        low = {"username": "fred", "password": f"wrong-{number}", "eauth": "sharedsecret"}
        if path == "/run":
            low |= {"client": "local", "tgt": "*", "fun": "test.ping"}
        return post_from(address, processes, path, [low] if path == "/run" else low)

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(attempt, range(40)))
    tried = statuses.count(401)

    # In each process two logins may be at the master when the last failure is counted.
    assert 4 <= tried <= 8
    assert 40 - tried == statuses.count(429)


def test_failures_are_counted_by_all_processes(processes: ApiServer) -> None:
    """However many processes there are, so many wrong passwords are tried as the option says."""
    low = {"username": "fred", "password": "wrong", "eauth": "sharedsecret"}
    statuses = [post_from("127.0.0.5", processes, "/login", low) for _ in range(12)]

    assert [401] * 4 + [429] * 8 == statuses


def test_two_thousand_bytes_of_name(processes: ApiServer) -> None:
    """A name that is far too long is refused like any other."""
    low = {"username": "x" * 2000, "password": "wrong", "eauth": "sharedsecret"}
    answer = processes.send("POST", "/login", body=json.dumps(low).encode(), headers={
        "Content-Type": "application/json",
    })  # fmt: skip
    assert answer.status in {401, 429}
