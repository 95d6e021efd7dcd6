"""Requests as bytes (`saltapi.check.against.wire`), with the deadlines of this machine."""

import json
from collections.abc import Mapping
from typing import Any

from saltapi.check.against import wire
from saltapi.check.against.wire import STREAM_TYPE, Answer, Headers, encode_request
from tests.waiting import scaled

__all__ = ["STREAM_TYPE", "Answer", "Headers", "encode_request", "exchange", "send"]


def exchange(
    port: int,
    request: bytes,
    *,
    timeout: float = wire.SOCKET_SECONDS,
    source: str = "127.0.0.1",
) -> Answer:
    """Same as `wire.exchange`, with a deadline for this machine."""
    return wire.exchange(port, request, timeout=scaled(timeout), source=source)


def send(
    port: int,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    json_body: Any = None,
    timeout: float = wire.SOCKET_SECONDS,
) -> Answer:
    """Send a well-formed request on a connection of its own and return the answer."""
    names = {"Host": f"127.0.0.1:{port}", "Connection": "close", **(headers or {})}
    if json_body is not None:
        body = json.dumps(json_body).encode()
        names = {"Content-Type": "application/json", **names}
    if body is not None:
        names.setdefault("Content-Length", str(len(body)))
    return exchange(port, encode_request(method, path, names.items(), body), timeout=timeout)
