"""One process of a service is killed or stands still."""

import http.client
import signal
import time
import uuid
from collections.abc import Iterator

import psutil
import pytest

from saltapi.demo import PrivateMaster
from tests.apis import ApiServer
from tests.faults.conftest import Tell, served
from tests.waiting import eventually, scaled
from tests.wire import Answer

HEARTBEAT_SECONDS = 3
WORKERS = 3


@pytest.fixture
def api(request: pytest.FixtureRequest, master: PrivateMaster) -> Iterator[ApiServer]:
    options = {"api_heartbeat_seconds": HEARTBEAT_SECONDS}
    with served(request, master, workers=WORKERS, options=options) as api:
        yield api


def worker(api: ApiServer) -> psutil.Process:
    """Return the youngest of the processes that answer."""
    assert api.program.pid is not None
    found = [
        process
        for process in psutil.Process(api.program.pid).children(recursive=True)
        if any(c.laddr.port == api.port for c in process.net_connections("tcp") if c.laddr)
    ]
    return max(found, key=lambda process: process.create_time())


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=lambda n: n.name)
def test_worker(api: ApiServer, number: signal.Signals, tell: Tell) -> None:
    """Commands go on, or are answered when they are repeated, and the process is replaced."""
    token, lost = api.login(), 0
    headers = {"X-Auth-Token": token}
    chunk = {"tgt": "minion-1", "fun": "test.ping"}

    def run(key: str) -> Answer:
        more = {**headers, "Idempotency-Key": key}
        return api.send("POST", "/v1/run", json_body=chunk, headers=more)

    victim = worker(api)
    victim.send_signal(number)
    began = time.monotonic()
    for _ in range(12):
        key = uuid.uuid4().hex
        try:
            answer = run(key)
        except (OSError, http.client.HTTPException):
            lost += 1
            answer = run(key)
        assert answer.status in {200, 409}, answer
    eventually(lambda: not victim.is_running(), HEARTBEAT_SECONDS * 5)
    eventually(lambda: b"saltapi_processes_ended_total 1" in _metrics(api, headers))
    eventually(lambda: b"saltapi_processes_missing 0" in _metrics(api, headers))
    assert time.monotonic() - began < scaled(60)
    tell(
        f"one of {WORKERS} processes gets {number.name}",
        f"12 keyed commands ran, of which {lost} broke off and were repeated",
        f"replaced and counted, {time.monotonic() - began:.1f} s after",
    )


def _metrics(api: ApiServer, headers: dict[str, str]) -> bytes:
    return api.send("GET", "/metrics", headers={**headers, "Accept": "text/plain"}).body
