"""Signed web hooks, from the request to the event, in every module that has hooks."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from saltapi.bridge.bus.events import Event, tag_prefix
from saltapi.bridge.bus.hub import Listener
from saltapi.config import load
from saltapi.demo import PrivateMaster
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from tests.apis import OURS, ApiServer
from tests.netapi.rest_asgi.running import RunningServer
from tests.waiting import eventually, scaled
from tests.wire import Answer

SECRET = "not-to-be-seen-anywhere"
GITLAB_SECRET = "nor-this-one"
PROCESSES = {
    "rest_asgi": {"workers": 2},
    "rest_tornado": {"num_processes": 2},
    "rest_cherrypy": {},
}
SECTION = {
    "webhook_secrets": {
        "github/*": {"type": "github", "secret": SECRET},
        "gitlab": {"type": "gitlab", "secret": GITLAB_SECRET},
        "ci": {"type": "hmac", "secret": SECRET},
        "team/deploy": {"type": "github", "secret": SECRET},
    },
}
EVENT_SECONDS = 20.0


@pytest.fixture(scope="module", params=sorted(PROCESSES))
def api(request: pytest.FixtureRequest, master: PrivateMaster) -> Iterator[ApiServer]:
    """The module with signed hooks, in two processes if it can, with everything in its log."""
    options = {"log_level": "debug", "api_login_failures": 0}
    section = {**SECTION, **PROCESSES[request.param]}
    with ApiServer(master, OURS, section, module=request.param, options=options) as api:
        yield api


@asynccontextmanager
async def events(master: PrivateMaster) -> AsyncIterator[Listener]:
    """Listen to the events of web hooks on the master's bus."""
    async with AsyncAPIClient(load(master.config_dir)) as client:
        assert await client.bus.wait_connected(scaled(EVENT_SECONDS))
        async with client.hub.listen([tag_prefix("salt/netapi/hook")]) as listener:
            yield listener


async def next_event(listener: Listener) -> Event:
    """Return the next of them."""
    async with asyncio.timeout(scaled(EVENT_SECONDS)):
        (record,) = await listener.take()
    assert isinstance(record, Event)
    return record


def github(body: bytes, secret: str = SECRET) -> dict[str, str]:
    """Return the headers of a delivery of GitHub's."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "X-Hub-Signature": "sha1=" + hmac.new(secret.encode(), body, "sha1").hexdigest(),
        "X-Hub-Signature-256": f"sha256={digest}",
    }


async def post(api: ApiServer, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """Post a web hook."""
    return await asyncio.to_thread(api.send, "POST", path, headers=headers, body=body)


async def test_github(api: ApiServer) -> None:
    """A signed delivery is fired without a session, without its signature, and once."""
    body = json.dumps({"ref": "refs/heads/main", "at": time.time()}, indent=3).encode()
    async with events(api.master) as listener:
        answer = await post(api, "/hook/github/salt", github(body), body)
        assert (200, {"success": True}) == (answer.status, answer.value())
        event = await next_event(listener)
        statuses = [
            (await post(api, "/hook/github/salt", github(body), body)).status for _ in range(6)
        ]
        assert {409} == set(statuses)
        assert not listener.drain()

    assert "salt/netapi/hook/github/salt" == event.tag
    data = event.data
    assert json.loads(body) == data["post"]
    assert body.decode() == data.get("body", body.decode())  # rest_tornado has none
    assert "push" == data["headers"]["X-Github-Event"]
    assert not [name for name in data["headers"] if "signature" in name.lower()]


@pytest.mark.parametrize("path", ["/hook/github/salt", "/hook//github//salt", "/hook/github/a%2Fb"])
async def test_wrong_signature(api: ApiServer, path: str) -> None:
    """What is not signed, or with another secret, is refused before anything is fired."""
    body = b'{"a": 1}'
    async with events(api.master) as listener:
        for headers in (
            {"Content-Type": "application/json"},
            github(body, "another"),
            github(b'{"a":1}'),
        ):
            answer = await post(api, path, headers, body)
            assert 401 == answer.status
            assert 401 == answer.value()["status"]
        token = await asyncio.to_thread(api.login)
        headers = {"Content-Type": "application/json", "X-Auth-Token": token}
        assert 401 == (await post(api, path, headers, body)).status
        other = await post(api, "/hook/other", headers, body)
        assert 200 == other.status
        assert "salt/netapi/hook/other" == (await next_event(listener)).tag


@pytest.mark.parametrize("disable_auth", [False, True])
@pytest.mark.parametrize("module", sorted(PROCESSES))
async def test_near_misses(master: PrivateMaster, module: str, disable_auth: bool) -> None:
    """What nearly is a signed path is fired for nobody who does not sign, also with a session."""
    paths = [
        "team/deploy",
        "Team/deploy",
        "team/DEPLOY",
        "team/deploy%20",
        "team/deploy%09",
        "team%2Fdeploy",
        "team%252Fdeploy",
        "team//deploy",
        "team/./deploy",
        "team/x/../deploy",
        "team/%2E/deploy",
        "team/%2e%2e/team/deploy",
        "team/deploy/",
        "team/deploy;x=1",
        "team/deploy%00",
        "team/deploy%E2%80%8B",
        "Github/salt",
        "GITHUB%2Fsalt",
    ]
    section = {**SECTION, "webhook_disable_auth": disable_auth}
    options = {"api_login_failures": 0}
    with ApiServer(master, OURS, section, module=module, options=options) as api:
        token = await asyncio.to_thread(api.login)
        async with events(master) as listener:
            for path in paths:
                for headers in ({}, {"X-Auth-Token": token}):
                    answer = await post(api, f"/hook/{path}", headers, b"")
                    assert answer.status in {400, 401, 404}, (path, answer)
            body = json.dumps([module, disable_auth]).encode()
            assert 200 == (await post(api, "/hook/team/deploy", github(body), body)).status
            assert "salt/netapi/hook/team/deploy" == (await next_event(listener)).tag
            free = await post(api, "/hook/team/other", {"X-Auth-Token": token}, b"")
            assert 200 == free.status
            assert "salt/netapi/hook/team/other" == (await next_event(listener)).tag
            without = await post(api, "/hook/team/other", {}, b"")
            refused = 302 if module == "rest_tornado" else 401
            assert (200 if disable_auth else refused) == without.status


async def test_gitlab(api: ApiServer) -> None:
    """GitLab's secret lets a request in, and does not get on the bus."""
    headers = {"Content-Type": "application/json", "X-Gitlab-Event": "Push Hook"}
    async with events(api.master) as listener:
        assert 401 == (await post(api, "/hook/gitlab", headers, b"{}")).status
        signed = {**headers, "X-Gitlab-Token": GITLAB_SECRET}
        assert 200 == (await post(api, "/hook/gitlab", signed, b"{}")).status
        event = await next_event(listener)

    assert GITLAB_SECRET.encode() not in event.payload
    assert "Push Hook" == event.data["headers"]["X-Gitlab-Event"]


async def test_replay(api: ApiServer) -> None:
    """A signature that is too old is refused; so is one whose time was changed."""
    now = int(time.time())
    body = b'{"build": 7}'

    def signed(at: int) -> dict[str, str]:
        digest = hmac.new(SECRET.encode(), b"%d.%b" % (at, body), hashlib.sha256).hexdigest()
        return {"Content-Type": "application/json", "X-Signature": f"t={at},v1={digest}"}

    assert 200 == (await post(api, "/hook/ci", signed(now), body)).status
    assert 409 == (await post(api, "/hook/ci", signed(now), body)).status
    assert 401 == (await post(api, "/hook/ci", signed(now - 400), body)).status
    changed = signed(now - 400)["X-Signature"].replace(str(now - 400), str(now))
    headers = {"Content-Type": "application/json", "X-Signature": changed}
    assert 401 == (await post(api, "/hook/ci", headers, body)).status


def test_nothing_in_the_log(api: ApiServer) -> None:
    """No secret and no signature is in the log, at any level."""
    body = b'{"for": "the log"}'
    headers = github(body)
    assert 200 == api.send("POST", "/hook/github/log", headers=headers, body=body).status
    wrong = {"X-Gitlab-Token": "a-wrong-one"}
    assert 401 == api.send("POST", "/hook/gitlab", headers=wrong, body=body).status
    eventually(lambda: "/hook/github/log" in api.log() and "/hook/gitlab" in api.log())
    log = api.log()

    for secret in (SECRET, GITLAB_SECRET, "a-wrong-one", headers["X-Hub-Signature-256"][7:]):
        assert secret not in log


def test_without_a_master(tmp_path: Path) -> None:
    """A delivery that could not be fired is taken again; wrong ones are throttled in the end."""
    options: dict[str, Any] = {"webhook_secrets": SECTION["webhook_secrets"]}
    with RunningServer(tmp_path, **options) as server:
        body = b"{}"
        for _ in range(2):
            answer = server.send("POST", "/hook/github/x", headers=github(body), body=body)
            assert 503 == answer.status, answer
        statuses = [
            server.send("POST", "/hook/gitlab", headers={"X-Gitlab-Token": "x"}, body=body).status
            for _ in range(30)
        ]
        assert {401, 429} == set(statuses)
