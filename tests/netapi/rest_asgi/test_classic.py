"""The URLs of rest_cherrypy where the server matters: paths, files, streams, WebSockets."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from saltapi.bridge.bus.hub import OVERFLOW
from saltapi.config import MIB, RestAsgiConfig
from saltapi.netapi._http import sockets
from saltapi.netapi._http.websockets import MESSAGE_LIMIT_BYTES
from saltapi.netapi.rest_asgi import classic
from saltapi.netapi.rest_cherrypy.app import urls as urls_of_cherrypy
from tests.netapi.rest_asgi.running import RunningServer
from tests.netapi.running import HOST, TOKEN, read_all, read_until
from tests.waiting import eventually, scaled
from tests.wire import encode_request, exchange

PAGE = b"<!doctype html><title>app</title>"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
JSON = "application/json"
HTML = "text/html"
READY = "websocket client ready"
ACKNOWLEDGEMENT = "server received message"
CLOSE = {"Connection": "close"}
HANGING_EVENTS = 16
"""So many of one MiB are more than kernels buffer for a client that does not read."""
SESSION = {"X-Auth-Token": TOKEN}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files to serve."""
    root = tmp_path_factory.mktemp("site")
    (root / "index.html").write_bytes(PAGE)
    (root / "icon.ico").write_bytes(b"icon")
    (root / "secret").write_text("secret")
    assets = root / "assets"
    (assets / "js").mkdir(parents=True)
    (assets / "js" / "app.js").write_text("let a = 1")
    (assets / "ünïcode name.txt").write_text("text")
    return root


@pytest.fixture(scope="module")
def site(root: Path) -> Iterator[RunningServer]:
    """A server with a prefix, an app, files and an icon; everybody may see all events."""
    options = {
        "root_prefix": "/salt/api",
        "app": str(root / "index.html"),
        "static": str(root / "assets"),
        "favicon": str(root / "icon.ico"),
        "event_acl": "all",
        "cors_origin": "https://a.example",
        "webhook_disable_auth": True,
    }
    with RunningServer(root, queue_bytes=32 * MIB, **options) as server:
        yield server


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server without any of these, where little may wait for a listener."""
    options = {"event_acl": "all", "debug": True, "enable_sessions": False}
    with RunningServer(tmp_path_factory.mktemp("plain"), queue_bytes=2 * MIB, **options) as server:
        yield server


def test_urls() -> None:
    """There is what rest_cherrypy has, and where it has it, whatever the options are."""
    for options in (
        {},
        {"static": "/srv", "app_path": "/static/ui", "webhook_url": "hooks/in"},
        {"enable_sessions": False, "webhook_url": "/run", "app_path": "/"},
    ):
        # Where the probes are in all modules, rest_asgi has them elsewhere.
        section = RestAsgiConfig.parse({"port": 1, "monitoring_urls": False, **options})
        ours = classic.urls(section)
        assert set(urls_of_cherrypy(section)) == set(ours)  # type: ignore[arg-type]


# Paths


@pytest.mark.parametrize("path", ["/login", "/login/", "//login", "//login//"])
def test_slashes(site: RunningServer, path: str) -> None:
    """More slashes than needed change nothing, and are not redirected."""
    assert "Please log in" == site.send("GET", f"/salt/api{path}").value()["return"]


def test_root_prefix(site: RunningServer) -> None:
    """Everything is below `root_prefix`, and nothing beside it."""
    for path in ("/salt/api", "/salt/api/", "/salt//api/login", "/salt/api/openapi.json"):
        assert 200 == site.send("GET", path).status
    for path in ("/", "/login", "/salt", "/salt/apilogin", "/api/login", "/openapi.json"):
        assert 404 == site.send("GET", path).status


def test_no_sessions(plain: RunningServer) -> None:
    """`enable_sessions: False` takes away what needs a session cookie."""
    for path in ("/login", "/logout", "/minions", "/jobs"):
        assert {404} == {plain.send(method, path).status for method in ("GET", "POST")}
    for path in ("/", "/run", "/token"):
        assert 200 == plain.send("GET", path).status
    assert 401 == plain.send("GET", "/stats", headers={"Cookie": f"session_id={TOKEN}"}).status


@pytest.mark.parametrize("query", ["nope=1", "nope", "request=1", "mid=%ff%fe", "mid=1&nope="])
def test_unknown_parameters(site: RunningServer, query: str) -> None:
    """A parameter that a URL does not know, or that is not UTF-8, is 404."""
    assert 404 == site.send("GET", f"/salt/api/minions?{query}", headers=SESSION).status


def test_unknown_parameters_of_streams(site: RunningServer) -> None:
    """Streams say which parameter they do not know."""
    for path in ("/events?nope=1", "/events?format_events", "/ws?since=1"):
        answer = site.send("GET", f"/salt/api{path}", headers=SESSION)
        if path.startswith("/events"):
            assert (400, "Unknown parameter") == (answer.status, answer.value()["return"][:17])
    with pytest.raises(InvalidStatus) as refused:
        websocket(site, "/ws?since=1")
    assert 400 == refused.value.response.status_code


def test_encoded_slash_is_part_of_a_name(site: RunningServer, monkeypatch: Any) -> None:
    """`%2F` does not divide a path; `%252F` is the text `%2F`."""
    seen: list[Any] = []

    async def fire(tag: str, _data: Any) -> None:
        seen.append(tag)

    monkeypatch.setattr(site.server.application.engine.client.bus, "fire", fire)
    for path in ("a%2Fb/c", "a%252Fb", "/x//y/"):
        assert 200 == site.send("POST", f"/salt/api/hook/{path}", json_body={}).status
    assert ["salt/netapi/hook/a/b/c", "salt/netapi/hook/a%2Fb", "salt/netapi/hook/x/y"] == seen


def test_debug(plain: RunningServer, site: RunningServer, monkeypatch: Any) -> None:
    """An error of ours is 500 in the client's format, with its traceback under `debug` only."""
    for server, path, debug in ((plain, "/", True), (site, "/salt/api", False)):
        monkeypatch.setattr(server.server.application.engine.client, "config", None)
        answer = server.send("GET", path)
        monkeypatch.undo()
        assert (500, JSON) == (answer.status, answer.media_type)
        assert debug == ("Traceback" in answer.value()["return"])


def test_names_of_headers(site: RunningServer) -> None:
    """Headers are named as scripts look for them: `X-Request-Id`, not `x-request-id`."""
    names = [name for name, _ in site.send("GET", "/salt/api").headers]

    assert {"X-Request-Id", "Content-Type", "Vary"} <= set(names)


@pytest.mark.parametrize(
    "lines",
    [
        ["X-Auth-Token: a", "X-Auth-Token: b", "Host: x"],
        ["Host: x", "Host: y"],
        ["Host: x", "Content-Type: a/b", "Content-Type: c/d"],
        ["Host: x", "Transfer-Encoding: gzip"],
        [],
    ],
)
def test_unclear_heads(site: RunningServer, lines: list[str]) -> None:
    """A head that different readers would understand differently is refused."""
    text = "\r\n".join(["POST /salt/api/login HTTP/1.1", *lines, "", ""])
    answer = exchange(site.port, text.encode())

    expected = 501 if "Transfer-Encoding: gzip" in lines else 400
    assert (expected, JSON) == (answer.status, answer.media_type)
    assert answer.header("X-Request-Id")


def test_other_versions_of_http(site: RunningServer) -> None:
    """HTTP/1.0 has its answers end with the connection, later versions are 505."""
    get = b"GET /salt/api/static/js/app.js HTTP/%b\r\nHost: x\r\n\r\n"
    answer = exchange(site.port, get % b"1.0")

    assert b"let a = 1" == answer.body
    assert None is answer.header("Transfer-Encoding")
    assert 505 == exchange(site.port, get % b"2.0").status


# Files and the single-page app

APP_URLS = [
    *("/", "/login", "/?id=20260101000000000001", "/?reason=logout", "/login?reason=expired"),
    *("/?id=1&id=2", "/?", "/?a", "/?=", "/?%FF=%FF", "/?self=1&request=2", "//?x=1", "/login/?x"),
    "/?a=" + "b" * 2000,
]
"""What a single-page app keeps its state in."""


def get(site: RunningServer, path: str, accept: str = "*/*", **headers: str) -> Any:
    return site.send("GET", f"/salt/api{path}", headers={"Accept": accept, **headers})


@pytest.mark.parametrize("path", ["/app", "/app/", "/app/minions/minion-1", "/app/a%2Fb"])
@pytest.mark.parametrize("accept", [BROWSER, JSON])
def test_app_path(site: RunningServer, path: str, accept: str) -> None:
    """`app` is at `app_path`, whatever follows in the URL and whatever is accepted."""
    answer = get(site, path, accept)

    assert (200, HTML, PAGE) == (answer.status, answer.media_type, answer.body)
    assert "no-store" == answer.header("Cache-Control")


def test_browser_gets_the_app(site: RunningServer) -> None:
    """A page that a browser asks for is the app, at every URL that is no file or stream."""
    for path in (*APP_URLS, "/minions", "/jobs/1", "/dashboard", "/a/b?c=d"):
        assert PAGE == get(site, path, BROWSER).body
        assert 200 == site.send("HEAD", f"/salt/api{path}", headers={"Accept": BROWSER}).status
    for path in ("/", "/dashboard"):
        assert JSON == get(site, path, "application/json, text/html;q=0.9").media_type
    assert b"let a = 1" == get(site, "/static/js/app.js", BROWSER).body
    assert b"icon" == get(site, "/favicon.ico", BROWSER).body
    assert 404 == get(site, "/static/none", BROWSER).status
    assert 405 == get(site, "/hook", BROWSER).status
    assert 401 == get(site, "/events", BROWSER).status


def test_static(site: RunningServer) -> None:
    """Files come with their type, length, and a date that a browser can ask with."""
    answer = get(site, "/static/js/app.js")
    changed = answer.header("Last-Modified") or ""

    assert (200, b"let a = 1") == (answer.status, answer.body)
    assert answer.media_type in {"text/javascript", "application/javascript"}
    assert "nosniff" == answer.header("X-Content-Type-Options")
    assert 304 == get(site, "/static/js/app.js", **{"If-Modified-Since": changed}).status
    assert b"a = 1" == get(site, "/static/js/app.js", Range="bytes=4-").body
    head = site.send("HEAD", "/salt/api/static/js/app.js")
    assert (200, b"", "9") == (head.status, head.body, head.header("Content-Length"))
    assert b"text" == get(site, "/static/%C3%BCn%C3%AFcode%20name.txt").body
    assert "GET, HEAD, OPTIONS" == site.send("PUT", "/salt/api/static/x").header("Allow")


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/js", "/js/", "/none.js", "/js/app.js/x", "/../secret", "/%2e%2e/secret"),
        *("/..%2Fsecret", "/js%2Fapp.js", "/..\\secret", "//etc/passwd", "/%2Fetc/passwd"),
        *("/js/app.js%00", "/" + "a" * 5000, "/" + "a/" * 5000, "/js/../../../secret"),
    ],
)
def test_not_a_static_file(site: RunningServer, path: str) -> None:
    """Directories, what is not there, and ways out of the directory are all the same 404."""
    answer = get(site, f"/static{path}", JSON)

    assert (404, 404) == (answer.status, answer.value()["status"])


def test_no_files(plain: RunningServer) -> None:
    """Without the options there is no app, no file and no icon."""
    for path in ("/app", "/static/js/app.js", "/favicon.ico"):
        assert 404 == plain.send("GET", path).status
    assert 406 == plain.send("GET", "/run", headers={"Accept": HTML}).status


# Streams


def test_stream_of_an_old_client(site: RunningServer) -> None:
    """An HTTP/1.0 client gets the plain bytes, without chunks, to the end of the connection."""
    with site.connect("/salt/api/events", headers={"X-Auth-Token": "e" * 64}, version="1.0") as old:
        head = read_until(old, b"\r\n\r\nretry: 400\n")
        site.fire("a", {"text": "é"})
        read_until(old, b'tag: a\ndata: {"data": {"text": "\xc3\xa9"}, "tag": "a"}\n\n')
        site.end_session("e" * 64)
        assert b"" == read_all(old)
    assert b"chunked" not in head.lower()
    assert eventually(lambda: not site.hub.listeners)


def test_head_begins_no_stream(site: RunningServer) -> None:
    """HEAD of a stream has its headers, and is over."""
    answer = site.send("HEAD", "/salt/api/events", headers=SESSION)

    assert (200, "text/event-stream") == (answer.status, answer.media_type)
    assert 0 == site.hub.listeners
    assert 401 == site.send("HEAD", "/salt/api/events").status


def test_ids_and_resuming(site: RunningServer) -> None:
    """Who asked for it gets ids, and after coming back what was missed."""
    site.fire("first")
    site.fire("second")
    eventually(lambda: site.hub.events_total >= 2)
    before = f"{site.hub.epoch}-{site.hub.events_total - 1}"
    with site.connect(f"/salt/api/events?since={before}") as stream:
        lines = read_until(stream, b"tag: second\n").split(b"\n")
    assert lines[-3].startswith(b"id: ")
    assert eventually(lambda: not site.hub.listeners)


def test_slow_reader(plain: RunningServer) -> None:
    """Who does not read is cut off when too much waits for it."""
    with plain.connect("/events", headers=CLOSE) as stuck:
        read_until(stuck, b"retry: 400\n")
        for _ in range(40):
            plain.fire("big", {"text": "x" * MIB})
        assert eventually(lambda: not plain.hub.listeners)
        with suppress(ConnectionResetError):
            assert 40 > read_all(stuck).count(b"tag: big\n")


def test_reader_that_hangs(site: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who takes nothing for a while is cut off, however little waits for it."""
    monkeypatch.setattr(sockets, "WRITE_TIMEOUT_SECONDS", 0.5)
    with site.connect("/salt/api/events", headers=CLOSE) as stuck:
        read_until(stuck, b"retry: 400\n")
        site.fire_all([("big", {"text": "x" * MIB})] * HANGING_EVENTS)
        assert eventually(lambda: not site.hub.listeners)
        with suppress(ConnectionResetError):
            read_all(stuck)


# WebSockets


def websocket(server: RunningServer, path: str = "/ws", **options: Any) -> ClientConnection:
    """Return a connected client."""
    prefix = server.server.application.engine.section.root_prefix.rstrip("/")
    headers = {**SESSION, **options.pop("headers", {})}
    url = f"ws://{HOST}:{server.port}{prefix}{path}"
    made: ClientConnection = connect(url, additional_headers=headers, max_size=None, **options)
    return made


def receive(connection: ClientConnection) -> Any:
    return connection.recv(timeout=scaled(20))


def end_of(connection: ClientConnection) -> tuple[int, str]:
    """Return code and reason of the server's close, after whatever comes before it."""
    with suppress(ConnectionClosed):
        while True:
            receive(connection)
    close = connection.protocol.close_rcvd
    assert close is not None
    return close.code, close.reason


def make_ready(connection: ClientConnection) -> None:
    connection.send(READY)
    assert ACKNOWLEDGEMENT == receive(connection)


def test_websocket(site: RunningServer) -> None:
    """Once the client is ready it gets each event, and its messages are acknowledged."""
    with websocket(site) as connection:
        site.fire("too early", {})
        connection.send("hello")
        assert ACKNOWLEDGEMENT == receive(connection)
        make_ready(connection)
        site.fire("one", {"a": "é"})
        assert 'data: {"data": {"a": "é"}, "tag": "one"}\n\n' == receive(connection)
        connection.send(READY.encode())
        assert ACKNOWLEDGEMENT == receive(connection)
    assert eventually(lambda: not site.hub.listeners)


def test_websocket_view(site: RunningServer) -> None:
    """`?format_events` has jobs and minions as they change."""
    with websocket(site, "/ws?format_events") as connection:
        make_ready(connection)
        new = {"jid": "20260101000000000001", "minions": ["m1"], "fun": "test.ping", "tgt": "*"}
        site.fire("salt/job/20260101000000000001/new", {**new, "tgt_type": "glob", "user": "x"})
        while "20260101000000000001" not in (message := receive(connection)):
            pass
        assert json.loads(message)


@pytest.mark.parametrize("path", [f"/ws/{'d' * 64}", f"/ws?token={'d' * 64}"])
def test_websocket_token_in_url(site: RunningServer, path: str) -> None:
    """A client that can send no header sends its token in the URL."""
    with websocket(site, path, headers={"X-Auth-Token": ""}) as connection:
        make_ready(connection)


def test_websocket_refused(site: RunningServer) -> None:
    """A handshake without a session, or of a page of another origin, is refused in JSON."""
    for headers, origin, status in (
        ({"X-Auth-Token": "x"}, None, 401),
        ({}, "https://evil.example", 403),
        ({}, "https://a.example", 101),
        ({}, f"http://{HOST}:{site.port}", 101),
    ):
        if status == 101:
            with websocket(site, headers=headers, origin=origin):
                continue
        with pytest.raises(InvalidStatus) as refused:
            websocket(site, headers=headers, origin=origin)
        response = refused.value.response
        assert (status, JSON) == (response.status_code, response.headers["Content-Type"])
        assert status == json.loads(response.body or b"")["status"]
        assert response.headers["X-Request-Id"]


def test_no_handshake(site: RunningServer) -> None:
    """Without a handshake `/ws` says what it speaks."""
    answer = site.send("GET", "/salt/api/ws", headers=SESSION)

    assert (426, "websocket") == (answer.status, answer.header("Upgrade"))
    assert "13" == answer.header("Sec-WebSocket-Version")
    assert 405 == site.send("HEAD", "/salt/api/ws", headers=SESSION).status


def test_websocket_ends(site: RunningServer) -> None:
    """The close code says whether the session is over or a message was too long."""
    with websocket(site, headers={"X-Auth-Token": "f" * 64}) as connection:
        make_ready(connection)
        site.end_session("f" * 64)
        assert (4401, "The token was revoked.") == end_of(connection)
    with websocket(site) as connection:
        connection.send("x" * (MESSAGE_LIMIT_BYTES + 1))
        assert 1009 == end_of(connection)[0]
    assert eventually(lambda: not site.hub.listeners)


def test_websocket_too_slow(plain: RunningServer) -> None:
    """A client for which too much waits is told so: 1013."""
    with websocket(plain) as connection:
        make_ready(connection)
        plain.fire_all([("big", {"text": "x" * 600 * 1024})] * 5)
        assert (1013, OVERFLOW) == end_of(connection)
    assert eventually(lambda: not plain.hub.listeners)


def test_websocket_that_hangs(site: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not read at all is cut off."""
    monkeypatch.setattr(sockets, "WRITE_TIMEOUT_SECONDS", 0.5)
    handshake = [
        *(("Host", f"{HOST}:{site.port}"), ("X-Auth-Token", TOKEN), ("Upgrade", "websocket")),
        *(("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    ready = b"\x81\x96\x00\x00\x00\x00" + READY.encode()
    with socket.create_connection((HOST, site.port), scaled(20)) as stuck:
        stuck.sendall(encode_request("GET", "/salt/api/ws", handshake, None))
        read_until(stuck, b"\r\n\r\n")
        stuck.sendall(ready)
        read_until(stuck, ACKNOWLEDGEMENT.encode())
        site.fire_all([("big", {"text": "x" * MIB})] * HANGING_EVENTS)
        assert eventually(lambda: not site.hub.listeners)
        with suppress(ConnectionResetError):
            read_all(stuck)


def test_keep_alive(site: RunningServer) -> None:
    """A connection takes one request after the other, also after an error."""
    connection = http.client.HTTPConnection(HOST, site.port, timeout=scaled(20))
    connection.connect()
    port = connection.sock.getsockname()[1]
    for path, status in (("", 200), ("/nope", 404), ("/minions", 401), ("/login", 200)):
        connection.request("GET", f"/salt/api{path}")
        answer = connection.getresponse()
        answer.read()
        assert status == answer.status
        assert port == connection.sock.getsockname()[1]
    connection.close()
