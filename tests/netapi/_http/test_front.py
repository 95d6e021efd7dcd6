"""The loop in front of the threads: strangers hold none of them, and little else."""

import contextlib
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from saltapi.config import EngineConfig
from saltapi.errors import SaltApiError
from saltapi.netapi._http import front, unfinished
from saltapi.netapi._http.cheroot import Server
from saltapi.netapi._http.tls import use_tls
from tests.netapi.rest_cherrypy.streaming import certificate
from tests.waiting import eventually, scaled

ANSWER_SECONDS = 20.0
HELD = 150
KIB, MIB = 1024, 1024 * 1024
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
HALF_HEAD = b"GET / HTTP/1.1\r\nHost: x\r\nX: "
HALF_HANDSHAKE = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def post(headers: bytes, body: bytes = b"") -> bytes:
    return b"POST / HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n" + body


def sized(body: bytes) -> bytes:
    return post(b"Content-Length: %d\r\n" % len(body), body)


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Say how long the body is."""
    try:
        answer, status = b"%d bytes" % len(environ["wsgi.input"].read()), "200 OK"
    except SaltApiError as error:
        answer, status = str(error).encode(), f"{error.status} No"
    except ValueError:
        answer, status = b"broken", "400 No"
    start_response(status, [("Content-Length", str(len(answer)))])
    return [answer]


@contextmanager
def serving(
    app: Any = application,
    *,
    tls: ssl.SSLContext | None = None,
    threads: int = 1,
    body_bytes: int = MIB,
    is_known: Callable[[dict[str, Any]], bool] | None = None,
    **options: int,
) -> Iterator[Server]:
    """Run a server with few threads until the end of the block."""
    server = Server(
        ("127.0.0.1", 0), app, numthreads=threads, max=threads, timeout=30, request_queue_size=999
    )
    server.expiration_interval = 0.05
    server.bound(EngineConfig.parse(options), body_bytes, is_known)
    if tls is not None:
        use_tls(server, tls)
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


def connect(server: Server, source: str = "127.0.0.1") -> socket.socket:
    address = ("127.0.0.1", server.bind_addr[1])
    return socket.create_connection(address, scaled(ANSWER_SECONDS), (source, 0))


def answer(connection: socket.socket, data: bytes = b"") -> bytes:
    """Return one answer to *data*, or what there is of one; its body is not empty."""
    connection.sendall(data)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            return head
        head += byte
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    body = b""
    while len(body) < length and (part := connection.recv(length - len(body))):
        body += part
    return head + body


def rest(connection: socket.socket) -> bytes:
    """Return everything until the server ends the connection."""
    with contextlib.suppress(ConnectionResetError):
        return b"".join(iter(lambda: connection.recv(65536), b""))
    return b""


@pytest.fixture
def pair(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS contexts for a server and its clients."""
    return certificate(tmp_path)[:2]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a second of what is a quarter of a minute."""
    monkeypatch.setattr(front, "HEAD_SECONDS", 1.0)
    monkeypatch.setattr(unfinished, "GRACE_SECONDS", 1.0)


@contextmanager
def holding(server: Server, data: bytes) -> Iterator[list[socket.socket]]:
    """Have many connections on which *data* was sent."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(connect(server)) for _ in range(HELD)]
        for one in held:
            one.sendall(data)
        yield held


class TestThreads:
    """A thread is taken by what is complete."""

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"G",
            HALF_HEAD,
            post(b"Content-Length: 100\r\n", b"{"),
            post(b"Content-Length: 100\r\nExpect: 100-continue\r\n"),
            post(CHUNKED, b"64\r\n{"),
            post(CHUNKED, b"0\r\nX: y\r\n"),
        ],
        ids=["nothing", "byte", "head", "body", "expect", "chunk", "trailer"],
    )
    def test_unfinished_requests(self, data: bytes) -> None:
        """However many send half of something, the one thread answers who sends all."""
        with serving() as server, holding(server, data), connect(server) as connection:
            assert b"0 bytes" in answer(connection, GET)
            assert b"0 bytes" in answer(connection, GET)

    @pytest.mark.parametrize("data", [b"", HALF_HANDSHAKE], ids=["nothing", "half"])
    def test_unfinished_handshakes(
        self, pair: tuple[ssl.SSLContext, ssl.SSLContext], data: bytes
    ) -> None:
        """A TLS handshake that is not finished holds none either."""
        with serving(tls=pair[0]) as server, holding(server, data), connect(server) as plain:
            connection = pair[1].wrap_socket(plain, server_hostname="127.0.0.1")
            assert b"0 bytes" in answer(connection, GET)
            assert b"5000 bytes" in answer(connection, sized(b"a" * 5000))
            connection.close()

    @pytest.mark.parametrize("sent", [HALF_HEAD, post(b"Content-Length: 90\r\n"), HALF_HANDSHAKE])
    def test_dribblers(
        self, impatient: None, pair: tuple[ssl.SSLContext, ssl.SSLContext], sent: bytes
    ) -> None:
        """Who sends byte by byte is answered 408 after the grace, however short the pauses."""
        tls = pair[0] if sent is HALF_HANDSHAKE else None
        with serving(tls=tls) as server, connect(server) as connection:
            connection.sendall(sent)
            connection.settimeout(0.05)
            got: list[bytes] = []

            def ended() -> bool:
                with contextlib.suppress(OSError):
                    connection.sendall(b"x")
                try:
                    got.append(connection.recv(65536))
                except TimeoutError:
                    return False
                except ConnectionError:
                    return True
                return True

            assert eventually(ended)
            assert tls is not None or b"HTTP/1.1 408 " in got[0]
            assert eventually(lambda: not server.unfinished._holders)

    def test_slow_upload(self, impatient: None) -> None:
        """An upload that is slow, and faster than the least rate, is taken."""
        rate, size = 100, 1000
        with serving(api_min_body_rate_bytes=rate) as server, connect(server) as connection:
            connection.sendall(post(b"Content-Length: %d\r\n" % size))
            for _ in range(10):
                time.sleep(0.3)  # three times the grace in all, and three times the rate
                connection.sendall(b"a" * (size // 10))
            assert b"1000 bytes" in answer(connection)

    def test_pipelined_flood(self) -> None:
        """Whoever sends thousands of requests at once has them answered in turn with others."""
        answered: list[str] = []
        both_sent = threading.Event()

        def noting(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            both_sent.wait(scaled(ANSWER_SECONDS))
            answered.append(environ["PATH_INFO"])
            return application(environ, start_response)

        with serving(noting) as server, connect(server) as many, connect(server) as one:
            many.sendall(GET * 1000)
            one.sendall(GET.replace(b"/ ", b"/one ", 1))
            both_sent.set()
            assert b"0 bytes" in answer(one)
            for _ in range(1000):
                assert b"0 bytes" in answer(many)
        assert answered.index("/one") < 900

    def test_the_queue_is_not_held_up_by_knowing(self) -> None:
        """To find out who somebody is takes a thread for that long, not for the upload."""
        body = b"a" * 1000
        with (
            serving(is_known=lambda _: True, api_stranger_body_bytes=10) as server,
            holding(server, post(b"Content-Length: 1000\r\n", body[:-1])),
            connect(server) as connection,
        ):
            assert b"1000 bytes" in answer(connection, sized(body))


class TestHttp:
    """What works as before, now that the front reads."""

    def test_pieces(self) -> None:
        """A request may come in any pieces, and behind another one."""
        data = sized(b"abc") + post(
            CHUNKED.replace(b"\r\n", b"\r\nX: y\r\n"), b"1\r\na\r\n0\r\n\r\n"
        )
        with serving() as server, connect(server) as connection:
            for number in range(len(data)):
                connection.sendall(data[number : number + 1])
            assert b"3 bytes" in answer(connection)
            assert b"1 bytes" in answer(connection)
            assert b"" == rest(connection)

    def test_large_bodies(self, pair: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
        """Bodies of the largest size come through, plain and with TLS."""
        with serving(tls=pair[0]) as server, connect(server) as plain:
            connection = pair[1].wrap_socket(plain, server_hostname="127.0.0.1")
            for _ in range(3):
                assert b"1048576 bytes" in answer(connection, sized(b"a" * MIB))
            connection.close()

    @pytest.mark.parametrize("body", [b"abc", b""])
    def test_continue(self, body: bytes) -> None:
        """A client that waits for a 100 gets one, unless there is nothing to wait for."""
        headers = b"Expect: 100-continue\r\nContent-Length: %d\r\n" % len(body)
        with serving() as server, connect(server) as connection:
            connection.sendall(post(headers))
            if body:
                expected = b"HTTP/1.1 100 Continue\r\n\r\n"
                assert expected == b"".join(connection.recv(1) for _ in expected)
            assert answer(connection, body).endswith(b"%d bytes" % len(body))

    def test_continue_for_nothing(self) -> None:
        """A body that is too long is refused before it is sent, in place of the 100."""
        headers = b"Expect: 100-continue\r\nContent-Length: 101\r\n"
        with serving(body_bytes=100) as server, connect(server) as connection:
            assert answer(connection, post(headers)).startswith(b"HTTP/1.1 413 ")
            assert b"" == rest(connection)

    def test_continue_is_a_lie(self) -> None:
        """A client that asks for a 100, and sends all the same, loses nothing by it."""
        data = post(b"Expect: 100-continue\r\nContent-Length: 3\r\n", b"abc")
        with serving() as server, connect(server) as connection:
            connection.sendall(data + data)
            got = answer(connection)
            assert got.endswith(b"3 bytes")
            assert answer(connection).endswith(b"3 bytes")

    def test_trailers(self) -> None:
        """A field behind the body is no header."""

        def named(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            body = environ["wsgi.input"].read() + environ.get("HTTP_X_AUTH_TOKEN", "-").encode()
            start_response("200 OK", [("Content-Length", str(len(body)))])
            return [body]

        data = post(CHUNKED, b"1\r\na\r\n0\r\nX-Auth-Token: b\r\n\r\n")
        with serving(named) as server, connect(server) as connection:
            assert answer(connection, data).endswith(b"\r\n\r\na-")

    def test_the_end_of_a_client(self) -> None:
        """A client that ends its half of the connection in a body is told so."""
        with serving() as server, connect(server) as connection:
            connection.sendall(post(b"Content-Length: 3\r\n", b"ab"))
            connection.shutdown(socket.SHUT_WR)
            assert rest(connection).endswith(b"The body is shorter than its Content-Length.")

    def test_refused_while_it_sends(self) -> None:
        """Who sends what is too long, and goes on sending, can read why it was refused."""
        with serving(body_bytes=1000) as server, connect(server) as connection:
            connection.sendall(post(b"Content-Length: %d\r\n" % (4 * MIB)))
            for _ in range(64):
                connection.sendall(b"a" * (64 * KIB))
            assert b"413 " in answer(connection)

    def test_keep_alive_ends(self) -> None:
        """A connection that waits for its next request too long is ended without a word."""
        with serving() as server, connect(server) as connection:
            server.timeout = 0.2
            assert b"0 bytes" in answer(connection, GET)
            assert b"" == rest(connection)

    def test_keep_alive_outlasts_clients(self, impatient: None) -> None:
        """The time that a head may take is not that for which the next one may be waited for."""
        with serving() as server, connect(server) as connection:
            assert b"0 bytes" in answer(connection, GET)
            with connect(server) as silent:
                assert b"" == rest(silent)
            assert b"0 bytes" in answer(connection, GET)

    def test_the_last_request(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """When the server stops, what comes on a connection that waits has an answer: the last."""
        monkeypatch.setattr(front, "LAST_REQUEST_SECONDS", scaled(ANSWER_SECONDS))
        with serving() as server, connect(server) as connection, connect(server) as other:
            assert b"\r\nConnection: close\r\n" not in answer(connection, GET)
            answer(other, GET)
            stopping = threading.Thread(target=server.stop)
            stopping.start()
            assert eventually(
                lambda: b"\r\nConnection: close\r\n" in answer(connection, GET),
            )
            assert b"" == rest(connection)
            assert b"\r\nConnection: close\r\n" in answer(other, GET)
            assert b"" == rest(other)
            stopping.join()


class TestBounds:
    """How much strangers hold."""

    def test_connections_of_an_address(self) -> None:
        """An address that has its connections is told so, and another one has its own."""
        with (
            serving(api_connections_per_address=3) as server,
            contextlib.ExitStack() as stack,
        ):
            held = [stack.enter_context(connect(server)) for _ in range(3)]
            assert b"0 bytes" in answer(held[2], GET)
            with connect(server) as connection:
                got = rest(connection)
                assert got.startswith(b"HTTP/1.1 429 ")
                assert b"\r\nRetry-After: " in got
                assert b"Too many connections are open from this address" in got
            with connect(server, "127.0.0.2") as other:
                assert b"0 bytes" in answer(other, GET)
            held.pop().close()

            def again() -> bool:
                with connect(server) as connection:
                    return b"0 bytes" in answer(connection, GET)

            assert eventually(again)

    def test_connections_with_tls(self, pair: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
        """Where nothing can be said yet the connection is closed."""
        with serving(tls=pair[0], api_connections_per_address=1) as server, connect(server):
            assert eventually(lambda: server.unfinished._holders)
            with connect(server) as connection:
                assert b"" == rest(connection)

    def test_bytes_of_an_address(self) -> None:
        """An address that holds too much of unfinished requests is told so; others go on."""
        half = post(b"Content-Length: 90000\r\n", b"a" * 60_000)
        with (
            serving(api_unfinished_bytes_per_address=100_000, body_bytes=90_000) as server,
            connect(server) as first,
            connect(server) as second,
            connect(server) as third,
            connect(server, "127.0.0.2") as other,
        ):
            server.unfinished.limits = unfinished.Limits(10**9, 170_000, 10, 0)
            first.sendall(half)
            assert eventually(lambda: server.unfinished.held_bytes > 60_000)
            second.sendall(half)
            assert eventually(lambda: server.unfinished.held_bytes > 120_000)
            got = answer(third, half)
            assert got.startswith(b"HTTP/1.1 429 ")
            assert b"too many bytes of unfinished requests" in got
            assert b"90000 bytes" in answer(other, sized(b"a" * 90_000))
            assert b"90000 bytes" in answer(first, b"a" * 30_000)
            assert b"90000 bytes" in answer(second, b"a" * 30_000)
            assert 0 == server.unfinished.held_bytes

    def test_bytes_in_all(self) -> None:
        """When all hold too much, who holds most makes room for a small request."""
        with (
            serving() as server,
            connect(server, "127.0.0.2") as greedy,
            connect(server) as connection,
        ):
            server.unfinished.limits = unfinished.Limits(60_000, 10**9, 10, 0)
            greedy.sendall(post(b"Content-Length: 90000\r\n", b"a" * 59_900))
            assert eventually(lambda: server.unfinished.held_bytes > 59_900)
            connection.sendall(sized(b"b" * 1000))
            assert b"1000 bytes" in answer(connection)
            got = answer(greedy)
            assert got.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nRetry-After: " in got

    @pytest.mark.parametrize("chunked", [False, True])
    @pytest.mark.parametrize("known", [False, True])
    def test_strangers(self, chunked: bool, known: bool) -> None:
        """A body that is longer than strangers may send is taken from who is known."""
        asked: list[str] = []

        def is_known(environ: dict[str, Any]) -> bool:
            asked.append(environ["HTTP_X_AUTH_TOKEN"])
            return known

        body = b"a" * 200
        head = b"X-Auth-Token: x\r\n"
        if chunked:
            data = post(head + CHUNKED, b"64\r\n" + body[:100] + b"\r\n64\r\n" + body[:100])
            data += b"\r\n0\r\n\r\n"
        else:
            data = post(head + b"Content-Length: 200\r\n", body)
        with serving(is_known=is_known, api_stranger_body_bytes=150) as server:
            with connect(server) as connection:
                got = answer(connection, data)
            with connect(server) as connection:
                assert b"150 bytes" in answer(connection, sized(b"a" * 150))
        assert ["x"] == asked
        if known:
            assert got.endswith(b"200 bytes")
        else:
            assert got.startswith(b"HTTP/1.1 413 ")
            assert b"The body is larger than 150 bytes, which is the most without a session" in got

    def test_tls_clients_that_leave(
        self, pair: tuple[ssl.SSLContext, ssl.SSLContext], caplog: pytest.LogCaptureFixture
    ) -> None:
        """Who goes in the middle of his answer writes no traceback into the log."""
        gone = threading.Event()

        def late(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            gone.wait(scaled(ANSWER_SECONDS))
            return application(environ, start_response)

        with serving(late, tls=pair[0]) as server:
            with connect(server) as plain:
                connection = pair[1].wrap_socket(plain, server_hostname="127.0.0.1")
                connection.sendall(GET)
                assert eventually(lambda: not server.front._connections())
                connection.close()
            gone.set()
            assert eventually(lambda: not server.unfinished._holders)
        assert [] == [one for one in caplog.records if one.exc_info]

    def test_nothing_is_kept(self, pair: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
        """However connections end, nothing of them is counted afterwards."""
        with serving(body_bytes=1000) as server, holding(server, HALF_HEAD) as held:
            for data in (GET, b"nonsense\r\n\r\n", sized(b"a" * 2000), b"\n", HALF_HEAD):
                with connect(server) as connection:
                    connection.sendall(data)
            for one in held:
                one.close()
            assert eventually(lambda: not server.unfinished._holders)
            assert 0 == server.unfinished.held_bytes
            assert eventually(lambda: not server.front._connections())
            assert 0 == server.front._lingering

    def test_no_descriptor_left(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """When the process can open nothing more, idle connections make room for new ones."""
        with serving() as server, holding(server, b"") as held:
            assert eventually(lambda: HELD == len(server.front._connections()))
            refused = iter([OSError(24, "Too many open files")])
            real = server.socket

            class Full:
                """A socket that can accept nothing once."""

                def accept(self) -> Any:
                    for error in refused:
                        raise error
                    return real.accept()

                def __getattr__(self, name: str) -> Any:
                    return getattr(real, name)

            monkeypatch.setattr(server, "socket", Full())
            with connect(server) as connection:
                assert b"0 bytes" in answer(connection, GET)
            monkeypatch.undo()
            ended = selectors.DefaultSelector()
            for one in held:
                ended.register(one, selectors.EVENT_READ)
            assert len(ended.select(scaled(ANSWER_SECONDS))) >= 1
            ended.close()


class TestAnswers:
    """Who does not read holds no thread either."""

    @staticmethod
    def of_size(size: int) -> Any:
        """Return an application that answers with so many bytes at `/large`."""

        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            if environ["PATH_INFO"] != "/large":
                return application(environ, start_response)
            start_response("200 OK", [("Content-Length", str(size))])
            return [bytes(size)]

        return app

    @staticmethod
    def ask(server: Server) -> socket.socket:
        """Return a connection with small buffers that has asked for the large answer."""
        server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        connection = socket.socket()
        connection.settimeout(scaled(ANSWER_SECONDS))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.bind_addr[1]))
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return connection

    def test_who_does_not_read(self) -> None:
        """Many who do not read their answers leave the one thread to others."""
        with serving(self.of_size(500 * KIB)) as server, contextlib.ExitStack() as stack:
            for _ in range(10):
                stack.enter_context(self.ask(server))
            with connect(server) as connection:
                assert b"0 bytes" in answer(connection, GET)
            assert eventually(lambda: server.unfinished.held_bytes > 10 * 100 * KIB)

    def test_what_is_held_for_them(self) -> None:
        """What waits for them is counted, and those of one address who are too many are cut."""
        with serving(self.of_size(MIB)) as server, contextlib.ExitStack() as stack:
            server.unfinished.limits = unfinished.Limits(10**9, 2 * MIB, 100, 1)
            waiting = [stack.enter_context(self.ask(server)) for _ in range(10)]
            with connect(server) as connection:
                assert b"0 bytes" in answer(connection, GET)
            assert server.unfinished.held_bytes <= 2 * MIB
            whole = [len(rest(one)) > MIB for one in waiting]
            assert 1 <= sum(whole) < 10

    def test_large_answers(self, pair: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
        """An answer of many parts comes whole, and another one behind it."""
        large = GET.replace(b"/ ", b"/large ", 1)
        with serving(self.of_size(5 * MIB), tls=pair[0]) as server, connect(server) as plain:
            connection = pair[1].wrap_socket(plain, server_hostname="127.0.0.1")
            for _ in range(2):
                assert answer(connection, large).endswith(b"\r\n\r\n" + bytes(5 * MIB))
            assert b"0 bytes" in answer(connection, GET)
            connection.close()

    def test_very_large_answers(self) -> None:
        """Those for whom a thread must wait take half of them at most."""
        with (
            serving(self.of_size(20 * MIB), threads=2) as server,
            contextlib.ExitStack() as stack,
        ):
            waiting = [stack.enter_context(self.ask(server)) for _ in range(5)]
            with connect(server) as connection:
                assert b"0 bytes" in answer(connection, GET)
            whole = [len(rest(one)) > 20 * MIB for one in waiting]
            assert 1 == sum(whole)

    @pytest.mark.parametrize("size", [MIB, 20 * MIB])
    def test_too_slow(self, impatient: None, size: int) -> None:
        """An answer that is not read at the least rate is cut off, and nothing is kept of it."""
        with (
            serving(self.of_size(size), api_min_body_rate_bytes=10 * MIB) as server,
            self.ask(server) as connection,
        ):
            assert eventually(lambda: server.unfinished._holders)
            assert eventually(lambda: not server.unfinished._holders)
            assert len(rest(connection)) < size

    @pytest.mark.parametrize("size", [MIB, 20 * MIB])
    def test_stop(self, size: int) -> None:
        """An answer that has begun is sent to its end when the server stops."""
        with serving(self.of_size(size)) as server, self.ask(server) as connection:
            server.shutdown_timeout = 60
            assert connection.recv(1)
            stopping = threading.Thread(target=server.stop)
            stopping.start()
            assert len(rest(connection)) > size
            stopping.join()

    def test_stop_does_not_wait_for_ever(self) -> None:
        """Who does not read his answer does not keep the server from stopping."""
        with serving(self.of_size(20 * MIB)) as server, self.ask(server) as connection:
            server.shutdown_timeout = 1
            assert connection.recv(1)
            server.stop()
