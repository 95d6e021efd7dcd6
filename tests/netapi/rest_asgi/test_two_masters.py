"""Two masters that have nothing in common but servers that keep their tokens."""

import http.client
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from saltapi.bridge.salt_line import SALT_LINE
from saltapi.demo import PrivateMaster
from saltapi.demo.master import HOST
from tests.apis import OURS, ApiServer
from tests.nats_servers import NatsServers
from tests.waiting import scaled

DRIVER = "eauth_tokens.cache_driver" if SALT_LINE >= 3008 else "eauth_tokens"
LOGOUT_SECONDS = 2.0


@pytest.mark.long
@pytest.mark.timeout(240)
def test_one_session_at_every_door(
    private_master: Callable[..., PrivateMaster], nats_servers: NatsServers, tmp_path: Path
) -> None:
    """A login at one master is good at the other; a logout ends streams there, too."""
    secret = tmp_path / "secret"
    secret.write_text("5ec7e7" * 8)
    store = {"url": nats_servers.url, "bucket": "masters", "max_bytes": 2**25}
    options: dict[str, Any] = {
        "saltapi_store": {**store, "secret_file": str(secret)},
        DRIVER: "saltapi_nats",
    }
    masters = [private_master(minions=[f"minion-of-{name}"], options=options) for name in "ab"]
    with (
        ApiServer(masters[0], OURS, module="rest_asgi") as first,
        ApiServer(masters[1], OURS, module="rest_asgi") as second,
    ):
        token = first.login()
        headers = {"X-Auth-Token": token}
        chunk = {"client": "local", "tgt": "*", "fun": "test.ping"}
        for door, minion in ((first, "minion-of-a"), (second, "minion-of-b")):
            answer = door.send("POST", "/", json_body=[chunk], headers=headers)
            assert [{minion: True}] == answer.value()["return"]
            runner = {"client": "runner", "fun": "test.arg", "arg": ["x"]}
            assert 200 == door.send("POST", "/", json_body=[runner], headers=headers).status

        connection = http.client.HTTPConnection(HOST, second.port, timeout=scaled(20))
        connection.request("GET", "/v1/events", headers=headers)
        stream = connection.getresponse()
        stream.read1(1000)
        assert 200 == first.send("POST", "/logout", headers=headers).status
        began = time.monotonic()
        rest = stream.read()
        assert time.monotonic() - began < scaled(LOGOUT_SECONDS)
        assert b"session" in rest[-500:]
        connection.close()
        assert 401 == second.send("POST", "/", json_body=[chunk], headers=headers).status
