"""Readers of the event stream: an EventSource as browsers have it, and `websocket-client`."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from websocket import WebSocket, WebSocketBadStatusException, create_connection

from tests.apis import ApiServer
from tests.waiting import scaled

SECONDS = 30.0
PAUSE_SECONDS = 0.1


@dataclass
class EventSource:
    """
    The part of the standard (HTML, "Server-sent events") that follows the connection.

    It keeps what a browser would: `data` of each event, the last id, the time to reconnect.
    """

    retry_ms: int = 3000
    last_id: str = ""
    comments: list[str] = field(default_factory=list)

    def messages(self, lines: Iterator[str]) -> Iterator[tuple[str, str]]:
        """Return the type and data of each event in *lines*."""
        data: list[str] = []
        kind = ""
        for line in lines:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not line:
                if data:
                    yield kind or "message", "\n".join(data)
                data, kind = [], ""
            elif not name:
                self.comments.append(value)
            elif name == "data":
                data.append(value)
            elif name == "event":
                kind = value
            elif name == "id":
                self.last_id = value
            elif name == "retry" and value.isdigit():
                self.retry_ms = int(value)


def lines_of(response: http.client.HTTPResponse) -> Iterator[str]:
    """Return the lines of a stream as they come."""
    while line := response.readline():
        yield line.decode().removesuffix("\n")


@contextmanager
def stream(
    api: ApiServer, headers: dict[str, str], path: str = "/events"
) -> Iterator[http.client.HTTPResponse]:
    """Open a stream."""
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=scaled(SECONDS))
    try:
        connection.request("GET", path, headers={"Accept": "text/event-stream", **headers})
        response = connection.getresponse()
        assert 200 == response.status, response.read()
        yield response
    finally:
        connection.close()


@pytest.fixture
def token(api: ApiServer) -> str:
    """The token of a session."""
    return api.login()


@pytest.fixture
def hooks(api: ApiServer, token: str) -> Iterator[None]:
    """Fire an event again and again while the test runs."""
    ended = threading.Event()

    def fire() -> None:
        while not ended.wait(scaled(PAUSE_SECONDS)):
            api.send("POST", "/hook/again", headers={"X-Auth-Token": token}, json_body={"a": "ü"})

    firing = threading.Thread(target=fire)
    firing.start()
    yield
    ended.set()
    firing.join()


@pytest.mark.usefixtures("hooks")
def test_event_source(api: ApiServer, token: str) -> None:
    """A browser's EventSource, which has the cookie alone, gets each event as a message."""
    source = EventSource()
    with stream(api, {"Cookie": f"session_id={token}"}) as response:
        messages = source.messages(lines_of(response))
        found = ((kind, json.loads(data)) for kind, data in messages)
        kind, event = next(pair for pair in found if pair[1]["tag"] == "salt/netapi/hook/again")
    assert "message" == kind
    assert {"a": "ü"} == event["data"]["post"]
    assert "_stamp" in event["data"]
    assert 400 == source.retry_ms
    assert "" == source.last_id


@pytest.mark.usefixtures("hooks")
def test_framing(api: ApiServer, token: str) -> None:
    """The bytes are those of Salt's module: the retry time, then a tag and data per event."""
    with stream(api, {"X-Auth-Token": token}) as response:
        first = response.readline() + response.readline() + response.readline()
        assert b"\n" == response.readline()
    retry, tag, data = first.decode().splitlines()
    assert "retry: 400" == retry
    event = json.loads(data.removeprefix("data: "))
    assert f"tag: {event['tag']}" == tag
    assert ["data", "tag"] == list(event)
    assert data == f"data: {json.dumps(event, ensure_ascii=False)}"


def connect(api: ApiServer, path: str, **options: Any) -> WebSocket:
    """Open a websocket as the 0.8.4 text does."""
    return create_connection(f"ws://127.0.0.1:{api.port}{path}", timeout=scaled(SECONDS), **options)


@pytest.mark.usefixtures("hooks")
def test_websocket_script(api: ApiServer, token: str) -> None:
    """The script of the 0.8.4 text: after `websocket client ready` the events come."""
    ws = connect(api, f"/ws/{token}")
    ws.send("websocket client ready")
    frames = [str(ws.recv())]
    while '"salt/netapi/hook/again"' not in frames[-1]:
        frames.append(str(ws.recv()))
    ws.close()
    assert "server received message" == frames[0]
    assert frames[-1].startswith('data: {"data": {')
    assert frames[-1].endswith("\n\n")
    event = json.loads(frames[-1].removeprefix("data: "))
    assert {"a": "ü"} == event["data"]["post"]


def test_formatted_events(api: ApiServer, token: str) -> None:
    """With `format_events` the frames are bare JSON: minions and jobs."""
    ws = connect(api, f"/ws/{token}?format_events")
    ws.send("websocket client ready")
    assert "server received message" == ws.recv()
    answer = api.send(
        "POST",
        "/",
        headers={"X-Auth-Token": token},
        json_body={"client": "local_async", "tgt": "*", "fun": "test.ping"},
    )
    jid = answer.value()["return"][0]["jid"]
    job: dict[str, object] = {}
    while job.get("state") != "complete":
        job = json.loads(ws.recv()).get("jobs", {}).get(jid, job)
    ws.close()
    assert "test.ping" == job["fun"]
    assert {"minion-1", "minion-2"} == set(job["minions"])  # type: ignore[call-overload]


@pytest.mark.parametrize("headers", [{}, {"X-Auth-Token": "0" * 64}])
def test_websocket_without_a_session(api: ApiServer, headers: dict[str, str]) -> None:
    """Without a token that is known there is no websocket: 401."""
    with pytest.raises(WebSocketBadStatusException) as refused:
        connect(api, "/ws", header=headers)
    assert 401 == refused.value.status_code
