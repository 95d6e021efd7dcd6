"""`/v1/events` on a real master, served by several processes."""

import http.client
import json
import time
import urllib.parse
import zlib
from collections.abc import Iterator
from typing import Any, Self

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from saltapi.config import RestAsgiConfig
from saltapi.demo import PrivateMaster
from saltapi.errors import CannotStart
from tests.apis import OURS, ApiServer
from tests.waiting import eventually, scaled

WORKERS = 2
SECONDS = 30.0
USERS = ("low", "scoped", "runners", "wheels", None)
NDJSON = "application/x-ndjson"


@pytest.fixture(scope="module")
def api(master: PrivateMaster) -> Iterator[ApiServer]:
    """The module in two processes."""
    with ApiServer(
        master, OURS, {"workers": WORKERS}, module="rest_asgi", options={"log_level": "debug"}
    ) as api:
        yield api


@pytest.fixture(scope="module")
def tokens(api: ApiServer) -> dict[str | None, str]:
    """The token of each user; None is who may run everything."""
    return {name: api.login(name) for name in USERS}


class Stream:
    """A client that reads one stream of JSON lines."""

    def __init__(
        self,
        api: ApiServer,
        token: str | None,
        query: str = "",
        /,
        path: str = "/v1/events",
        **more: str,
    ) -> None:
        headers = {"Accept": NDJSON, **{k.replace("_", "-"): v for k, v in more.items()}}
        if token is not None:
            headers["X-Auth-Token"] = token
        self._connection = http.client.HTTPConnection(
            "127.0.0.1", api.port, timeout=scaled(SECONDS)
        )
        self._connection.request("GET", f"{path}?{query}" if query else path, headers=headers)
        self.response = self._connection.getresponse()

    @property
    def status(self) -> int:
        """The status of the answer."""
        return self.response.status

    def next(self) -> dict[str, Any]:
        """Return the next record."""
        record: dict[str, Any] = json.loads(self.response.readline())
        return record

    def until(self, tag: str) -> list[dict[str, Any]]:
        """Return all records until one whose tag begins with *tag*."""
        records: list[dict[str, Any]] = []
        while not records or not records[-1].get("tag", "").startswith(tag):
            records.append(self.next())
        return records

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.response.close()
        self._connection.close()


def run(api: ApiServer, token: str, **chunk: Any) -> Any:
    """Run one chunk and return its result."""
    answer = api.send("POST", "/", json_body=[chunk], headers={"X-Auth-Token": token})
    assert 200 == answer.status, answer
    return answer.value()["return"][0]


def ping(api: ApiServer, token: str, minion: str = "minion-1") -> str:
    """Ping a minion and return the tag of its return."""
    job = run(api, token, client="local_async", tgt=minion, fun="test.ping")
    return f"salt/job/{job['jid']}/ret/{minion}"


def epoch_of(record: dict[str, Any]) -> str:
    """Return what a process calls itself in its ids."""
    return str(record["id"]).split("-")[-2]


def stable(records: list[dict[str, Any]]) -> list[str]:
    """Return those parts of the ids that all processes agree on."""
    return ["-".join(r["id"].split("-")[:2]) for r in records if r["type"] == "event"]


def test_users_see_what_they_may_run(api: ApiServer, tokens: dict[str | None, str]) -> None:
    """Jobs, functions and events of a real master reach exactly those who may see them."""
    admin = tokens[None]
    streams = {name: Stream(api, tokens[name]) for name in USERS}
    for stream in streams.values():
        assert "start" == stream.next()["type"]
    text = "not-for-everybody"
    echo = run(api, admin, client="local_async", tgt="minion-2", fun="test.echo", arg=[text])["jid"]
    both = run(api, admin, client="local_async", tgt="*", fun="test.ping")["jid"]
    sent = run(api, admin, client="runner", fun="event.send", tag="my/tag", data={"text": text})
    assert sent
    streams[None].until(f"salt/job/{echo}/ret/minion-2")
    own = run(api, tokens["runners"], client="runner_async", fun="test.arg")["jid"]
    streams[None].until(f"salt/run/{own}/ret")
    run(api, admin, client="wheel", fun="key.list_all")
    last = ping(api, admin)
    found = {}
    for name in ("low", "scoped", "runners"):
        found[name] = streams[name].until(last)
    found["wheels"] = streams["wheels"].until("salt/wheel/")
    expected: dict[str, dict[str, bool]] = {
        "low": {f"job/{both}/ret/minion-2": True, f"job/{both}/new": True},
        "scoped": {f"job/{both}/ret/minion-1": True},
        "runners": {f"job/{echo}/ret/minion-2": True, f"run/{own}/new": True},
        "wheels": {},
    }
    kinds = {f"job/{both}/new", f"job/{both}/ret/minion-1", f"job/{both}/ret/minion-2"}
    kinds |= {f"job/{echo}/new", f"job/{echo}/ret/minion-2", f"run/{own}/new"}
    for name, wanted in expected.items():
        tags = {record.get("tag", "").removeprefix("salt/") for record in found[name]}
        assert set(wanted) <= tags, name
        if name != "runners":
            assert not tags & {f"job/{echo}/new", f"job/{echo}/ret/minion-2", f"run/{own}/new"}, (
                name
            )
            assert text not in json.dumps(found[name]), name
        assert "my/tag" not in tags
    scoped = {record.get("tag", "") for record in found["scoped"]}
    assert not scoped & {f"salt/job/{both}/new", f"salt/job/{both}/ret/minion-2"}
    assert {"start", "event"} >= {
        record["type"] for records in found.values() for record in records
    }
    for stream in streams.values():
        stream.__exit__()


def test_the_classic_urls_are_filtered_too(api: ApiServer, tokens: dict[str | None, str]) -> None:
    """`/events` and `/ws` of the module show what the user may see, as `/v1/events` does."""
    text = "not-for-everybody"
    low, admin = tokens["low"], tokens[None]
    url = api.url.replace("http", "ws")
    with (
        Stream(api, low, path="/events", Accept="text/event-stream") as stream,
        connect(f"{url}/ws", additional_headers={"X-Auth-Token": low}) as socket,
        connect(f"{url}/ws?format_events", additional_headers={"X-Auth-Token": low}) as view,
    ):
        assert b"retry: 400\n" == stream.response.readline()
        for one in (socket, view):
            one.send("websocket client ready")
            assert "server received message" == one.recv(scaled(SECONDS))
        assert "minions" in read_until(view, '"minions"')
        run(api, admin, client="local", tgt="minion-1", fun="test.echo", arg=[text])
        last = ping(api, admin)
        lines: list[bytes] = []
        while not lines or last.encode() not in lines[-1]:
            lines.append(stream.response.readline())
        assert text.encode() not in b"".join(lines)
        assert text not in read_until(socket, last)
        assert text not in read_until(view, '"complete"')


def read_until(socket: ClientConnection, text: str) -> str:
    """Return all messages until one that holds *text*."""
    messages: list[str] = []
    while not messages or text not in messages[-1]:
        messages.append(str(socket.recv(scaled(SECONDS))))
    return "\n".join(messages)


def test_every_process_goes_on(api: ApiServer, tokens: dict[str | None, str]) -> None:
    """Who comes back gets exactly what was missed, from whichever process answers."""
    token = tokens[None]
    with Stream(api, token, "tag=salt/job/*") as stream:
        stream.next()
        since = stream.until(ping(api, token))[-1]["id"]
    last = [ping(api, token) for _ in range(3)][-1]
    with Stream(api, token, "tag=salt/job/*", Last_Event_ID=since) as again:
        found = again.until(last)
    assert not [record for record in found if record["type"] == "gap"]
    epochs = {epoch_of(found[-1])}
    deadline = time.monotonic() + scaled(SECONDS)
    while len(epochs) < WORKERS:
        assert time.monotonic() < deadline
        with Stream(api, token, f"tag=salt/job/*&since={since}") as again:
            others = again.until(last)
        assert stable(found) == stable(others)
        assert {"event"} == {record["type"] for record in others}
        epochs.add(epoch_of(others[-1]))


def test_a_stream_that_saw_nothing_goes_on(api: ApiServer, tokens: dict[str | None, str]) -> None:
    """The id at the beginning of a stream is enough to miss nothing."""
    token = tokens["scoped"]
    with Stream(api, token) as stream:
        start = stream.next()["id"]
    tag = ping(api, tokens[None])
    with Stream(api, token, f"since={start}") as stream:
        assert "event" == stream.until(tag)[-1]["type"]


def test_a_gap_is_told(api: ApiServer, tokens: dict[str | None, str]) -> None:
    """Where the history does not reach, the first record says so; then comes what there is."""
    tag = ping(api, tokens[None])
    with Stream(api, tokens[None], "since=1-1-elsewhere-1") as stream:
        first, *rest = stream.until(tag)
    assert "gap" == first["type"]
    assert "no longer in the history" in first["reason"]
    assert rest
    with Stream(api, tokens[None], "since=nonsense", Accept="text/event-stream") as stream:
        assert b"retry: 400\n\n" == stream.response.read(12)
        assert stream.response.readline().startswith(b"id: ")
        assert b"event: gap\n" == stream.response.readline()


def test_tags_choose(api: ApiServer, tokens: dict[str | None, str]) -> None:
    """Only events whose tag matches one of the globs come."""
    with Stream(api, tokens[None], "tag=salt/job/*/new&tag=salt/job/*/ret/minion-1") as stream:
        stream.next()
        tag = ping(api, tokens[None])
        kinds = [record["tag"].split("/")[3] for record in stream.until(tag)]
    assert {"new", "ret"} == set(kinds)


def test_gzip(api: ApiServer, tokens: dict[str | None, str]) -> None:
    """A compressed stream can be read as it comes."""
    sse = {"Accept": "text/event-stream", "Accept_Encoding": "gzip"}
    with Stream(api, tokens[None], **sse) as stream:
        assert "gzip" == stream.response.getheader("Content-Encoding")
        tag = ping(api, tokens[None]).encode()
        unpacker, text = zlib.decompressobj(31), b""
        while b"tag: " + tag not in text:
            text += unpacker.decompress(stream.response.read1(100_000))
    assert text.startswith(b"retry: 400\n\nid: ")


@pytest.mark.parametrize(
    ("query", "headers", "status", "code"),
    [
        ("", {"Accept": "application/json"}, 406, "not_acceptable"),
        ("", {"X-Auth-Token": "7" * 64}, 401, "authentication"),
        ("", {"X-Auth-Token": ""}, 401, "authentication"),
        ("ticket=x", {"X-Auth-Token": ""}, 401, "authentication"),
        ("&".join(["tag=x"] * 51), {}, 400, "invalid_field"),
        ("tag=" + "x" * 257, {}, 400, "invalid_field"),
        ("since=" + "x" * 256, {}, 400, "invalid_field"),
    ],
)
def test_refusals(
    api: ApiServer,
    tokens: dict[str | None, str],
    query: str,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    """What cannot be streamed is a problem document before any stream begins."""
    more = {"X-Auth-Token": tokens["low"], **headers}
    answer = api.send("GET", f"/v1/events?{query}", headers=more)
    problem = json.loads(answer.body)
    assert (status, code) == (answer.status, problem["code"])


def test_the_head_of_a_stream(api: ApiServer, tokens: dict[str | None, str]) -> None:
    """HEAD is answered, and does not begin a stream."""
    headers = {"X-Auth-Token": tokens["low"], "Accept": NDJSON}
    answer = api.send("HEAD", "/v1/events", headers=headers)
    assert (200, NDJSON, b"") == (answer.status, answer.media_type, answer.body)


def test_the_end_is_told(api: ApiServer) -> None:
    """When the session ends, the last record says so, and the body is whole."""
    token = api.login("low")
    url = api.url.replace("http", "ws") + "/v1/events"
    with Stream(api, token) as stream, connect(url, additional_headers=auth(token)) as socket:
        assert "start" == stream.next()["type"]
        assert "start" == json.loads(socket.recv(scaled(SECONDS)))["type"]
        api.send("POST", "/logout", headers={"X-Auth-Token": token})
        end = {"type": "end", "code": "session", "reason": "The token was revoked."}
        assert end == stream.next()
        assert b"" == stream.response.read()
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(scaled(SECONDS))
        assert closed.value.rcvd is not None
        assert (4401, end["reason"]) == (closed.value.rcvd.code, closed.value.rcvd.reason)


def auth(token: str) -> dict[str, str]:
    return {"X-Auth-Token": token}


def make_ticket(api: ApiServer, token: str) -> dict[str, Any]:
    """Return a new ticket as it is answered."""
    answer = api.send("POST", "/v1/events/ticket", headers=auth(token))
    assert (200, "no-store") == (answer.status, answer.header("Cache-Control"))
    ticket: dict[str, Any] = answer.value()
    return ticket


class TestTickets:
    """A ticket in the URL in place of a token in a header."""

    def test_once(self, api: ApiServer, tokens: dict[str | None, str]) -> None:
        """It opens one stream with the rights of its user, and no process takes it again."""
        ticket = make_ticket(api, tokens["scoped"])
        assert time.time() < ticket["expires"] < time.time() + 30
        path, _, query = ticket["url"].partition("?")
        assert f"ticket={ticket['ticket']}" == query
        with Stream(api, None, query, path=path) as stream:
            stream.next()
            run(api, tokens[None], client="local", tgt="minion-2", fun="test.ping")
            tags = [r["tag"] for r in stream.until(ping(api, tokens[None]))]
            assert not [tag for tag in tags if "minion-2" in tag]
        for _ in range(8):
            with Stream(api, None, query) as refused:
                assert 401 == refused.status

    def test_other_streams(self, api: ApiServer, tokens: dict[str | None, str]) -> None:
        """It opens any stream of the module, also a WebSocket, and one of a job."""
        token = tokens["low"]
        query = f"ticket={make_ticket(api, token)['ticket']}"
        with Stream(api, None, query, path="/events", Accept="text/event-stream") as stream:
            assert 200 == stream.status
        jid = ping(api, token).split("/")[2]
        query = f"ticket={make_ticket(api, token)['ticket']}&wait=20"
        assert 200 == api.send("GET", f"/v1/jobs/{jid}?{query}").status
        assert 401 == api.send("GET", f"/v1/jobs/{jid}?{query}").status
        query = f"ticket={make_ticket(api, token)['ticket']}"
        with Stream(api, None, query, path=f"/v1/jobs/{jid}/events") as stream:
            assert (200, "job") == (stream.status, stream.next()["type"])
        url = api.url.replace("http", "ws")
        with connect(f"{url}/v1/events?ticket={make_ticket(api, token)['ticket']}") as socket:
            assert "start" == json.loads(socket.recv(scaled(SECONDS)))["type"]
        with connect(f"{url}/ws?ticket={make_ticket(api, token)['ticket']}") as socket:
            socket.send("websocket client ready")
            assert "server received message" == socket.recv(scaled(SECONDS))

    def test_nothing_else(self, api: ApiServer, tokens: dict[str | None, str]) -> None:
        """It opens nothing but streams, and is not used up by the attempt."""
        ticket = make_ticket(api, tokens[None])["ticket"]
        for method, path in (
            ("GET", "/v1/jobs"),
            ("GET", "/v1/jobs?wait=1"),
            ("GET", "/v1/jobs/20260101000000000001"),
            ("GET", "/v1/jobs/20260101000000000001?after=wait=1"),
            ("GET", "/v1/jobs/20260101000000000001/rerun?wait=1"),
            ("DELETE", "/v1/jobs/20260101000000000001?wait=1"),
            ("POST", "/v1/run?wait=1"),
            ("GET", "/v1/whoami?wait=1"),
            ("GET", "/v1/whoami/events"),
            ("GET", "/v1/whoami%2Fevents"),
            ("GET", "/jobs?wait=1"),
            ("GET", "/minions/events"),
            ("GET", "/minions/ws?wait=1"),
            ("GET", "/stats?wait=1"),
            ("POST", "/events"),
            ("POST", "/v1/events/ticket"),
        ):
            mark = "&" if "?" in path else "?"
            answer = api.send(method, f"{path}{mark}ticket={ticket}")
            assert answer.status in {401, 404, 405}, path
        with Stream(api, None, f"ticket={ticket}") as stream:
            assert 200 == stream.status

    def test_the_log_does_not_hold_it(self, api: ApiServer, tokens: dict[str | None, str]) -> None:
        """Neither tickets nor tokens are logged, used or refused, over HTTP or WebSocket."""
        ticket = make_ticket(api, tokens["low"])["ticket"]
        url = f"{api.url.replace('http', 'ws')}/v1/events?ticket={ticket}"
        with connect(url):
            pass
        with pytest.raises(InvalidStatus, match="401"), connect(url):
            pass
        with Stream(api, None, f"ticket={ticket}") as stream:
            assert 401 == stream.status
        eventually(lambda: "/v1/events" in api.log())
        log = api.log()
        assert ticket not in log
        assert tokens["low"] not in log


class TestWebsocket:
    """The same URL as a WebSocket."""

    def test_records_are_messages(self, api: ApiServer, tokens: dict[str | None, str]) -> None:
        """Each record is one message; tags and resuming are as over HTTP."""
        url = f"{api.url.replace('http', 'ws')}/v1/events?" + urllib.parse.urlencode(
            {"tag": "salt/job/*/ret/*"}
        )
        with connect(url, additional_headers=auth(tokens["low"])) as socket:
            start = json.loads(socket.recv(scaled(SECONDS)))
            tag = ping(api, tokens[None])
            records = [json.loads(text) for text in read_until(socket, tag).splitlines()]
        assert ("start", "event", tag) == (start["type"], records[-1]["type"], records[-1]["tag"])
        assert {"ret"} == {record["tag"].split("/")[3] for record in records}
        again = f"{url}&since={start['id']}"
        with connect(again, additional_headers=auth(tokens["low"])) as socket:
            assert tag in read_until(socket, tag)

    def test_pages_of_other_origins(self, api: ApiServer, tokens: dict[str | None, str]) -> None:
        """A page of another origin is refused, our own is not."""
        url = f"{api.url.replace('http', 'ws')}/v1/events"
        with pytest.raises(InvalidStatus, match="403"):
            connect(
                url, additional_headers=auth(tokens["low"]), origin=Origin("http://evil.example")
            )
        with connect(url, additional_headers=auth(tokens["low"]), origin=Origin(api.url)) as socket:
            socket.recv(scaled(SECONDS))

    def test_strangers(self, api: ApiServer) -> None:
        """Without a token it is 401 before any WebSocket."""
        with pytest.raises(InvalidStatus, match="401"):
            connect(f"{api.url.replace('http', 'ws')}/v1/events")


@pytest.mark.parametrize(
    "option", ["own", "all", ["salt/*"], {"*": "own", "bob": ["my/*"]}, {}, []], ids=str
)
def test_what_event_acl_may_be(option: Any) -> None:
    """A word, a list of globs, or one of these for each user."""
    assert option == RestAsgiConfig.parse({"event_acl": option}).event_acl


@pytest.mark.parametrize("option", ["none", 7, {"bob": "none"}, {"bob": {"x": "own"}}], ids=str)
def test_what_event_acl_may_not_be(option: Any) -> None:
    """Anything else keeps the service from starting, rather than showing too much."""
    with pytest.raises(CannotStart, match="event_acl"):
        RestAsgiConfig.parse({"event_acl": option})
