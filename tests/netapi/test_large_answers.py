"""Large answers of the modules of asyncio are written where they keep nobody waiting."""

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from saltapi import errors, formats
from saltapi.netapi._http import answers
from saltapi.netapi.rest_asgi.record_streams import NDJSON_TYPE, SSE_TYPE, stream, streamed
from tests.netapi.rest_asgi.running import RunningServer as RunningAsgi
from tests.netapi.rest_tornado.running import RunningServer as RunningTornado
from tests.netapi.running import TOKEN, RunningServer

LARGE = {f"minion-{number}": {"a": "b" * 100} for number in range(2000)}
CHUNK = {"client": "local", "tgt": "*", "fun": "test.ping"}
JSON, YAML = "application/json", "application/x-yaml"


@pytest.fixture(scope="module", params=[RunningAsgi, RunningTornado], ids=lambda kind: kind.name)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A module as it comes."""
    with request.param(tmp_path_factory.mktemp("api")) as running:
        yield running


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the threads in which something was written."""
    threads: list[str] = []

    def noting(function: Any) -> Any:
        def called(*arguments: Any, **options: Any) -> Any:
            threads.append(threading.current_thread().name)
            return function(*arguments, **options)

        return called

    for name in ("dump_json", "dump_json_in_parts", "dump_yaml"):
        monkeypatch.setattr(formats, name, noting(getattr(formats, name)))
    monkeypatch.setattr(answers, "error_body", noting(answers.error_body))
    return threads


def run(server: RunningServer, monkeypatch: pytest.MonkeyPatch, outcome: Any, accept: str) -> Any:
    """Return the answer to a command with this outcome."""

    async def one(*_args: Any, **_options: Any) -> list[Any]:
        if isinstance(outcome, Exception):
            raise outcome
        return [outcome]

    api = server.server.application.engine.api
    monkeypatch.setattr(api, "run", one)
    monkeypatch.setattr(api, "run_each", one)
    headers = {"X-Auth-Token": TOKEN, "Accept": accept}
    return server.send("POST", "/", headers=headers, json_body=[CHUNK])


@pytest.mark.parametrize("accept", [JSON, YAML])
def test_results(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, written: list[str], accept: str
) -> None:
    """What is large is written in a thread; what is small is not worth one."""
    answer = run(server, monkeypatch, LARGE, accept)
    assert (200, LARGE) == (answer.status, answer.value()["return"][0])
    assert "test-loop" not in written

    written.clear()
    assert 200 == run(server, monkeypatch, True, accept).status
    assert ["test-loop"] == written


@pytest.mark.parametrize("accept", [JSON, YAML])
def test_errors(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, written: list[str], accept: str
) -> None:
    """So are the results that an error comes with."""
    error = errors.CommandTimeout("It took too long.")
    error.completed = (LARGE,)
    answer = run(server, monkeypatch, error, accept)
    assert error.status == answer.status
    assert [LARGE] == answer.value()["completed"]
    assert "test-loop" not in written


async def records(*values: Any) -> AsyncIterator[list[dict[str, Any]]]:
    for value in values:
        yield [{"type": "return", "id": "x", "return": value}] * 2


async def returns(*values: Any) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    for value in values:
        yield "minion-1", {"return": value}


@pytest.mark.parametrize(
    "answer",
    [
        lambda *values: stream(NDJSON_TYPE, records(*values)),
        lambda *values: stream(SSE_TYPE, records(*values)),
        lambda *values: streamed({"jid": "1"}, returns(*values), {}),
    ],
    ids=["lines", "events", "document"],
)
async def test_returns_one_by_one(answer: Callable[..., Any], written: list[str]) -> None:
    """What minions return is written in a thread where it is large, and here where it is small."""
    here = threading.current_thread().name
    body = b"".join([part async for part in answer(True).body_iterator])
    assert b"true" in body
    assert {here} == set(written)
    written.clear()
    body = b"".join([part async for part in answer(LARGE).body_iterator])
    assert body.count(b"minion-1999") in {1, 2}
    assert set(written) - {here}
    assert len([name for name in written if name == here]) <= 2  # names, and what is around
