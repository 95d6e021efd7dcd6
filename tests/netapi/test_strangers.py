"""What somebody without a session may send to the modules of asyncio, and hold there."""

import contextlib
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from saltapi.config import KIB, MIB
from saltapi.netapi._http import unfinished
from tests.netapi.rest_asgi.running import RunningServer as RunningAsgi
from tests.netapi.rest_tornado.running import RunningServer as RunningTornado
from tests.netapi.running import HOST, TOKEN, RunningServer, read_all
from tests.waiting import eventually, scaled

SECONDS = 20.0
HELD = 120
SESSION = b"X-Auth-Token: " + TOKEN.encode() + b"\r\n"
JSON = b"Content-Type: application/json\r\n"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
HALF_HEAD = b"GET / HTTP/1.1\r\nHost: x\r\nX: "
Run = Callable[..., RunningServer]


@pytest.fixture(params=[RunningAsgi, RunningTornado], ids=lambda kind: kind.name)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Make one of the modules, with options of the engine and of its section."""

    def made(section: dict[str, Any] | None = None, **engine: Any) -> RunningServer:
        running: RunningServer = request.param(tmp_path, engine=engine, **(section or {}))
        return running

    return made


def post(path: str, headers: bytes, body: bytes = b"") -> bytes:
    """Return a POST request, or the beginning of one."""
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n".encode() + headers + b"\r\n" + body


def sized(path: str, body: bytes, headers: bytes = b"") -> bytes:
    """Return a POST request with a body."""
    return post(path, headers + b"Content-Length: %d\r\n" % len(body), body)


def text_of(size: int) -> bytes:
    """Return JSON of so many bytes."""
    return b'"' + b"a" * (size - 2) + b'"'


def connect(server: RunningServer, source: str = HOST) -> socket.socket:
    """Return a connection from an address."""
    return socket.create_connection((HOST, server.port), scaled(SECONDS), (source, 0))


def answer(connection: socket.socket, data: bytes = b"") -> tuple[int, str]:
    """Return status and sentence of one answer to *data*; 0 when there is none."""
    connection.sendall(data)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        try:
            byte = connection.recv(1)
        except ConnectionError:
            return 0, ""
        if not byte:
            return 0, ""
        head += byte
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    body = b""
    while len(body) < length and (part := connection.recv(length - len(body))):
        body += part
    return int(head.split()[1]), str((json.loads(body) if body else {}).get("return", ""))


def is_served(server: RunningServer, source: str = HOST) -> bool:
    """Return whether a request from an address is answered."""
    with connect(server, source) as connection:
        return answer(connection, GET)[0] == 200


def test_tokens_behind_a_body(run: Run) -> None:
    """A token in a trailer logs nobody in, and does not reach the next request (RFC 9110)."""
    data = (
        b"POST /hook/x HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Auth-Token: "
        + TOKEN.encode()
        + b"\r\n\r\nGET /jobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    with run() as server, server.connect() as connection:
        connection.sendall(data)
        answers = read_all(connection)
    assert b"HTTP/1.1 2" not in answers
    assert b"HTTP/1.1 " in answers


class TestBytes:
    """How much strangers hold."""

    @pytest.mark.parametrize("path", ["/", "/login", "/run"])
    def test_unfinished_bodies(self, run: Run, path: str) -> None:
        """However many do not finish their bodies, they hold what they may, and others go on."""
        body = post(path, b"Content-Length: 1000000\r\n", b"a" * 900_000)
        limit = {"api_unfinished_bytes": 8 * MIB, "api_unfinished_bytes_per_address": 4 * MIB}
        with run(**limit) as server, contextlib.ExitStack() as stack:
            whole = server.server.unfinished
            most = 0
            for number in range(HELD):
                one = stack.enter_context(connect(server, f"127.0.0.{number % 4 + 1}"))
                one.settimeout(0.5)
                with contextlib.suppress(OSError):  # who is refused is not read any more
                    one.sendall(body)
                most = max(most, whole.held_bytes)
                one.settimeout(scaled(SECONDS))
            assert most <= 8 * MIB
            assert is_served(server, "127.0.0.9")
            assert is_served(server)

    def test_heads(self, run: Run) -> None:
        """Heads without an end count as well; who holds too much is cut off."""
        with (
            run(api_unfinished_bytes_per_address=64 * KIB) as server,
            contextlib.ExitStack() as stack,
        ):
            whole = server.server.unfinished
            limit = whole.limits.bytes_per_address
            held = []
            for _ in range(limit // (10 * KIB) + 2):
                one = stack.enter_context(connect(server))
                one.sendall(HALF_HEAD + b"a" * 10 * KIB)
                held.append(one)
            assert eventually(lambda: whole.held_bytes > limit - 20 * KIB)
            assert eventually(lambda: any(_is_ended(one) for one in held))
            assert is_served(server, "127.0.0.2")

    def test_refused_in_the_middle(self, run: Run) -> None:
        """Who holds too much is told so, where its head was read; its other requests go on."""
        section = {"max_request_body_size": 64 * KIB}
        with run(section, api_unfinished_bytes_per_address=64 * KIB) as server:
            limit = server.server.unfinished.limits.bytes_per_address
            beginning = post("/", SESSION + JSON + b"Content-Length: 60000\r\n", b"a" * 50_000)
            with contextlib.ExitStack() as stack:
                held = [stack.enter_context(connect(server)) for _ in range(limit // 50_200)]
                for one in held:
                    one.sendall(beginning)
                with connect(server) as late:
                    status, sentence = answer(late, beginning)
                assert 429 == status
                assert "too many bytes" in sentence
                assert 400 == answer(held[0], b"a" * 10_000)[0]  # complete, and no JSON

    def test_all_together(self, run: Run) -> None:
        """When all hold too much, the largest of whoever holds most makes room."""
        section = {"max_request_body_size": 64 * KIB}
        with run(section, api_unfinished_bytes=64 * KIB) as server:
            limit = server.server.unfinished.limits.bytes_in_all
            with contextlib.ExitStack() as stack:
                for number in range(limit // 40_200):
                    one = stack.enter_context(connect(server, f"127.0.0.{number + 10}"))
                    one.sendall(
                        post("/", SESSION + JSON + b"Content-Length: 60000\r\n", b"a" * 40_000)
                    )
                large = stack.enter_context(connect(server, "127.0.0.2"))
                status, sentence = answer(
                    large, post("/", SESSION + JSON + b"Content-Length: 60000\r\n", b"a" * 50_000)
                )
                assert (503, True) == (status, "make room" in sentence)
                assert is_served(server, "127.0.0.3")

    def test_nothing_is_left(self, run: Run) -> None:
        """What is answered, or whose client has gone, is not held any more."""
        with run() as server:
            whole = server.server.unfinished
            with connect(server) as connection:
                for _ in range(3):
                    assert answer(connection, sized("/", b"{}", JSON))[0] in {401, 302}
                    assert 200 == answer(connection, GET)[0]
                assert 0 == whole.held_bytes
                connection.sendall(post("/", b"Content-Length: 10\r\n", b"a"))
                assert eventually(lambda: whole.held_bytes)
            assert eventually(lambda: not whole._holders)
            assert 0 == whole.held_bytes

    def test_many_requests_at_once(self, run: Run) -> None:
        """Requests that wait behind another one count for more than their bytes."""
        with run() as server, connect(server) as connection:
            with contextlib.suppress(OSError):
                for _ in range(100):
                    connection.sendall(GET * 1000)
            assert server.server.unfinished.held_bytes <= 8 * MIB
            assert is_served(server, "127.0.0.2")

    def test_proxies(self, run: Run) -> None:
        """Behind a trusted proxy the bytes are those of the clients that it names."""
        section = {"max_request_body_size": 64 * KIB, "trusted_proxies": ["127.0.0.1"]}
        with run(section, api_unfinished_bytes_per_address=64 * KIB) as server:
            limit = server.server.unfinished.limits.bytes_per_address

            def beginning(client: bytes) -> bytes:
                names = SESSION + JSON + b"X-Forwarded-For: " + client + b"\r\n"
                return post("/", names + b"Content-Length: 60000\r\n", b"a" * 30_000)

            with contextlib.ExitStack() as stack:
                for _ in range(limit // 30_200):
                    stack.enter_context(connect(server)).sendall(beginning(b"192.0.2.1"))
                assert eventually(lambda: server.server.unfinished.held_bytes > limit - 60_000)
                late, other = (stack.enter_context(connect(server)) for _ in range(2))
                assert 429 == answer(late, beginning(b"192.0.2.1") + b"a" * 29_000)[0]
                assert 400 == answer(other, beginning(b"192.0.2.2") + b"a" * 30_000)[0]


def _is_ended(connection: socket.socket) -> bool:
    connection.settimeout(0.01)
    try:
        return not connection.recv(65536)
    except TimeoutError:
        return False
    except ConnectionError:
        return True


class TestLength:
    """How long a body may be."""

    @pytest.mark.parametrize("path", ["/login", "/"])
    @pytest.mark.parametrize("is_chunked", [False, True])
    def test_without_a_session(self, run: Run, path: str, is_chunked: bool) -> None:
        """Who has no session sends little, and is told what to do."""
        body = text_of(100 * KIB)
        data = sized(path, body, JSON)
        if is_chunked:
            chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            data = post(path, JSON + b"Transfer-Encoding: chunked\r\n", chunks)
        with run() as server, connect(server) as connection:
            status, sentence = answer(connection, data)
            assert 413 == status
            assert "65536 bytes" in sentence
            assert "log in first" in sentence

    def test_with_a_session(self, run: Run) -> None:
        """With a session the module's maximum counts, as ever."""
        with run() as server:
            for size, expected in ((900 * KIB, 400), (MIB + 1, 413)):
                with connect(server) as connection:
                    data = sized("/", text_of(size), JSON + SESSION)
                    status, sentence = answer(connection, data)
                    assert expected == status
                    assert ("1048576 bytes" in sentence) == (expected == 413)

    def test_with_an_old_token(self, run: Run) -> None:
        """A token that has expired is what the client hears of, so that it logs in again."""
        with run() as server, connect(server) as connection:
            server.end_session()
            data = sized("/", text_of(900 * KIB), JSON + SESSION)
            assert answer(connection, data)[0] in {401, 302}

    @pytest.mark.parametrize("path", ["/run", "/hook/x"])
    @pytest.mark.parametrize(
        "hooks",
        [{"webhook_disable_auth": True}, {"webhook_secrets": {"x": {"type": "gitlab"}}}],
        ids=["open", "signed"],
    )
    def test_credentials_in_the_body(
        self, run: Run, tmp_path: Path, path: str, hooks: dict[str, Any]
    ) -> None:
        """Where who it is stands in the body, or in its signature, it may be long."""
        secret = tmp_path / "secret"
        secret.write_text("0123456789abcdef0123456789abcdef")
        secret.chmod(0o600)
        for one in hooks.get("webhook_secrets", {}).values():
            one["secret_file"] = str(secret)
        with run(hooks) as server, connect(server) as connection:
            assert 413 != answer(connection, sized(path, text_of(900 * KIB), JSON))[0]


class TestPace:
    """How slowly a request may come."""

    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make a second of what is ten."""
        monkeypatch.setattr(unfinished, "GRACE_SECONDS", 1.0)

    @pytest.mark.parametrize(
        "data",
        [
            post("/", SESSION + b"Content-Length: 100000\r\n"),
            post("/login", b"Content-Length: 100000\r\n"),
            post("/login", b"Transfer-Encoding: chunked\r\n", b"10000\r\n"),
        ],
        ids=["session", "login", "chunked"],
    )
    def test_dribblers(self, run: Run, data: bytes) -> None:
        """Who sends byte by byte is told that it is too slow, however short the pauses."""
        with run() as server, connect(server) as connection:
            connection.sendall(data)
            connection.settimeout(0.05)
            got: list[bytes] = []

            def is_answered() -> bool:
                with contextlib.suppress(OSError):
                    connection.sendall(b"x")
                try:
                    got.append(connection.recv(65536))
                except TimeoutError:
                    return False
                except OSError:
                    return True
                return not got[-1] or b"too slowly" in b"".join(got)

            assert eventually(is_answered)
            assert b"HTTP/1.1 408 " == got[0][:13]
            assert b"too slowly" in b"".join(got)
            assert is_served(server)

    def test_slow_and_fast_enough(self, run: Run) -> None:
        """An upload that is slow, and faster than the least rate, is taken."""
        size = 1000
        with run(api_min_body_rate_bytes=100) as server, connect(server) as connection:
            connection.sendall(post("/", SESSION + JSON + b"Content-Length: %d\r\n" % size))
            for _ in range(10):
                time.sleep(0.3)  # three times the grace in all, and three times the rate
                connection.sendall(b"a" * (size // 10))
            assert 400 == answer(connection)[0]

    def test_nothing_comes(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who falls silent in the middle is let go."""
        monkeypatch.setattr(unfinished, "PAUSE_SECONDS", 0.5)
        with run(api_min_body_rate_bytes=0) as server, connect(server) as connection:
            assert 408 == answer(connection, post("/", SESSION + b"Content-Length: 10\r\n"))[0]


class TestConnections:
    """How many connections one address may have."""

    def test_too_many(self, run: Run) -> None:
        """Connections over the limit are refused; other addresses are served, and room comes."""
        with run(api_connections_per_address=3) as server, contextlib.ExitStack() as stack:
            held = [stack.enter_context(connect(server)) for _ in range(3)]
            for one in held:
                assert 200 == answer(one, GET)[0]
            with connect(server) as late:
                status, sentence = answer(late)
                assert (429, True) == (status, "Too many connections" in sentence)
            assert is_served(server, "127.0.0.2")
            held[0].close()
            assert eventually(lambda: is_served(server))

    def test_no_limit(self, run: Run) -> None:
        """0 is no limit."""
        with run(api_connections_per_address=0) as server, contextlib.ExitStack() as stack:
            held = [stack.enter_context(connect(server)) for _ in range(50)]
            assert all(answer(one, GET)[0] == 200 for one in held)

    def test_streams(self, run: Run) -> None:
        """Streams are not counted; they need a session."""
        with run(api_connections_per_address=1) as server:
            with contextlib.ExitStack() as stack:
                for _ in range(3):
                    stream = stack.enter_context(connect(server))
                    stream.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n" + SESSION + b"\r\n")
                    assert b"HTTP/1.1 200 " == stream.recv(13)
                assert is_served(server)
            assert eventually(lambda: not server.server.unfinished._holders)
