"""The options of the section, TLS, and several processes."""

import contextlib
import datetime
import http.client
import os
import signal
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from saltapi import config
from saltapi.config import KIB, MIB, RestTornadoConfig
from saltapi.demo import PrivateMaster
from saltapi.errors import CannotStart
from saltapi.netapi.rest_tornado.server import bind
from saltapi.process.tls import server_context
from tests.apis import OURS, ApiServer
from tests.daemons import children_of
from tests.netapi.certificates import Certificates, get, served_certificate
from tests.netapi.rest_tornado.running import HOST, NAME, RunningServer, read_until, request
from tests.waiting import eventually

# TLS


def test_tls(tmp_path: Path, certificates: Certificates) -> None:
    """With `ssl_crt` and `ssl_key` the module speaks TLS, also on its streams."""
    with RunningServer(
        tmp_path,
        disable_ssl=False,
        ssl_crt=certificates.crt,
        ssl_key=certificates.key,
        websockets=True,
    ) as server:
        assert 200 == get(server, certificates.client())[0]
        assert f"https://{HOST}:{server.port}" == server.server.url
        context = certificates.client()
        with context.wrap_socket(server.connect(), server_hostname=HOST) as connection:
            connection.sendall(request("/events", version="1.0"))
            read_until(connection, b"retry: 400\n")
            server.fire("a")
            assert b'tag: a\ndata: {"data": {}, "tag": "a"}\n\n' == read_until(connection, b"\n\n")


def test_key_in_the_certificates_file(tmp_path: Path, certificates: Certificates) -> None:
    """`ssl_cert` alone is enough if the key is in that file (0.8.4)."""
    with RunningServer(tmp_path, disable_ssl=False, ssl_cert=certificates.both) as server:
        assert 200 == get(server, certificates.client())[0]


def test_reload(tmp_path: Path, certificates: Certificates) -> None:
    """Reloading takes the new certificate; connections that are open stay."""
    with RunningServer(
        tmp_path, disable_ssl=False, ssl_crt=certificates.crt, ssl_key=certificates.key
    ) as server:
        before = served_certificate(server, certificates.client())
        certificates.write_server(not_after=datetime.datetime(2100, 1, 1))
        server.server.reload()
        assert before != served_certificate(server, certificates.client())


def test_without_a_certificate() -> None:
    """Without a certificate and without `disable_ssl` the module does not start."""
    with pytest.raises(CannotStart, match="make-cert"):
        server_context(RestTornadoConfig.parse({"port": 1}), NAME)


@pytest.mark.parametrize(("common_name", "status"), [("alice", 200), ("mallory", 403)])
def test_client_certificates(
    tmp_path: Path, certificates: Certificates, common_name: str, status: int
) -> None:
    """Only the names that `ssl_allowed_cn` lists are let in."""
    with RunningServer(
        tmp_path,
        disable_ssl=False,
        ssl_crt=certificates.crt,
        ssl_key=certificates.key,
        ssl_ca_certs=certificates.ca,
        ssl_cert_reqs="CERT_REQUIRED",
        ssl_allowed_cn=["alice"],
    ) as server:
        assert status == get(server, certificates.client(common_name))[0]
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
            get(server, certificates.client())


def test_silent_clients_keep_nobody_out(tmp_path: Path, certificates: Certificates) -> None:
    """Clients that connect and do not shake hands hold nobody up."""
    with (
        RunningServer(
            tmp_path, disable_ssl=False, ssl_crt=certificates.crt, ssl_key=certificates.key
        ) as server,
        contextlib.ExitStack() as stack,
    ):
        for _ in range(50):
            stack.enter_context(server.connect())
        assert 200 == get(server, certificates.client())[0]


# Addresses and limits


def test_host_is_address() -> None:
    """`host`, the name of the option in rest_cherrypy, works too."""
    assert "::1" == RestTornadoConfig.parse({"port": 1, "host": "::1"}).address
    assert RestTornadoConfig.parse({"port": 1}).address is None


def test_address_in_use() -> None:
    """A port that is taken is a reason not to start, with a sentence."""
    with socket.create_server((HOST, 0)) as taken:
        section = RestTornadoConfig.parse({"port": taken.getsockname()[1], "address": HOST})
        with pytest.raises(CannotStart, match="Choose another port"):
            bind(section, NAME)


def test_authorized_ips(tmp_path: Path) -> None:
    """Addresses that are not listed get 403 everywhere, whatever headers say."""
    with RunningServer(tmp_path, authorized_ips=["192.0.2.1"]) as server:
        headers = {"Remote-Addr": "192.0.2.1", "X-Forwarded-For": "192.0.2.1"}
        for method, path in [("GET", "/"), ("POST", "/login"), ("GET", "/nope"), ("PUT", "/")]:
            assert 403 == server.send(method, path, headers=headers).status


def test_api_acl(tmp_path: Path) -> None:
    """A user who is tied to other addresses cannot log in from here."""
    with RunningServer(tmp_path, api_acl={"users": {"a": ["192.0.2.1"]}}) as server:
        body = {"username": "a", "password": "b", "eauth": "file"}
        assert 401 == server.send("POST", "/login", json_body=body).status


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size_bytes", [KIB + 1, MIB])
def test_body_limit(tmp_path: Path, size_bytes: int, chunked: bool) -> None:
    """A body that is too large gets 413, however it is sent."""
    with RunningServer(tmp_path, max_request_body_size=KIB) as server:
        body = b"x" * size_bytes
        headers = {"Content-Type": "application/json"}
        if chunked:
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (size_bytes, body)
            headers |= {"Transfer-Encoding": "chunked"}
            answer = send_raw(server, headers, body)
            assert b"HTTP/1.1 413 " == answer[:13]
        else:
            answer_413 = server.send("POST", "/login", headers=headers, body=body)
            assert (413, "close") == (answer_413.status, answer_413.header("Connection"))


def send_raw(server: RunningServer, headers: dict[str, str], body: bytes) -> bytes:
    """Return the beginning of the answer to a POST."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with server.connect() as connection:
        connection.sendall(f"POST /login HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode() + body)
        return connection.recv(1000)


def test_a_body_without_end(tmp_path: Path) -> None:
    """A body that is announced far too large is not waited for."""
    with RunningServer(tmp_path) as server:
        answer = send_raw(server, {"Content-Length": str(10**12)}, b"x")
    assert b"HTTP/1.1 413 " == answer[:13]


@pytest.mark.parametrize(
    ("listed", "origin", "allowed", "credentials"),
    [
        (None, "http://a.example", None, None),
        ("*", None, "*", None),
        ("http://a.example", None, None, None),
        ("*", "http://a.example", "*", None),
        ("http://a.example", "http://a.example", "http://a.example", "true"),
        (["http://a.example", "http://b.example"], "http://b.example", "http://b.example", "true"),
        ("http://a.example", "http://b.example", None, None),
    ],
)
def test_cors_origin(
    tmp_path: Path, listed: Any, origin: str | None, allowed: str | None, credentials: str | None
) -> None:
    """Another origin is allowed only if it is listed, and on errors as well."""
    with RunningServer(tmp_path, cors_origin=listed) as server:
        for method, path in [("GET", "/"), ("OPTIONS", "/run"), ("GET", "/nope")]:
            answer = server.send(method, path, headers={"Origin": origin} if origin else {})
            assert allowed == answer.header("Access-Control-Allow-Origin")
            assert credentials == answer.header("Access-Control-Allow-Credentials")


@pytest.mark.parametrize(("disabled", "status"), [(False, 302), (True, 503)])
def test_webhook_disable_auth(tmp_path: Path, disabled: bool, status: int) -> None:
    """With `webhook_disable_auth` a hook needs no session (here there is no master, too)."""
    with RunningServer(tmp_path, webhook_disable_auth=disabled) as server:
        assert status == server.send("POST", "/hook/a", json_body={}).status


@pytest.mark.parametrize(("disabled", "status"), [(False, 401), (True, 200)])
def test_stats_disable_auth(tmp_path: Path, disabled: bool, status: int) -> None:
    """With `stats_disable_auth` `/stats` needs no session."""
    with RunningServer(tmp_path, stats_disable_auth=disabled) as server:
        assert status == server.send("GET", "/stats").status


# Processes


@pytest.fixture(scope="module")
def processes(master: PrivateMaster) -> Any:
    """The module in three processes."""
    section = {"num_processes": 3, "websockets": True}
    with ApiServer(master, OURS, section, module="rest_tornado") as server:
        eventually(lambda: len(workers(server)) == 3)
        yield server


def workers(server: ApiServer) -> list[int]:
    """Return the processes that serve."""
    modules = children_of(supervisor(server))
    return [worker for module in modules for worker in children_of(module)]


def supervisor(server: ApiServer) -> int:
    """Return the process of the daemon."""
    return int(Path(config.load(server.directory)["pidfile"]).read_text())


def test_sessions_belong_to_all_processes(processes: ApiServer) -> None:
    """A session works whichever process answers; so does its end."""
    headers = {"X-Auth-Token": processes.login()}
    assert {200} == {processes.send("GET", "/keys", headers=headers).status for _ in range(12)}
    processes.send("POST", "/logout", headers=headers)
    eventually(
        lambda: {401} == {processes.send("GET", "/keys", headers=headers).status for _ in range(6)}
    )


def test_a_process_that_dies(processes: ApiServer) -> None:
    """A process that is killed is replaced; the others answer meanwhile."""
    before = set(workers(processes))
    os.kill(min(before), signal.SIGKILL)
    eventually(lambda: len(workers(processes)) == 3 and set(workers(processes)) != before)
    assert 200 == processes.send("GET", "/").status


def test_processes_end_together(master: PrivateMaster) -> None:
    """The end of the service is the end of all its processes."""
    section = {"num_processes": 2}
    with ApiServer(master, OURS, section, module="rest_tornado") as server:
        found: Any = eventually(lambda: len(workers(server)) == 2 and workers(server))
        os.kill(supervisor(server), signal.SIGTERM)
        eventually(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in found))
