"""`/all_events`, `/formatted_events` and `/ws`: WebSocket (RFC 6455) through Tornado."""

import contextlib
import json
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection, connect

from saltapi.config import KIB, MIB
from saltapi.netapi._http import websockets
from tests.netapi.rest_tornado.running import (
    HOST,
    TOKEN,
    RunningServer,
    read_all,
    read_until,
    request,
)
from tests.waiting import eventually, scaled

READY = "websocket client ready"
RECEIVE_SECONDS = 20.0
QUIET_SECONDS = 0.3
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The answer to that key in RFC 6455, section 1.3."""
PATHS = ["/all_events", "/formatted_events", "/ws"]
ALL_EVENTS = f"/all_events/{TOKEN}"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """A running server that speaks WebSocket."""
    with RunningServer(tmp_path, websockets=True) as server:
        yield server


def client(server: RunningServer, path: str = ALL_EVENTS, **options: Any) -> ClientConnection:
    """Return a connected client."""
    url = f"ws://{HOST}:{server.port}{path}"
    connection: ClientConnection = connect(url, max_size=None, **options)
    return connection


def receive(connection: ClientConnection) -> Any:
    """Return the next message."""
    return connection.recv(timeout=scaled(RECEIVE_SECONDS))


def make_ready(server: RunningServer, connection: ClientConnection) -> None:
    """Say the words of the documentation, and wait until they have been heard."""
    connection.send(READY)
    connection.ping().wait(scaled(RECEIVE_SECONDS))


def end_of(connection: ClientConnection) -> tuple[int, str]:
    """Return code and reason of the server's close, after whatever comes before it."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            receive(connection)
    close = connection.protocol.close_rcvd
    assert close is not None
    return close.code, close.reason


def opened(server: RunningServer, path: str = ALL_EVENTS) -> socket.socket:
    """Return a connection on which a WebSocket has been opened by hand."""
    connection = server.connect(path, headers=UPGRADE)
    read_until(connection, b"\r\n\r\n")
    return connection


def masked(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    """Return a frame as a client sends it."""
    return Frame(opcode, data, fin=fin).serialize(mask=True)


def close_code(connection: socket.socket) -> int:
    """Return the code of the close frame, the last one that comes."""
    data = read_all(connection)
    while data:
        length = data[1]
        assert length < 126
        if data[0] == 0x88:
            assert b"" == data[2 + length :]
            return int(struct.unpack("!H", data[2:4])[0])
        data = data[2 + length :]
    raise AssertionError("no close frame came")


# Handshake


@pytest.mark.parametrize("path", PATHS)
def test_answer(server: RunningServer, path: str) -> None:
    """The answer to a handshake is the one of the RFC, for the client's key."""
    with server.connect(f"{path}/{TOKEN}", headers=UPGRADE) as connection:
        head = read_until(connection, b"\r\n\r\n").decode().split("\r\n")
    assert "HTTP/1.1 101 Switching Protocols" == head[0]
    wanted = {"Upgrade: websocket", "Connection: Upgrade"}
    assert wanted <= set(head)
    assert f"sec-websocket-accept: {ACCEPT}".lower() in [line.lower() for line in head]
    assert not any(line.lower().startswith(("content-", "transfer-")) for line in head)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("token", ["0" * 40, "nonsense", "f" * 63])
def test_bad_token(server: RunningServer, path: str, token: str) -> None:
    """A token that is none gets 401 before the connection is upgraded."""
    with pytest.raises(InvalidStatus) as refused:
        client(server, f"{path}/{token}")
    assert 401 == refused.value.response.status_code


@pytest.mark.parametrize("path", PATHS)
def test_token_in_a_header(server: RunningServer, path: str) -> None:
    """The token may come in a header or as a cookie instead."""
    for name, value in {"X-Auth-Token": TOKEN, "Cookie": f"session_id={TOKEN}"}.items():
        with client(server, path, additional_headers={name: value}) as connection:
            assert connection.ping().wait(scaled(RECEIVE_SECONDS))


def test_token_in_the_url_is_an_option(tmp_path: Path) -> None:
    """With `token_in_url` off a token in the URL counts for nothing."""
    with (
        RunningServer(tmp_path, websockets=True, token_in_url=False) as server,
        pytest.raises(InvalidStatus) as refused,
    ):
        client(server)
    assert 401 == refused.value.response.status_code


@pytest.mark.parametrize("path", PATHS)
def test_websockets_is_an_option(tmp_path: Path, path: str) -> None:
    """Without `websockets: True` there is no such URL."""
    with RunningServer(tmp_path) as server:
        answer = server.send("GET", f"{path}/{TOKEN}")
    assert 404 == answer.status


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Upgrade": "", "Connection": "close"}, 426),
        ({"Sec-WebSocket-Version": "8"}, 426),
        ({"Sec-WebSocket-Key": "short"}, 400),
        ({"Origin": "https://evil.example"}, 403),
    ],
)
def test_refused(server: RunningServer, changes: dict[str, str], status: int) -> None:
    """What is no handshake, or a wrong one, gets an error that says so."""
    answer = server.send("GET", ALL_EVENTS, headers={**UPGRADE, **changes})
    assert (status, status) == (answer.status, answer.value()["status"])


@pytest.mark.parametrize(
    ("listed", "origin", "allowed"),
    [
        (None, "http://other.example", False),
        ("http://other.example", "http://other.example", True),
        (["http://third.example", "http://other.example"], "http://other.example", True),
        ("http://third.example", "http://other.example", False),
        ("*", "http://other.example", True),
        (None, f"http://{HOST}:PORT", True),
    ],
)
def test_origin(tmp_path: Path, listed: Any, origin: str, allowed: bool) -> None:
    """Pages of our own origin and of those that `cors_origin` lists may connect."""
    with RunningServer(tmp_path, websockets=True, cors_origin=listed) as server:
        origin = origin.replace("PORT", str(server.port))
        if allowed:
            with client(server, origin=origin) as connection:
                assert connection.ping().wait(scaled(RECEIVE_SECONDS))
        else:
            with pytest.raises(InvalidStatus) as refused:
                client(server, origin=origin)
            assert 403 == refused.value.response.status_code


# Messages


def test_all_events(server: RunningServer) -> None:
    """Nothing comes before the client is ready, then each event as bare JSON, data first."""
    with client(server) as connection:
        server.fire("before")
        with pytest.raises(TimeoutError):
            connection.recv(timeout=QUIET_SECONDS)
        make_ready(server, connection)
        server.fire("after", {"é": 1})
        assert '{"data": {"é": 1}, "tag": "after"}' == receive(connection)


def test_other_messages(server: RunningServer) -> None:
    """Other messages, also in parts, are taken and not answered."""
    with client(server) as connection:
        for message in ("hello", b"\xff\x00", "", ["in ", "three ", "parts"], READY, READY):
            connection.send(message)
        connection.ping().wait(scaled(RECEIVE_SECONDS))
        server.fire("only")
        assert "only" == json.loads(receive(connection))["tag"]


def test_ready_in_parts(server: RunningServer) -> None:
    """The words may come in fragments, with a ping between them."""
    with opened(server) as connection:
        head, tail = READY[:9].encode(), READY[9:].encode()
        connection.sendall(masked(Opcode.TEXT, head, fin=False))
        connection.sendall(masked(Opcode.PING, b"now"))
        connection.sendall(masked(Opcode.CONT, tail))
        assert b"\x8a\x03now" == connection.recv(5, socket.MSG_WAITALL)
        connection.sendall(masked(Opcode.PING, b""))
        assert b"\x8a\x00" == connection.recv(2, socket.MSG_WAITALL)
        server.fire("x")
        assert read_until(connection, b'"tag": "x"}')


def test_early_words(server: RunningServer) -> None:
    """A client that does not wait for the answer to its handshake is heard all the same."""
    words = masked(Opcode.TEXT, READY.encode()) + masked(Opcode.PING, b"")
    with server.connect() as connection:
        connection.sendall(request(ALL_EVENTS, UPGRADE) + words)
        read_until(connection, b"\r\n\r\n")
        assert b"\x8a\x00" == connection.recv(2, socket.MSG_WAITALL)
        server.fire("x")
        assert read_until(connection, b'"tag": "x"}')


def test_cherrypys_websocket(server: RunningServer) -> None:
    """`/ws` acknowledges every message, and its events are framed as in rest_cherrypy."""
    with client(server, f"/ws/{TOKEN}") as connection:
        connection.send(READY)
        assert "server received message" == receive(connection)
        server.fire("a", {})
        assert 'data: {"data": {}, "tag": "a"}\n\n' == receive(connection)


def job(jid: str, *minions: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the events of a job on which the last minion fails."""
    new = {
        "jid": jid,
        "tgt": list(minions),
        "tgt_type": "list",
        "fun": "test.ping",
        "minions": list(minions),
        "_stamp": "2026-01-01T00:00:00.000000",
    }
    returns = [
        (
            f"salt/job/{jid}/ret/{minion}",
            {
                "jid": jid,
                "id": minion,
                "fun": "test.ping",
                "return": True,
                "retcode": 0 if minion != minions[-1] else 1,
                "success": minion != minions[-1],
            },
        )
        for minion in minions
    ]
    return [(f"salt/job/{jid}/new", new), *returns]


@pytest.mark.parametrize(
    ("query", "before", "behind"), [("", "", "\n\n"), ("?data", "data: ", "\n\n")]
)
def test_formatted_events(server: RunningServer, query: str, before: str, behind: str) -> None:
    """Minions come as a mapping, jobs until they are complete, also with a failed minion."""
    jid = "20260101000000000001"
    with client(server, f"/formatted_events/{TOKEN}{query}") as connection:
        make_ready(server, connection)
        texts = [receive(connection)]
        server.fire("salt/presence/present", {"present": ["one"]})
        while '"one"' not in texts[-1]:
            texts.append(receive(connection))
        server.fire_all(job(jid, "one", "two"))
        while '"complete"' not in texts[-1]:
            texts.append(receive(connection))
    assert all(text.startswith(before + "{") and text.endswith("}" + behind) for text in texts)
    values = [json.loads(text.removeprefix(before)) for text in texts]
    assert {"minions": {}} == values[0]
    assert {"one": {"id": "one", "grains": {}}} in [value.get("minions") for value in values]
    shown = values[-1]["jobs"][jid]
    assert "list" == shown["tgt_type"]
    assert {"return": True, "retcode": 1, "success": False} == shown["minions"]["two"]


def test_view_of_cherrypy(server: RunningServer) -> None:
    """`/ws?format_events` has the minions as a list, and no line end behind the JSON."""
    with client(server, f"/ws/{TOKEN}?format_events") as connection:
        connection.send(READY)
        assert ["server received message", '{"minions": []}'] == [
            receive(connection),
            receive(connection),
        ]


# Endings


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (masked(Opcode.TEXT, b"\xff\xfe"), 1007),
        (masked(Opcode.TEXT, b"a" * (64 * KIB + 1)), 1009),
        (
            masked(Opcode.TEXT, b"a" * 40_000, fin=False) + masked(Opcode.CONT, b"a" * 40_000),
            1009,
        ),
        (Frame(Opcode.TEXT, b"not masked").serialize(mask=False), 1002),
        (masked(Opcode.CONT, b"nothing to continue"), 1002),
        (masked(Opcode.TEXT, b"a", fin=False) + masked(Opcode.TEXT, b"b"), 1002),
        (b"\xf1\x80\x00\x00\x00\x00", 1002),
        (b"\x83\x80\x00\x00\x00\x00", 1002),
        (masked(Opcode.CLOSE, struct.pack("!H", 1000) + b"bye"), 1000),
        (masked(Opcode.CLOSE, struct.pack("!H", 1005)), 1002),
    ],
    ids=[
        "bad UTF-8",
        "oversized",
        "oversized in parts",
        "unmasked",
        "stray continuation",
        "interrupted message",
        "reserved bits",
        "reserved opcode",
        "close",
        "reserved code",
    ],
)
def test_close_codes(server: RunningServer, data: bytes, code: int) -> None:
    """Each way to break the protocol, and the regular end, gets the code of RFC 6455."""
    with opened(server) as connection:
        connection.sendall(data)
        assert code == close_code(connection)
    assert eventually(lambda: server.hub.listeners == 0)


def test_a_revoked_token(server: RunningServer) -> None:
    """A session that ends closes its WebSockets with 4401."""
    with client(server) as connection:
        make_ready(server, connection)
        server.end_session()
        assert 4401 == end_of(connection)[0]


def test_the_end_of_the_service(tmp_path: Path) -> None:
    """When the service stops, WebSockets are closed with 1001."""
    with contextlib.ExitStack() as stack:
        with RunningServer(tmp_path, websockets=True) as server:
            connection = stack.enter_context(client(server))
            make_ready(server, connection)
        assert 1001 == end_of(connection)[0]


def test_a_slow_client(tmp_path: Path) -> None:
    """A client that reads too slowly is closed with 1013; another one gets everything."""
    events = 300
    with (
        RunningServer(tmp_path, websockets=True, queue_bytes=2 * MIB) as server,
        opened(server) as stuck,
        client(server) as reader,
    ):
        stuck.sendall(masked(Opcode.TEXT, READY.encode()))
        make_ready(server, reader)
        tags = []
        for number in range(events):
            server.fire(f"number/{number}", {"text": "x" * 100_000})
            tags.append(json.loads(receive(reader))["tag"])
        assert [f"number/{number}" for number in range(events)] == tags
        assert eventually(lambda: server.hub.listeners == 1)


def test_no_pong(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not answer a ping is taken for gone."""
    monkeypatch.setattr(websockets, "PING_SECONDS", 0.1)
    monkeypatch.setattr(websockets, "PONG_SECONDS", 0.1)
    with opened(server) as connection:
        assert re.match(rb"\x89\x00\x88.\x03\xf3", read_all(connection))
    assert eventually(lambda: server.hub.listeners == 0)
