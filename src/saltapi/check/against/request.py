"""
Requests that are sent to Salt's module and to ours: what one is, and those that change nothing.

In paths, headers and bodies `%NAME%` stands for a value that differs from server to server or
from run to run, such as `%TOKEN%` of a session.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from saltapi.check.against.wire import Headers

JSON = "application/json"
YAML = "application/x-yaml"
FORM = "application/x-www-form-urlencoded"
TOKEN = {"X-Auth-Token": "%TOKEN%"}
COOKIE = {"Cookie": "session_id=%TOKEN%"}

ACCEPTS = [
    None,
    "",
    "*/*",
    JSON,
    YAML,
    "application/*",
    "text/*",
    "text/html",
    "text/yaml",
    "application/yaml",
    "application/json; charset=utf-8",
    "application/json;q=0",
    "application/json;q=0.1, application/x-yaml;q=0.9",
    "application/x-yaml;q=0.1, application/json;q=0.9",
    "application/json;q=0.5, application/x-yaml;q=0.5",
    "application/x-yaml, application/json",
    "text/html, application/x-yaml;q=0.2",
    "text/html, */*;q=0.1",
    "application/x-yaml, */*",
    "*/*;q=0.1, application/x-yaml",
    "application/xml, application/x-yaml",
    "APPLICATION/JSON",
    "text/event-stream",
    "nonsense",
]

WRONG_TOKENS = [
    "x",
    "0",
    "0" * 40,
    "0" * 64,
    "f" * 128,
    "0x" + "0" * 38,
    "../../../../etc/passwd",
    "None",
    "a" * 5000,
    '"quoted"',
]


@dataclass(frozen=True)
class Request:
    """
    One request of the corpus.

    Attributes:
        name: What it is, unique in the corpus; `expected.yaml` refers to it.
        order: Requests with a higher one wait until all others have been answered.
        raw: All of its bytes, instead of the rest.
    """

    name: str
    method: str = "GET"
    path: str = "/"
    headers: Headers = ()
    body: bytes | None = None
    order: int = 0
    raw: bytes | None = None

    @property
    def needs_fresh(self) -> bool:
        """Tell whether it needs a session of its own."""
        return any("%FRESH%" in text for pair in self.headers for text in pair)


def request(
    name: str,
    method: str,
    path: str,
    headers: Mapping[str, str | None] | None = None,
    body: str | bytes | None = None,
    order: int = 0,
) -> Request:
    """Return a request with the headers that every client sends beside *headers*."""
    data = body.encode() if isinstance(body, str) else body
    sent: dict[str, str | None] = {
        "Host": "127.0.0.1",
        "Connection": "close",
        **({} if data is None else {"Content-Length": "%LENGTH%"}),
        **(headers or {}),
    }
    pairs = tuple((key, value) for key, value in sent.items() if value is not None)
    return Request(name, method, path, pairs, data, order)


def json_request(
    name: str, path: str, value: Any, headers: Mapping[str, str | None] | None = None
) -> Request:
    """Return a POST of *value* as JSON."""
    headers = {"Content-Type": JSON, **(headers or {})}
    return request(name, "POST", path, headers, json.dumps(value))
