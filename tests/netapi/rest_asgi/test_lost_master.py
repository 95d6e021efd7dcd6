"""A job of a master that dies in the middle, at the door of another one."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.nats_servers import NatsServers
from tests.netapi.rest_asgi.test_events import Stream
from tests.netapi.rest_asgi.test_other_masters import (
    DRIVER,
    ask,
    code,
    header,
    iter_records,
    start,
)
from tests.waiting import eventually

LOST_SECONDS = 60.0


def is_stored(api: ApiServer, token: str, jid: str) -> bool:
    """Return whether a return of the job is known, and the log is as far as the bus."""
    job = ask(api, token, f"/v1/jobs/{jid}").value()
    text = ask(api, token, "/metrics").body.decode()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return bool(job["returned"]) and float(values["saltapi_event_log_lag_seconds"]) == 0


@pytest.mark.long
@pytest.mark.timeout(240)
def test_master_dies_in_the_middle(
    private_master: Callable[..., PrivateMaster], nats_servers: NatsServers, tmp_path: Path
) -> None:
    """First it is 503; then what had returned is there, the rest is lost, and can run elsewhere."""
    secret = tmp_path / "secret"
    secret.write_text("5ec7e7" * 8)
    store = {"url": nats_servers.url, "bucket": "lost", "max_bytes": 2**25}
    options = {
        "saltapi_store": {**store, "secret_file": str(secret)},
        "saltapi_event_log": {"max_age": "1h", "max_bytes": "64MiB"},
        DRIVER: "saltapi_nats",
    }
    masters = [
        private_master(
            minions=minions, options={**options, "id": name}, users={"low": ["test.ping"]}
        )
        for name, minions in (("a", ["returns", "silent"]), ("b", ["silent-b", "returns-b"]))
    ]
    with ExitStack() as stack:
        home, other = (
            stack.enter_context(
                ApiServer(
                    master,
                    OURS,
                    module="rest_asgi",
                    options={"store_directory": str(tmp_path / name)},
                )
            )
            for name, master in zip("ab", masters, strict=True)
        )
        token, low = other.login(), other.login("low")
        masters[0].minions["silent"].stop()
        jid = start(home, token, "test.arg", "x")
        path = f"/v1/jobs/{jid}"
        eventually(lambda: is_stored(home, token, jid))
        home.program.kill()
        masters[0].kill_master()

        first = ask(other, token, path)
        assert (503, "master_unavailable") == code(first)
        assert header(first, "Retry-After")
        eventually(lambda: 200 == ask(other, token, path).status, LOST_SECONDS)
        found = json.loads(ask(other, token, path).body)
        assert ("incomplete", {"silent": "master_lost"}) == (found["state"], found["missing"])
        assert ["returns"] == list(found["returns"])
        assert ["x"] == found["returns"]["returns"]["return"]["args"]
        assert 404 == ask(other, low, path).status
        assert 200 == ask(other, token, "/v1/jobs").status
        assert 503 == ask(other, token, path, "DELETE").status
        with Stream(other, token, path=f"{path}/events") as stream:
            records = list(iter_records(stream))
        assert {"silent": "master_lost"} == records[-1]["missing"]

        again = ask(other, token, f"{path}/rerun", "POST", json_body={"minions": "missing"})
        assert (409, "confirmation_needed") == code(again)
        shown = json.loads(again.body)
        assert ["silent"] == shown["command"]["tgt"]
        body = {"minions": "missing", "confirm": shown["confirm"]}
        ran = ask(other, token, f"{path}/rerun", "POST", json_body=body)
        assert 404 == ran.status  # it has run, and `b` has no such minion
        assert "no_minions_matched" == json.loads(ran.body)["code"]
