"""HTTP/1.1 as light as it can be: the load generator must not be what is measured."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

HOST = "127.0.0.1"
HEAD_END = b"\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def request(
    method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> str:
    """Return the text of a request; *body* is sent as JSON."""
    data = "" if body is None else json.dumps(body)
    names = {"Host": "bench", "Accept": "application/json", **(headers or {})}
    if body is not None:
        names |= {"Content-Type": "application/json", "Content-Length": str(len(data))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in names.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n{data}"


class Connection(asyncio.Protocol):
    """One connection that is kept alive; it carries one request at a time."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.usable = True
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._data = b""
        self._wanted_bytes = 0

    @classmethod
    async def open(cls, port: int) -> "Connection":
        """Return a new connection."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(cls, HOST, port)
        return connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def send(self, data: bytes) -> asyncio.Future[tuple[int, bytes]]:
        """Send a request; the future becomes the status and the body."""
        self._answer = asyncio.get_running_loop().create_future()
        self._data = b""
        self._wanted_bytes = 0
        self.transport.write(data)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._wanted_bytes:
            self._read_head()
        if self._wanted_bytes > 0:
            if len(self._data) >= self._wanted_bytes:
                self._done()
        elif self._wanted_bytes < 0 and self._data.endswith(LAST_CHUNK):
            self._done()

    def _read_head(self) -> None:
        end = self._data.find(HEAD_END)
        if end < 0:
            return
        head = self._data[:end].lower()
        self.usable = b"connection: close" not in head
        _, found, length = head.partition(b"content-length:")
        # Without a length it comes in chunks; servers that close instead are not known here.
        self._wanted_bytes = end + len(HEAD_END) + int(length.split(b"\r\n", 1)[0]) if found else -1

    def _done(self) -> None:
        if self._answer is not None and not self._answer.done():
            head, _, body = self._data.partition(HEAD_END)
            self._answer.set_result((int(head[9:12]), body))

    def connection_lost(self, _exc: Exception | None) -> None:
        self.usable = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the server closed the connection"))

    def close(self) -> None:
        """Close it."""
        if self.transport is not None:
            self.transport.close()
