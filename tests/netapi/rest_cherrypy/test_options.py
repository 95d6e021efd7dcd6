"""Every option of the section that needs no master (behaviours.md 2.1); files: test_files.py."""

import http.client
import json
import logging
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from saltapi.config import MIB, RestCherrypyConfig, ServiceSection
from saltapi.engine.sessions.addresses import user_allowed
from saltapi.errors import CannotStart
from saltapi.netapi._http.logs import ACCESS, open_logs
from saltapi.netapi.rest_cherrypy.app import urls
from saltapi.netapi.rest_cherrypy.application import CherrypyApplication
from tests.netapi.rest_cherrypy.doors import WsgiDoor, serving
from tests.waiting import eventually, scaled
from tests.wire import send

HERE = Path(__file__).parent
JSON = "application/json"
YAML = "application/x-yaml"
TOKEN = "0123456789abcdef" * 4
EVERYWHERE = [
    ("GET", "/"),
    ("POST", "/"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("POST", "/logout"),
    ("POST", "/run"),
    ("POST", "/token"),
    ("GET", "/minions"),
    ("GET", "/jobs/1"),
    ("POST", "/keys"),
    ("GET", "/events"),
    ("GET", "/ws"),
    ("POST", "/hook/x"),
    ("GET", "/stats"),
    ("GET", "/app"),
    ("GET", "/static/file"),
    ("GET", "/favicon.ico"),
    ("GET", "/nope"),
    ("OPTIONS", "/"),
    ("PUT", "/"),
]
TCP_INFO_BACKLOG_OFFSET = 28
"""Where Linux tells the backlog of a listening socket in `struct tcp_info` (`tcpi_sacked`)."""


# root_prefix


@pytest.mark.parametrize("prefix", ["/salt/api", "salt/api/", "/salt/api/"])
def test_root_prefix(prefix: str) -> None:
    """Everything is below `root_prefix`, and nothing beside it."""
    door = WsgiDoor(root_prefix=prefix)

    for path in ("/salt/api", "/salt/api/", "/salt/api/login"):
        assert 200 == door.ask("GET", path).status
    for path in ("/", "/login", "/salt", "/salt/apilogin", "/api/login"):
        answer = door.ask("GET", path, headers={"Accept": YAML})
        assert (404, YAML) == (answer.status, answer.media_type)


@pytest.mark.parametrize(("prefix", "mounted"), [("/", "/salt"), ("/salt", "/salt")])
def test_mounted_by_the_server(prefix: str, mounted: str) -> None:
    """Where the WSGI server mounts the module, `root_prefix` may name that place or be left out."""
    door = WsgiDoor(root_prefix=prefix)

    assert "Please log in" == door.ask("GET", "/login", SCRIPT_NAME=mounted).value()["return"]
    assert "Welcome" == door.ask("GET", "", SCRIPT_NAME=mounted).value()["return"]


# enable_sessions


def test_no_sessions() -> None:
    """`enable_sessions: False` takes away what needs a session cookie."""
    door = WsgiDoor(enable_sessions=False)

    for path in ("/login", "/logout", "/minions", "/jobs"):
        assert 404 == door.ask("GET", path).status
        assert 404 == door.ask("POST", path).status
    for path in ("/", "/run", "/token"):
        assert 200 == door.ask("GET", path).status


# max_request_body_size


@pytest.mark.parametrize("accept", [JSON, YAML, "text/html"])
@pytest.mark.parametrize("path", ["/", "/login", "/run", "/hook/x", "/token", "/keys", "/minions"])
def test_body_limit(path: str, accept: str) -> None:
    """A body over `max_request_body_size` is 413 in the client's format, whatever the URL."""
    door = WsgiDoor(max_request_body_size=10)
    headers = {"Accept": accept, "Content-Type": JSON}
    answer = door.ask("POST", path, headers=headers, body=b"[         ]")

    assert (413, accept) == (answer.status, answer.media_type)
    assert b"The body is larger than 10 bytes." in answer.body
    if accept == JSON:
        assert {"status": 413, "return": "The body is larger than 10 bytes."} == answer.value()


def test_body_of_exactly_the_limit() -> None:
    """The limit itself is allowed, and the default is one MiB."""
    door = WsgiDoor(max_request_body_size=10)
    headers = {"Content-Type": "image/png"}

    assert 406 == door.ask("POST", "/login", headers=headers, body=b"x" * 10).status
    assert MIB == RestCherrypyConfig.parse({"port": 1}).max_request_body_size


@pytest.mark.parametrize("chunked", [False, True])
def test_body_limit_on_the_wire(chunked: bool) -> None:
    """A client that is still sending gets to read the 413, chunked or not."""
    body, length = b"x" * (2 * MIB), "Content-Length: 2097152"
    if chunked:
        body, length = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), "Transfer-Encoding: chunked"
    head = f"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: {JSON}\r\n{length}\r\n\r\n"
    with (
        serving() as server,
        socket.create_connection(server.bind_addr, timeout=scaled(20)) as connection,
    ):
        connection.sendall(head.encode() + body)
        answer = http.client.HTTPResponse(connection, method="POST")
        answer.begin()
        assert 413 == answer.status
        assert 413 == json.loads(answer.read())["status"]


# authorized_ips, cors_origin


@pytest.mark.parametrize(("method", "path"), EVERYWHERE)
def test_authorized_ips(tmp_path: Path, method: str, path: str) -> None:
    """Another address gets 403 at every URL, whatever it says about itself."""
    (tmp_path / "file").write_text("text")
    file = str(tmp_path / "file")
    door = WsgiDoor(
        authorized_ips=["192.0.2.1", "198.51.100.0/24"],
        app=file,
        favicon=file,
        static=str(tmp_path),
    )
    lies = {
        "Remote-Addr": "192.0.2.1",
        "X-Forwarded-For": "192.0.2.1",
        "X-Real-Ip": "192.0.2.1",
        "Forwarded": "for=192.0.2.1",
    }
    answer = door.ask(method, path, headers={**lies, "Accept": JSON}, REMOTE_ADDR="192.0.2.2")

    assert 403 == answer.status
    expected = {"status": 403, "return": "Requests from this address are not allowed."}
    assert expected == answer.value()


@pytest.mark.parametrize("address", ["192.0.2.1", "198.51.100.77", "::ffff:192.0.2.1"])
def test_authorized_address(address: str) -> None:
    """Listed addresses and networks are let in, also in their IPv6 form."""
    door = WsgiDoor(authorized_ips=["192.0.2.1", "198.51.100.0/24"])

    assert 200 == door.ask("GET", "/", REMOTE_ADDR=address).status


PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-a"}
ALLOW_ORIGIN, ALLOW_CREDENTIALS = (
    f"Access-Control-Allow-{name}" for name in ("Origin", "Credentials")
)


@pytest.mark.parametrize(
    ("listed", "origin", "allowed", "credentials"),
    [
        (None, "https://a.example", None, None),
        ("https://a.example", "https://a.example", "https://a.example", "true"),
        (
            ["https://b.example", "https://a.example"],
            "https://a.example",
            "https://a.example",
            "true",
        ),
        ("https://a.example", "https://a.example.evil.example", None, None),
        ("https://a.example", "http://a.example", None, None),
        ("https://a.example", "null", None, None),
        ("*", "https://a.example", "*", None),
        ("*", None, None, None),
    ],
)
@pytest.mark.parametrize("path", ["/", "/login", "/events", "/hook/x", "/static/x"])
def test_cors_origin(
    listed: Any, origin: str | None, allowed: str | None, credentials: str | None, path: str
) -> None:
    """Only listed origins may read answers; `*` lets any page read what needs no cookie."""
    door = WsgiDoor(cors_origin=listed, static="/")
    headers = {"Origin": origin} if origin else {}
    for answer in (
        door.ask("OPTIONS", path, headers={**headers, **PREFLIGHT}),
        door.ask("PUT", path, headers=headers),
    ):
        assert (allowed, credentials) == (
            answer.header(ALLOW_ORIGIN),
            answer.header(ALLOW_CREDENTIALS),
        )
        assert "Origin" in (answer.header("Vary") or "")


def test_preflight() -> None:
    """A preflight request is answered with what may be sent, and no cookie."""
    door = WsgiDoor(cors_origin="https://a.example")
    answer = door.ask("OPTIONS", "/login", headers={"Origin": "https://a.example", **PREFLIGHT})

    assert (200, b"") == (answer.status, answer.body)
    assert "GET, POST" == answer.header("Access-Control-Allow-Methods")
    sent = answer.header("Access-Control-Allow-Headers") or ""
    assert {"Content-Type", "X-Auth-Token", "X-Requested-With"} <= set(sent.split(", "))
    assert "1400" == answer.header("Access-Control-Max-Age")
    assert None is answer.header("Set-Cookie")


# debug


@pytest.mark.parametrize("debug", [False, True])
def test_debug(debug: bool, caplog: pytest.LogCaptureFixture) -> None:
    """An error that is ours is in the log; the client sees the traceback only with `debug`."""
    door = WsgiDoor(debug=debug)
    door.application.engine.client.config = None  # type: ignore[assignment]  # nothing real breaks `GET /`
    answer = door.ask("GET", "/")

    assert 500 == answer.status
    assert 500 == answer.value()["status"]
    request_id = answer.header("X-Request-Id") or "-"
    assert debug == ("Traceback" in answer.value()["return"])
    assert debug == ("An unexpected error occurred" != answer.value()["return"])
    assert any(request_id in record.getMessage() and record.exc_info for record in caplog.records)


@pytest.mark.parametrize("debug", [False, True])
def test_debug_logs_refusals(debug: bool, caplog: pytest.LogCaptureFixture) -> None:
    """With `debug` a request that is refused is a warning with its reason."""
    WsgiDoor(debug=debug).ask("GET", "/nope")
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]

    assert debug == any("404 The path '/nope' was not found." in text for text in warnings)


# log_access_file, log_error_file; with a master: test_sessions.py


@contextmanager
def logs(**options: Any) -> Iterator[None]:
    """Open the module's log files, and close them again."""
    loggers = [logging.getLogger(name) for name in (ACCESS, "saltapi", "cherrypy")]
    before = [(list(logger.handlers), logger.level) for logger in loggers]
    try:
        open_logs(RestCherrypyConfig.parse({"port": 1, **options}))
        yield
    finally:
        for logger, (handlers, level) in zip(loggers, before, strict=True):
            for handler in set(logger.handlers) - set(handlers):
                handler.close()
            logger.handlers[:] = handlers
            logger.setLevel(level)


def test_access_log(tmp_path: Path) -> None:
    """Each request is one line with its id; tokens, queries and line ends never get there."""
    file = tmp_path / "access"
    with logs(log_access_file=str(file)):
        door = WsgiDoor()
        answer = door.ask("GET", "/")
        door.ask("PUT", f"/events/{TOKEN}", query=f"token={TOKEN}")
        door.ask("GET", "/a\nb c\x1b[2J")
        text = file.read_text()
    first, second, third = text.splitlines()

    assert '127.0.0.1 "GET /" 200 ' in first
    assert f"request={answer.header('X-Request-Id')} user=- jid=-" in first
    assert '"PUT /events/***" 405' in second
    assert '"GET /a%0Ab%20c%1B[2J" 404' in third.replace("%5B", "[")
    assert TOKEN not in text


def test_error_log(tmp_path: Path) -> None:
    """What goes wrong here is in `log_error_file` with the request; with `debug` all the rest."""
    file, debug_file = tmp_path / "error", tmp_path / "debug"
    with logs(log_error_file=str(file)):
        door = WsgiDoor()
        door.ask("GET", "/nope")
        assert "" == file.read_text()
        door.application.engine.client.config = None  # type: ignore[assignment]
        request_id = door.ask("GET", "/").header("X-Request-Id")
        lines = file.read_text().splitlines()
    with logs(log_error_file=str(debug_file), log_access_file=str(file), debug=True):
        WsgiDoor().ask("GET", f"/nope/{TOKEN}")

    assert f"request={request_id} user=- jid=-" in lines[0]
    assert "Traceback (most recent call last):" == lines[1]
    text = debug_file.read_text()
    assert "404 The path '/nope/***' was not found. request=" in text
    assert '"GET /nope' not in text  # that is the other file's


def test_log_rotation(tmp_path: Path) -> None:
    """A log file that was moved away is opened again with the next line."""
    file, moved = tmp_path / "access", tmp_path / "access.1"
    with logs(log_access_file=str(file)):
        door = WsgiDoor()
        door.ask("GET", "/login")
        file.rename(moved)
        door.ask("GET", "/run")

    assert "/login" in moved.read_text()
    assert "/run" in file.read_text()
    assert 0o640 == file.stat().st_mode & 0o777


def test_log_of_addresses(tmp_path: Path) -> None:
    """What is wrong with `api_acl` is in the error log, and no line of the access log."""
    access, error = tmp_path / "access", tmp_path / "error"
    with logs(log_access_file=str(access), log_error_file=str(error)):
        assert not user_allowed({"users": ["fred"]}, ["fred"], "127.0.0.1")

    assert "" == access.read_text()
    assert "nobody is let in" in error.read_text()


@pytest.mark.parametrize("option", ["log_access_file", "log_error_file"])
def test_log_file_that_cannot_be_written(tmp_path: Path, option: str) -> None:
    """A log file that cannot be written is named, and the module does not start."""
    path = f"{tmp_path}/none/log"
    with pytest.raises(CannotStart, match=f"The log file {path} cannot be written: No such"):
        open_logs(RestCherrypyConfig.parse({"port": 1, option: path}))


# host, thread_pool, socket_queue_size, timeouts


def test_ipv6() -> None:
    """`host` may be an IPv6 address."""
    with serving(host="::1") as server:
        connection = http.client.HTTPConnection("::1", server.bind_addr[1], timeout=scaled(20))
        connection.request("GET", "/")
        assert 200 == connection.getresponse().status
        connection.close()


def test_address_that_is_taken() -> None:
    """An address that cannot be had is named with the reason and what to do."""
    with serving() as server:
        port = server.bind_addr[1]
        with (
            pytest.raises(
                CannotStart,
                match=f"rest_cherrypy cannot listen on 127.0.0.1:{port}: Address already in use."
                " Choose another port",
            ),
            serving(port=port),
        ):
            pass


@pytest.mark.parametrize("option", ["socket_queue_size", "queue_size"])
def test_socket_queue_size(option: str) -> None:
    """The kernel holds as many connections as `socket_queue_size` says, by either name."""
    with serving(**{option: 7}) as server:
        info = server.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 64)

    assert (7,) == struct.unpack_from("I", info, TCP_INFO_BACKLOG_OFFSET)


@pytest.mark.parametrize("threads", [1, 2])
def test_thread_pool(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many requests as `thread_pool` says are worked on at the same time, and no more."""
    go_on, answer = threading.Event(), CherrypyApplication.answer

    def slow(*arguments: Any) -> Any:
        go_on.wait(scaled(60))
        return answer(*arguments)

    monkeypatch.setattr(CherrypyApplication, "answer", slow)
    with serving(thread_pool=threads) as server, ManyClients(server.bind_addr) as clients:
        for _ in range(threads):
            clients.begin()
        eventually(lambda: server.requests.idle == 0)
        waiting = clients.begin()
        waiting.settimeout(0.2)
        with pytest.raises(TimeoutError):
            waiting.recv(1)
        go_on.set()
        waiting.settimeout(scaled(20))

        assert waiting.recv(12) == b"HTTP/1.1 406"


class ManyClients:
    """Clients that have sent a request."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._open: list[socket.socket] = []

    def begin(self) -> socket.socket:
        """Return a connection on which a request was sent."""
        connection = socket.create_connection(self._address, timeout=scaled(20))
        self._open.append(connection)
        head = "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        connection.sendall(f"{head}Content-Length: 2\r\n\r\n{{}}".encode())
        return connection

    def __enter__(self) -> "ManyClients":
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._open:
            connection.close()


@pytest.mark.long
@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nA: b"])
def test_client_that_pauses(sent: bytes) -> None:
    """A connection on which nothing comes is closed; it does not hold a thread for ever."""
    with serving(thread_pool=1) as server:
        server.timeout = round(scaled(1))
        with socket.create_connection(server.bind_addr, timeout=scaled(20)) as connection:
            connection.sendall(sent)
            assert connection.recv(12) in {b"", b"HTTP/1.1 408", b"HTTP/1.1 400"}
        assert 200 == send(server.bind_addr[1], "GET", "/").status


# collect_stats, stats_disable_auth


def test_stats() -> None:
    """With `collect_stats` there are numbers, as JSON and YAML, and no token among them."""
    with serving(collect_stats=True, stats_disable_auth=True) as server:
        port = server.bind_addr[1]
        send(port, "PUT", f"/events/{TOKEN}?token={TOKEN}")
        send(port, "PUT", f"/events/%30{TOKEN[1:]}?salt_token={TOKEN}")
        send(port, "PUT", "/login", body=b"12345678")
        eventually(lambda: b'"Total Bytes Read": 8' in send(port, "GET", "/stats").body)
        answer = send(port, "GET", "/stats")
        as_yaml = send(port, "GET", "/stats", headers={"Accept": YAML})
    found = answer.value()
    app = found["CherryPy Applications"]
    cheroot = next(v for k, v in found.items() if k.endswith(str(id(server))))

    assert 200 == answer.status == as_yaml.status
    assert app["Total Requests"] >= 3
    assert 8 == app["Total Bytes Read"]
    assert app["Total Bytes Written"] > 0
    assert cheroot["Accepts"] >= 3
    assert cheroot["Requests"] >= 2
    assert app.keys() == yaml.safe_load(as_yaml.body)["CherryPy Applications"].keys()
    assert TOKEN[1:] not in answer.body.decode() + as_yaml.body.decode()


def test_stats_that_are_not_collected() -> None:
    """Without `collect_stats` the answer is an empty mapping."""
    assert {} == WsgiDoor(stats_disable_auth=True).ask("GET", "/stats").value()


# the rest


@pytest.mark.parametrize("value", [True, False])
def test_expire_responses(value: bool) -> None:
    """`expire_responses` is taken, and changes nothing, as in CherryPy of today."""
    assert 200 == WsgiDoor(expire_responses=value).ask("GET", "/").status


@pytest.mark.parametrize("value", ["ram", "cache"])
def test_session_store(value: str) -> None:
    """`session_store` is taken, and changes nothing: sessions are the master's tokens."""
    assert 200 == WsgiDoor(session_store=value).ask("GET", "/").status


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("port", 0, "rest_cherrypy.port"),
        ("port", "http", "rest_cherrypy.port"),
        ("thread_pool", -1, "rest_cherrypy.thread_pool"),
        ("socket_queue_size", "many", "rest_cherrypy.socket_queue_size"),
        ("max_request_body_size", "1 MB", "rest_cherrypy.max_request_body_size"),
        ("ssl_cert_reqs", "REQUIRED", "rest_cherrypy.ssl_cert_reqs"),
        ("static", "static", "must be an absolute path"),
        ("app", "index.html", "must be an absolute path"),
        ("favicon", "icon.ico", "must be an absolute path"),
        ("authorized_ips", 7, "rest_cherrypy.authorized_ips"),
        ("webhook_url", 5, "rest_cherrypy.webhook_url"),
    ],
)
def test_wrong_value(option: str, value: Any, said: str) -> None:
    """A value that an option cannot have is named, before anything is bound."""
    with pytest.raises(CannotStart, match=said):
        RestCherrypyConfig.parse({"port": 1, option: value})


OWN_OPTIONS = [
    name
    for name in RestCherrypyConfig.option_names()
    if name not in ServiceSection.option_names() or name == "port"
]
"""Those of all modules are on another page, and are tested for all of them."""


def test_every_option_has_a_test() -> None:
    """No option of the section is without a test in this directory; but those of all modules."""
    of_all = [HERE.parent / f"test_{name}.py" for name in ("secrets", "signed_hooks")]
    files = [*HERE.glob("test_*.py"), HERE.parents[1] / "process" / "test_tls.py", *of_all]
    text = "".join(path.read_text() for path in files)

    assert [] == [name for name in OWN_OPTIONS if name not in text]


PAGE = (HERE.parents[2] / "docs" / "rest_cherrypy.md").read_text()


@pytest.mark.parametrize("name", OWN_OPTIONS)
def test_documentation_of_options(name: str) -> None:
    """The module's page has every option with its default."""
    fields = RestCherrypyConfig.model_fields.items()
    default = next(
        "required" if field.is_required() else field.default
        for field_name, field in fields
        if name in (field_name, *getattr(field.validation_alias, "choices", ()))
    )
    row = re.search(rf"^\| [^|]*`{name}`[^|]* \| ([^|]+) \| .+ \|$", PAGE, re.MULTILINE)

    assert row is not None
    shown = "none" if default in (None, "") else "required" if default == "required" else default
    assert (str(shown) if shown in ("none", "required") else f"`{shown}`") == row[1]


@pytest.mark.parametrize("path", [*urls(RestCherrypyConfig.parse({"port": 1, "static": "/"}))])
def test_documentation_of_urls(path: str) -> None:
    """The module's page has every URL."""
    assert re.search(rf"`{re.escape(path)}(/\([a-z]+\))?`", PAGE)
