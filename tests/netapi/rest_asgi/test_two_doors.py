"""Two doors with one store: what is done at one is known at the other."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.nats_servers import NatsServers
from tests.waiting import eventually
from tests.wire import Answer

DOORS = 2
AT_ONCE = 4


@pytest.fixture(scope="module")
def doors(
    master: PrivateMaster, nats_servers: NatsServers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[ApiServer]]:
    """Two daemons that have no file in common but the master's."""
    store = {"url": nats_servers.url, "bucket": "doors", "max_bytes": 2**25}
    made = [
        ApiServer(
            master,
            OURS,
            {"workers": 1},
            module="rest_asgi",
            options={
                "saltapi_store": store,
                "store_directory": str(tmp_path_factory.mktemp("door")),
            },
        )
        for _ in range(DOORS)
    ]
    with made[0], made[1]:
        yield made


@pytest.fixture(scope="module")
def token(doors: list[ApiServer]) -> str:
    return doors[0].login()


def run(door: ApiServer, token: str, path: Path, key: str | None) -> Answer:
    """Run a command that leaves a line in a file each time it runs."""
    chunk: dict[str, Any] = {"client": "local", "tgt": "minion-1", "fun": "cmd.run"}
    headers = {"X-Auth-Token": token}
    if key is not None:
        headers["Idempotency-Key"] = key
    chunk["arg"] = [f"echo ran >> {path}; echo done"]
    return door.send("POST", "/", json_body=[chunk], headers=headers)


def test_a_key_runs_once(doors: list[ApiServer], token: str, tmp_path: Path) -> None:
    """However often a command with a key is sent, and to which door, it runs once."""
    path, key = tmp_path / "runs", uuid.uuid4().hex
    with ThreadPoolExecutor(AT_ONCE * DOORS) as threads:
        answers = list(threads.map(lambda door: run(door, token, path, key), doors * AT_ONCE))
    assert [200] * AT_ONCE * DOORS == [answer.status for answer in answers]
    assert {"done"} == {answer.value()["return"][0]["minion-1"] for answer in answers}
    assert "ran\n" == path.read_text()


def test_a_ticket_is_good_at_the_other_door(doors: list[ApiServer], token: str) -> None:
    """A ticket of one door opens a stream at the other, once."""
    made = doors[0].send("POST", "/v1/events/ticket", headers={"X-Auth-Token": token}).value()
    url = f"/v1/jobs/20200101000000000000?wait=0.1&ticket={made['ticket']}"
    assert [404, 401] == [doors[n].send("GET", url).status for n in (1, 0)]


def test_a_store_that_is_away(
    doors: list[ApiServer], token: str, tmp_path: Path, nats_servers: NatsServers
) -> None:
    """What needs the store is 503, and has not run; the rest works, and all of it afterwards."""
    path, key = tmp_path / "runs", uuid.uuid4().hex
    nats_servers.servers[0].freeze()
    try:
        refused = run(doors[0], token, path, key)
        assert (503, False) == (refused.status, path.exists())
        assert refused.header("Retry-After")
        assert 200 == run(doors[0], token, path, None).status
        assert doors[1].login()
        ready = doors[0].send("GET", "/readyz", headers={"X-Auth-Token": token})
        assert 200 == ready.status
    finally:
        nats_servers.servers[0].thaw()
    eventually(lambda: run(doors[0], token, path, key).status == 200)
    assert "ran\nran\n" == path.read_text()
