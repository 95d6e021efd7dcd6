"""Errors, and what every URL does with every method."""

import re
from typing import Any

import pytest

from tests.apis import ApiServer
from tests.netapi.conformance.client import HTML, JSON, PING, YAML, Client


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/login", 400),
        ("GET", "/minions", 401),
        ("GET", "/nope", 404),
        ("GET", "/login/nope", 404),
        ("PUT", "/login", 405),
        ("DELETE", "/", 405),
        ("GET", "/logout", 405),
        ("GET", "/hook", 405),
    ],
)
@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, JSON),
        ("*/*", JSON),
        (JSON, JSON),
        (YAML, YAML),
        (HTML, HTML),
        ("text/html,application/xhtml+xml,*/*;q=0.8", HTML),
        (f"{HTML};q=0.5, {JSON}", JSON),
    ],
)
def test_errors(
    api: ApiServer, method: str, path: str, status: int, accept: str | None, expected: str
) -> None:
    """An error comes in the client's format, HTML only if it asks, with a request id."""
    answer = api.send(method, path, headers={"Accept": accept} if accept else {})
    if status in {400, 401} and accept == HTML:
        status = 406  # the client could not read a success
    assert (status, expected) == (answer.status, answer.media_type)
    assert re.fullmatch("[0-9a-f]{16}", answer.header("X-Request-Id") or "")
    assert str(len(answer.body)) == answer.header("Content-Length")
    if expected == HTML:
        assert f"<h2>{status}</h2>" in answer.body.decode()
    else:
        assert ["return", "status"] == sorted(answer.value())
        assert status == answer.value()["status"]
    if status == 405:
        assert "OPTIONS" in (answer.header("Allow") or "")


def test_406_itself(api: ApiServer) -> None:
    """Who accepts nothing that we have is told so in JSON."""
    answer = api.send("GET", "/", headers={"Accept": "image/png"})

    assert (406, JSON) == (answer.status, answer.media_type)
    assert 406 == answer.value()["status"]


def test_markup_in_errors(api: ApiServer) -> None:
    """What a request says is shown as text."""
    answer = api.send("GET", "/<script>alert(1)</script>", headers={"Accept": HTML})

    assert (404, HTML) == (answer.status, answer.media_type)
    assert b"<script>" not in answer.body


def test_request_ids_differ(api: ApiServer) -> None:
    """Each request has an id of its own, which is not the client's to choose."""
    headers = {"X-Request-Id": "mine"}
    ids = {api.send("GET", "/", headers=headers).header("X-Request-Id") for _ in range(5)}

    assert 5 == len(ids - {"mine", None})


GETS = ["/", "/login", "/run", "/token", "/minions", "/jobs", "/keys", "/stats"]
POSTS = ["/", "/login", "/logout", "/run", "/token", "/minions", "/keys", "/hook"]


@pytest.mark.parametrize("path", GETS)
def test_head(client: Client, path: str) -> None:
    """HEAD has the status and the headers of GET, and no body."""
    get, head = client.send("GET", path), client.send("HEAD", path)

    assert (get.status, b"") == (head.status, head.body)
    assert get.header("Content-Type") == head.header("Content-Type")


@pytest.mark.parametrize("path", [*GETS, "/logout", "/events", "/ws", "/hook", "/hook/x"])
def test_options(api: ApiServer, path: str) -> None:
    """OPTIONS is 200 and says what may be sent, with no session, and lets no page in."""
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = api.send("OPTIONS", path, headers=headers)
    allowed = (answer.header("Allow") or "").split(", ")

    assert (200, b"") == (answer.status, answer.body)
    assert "OPTIONS" in allowed
    assert (path in POSTS or path == "/hook/x") == ("POST" in allowed)
    assert [] == [n for n, _ in answer.headers if n.lower().startswith("access-control-")]


@pytest.mark.parametrize("path", ["/login/", "/run/", "/token/", "/minions/", "/keys/", "/jobs/"])
def test_trailing_slashes(client: Client, path: str) -> None:
    """A slash at the end changes nothing and is not redirected."""
    assert 200 == client.send("GET", path).status


def test_unknown_parameters(client: Client) -> None:
    """A parameter that a URL does not know is 404, as in Salt's module."""
    assert 404 == client.send("GET", "/minions?nope=1").status


def test_too_large(client: Client) -> None:
    """A body over one MiB is 413."""
    answer = client.send("POST", "/", headers={"Content-Type": JSON}, raw=b" " * (2**20 + 1))

    assert (413, JSON) == (answer.status, answer.media_type)
    assert {"status": 413, "return": "The body is larger than 1048576 bytes."} == answer.value()


@pytest.mark.parametrize(
    ("chunk", "status", "said"),
    [
        ({"fun": None}, 400, "fun"),
        ({"client": "nonsense"}, 400, "nonsense"),
        ({"client": "ssh"}, 400, "netapi_enable_clients"),
        ({"client": None}, 400, "client"),
        ({"tgt": None}, 400, "tgt"),
    ],
)
def test_wrong_chunk(client: Client, chunk: dict[str, Any], status: int, said: str) -> None:
    """A command that lacks something gets a sentence that names it."""
    given = {name: value for name, value in {**PING, **chunk}.items() if value is not None}
    answer = client.send("POST", "/", given)

    assert status == answer.status
    assert said in answer.value()["return"]
