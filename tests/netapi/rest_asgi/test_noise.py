"""What outsiders do again and again: the socket they wait at, the log that they could fill."""

import base64
import os
import socket
import struct
from pathlib import Path

import pytest

from saltapi import seldom
from tests.netapi.rest_asgi.running import RunningServer
from tests.netapi.running import HOST, TOKEN
from tests.waiting import eventually, scaled

TCP_INFO_BACKLOG = struct.Struct("28xI")
"""Of a socket that listens: `tcpi_sacked` is how many connections may wait."""


def test_socket_queue_size(tmp_path: Path) -> None:
    """`socket_queue_size` is what the kernel keeps of connections that are not accepted yet."""
    with RunningServer(tmp_path, socket_queue_size=17) as server:
        info = server.sockets[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)

        assert (17,) == TCP_INFO_BACKLOG.unpack_from(info)


def broken_frame(port: int) -> bytes:
    """Send a text that is not UTF-8 over a WebSocket and return what comes back."""
    key = base64.b64encode(os.urandom(16)).decode()
    request = (
        f"GET /ws/{TOKEN} HTTP/1.1\r\nHost: {HOST}:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    received = b""
    with socket.create_connection((HOST, port), timeout=scaled(10)) as client:
        client.sendall(request.encode())
        while b"\r\n\r\n" not in received:
            received += client.recv(1000)
        client.sendall(b"\x81\x82\x00\x00\x00\x00\xff\xfe")
        while data := client.recv(1000):
            received += data
    return received


def test_broken_frames(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Text that is not UTF-8 ends its connection with 1007; the log has a line and no traceback."""
    before = seldom.counts["websocket_not_utf8"]
    seldom._said.clear()
    with RunningServer(tmp_path) as server:
        for _ in range(3):
            answer = broken_frame(server.port)
            assert answer.startswith(b"HTTP/1.1 101")
            assert b"\x88\x02\x03\xef" in answer
        eventually(lambda: seldom.counts["websocket_not_utf8"] == before + 3)

    said = [r for r in caplog.records if "Invalid UTF-8" in r.getMessage()]
    assert [None] == [record.exc_info for record in said]
