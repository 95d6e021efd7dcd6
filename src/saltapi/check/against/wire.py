"""HTTP/1.1 as bytes: requests that no polite client library would send, and their answers."""

import http.client
import json
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml

SOCKET_SECONDS = 60.0
STREAM_TYPE = "text/event-stream"
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Answer:
    """What came back: the status, the headers as they were sent, and the body."""

    status: int
    headers: Headers
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the value of a header (several joined by a comma); None without it."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    @property
    def media_type(self) -> str:
        """The content type without its parameters; empty without one."""
        return (self.header("Content-Type") or "").partition(";")[0].strip().lower()

    def value(self) -> Any:
        """Return what the body says, by its content type; the text of any other type."""
        text = self.body.decode()
        if self.media_type == "application/json":
            return json.loads(text)
        if self.media_type == "application/x-yaml":
            return yaml.safe_load(text)
        return text


def encode_request(
    method: str, path: str, headers: Iterable[tuple[str, str]], body: bytes | None
) -> bytes:
    """Return the bytes of a request; nothing in it is checked or changed."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    head = "\r\n".join(lines).encode("utf-8", "surrogateescape")
    return head + b"\r\n\r\n" + (body or b"")


def exchange(
    port: int, request: bytes, *, timeout: float = SOCKET_SECONDS, source: str = "127.0.0.1"
) -> Answer:
    """
    Send *request* to a loopback *port*, from the loopback address *source*; return the answer.

    Of an event stream only the beginning is read: the first line of its body.

    Raises:
        OSError, http.client.HTTPException: No answer came, or none that is HTTP.
    """
    with socket.create_connection(
        ("127.0.0.1", port), timeout=timeout, source_address=(source, 0)
    ) as connection:
        connection.sendall(request)
        method = request.split(b" ", 1)[0].decode("latin-1")
        response = http.client.HTTPResponse(connection, method=method)
        try:
            response.begin()
            headers = tuple(response.getheaders())
            if STREAM_TYPE in (response.getheader("Content-Type") or "") and method == "GET":
                body = response.readline()
            else:
                body = response.read()
        finally:
            response.close()
    return Answer(response.status, headers, body)
