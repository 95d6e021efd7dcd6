"""
Two masters, each with a door, that share three servers, while parts of all that are killed.

    make cluster                              20 minutes
    SALTAPI_CLUSTER_SECONDS=60 make cluster   shorter
"""

import collections
import os
import random
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from saltapi.bridge.salt_line import SALT_LINE
from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.cluster.chaos import Chaos
from tests.nats_servers import NatsServers
from tests.waiting import eventually, scaled

SECONDS = float(os.environ.get("SALTAPI_CLUSTER_SECONDS", "60"))
SEED = int(os.environ.get("SALTAPI_CLUSTER_SEED", "18"))
CLIENTS = 8
PATIENCE_SECONDS = 60.0
"""How long a client asks for one command."""
AGAIN_SECONDS = 0.5
DRIVER = "eauth_tokens.cache_driver" if SALT_LINE >= 3008 else "eauth_tokens"

pytestmark = [pytest.mark.long, pytest.mark.timeout(SECONDS + 300)]


class Client(threading.Thread):
    """Runs commands with keys, each at whichever door answers, and knows what came of them."""

    def __init__(self, doors: list[ApiServer], token: str, path: Path) -> None:
        super().__init__(daemon=True)
        self._doors = doors
        self._headers = {"X-Auth-Token": token}
        self._path = path
        self.stopping = threading.Event()
        self.outcomes: dict[str, str] = {}
        """By key: `done`, `unknown`, `silent` (no minion has answered), `given_up`."""
        self.statuses: collections.Counter[str] = collections.Counter()

    def run(self) -> None:
        """Run commands until it is enough."""
        while not self.stopping.is_set():
            key = uuid.uuid4().hex
            self.outcomes[key] = "given_up"
            deadline = time.monotonic() + PATIENCE_SECONDS
            while time.monotonic() < deadline:
                outcome = self._ask(key)
                if outcome is not None:
                    self.outcomes[key] = outcome
                    break
                time.sleep(AGAIN_SECONDS)

    def _ask(self, key: str) -> str | None:
        """Send the command, or send it again; None if it has to be sent again."""
        chunk: dict[str, Any] = {"client": "local", "tgt": "*", "fun": "cmd.run", "timeout": 10}
        chunk["arg"] = [f"echo {key} >> {self._path}; echo done"]
        door = random.choice(self._doors)  # noqa: S311 - which one does not matter
        try:
            answer = door.send(
                "POST", "/", json_body=[chunk], headers={**self._headers, "Idempotency-Key": key}
            )
        except OSError:
            self.statuses["no answer"] += 1
            return None
        self.statuses[str(answer.status)] += 1
        if answer.status == 200:
            returned = answer.value()["return"][0]
            return "done" if "done" in list(returned.values()) else "silent"
        if answer.status == 409 and "still" not in answer.body.decode():
            return "unknown"
        return None


@pytest.fixture
def cluster(
    private_master: Callable[..., PrivateMaster], tmp_path: Path
) -> Iterator[tuple[NatsServers, list[PrivateMaster], list[ApiServer]]]:
    """Three servers, two masters with a minion each, and two doors with two processes each."""
    secret = tmp_path / "secret"
    secret.write_text("5ec7e7" * 8)
    with ExitStack() as stack:
        servers = stack.enter_context(NatsServers(tmp_path / "nats", 3))
        store = {"url": servers.url, "secret_file": str(secret), "max_bytes": 2**27}
        options = {"saltapi_store": store, DRIVER: "saltapi_nats"}
        masters = [private_master(minions=[f"minion-of-{name}"], options=options) for name in "ab"]
        doors = [
            stack.enter_context(
                ApiServer(
                    master,
                    OURS,
                    {"workers": 2},
                    module="rest_asgi",
                    options={"store_directory": str(tmp_path / f"door-{number}")},
                )
            )
            for number, master in enumerate(masters)
        ]
        yield servers, masters, doors


def test_every_command_once(
    cluster: tuple[NatsServers, list[PrivateMaster], list[ApiServer]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every command with a key ran once, or it is said that nobody knows; no session is lost."""
    servers, masters, doors = cluster
    token = eventually(lambda: doors[0].login())
    path = tmp_path / "effects"
    clients = [Client(doors, token, path) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    chaos = Chaos(servers, masters, doors, SEED)
    chaos.run(SECONDS)
    for client in clients:
        client.stopping.set()
    for client in clients:
        client.join(scaled(PATIENCE_SECONDS))

    def works(door: ApiServer) -> bool:
        body = [{"client": "local", "tgt": "*", "fun": "test.ping"}]
        answer = door.send("POST", "/", json_body=body, headers={"X-Auth-Token": token})
        return answer.status == 200 and bool(answer.value()["return"][0])

    for door in doors:  # with the session of the beginning
        eventually(lambda door=door: works(door), 60.0)  # type: ignore[misc]
    effects = collections.Counter(path.read_text().split())
    outcomes = {key: what for client in clients for key, what in client.outcomes.items()}
    seen = collections.Counter((what, effects[key]) for key, what in outcomes.items())
    with capsys.disabled():
        statuses: collections.Counter[str] = sum(
            (client.statuses for client in clients), collections.Counter()
        )
        lines = [f"done to it: {chaos.done}", f"answers: {dict(statuses)}"]
        lines += [f"{what:<10} ran {times} times: {n}" for (what, times), n in sorted(seen.items())]
        sys.stdout.write("\n".join(["", *lines, ""]))
    assert {} == {key: times for key, times in effects.items() if times > 1}
    assert [] == [key for key, what in outcomes.items() if what == "done" and effects[key] != 1]
    assert seen[("done", 1)] > CLIENTS
