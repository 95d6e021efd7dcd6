"""Where the module listens, TLS, the head of a request, and several processes."""

import contextlib
import datetime
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from saltapi import config
from saltapi.config import KIB, RestAsgiConfig
from saltapi.demo import PrivateMaster
from saltapi.errors import CannotStart
from saltapi.netapi.rest_asgi import protocol
from saltapi.netapi.rest_asgi.server import listening
from tests.apis import OURS, ApiServer
from tests.daemons import children_of, free_port
from tests.netapi.certificates import Certificates, get, served_certificate
from tests.netapi.rest_asgi.running import NAME, RunningServer
from tests.netapi.running import HOST, TOKEN, read_all, request
from tests.waiting import eventually, scaled

SECONDS = 20.0
GET = b"GET / HTTP/1.1\r\nHost: x\r\n"


def sections(**options: Any) -> RestAsgiConfig:
    """Return the section with *options*."""
    return RestAsgiConfig.parse({"host": HOST, "disable_ssl": True, **options})


# TLS


def tls_server(directory: Path, certificates: Certificates, **options: Any) -> RunningServer:
    """Return the module with TLS; it is not started."""
    options |= {"ssl_crt": certificates.crt, "ssl_key": certificates.key}
    return RunningServer(directory, disable_ssl=False, **options)


def test_tls(tmp_path: Path, certificates: Certificates) -> None:
    """With `ssl_crt` and `ssl_key` the module speaks TLS; reloading takes a new certificate."""
    with tls_server(tmp_path, certificates) as server:
        assert 200 == get(server, certificates.client())[0]
        assert f"https://{HOST}:{server.port}" == server.server.url
        before = served_certificate(server, certificates.client())
        certificates.write_server(not_after=datetime.datetime(2100, 1, 1))
        server.server.reload()
        assert before != served_certificate(server, certificates.client())


@pytest.mark.parametrize(("common_name", "status"), [("alice", 200), ("mallory", 403)])
def test_client_certificates(
    tmp_path: Path, certificates: Certificates, common_name: str, status: int
) -> None:
    """Only the names that `ssl_allowed_cn` lists are let in."""
    options = {
        "ssl_ca_certs": certificates.ca,
        "ssl_cert_reqs": "CERT_REQUIRED",
        "ssl_allowed_cn": ["alice"],
    }
    with tls_server(tmp_path, certificates, **options) as server:
        assert status == get(server, certificates.client(common_name))[0]
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
            get(server, certificates.client())


def test_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a port or a socket the module does not run, and says so."""
    from saltapi.netapi import rest_asgi

    monkeypatch.setattr(rest_asgi, "__opts__", {})  # whatever the loader has left there
    assert rest_asgi.__virtual__() == (
        False,
        "The master config has no rest_asgi section with a port or a socket.",
    )


# Where it listens


def test_port_in_use() -> None:
    """A port that is taken is a reason not to start, with a sentence."""
    with socket.create_server((HOST, 0)) as taken:
        section = sections(port=taken.getsockname()[1])
        with pytest.raises(CannotStart, match="Choose another port"), listening(section, NAME):
            pass


def test_unix_socket_that_is_in_the_way(tmp_path: Path) -> None:
    """A socket that a dead process has left is replaced; one that lives, or a file, is not."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    section = sections(socket=str(path))
    with listening(section, NAME) as (live,):
        assert str(path) == live.getsockname()
        assert 0o660 == path.stat().st_mode & 0o777
        with pytest.raises(CannotStart, match="in use"), listening(section, NAME):
            pass
        assert path.exists()
    assert not path.exists()
    path.write_text("mine")
    with pytest.raises(CannotStart, match="unix socket"), listening(section, NAME):
        pass
    assert "mine" == path.read_text()


def get_over_unix(path: Path) -> int:
    """Return the status of `GET /` over a unix socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(scaled(SECONDS))
        connection.connect(str(path))
        connection.sendall(GET + b"Connection: close\r\n\r\n")
        return int(read_all(connection).split()[1])


def test_unix_socket_and_port(master: PrivateMaster) -> None:
    """With `socket` the module answers on a unix socket, beside a port or without."""
    path = master.directory / "asgi.sock"
    with ApiServer(master, OURS, {"socket": str(path)}, module=NAME) as server:
        assert 200 == get_over_unix(path)
        assert 200 == server.send("GET", "/").status
    assert not path.exists()


ACTIVATED = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="door")
os.execv(sys.executable, [sys.executable, "-P", "-m", "saltapi", "-c", sys.argv[2]])
"""


def test_systemd_socket(tmp_path: Path) -> None:
    """With `systemd_socket` the module takes the socket that systemd has opened."""
    values = {
        "root_dir": str(tmp_path),
        "pidfile": str(tmp_path / "pid"),
        "api_pidfile": str(tmp_path / "api.pid"),
        "api_logfile": str(tmp_path / "api.log"),
        "function_workers": 0,
        NAME: {"systemd_socket": "door", "disable_ssl": True},
    }
    config_file = tmp_path / "master"
    config_file.write_text(str(values))  # a mapping of Python's is YAML too
    with socket.create_server((HOST, 0)) as opened:
        command = [sys.executable, "-c", ACTIVATED, str(opened.fileno()), str(tmp_path)]
        with subprocess.Popen(command, pass_fds=[opened.fileno()]) as daemon:
            try:
                with socket.create_connection(opened.getsockname()) as connection:
                    connection.settimeout(scaled(SECONDS))
                    connection.sendall(GET + b"Connection: close\r\n\r\n")
                    assert b"HTTP/1.1 200 " == read_all(connection)[:13]
            finally:
                daemon.terminate()


def test_systemd_socket_that_is_not_there() -> None:
    """Without a socket of systemd's there is a sentence that says what to do."""
    section = sections(systemd_socket="door")
    with pytest.raises(CannotStart, match="FileDescriptorName"), listening(section, NAME):
        pass


# The head of a request


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """The module with small limits."""
    directory = tmp_path_factory.mktemp("asgi")
    with RunningServer(directory, max_request_head_size=4 * KIB) as running:
        yield running


def exchange(server: RunningServer, data: bytes) -> bytes:
    """Return everything that the server answers to *data*."""
    with server.connect() as connection:
        connection.sendall(data)
        return read_all(connection)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
        (GET + b"X: " + b"a" * 5000 + b"\r\n\r\n", 431),
        (GET + b"A: b\r\n" * (protocol.HEADERS_LIMIT + 1) + b"\r\n", 431),
        (GET + b"X: " + b"a" * 5000, 431),  # nobody waits for its end
        (b"nonsense\r\n\r\n", 400),
        (GET + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (GET + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (GET + b"Content-Length: -1\r\n\r\n", 400),
        (GET + b"X : y\r\n\r\n", 400),
        (GET + b"X: a\r\n b\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ],
    ids=lambda value: repr(value[:60]) if isinstance(value, bytes) else str(value),
)
def test_heads_that_are_refused(server: RunningServer, data: bytes, status: int) -> None:
    """A head that is too large, or ambiguous, is refused with a sentence; the connection ends."""
    answer = exchange(server, data)
    head, _, body = answer.partition(b"\r\n\r\n")

    assert f"HTTP/1.1 {status}".encode() == head[:12]
    assert b"connection: close" in head.lower()
    beginning = b'{"status": %d, "return": "The ' % status
    assert beginning == body[: len(beginning)]


def test_a_head_without_end(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not finish its head is let go; so is one that says nothing at all."""
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_SECONDS", 0.2)
    for data in (b"", GET):
        began_at = time.monotonic()
        with server.connect() as connection:
            connection.sendall(data)
            assert b"" == read_all(connection)
        assert time.monotonic() - began_at < scaled(SECONDS)


def chunked(fields: bytes, trailer: bytes) -> bytes:
    """Return a request to fire a hook, whose body has a trailer."""
    head = b"POST /hook/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + fields
    return head + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + trailer + b"\r\n"


@pytest.mark.parametrize(
    "name", [b"X-Auth-Token: ", b"Authorization: Bearer ", b"Cookie: session_id="]
)
def test_trailers_are_no_headers(server: RunningServer, name: bytes) -> None:
    """What comes behind a body is dropped: whoever let the head pass has not seen it (RFC 9110)."""
    field = name + TOKEN.encode() + b"\r\n"
    json = b"Content-Type: application/json\r\n"
    assert b" 401 " in exchange(server, chunked(json, field)).splitlines()[0]
    assert b" 401 " not in exchange(server, chunked(json + field, b"X: y\r\n")).splitlines()[0]


@pytest.mark.parametrize("piece", [b"a" * 1000, b"aaa\r\nX-A: " * 100])
def test_trailers_without_end(server: RunningServer, piece: bytes) -> None:
    """A trailer is limited as a head is, also one line of it that does not end."""
    with server.connect() as connection:
        connection.sendall(chunked(b"", b"X-A: ").removesuffix(b"\r\n"))

        def is_cut_off() -> bool:
            try:
                connection.sendall(piece)
            except ConnectionError:
                return True
            return False

        assert eventually(is_cut_off)


def test_empty_lines_for_ever(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty lines between requests keep no connection."""
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_SECONDS", 0.5)
    with server.connect() as connection:
        connection.sendall(GET + b"\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")

        def ended() -> bool:
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"\r\n")
                connection.settimeout(0.05)
                try:
                    return not connection.recv(65536)
                except TimeoutError:
                    return False
            return True

        assert eventually(ended)


def test_pipelined_requests(server: RunningServer) -> None:
    """Requests that come together are answered in their order, also behind a longer head."""
    answers = exchange(server, GET + b"\r\n" + GET + b"Connection: close\r\n\r\n")
    assert 2 == answers.count(b"HTTP/1.1 200 ")


# Processes


@pytest.fixture(scope="module")
def processes(master: PrivateMaster) -> Iterator[ApiServer]:
    """The module in two processes."""
    with ApiServer(master, OURS, {"workers": 2}, module=NAME) as server:
        eventually(lambda: len(workers(server)) == 2)
        yield server


def workers(server: ApiServer) -> list[int]:
    """Return the processes that serve."""
    pidfile = config.load(server.directory)["pidfile"]
    modules = children_of(int(Path(pidfile).read_text()))
    return [worker for module in modules for worker in children_of(module)]


def test_sessions_belong_to_all_processes(processes: ApiServer) -> None:
    """A session works whichever process answers; so does its end."""
    headers = {"X-Auth-Token": processes.login()}
    assert {200} == {processes.send("GET", "/keys", headers=headers).status for _ in range(8)}
    processes.send("POST", "/logout", headers=headers)
    eventually(
        lambda: {401} == {processes.send("GET", "/keys", headers=headers).status for _ in range(6)}
    )


def test_a_process_that_dies(processes: ApiServer) -> None:
    """A process that is killed is replaced; the others answer meanwhile."""
    before = set(workers(processes))
    os.kill(min(before), signal.SIGKILL)
    eventually(lambda: len(workers(processes)) == 2 and set(workers(processes)) != before)
    assert 200 == processes.send("GET", "/").status


def test_stopping_finishes_what_is_in_flight(master: PrivateMaster) -> None:
    """A request that is being answered when the service stops gets its answer."""
    with ApiServer(master, OURS, module=NAME) as server:
        token = server.login()
        chunk = b'{"client": "local", "tgt": "minion-1", "fun": "test.sleep", "arg": [2]}'
        head = request("/", {"X-Auth-Token": token}).replace(b"GET", b"POST", 1)[:-2]
        head += b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(chunk)
        with socket.create_connection((HOST, server.port), timeout=scaled(SECONDS)) as connection:
            connection.sendall(head + chunk)
            eventually(lambda: "test.sleep" in running_jobs(server))
            pidfile = Path(config.load(server.directory)["pidfile"])
            os.kill(int(pidfile.read_text()), signal.SIGTERM)
            assert b'{"return": [{"minion-1": true}]}' in read_all(connection)


def running_jobs(server: ApiServer) -> str:
    """Return what the minion is running now."""
    proc = server.master.directory / "minion-1"
    found = [path.read_bytes() for path in proc.rglob("proc/*") if path.is_file()]
    return b" ".join(found).decode("latin-1")


# Other servers


def test_any_asgi_server(master: PrivateMaster) -> None:
    """uvicorn itself serves `saltapi.netapi.rest_asgi:app`, with the config named in a variable."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "saltapi.netapi.rest_asgi:app"]
    command += ["--host", HOST, "--port", str(port), "--log-level", "warning"]
    environment = {**os.environ, "SALT_MASTER_CONFIG": str(master.config_dir / "master")}
    with subprocess.Popen(command, env=environment) as program:
        try:

            def answers() -> bool:
                with contextlib.suppress(OSError):
                    connection = http.client.HTTPConnection(HOST, port, timeout=scaled(SECONDS))
                    connection.request("GET", "/")
                    return connection.getresponse().status == 200
                return False

            eventually(answers)
        finally:
            program.terminate()
        # uvicorn stops in order, then dies of the signal as if it had not caught it.
        assert -signal.SIGTERM == program.wait(scaled(SECONDS))


def test_without_the_server_header(tmp_path: Path) -> None:
    """`server_header: False` takes the header away."""
    with RunningServer(tmp_path, server_header=False) as server:
        assert server.send("GET", "/livez").header("Server") is None
