"""What rest_wsgi says to a request with which something is wrong."""

import json
from collections.abc import Callable
from typing import Any
from wsgiref.types import WSGIEnvironment

import pytest

from saltapi.demo import PrivateMaster
from saltapi.netapi.rest_wsgi import RestWsgi
from tests.netapi.rest_wsgi.serving import JSON, ONE, PING, TOO_LARGE, Door, error, serving_here


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"body": b"{nonsense"}, error(400, "The body is no valid JSON: Expecting property name")),
        ({"body": b""}, error(400, "The body is empty: send a lowstate as JSON.")),
        ({"body": b"null"}, error(400, "Lowstates must be a list")),
        ({"body": b'"text"'}, error(400, "Lowstates must be a list")),
        ({"body": ["text"]}, error(400, "A chunk must be a mapping")),
        ({"body": b'["\xff"]'}, error(400, "The body is not UTF-8.")),
        ({"body": '["é"]'.encode("utf-16")}, error(400, "The body is not UTF-8.")),
        ({"body": b"[NaN]"}, error(400, "The body is no valid JSON: NaN is no JSON number.")),
        ({"body": b'["\\ud800"]'}, error(400, "The body holds a lone surrogate")),
        ({"body": b"[" + b"9" * 5000 + b"]"}, error(400, "The body holds a number that is too")),
        ({"body": b"[" * 50_000}, error(400, "The body is nested deeper than 100 levels.")),
        ({"body": b"[" * 200 + b"]" * 200}, error(400, "The body is nested deeper than 100")),
        ({"body": [{"client": "destroy"}]}, error(400, "Invalid client specified: 'destroy'")),
        ({"body": [{"client": "ssh"}]}, error(400, "Client disabled: 'ssh'. Add to 'netapi_ena")),
        ({"body": [PING]}, error(401, "No authentication credentials given")),
        ({"body": [PING | {"token": "0" * 64}]}, error(401, "The token is unknown or has expir")),
        ({"body": [PING | {"token": "../x"}]}, error(401, "The token is unknown or has expired")),
        ({"body": [PING | {"token": 5}]}, error(401, "Invalid token")),
        ({"body": [PING | {"eauth": "file"}]}, error(401, "Authentication needs username")),
        ({"path": "/login"}, error(404, "There is only one URL here: POST to /.")),
        ({"path": "/livez", "method": "GET"}, error(404, "There is only one URL here: POST to")),
        ({"path": "/%2f"}, error(404, "There is only one URL here: POST to /.")),
        ({"method": "GET"}, error(405, "Only POST is taken here.")),
        ({"method": "PUT", "body": [PING]}, error(405, "Only POST is taken here.")),
        ({"method": "DELETE"}, error(405, "Only POST is taken here.")),
        ({"method": "OPTIONS"}, error(405, "Only POST is taken here.")),
        ({"body": [], "headers": {"Content-Type": "text/plain"}}, error(406, "JSON required")),
        ({"body": [], "headers": {"Content-Type": "application/jsonp"}}, error(406, "JSON requi")),
        ({"body": [], "headers": {}}, error(406, "JSON required: send Content-Type: application")),
        ({"body": TOO_LARGE}, error(413, "The body is larger than 1048576 bytes.")),
        ({"body": TOO_LARGE, "path": "/x"}, error(413, "The body is larger than 1048576 bytes.")),
    ],
)
def test_error(door: Door, request_: dict[str, Any], expected: dict[str, Any]) -> None:
    """Every error is JSON with its status and a sentence, and has a request id."""
    answer = door.ask(**request_)

    assert expected["status"] == answer.status == answer.body["status"]
    assert {"status", "return"} == answer.body.keys()
    assert answer.body["return"].startswith(expected["return"])
    assert 16 == len(answer.headers["X-Request-Id"])
    assert ("POST" if answer.status == 405 else None) == answer.headers.get("Allow")


def test_wrong_password(door: Door, login: dict[str, str]) -> None:
    """A wrong password gets 401, and no chunk has run before it is noticed."""
    marker = {"client": "local_async", "tgt": ONE, "fun": "test.ping"}
    answer = door.ask([marker | login, PING | login | {"password": "wrong"}])

    assert 401 == answer.status
    sentence = "Chunk 2: Could not authenticate using provided credentials"
    assert error(401, sentence) == answer.body


def test_not_permitted(door: Door, master: PrivateMaster) -> None:
    """Somebody who may not run a function gets 401, as from Salt."""
    chunk = {"client": "local", "tgt": ONE, "fun": "cmd.run", "arg": ["id"]}
    answer = door.ask([chunk | master.credentials("low")])

    assert 401 == answer.status
    assert "saltdev" not in answer.body["return"]


def test_head(door: Door) -> None:
    """HEAD is answered like GET, without a body."""
    answer = door.ask(method="HEAD")

    assert (405, None) == (answer.status, answer.body)


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "application/json;charset=UTF-8", "Application/JSON"],
)
def test_content_type(door: Door, content_type: str) -> None:
    """Parameters and capitals in the Content-Type do not matter."""
    assert 200 == door.ask([], headers={"Content-Type": content_type}).status


def test_byte_order_mark(door: Door) -> None:
    """A byte order mark before the JSON does not matter."""
    assert 200 == door.ask(b"\xef\xbb\xbf[]").status


def test_body_without_length(door: Door, login: dict[str, str]) -> None:
    """A body in chunks is taken; its length need not be known before."""
    connection = door.connect()
    data = json.dumps([{"client": "local", "tgt": ONE, "fun": "test.ping", **login}]).encode()
    parts = iter([data[:10], data[10:]])
    connection.request("POST", "/", body=parts, headers=JSON, encode_chunked=True)
    response = connection.getresponse()

    assert {"return": [{ONE: True}]} == json.loads(response.read())
    connection.close()


def test_large_body_without_length(door: Door) -> None:
    """A body in chunks that gets too large gets 413."""
    connection = door.connect()
    connection.request("POST", "/", body=iter([TOO_LARGE]), headers=JSON, encode_chunked=True)

    assert 413 == connection.getresponse().status
    connection.close()


def test_failure_after_results(door: Door, login: dict[str, str]) -> None:
    """When a later command fails, the error comes with the results of those before it."""
    chunks: list[dict[str, Any]] = [
        {"client": "local", "tgt": ONE, "fun": "test.ping"},
        {"client": "runner", "fun": "test.sleep", "s_time": 5, "timeout": 0.5},
        {"client": "local", "tgt": ONE, "fun": "test.ping"},
    ]
    answer = door.ask([chunk | login for chunk in chunks])

    assert 504 == answer.status == answer.body["status"]
    assert answer.body["return"].startswith("Chunk 2: RunnerClient job '")
    assert [{ONE: True}] == answer.body["completed"]


def test_unexpected_error(here: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    """An error of our own gets 500 without details; the log has them under the request id."""

    class Broken(RestWsgi):
        def _answer(self, environ: WSGIEnvironment) -> Any:
            raise RuntimeError("details")

    with here(Broken) as door:
        answer = door.ask([])

    assert 500 == answer.status
    assert error(500, "An unexpected error occurred") == answer.body
    record = next(r for r in caplog.records if answer.headers["X-Request-Id"] in r.getMessage())
    assert "details" in str(record.exc_info)


@pytest.mark.long
def test_master_down(private_master: Callable[..., PrivateMaster]) -> None:
    """While the master is down a command gets 503 and when to come back, not silence."""
    own = private_master(minions=0)
    with serving_here(own.config_dir) as door:
        assert [{}] == door.returns(PING | own.credentials())
        own.kill_master()
        for chunk in (PING, {"client": "runner", "fun": "manage.up"}):
            answer = door.ask([chunk | own.credentials()])

            assert 503 == answer.status == answer.body["status"]
            assert "5" == answer.headers["Retry-After"]
            assert answer.body["return"].startswith("The Salt master ")
