"""salt-cumin 0.7, the library and the command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cumin.api import AuthenticationDenied, SaltApi
from cumin.client import Client
from cumin.config import Config

from tests.apis import ApiServer
from tests.waiting import scaled

SECONDS = 60
PING = {"client": "local", "tgt": "*", "fun": "test.ping"}


@pytest.fixture
def client(api: ApiServer) -> Client:
    """The client, logged in; it sends the body `null` with every GET."""
    config = Config()
    credentials = api.master.credentials()
    config.update(
        url=f"{api.url}/",
        user=credentials["username"],
        password=credentials["password"],
        eauth=credentials["eauth"],
    )
    return Client(config=config)


def test_local(client: Client) -> None:
    """A synchronous command."""
    assert {"minion-1": True, "minion-2": True} == client.local("*", "test.ping")


def test_list_target(client: Client) -> None:
    """A JSON list as a target, with its target type."""
    names = ["minion-1", "minion-2"]
    assert {"minion-1": True, "minion-2": True} == client.local(names, "test.ping", tgt_type="list")


def test_async(client: Client) -> None:
    """An asynchronous command, polled at `/jobs/<jid>`."""
    minions, returns = client.local_async("*", "test.ping")
    assert ["minion-1", "minion-2"] == sorted(minions)
    found = {minion: result["return"] for minion, result in returns if minion is not None}
    assert {"minion-1": True, "minion-2": True} == found


def test_batch(client: Client) -> None:
    """A batch."""
    assert {"minion-1": True, "minion-2": True} == dict(client.local_batch("*", "test.ping"))


def test_runner_and_wheel(client: Client) -> None:
    """Runner and wheel functions with `kwarg`."""
    assert {"args": ["a"], "kwargs": {"k": "v"}} == client.runner(
        "test.arg", arg=["a"], kwarg={"k": "v"}
    )
    found = client.wheel("key.finger", kwarg={"match": "minion-1"})
    assert ["minion-1"] == list(found["data"]["return"]["minions"])


def test_convenience_urls(client: Client) -> None:
    """GET requests whose body is `null`."""
    api = client.api
    assert ["minion-1", "minion-2"] == sorted(api.minions(...)["return"][0])
    assert ["minion-1"] == list(api.minions("minion-1")["return"][0])
    started = api.run_async([{"tgt": "*", "fun": "test.ping"}])
    jid = started["return"][0]["jid"]
    assert {"jobs": [{"href": f"/jobs/{jid}"}]} == started["_links"]
    assert jid in api.jobs(...)["return"][0]
    assert "test.ping" == api.jobs(jid)["info"][0]["Function"]
    assert ["minion-1", "minion-2"] == sorted(api.keys(...)["return"]["minions"])
    assert ["minion-1"] == list(api.keys("minion-1")["return"]["minions"])
    assert isinstance(api.stats(), dict)


def test_hook(client: Client) -> None:
    """A JSON body to `/hook`, with a session."""
    client.api.hook("a/b", {"x": 1})


def test_run_unsessioned(api: ApiServer, client: Client) -> None:
    """`/run` with credentials in the chunk; cookie and header are there too."""
    found = client.api.run_unsessioned([{**PING, **api.master.credentials()}])
    assert {"return": [{"minion-1": True, "minion-2": True}]} == found


def test_logout(client: Client) -> None:
    """`POST /logout` with the body `null` ends the session."""
    token = client.api.auth["token"]
    client.logout()
    client.api.session.cookies.clear()
    client.api.auth = {"token": token}
    with pytest.raises(AuthenticationDenied):
        client.api.run([PING])


def test_refused(api: ApiServer) -> None:
    """Wrong credentials are `AuthenticationDenied`."""
    with pytest.raises(AuthenticationDenied):
        SaltApi(f"{api.url}/").login("nobody", "wrong", "file")


def test_events(api: ApiServer, client: Client) -> None:
    """Its own reader of the stream gets events, the first block included."""
    stream = client.events()
    token = client.api.auth["token"]
    tags = []
    api.send("POST", "/hook/never/seen", headers={"X-Auth-Token": token}, json_body={})
    # The reader connects with the first `next`; whoever fires must do it after that.
    with subprocess.Popen(
        [sys.executable, "-c", HOOKS, f"{api.url}/hook/cumin", token],
        stdout=subprocess.DEVNULL,
    ) as hooks:
        try:
            for event in stream:
                tags.append(event["tag"])
                if "salt/netapi/hook/cumin" in tags:
                    break
        finally:
            hooks.kill()
    stream.close()
    assert "salt/netapi/hook/cumin" in tags


HOOKS = """
import sys, time, urllib.request
while True:
    headers = {"X-Auth-Token": sys.argv[2], "Content-Type": "application/json"}
    request = urllib.request.Request(sys.argv[1], b"{}", headers)
    urllib.request.urlopen(request).close()
    time.sleep(0.2)
"""
"""Fires an event again and again."""


def test_command(api: ApiServer, tmp_path: Path) -> None:
    """The `cumin` command."""
    credentials = api.master.credentials()
    finished = subprocess.run(
        [sys.executable, "-m", "cumin", "*", "test.ping"],
        capture_output=True,
        text=True,
        timeout=scaled(SECONDS),
        env={
            "HOME": str(tmp_path),
            "SALTAPI_URL": f"{api.url}/",
            "SALTAPI_USER": credentials["username"],
            "SALTAPI_PASS": credentials["password"],
            "SALTAPI_EAUTH": credentials["eauth"],
        },
        check=False,
    )
    assert 0 == finished.returncode, finished
    assert {"minion-1": True, "minion-2": True} == json.loads(finished.stdout)
