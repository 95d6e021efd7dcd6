"""`/v1/events` with a log: over restarts, from other masters, for who may see it."""

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from saltapi.bridge.salt_line import SALT_LINE
from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.nats_servers import NatsServers
from tests.netapi.rest_asgi.test_events import Stream, ping, run
from tests.waiting import eventually, scaled

DRIVER = "eauth_tokens.cache_driver" if SALT_LINE >= 3008 else "eauth_tokens"


def door(
    master: PrivateMaster, servers: NatsServers, directory: Path, name: str, **options: Any
) -> ApiServer:
    """Return a daemon at *master*, which the log calls *name*."""
    store = {"url": servers.url, "bucket": options.pop("bucket"), "max_bytes": 2**25}
    return ApiServer(
        master,
        OURS,
        {"workers": 2, **options},
        module="rest_asgi",
        options={
            "saltapi_store": store,
            "saltapi_event_log": {"max_age": "1h", "max_bytes": "64MiB", "master": name},
            "store_directory": str(directory),
        },
    )


def fire(api: ApiServer, token: str, tag: str, number: int) -> None:
    """Let the master's bus have an event."""
    run(api, token, client="runner", fun="event.send", tag=tag, data={"n": number})


def events_of(stream: Stream, count: int) -> list[dict[str, Any]]:
    """Return the next *count* events, without heartbeats."""
    records: list[dict[str, Any]] = []
    while len(records) < count:
        record = stream.next()
        records += [record] if record["type"] == "event" else []
    return records


def is_stored(api: ApiServer, token: str) -> bool:
    """Return whether the log is as far as the bus."""
    text = api.send("GET", "/metrics", headers={"X-Auth-Token": token}).body.decode()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert "saltapi_event_log_stored_total" in values
    stored = float(values["saltapi_event_log_stored_total"])
    return stored > 0 and float(values["saltapi_event_log_lag_seconds"]) == 0


def test_over_a_restart(master: PrivateMaster, nats_servers: NatsServers, tmp_path: Path) -> None:
    """Who was away while everything was restarted gets what happened before, once, and a gap."""
    with door(master, nats_servers, tmp_path, "one", bucket="over") as api:
        tokens = {name: api.login(name) for name in (None, "low", "scoped")}
        admin = tokens[None]
        with Stream(api, admin) as stream:
            start = stream.next()["id"]
            for number in range(3):
                fire(api, admin, f"my/tag/{number}", number)
            both = ping(api, admin, "minion-2")
            own = ping(api, tokens["low"], "minion-1")
            seen = stream.until("my/tag/0")
            stream.until(own)
        eventually(lambda: is_stored(api, admin))
    with door(master, nats_servers, tmp_path, "one", bucket="over") as api:
        tokens = {name: api.login(name) for name in (None, "low", "scoped")}
        admin = tokens[None]
        with Stream(api, admin, f"since={seen[-1]['id']}&tag=my/tag/*&tag=last") as stream:
            records = [stream.next() for _ in range(3)]
            numbers = [record.get("data", {}).get("n") for record in records]
            assert [1, 2, None] == numbers
            assert "gap" == records[2]["type"]
            assert records[2]["from"] < records[2]["to"]
            fire(api, admin, "last", 3)
            assert 3 == stream.next()["data"]["n"]
        for name, expected in (("low", {both, own}), ("scoped", {own})):
            with Stream(api, tokens[name], f"since={start}") as stream:
                tags: list[str] = []
                while not tags or tags[-1] != "gap":
                    record = stream.next()
                    tags.append(record.get("tag", record["type"]))
                assert expected == {tag for tag in tags if "/ret/" in tag and "job" in tag}, name
                assert not [tag for tag in tags if tag.startswith("my/")]
        classic = http.client.HTTPConnection("127.0.0.1", api.port, timeout=scaled(20))
        headers = {"X-Auth-Token": str(admin), "Last-Event-ID": seen[-1]["id"]}
        classic.request("GET", "/events", headers=headers)
        response = classic.getresponse()
        text = b""
        while b"event: gap" not in text:
            text += response.read1(65536)
        assert [1, 1] == [text.count(b"tag: my/tag/%d" % number) for number in (1, 2)]
        assert 0 == text.count(b"tag: my/tag/0")
        classic.close()


def test_a_durable_cursor(master: PrivateMaster, nats_servers: NatsServers, tmp_path: Path) -> None:
    """A consumer goes on behind what it has acknowledged; without a log there are no cursors."""
    with door(master, nats_servers, tmp_path, "one", bucket="durable") as api:
        admin, low = api.login(), api.login("low")
        headers = {"X-Auth-Token": admin}
        query = "cursor=inventory&tag=my/tag&ack_wait=3600"  # nothing comes again meanwhile
        with Stream(api, admin, query) as stream:
            for number in range(3):
                fire(api, admin, "my/tag", number)
            records = events_of(stream, 3)
        done = {"id": records[1]["id"]}
        url = "/v1/events/cursors/inventory"
        answer = api.send("POST", f"{url}/ack", json_body=done, headers=headers)
        assert (200, done["id"]) == (answer.status, answer.value()["id"])
        with Stream(api, admin, query) as stream:
            assert 2 == events_of(stream, 1)[0]["data"]["n"]
        mine = api.send("GET", "/v1/events/cursors", headers=headers).value()["cursors"]
        assert ["inventory"] == [cursor["name"] for cursor in mine]
        theirs = {"X-Auth-Token": low}
        assert [] == api.send("GET", "/v1/events/cursors", headers=theirs).value()["cursors"]
        assert 404 == api.send("DELETE", url, headers=theirs).status
        assert 404 == api.send("POST", f"{url}/ack", json_body=done, headers=theirs).status
        wrong = api.send("POST", f"{url}/ack", json_body={"id": "x"}, headers=headers)
        assert 400 == wrong.status
        assert 200 == api.send("DELETE", url, headers=headers).status
        assert 404 == api.send("DELETE", url, headers=headers).status


@pytest.fixture
def doors(
    private_master: Callable[..., PrivateMaster], nats_servers: NatsServers, tmp_path: Path
) -> Iterator[list[ApiServer]]:
    """Two masters that know nothing of each other, each with a door."""
    with ExitStack() as stack:
        masters = [private_master(minions=[f"minion-of-{name}"]) for name in "ab"]
        yield [
            stack.enter_context(door(master, nats_servers, tmp_path / name, name, bucket="hot-hot"))
            for name, master in zip("ab", masters, strict=True)
        ]


@pytest.mark.long
@pytest.mark.timeout(240)
def test_every_door_shows_all(doors: list[ApiServer]) -> None:
    """Events of one master are seen at the door of the other, and a listener may change doors."""
    tokens = [api.login() for api in doors]
    streams = [Stream(api, token) for api, token in zip(doors, tokens, strict=True)]
    for stream in streams:
        assert "start" == stream.next()["type"]
    tags = [
        ping(api, token, f"minion-of-{name}")
        for api, token, name in zip(doors, tokens, "ab", strict=True)
    ]
    found: list[list[dict[str, Any]]] = []
    for stream in streams:
        records: list[dict[str, Any]] = []
        while not set(tags) <= {record.get("tag") for record in records}:
            records.append(stream.next())
        found.append(records)
    for records, here, there in zip(found, (0, 1), (1, 0), strict=True):
        by_tag = {record.get("tag"): record for record in records}
        assert "master" not in by_tag[tags[here]]
        assert "ab"[there] == by_tag[tags[there]]["master"]
        assert True is by_tag[tags[there]]["data"]["return"]
    ids = [records[-1]["id"] for records in found]
    for number in range(10):
        fire(doors[number % 2], tokens[number % 2], "my/tag", number)
    for api, token in zip(doors, tokens, strict=True):
        for since in ids:
            with Stream(api, token, f"since={since}&tag=my/tag") as stream:
                numbers = [stream.next()["data"]["n"] for _ in range(10)]
                assert list(range(10)) == sorted(numbers), json.dumps(numbers)
