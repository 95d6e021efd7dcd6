"""What Salt keeps tokens and jobs in is stuck, or away."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import ApiServer
from tests.faults import servers
from tests.faults.conftest import Tell, facts, problem, served
from tests.faults.servers import Server
from tests.waiting import eventually, scaled
from tests.wire import Answer

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]
DEADLINE_SECONDS = 15.0
"""A call's deadline, and what the rest of the request takes."""


@dataclass
class Place:
    """A service whose tokens are in redis, and whose jobs are in PostgreSQL."""

    api: ApiServer
    token_store: Server
    job_cache: Server
    token: str

    def get(self, path: str) -> Answer:
        """Send a request, and see that it is answered in time."""
        began = time.monotonic()
        answer = self.api.send("GET", path, headers={"X-Auth-Token": self.token})
        assert time.monotonic() - began < scaled(DEADLINE_SECONDS)
        return answer

    def ready(self, check: str) -> bool:
        """Return what /readyz says of one check, and that it says the same of the whole."""
        answer = self.api.send("GET", "/readyz")
        found = facts(answer)["checks"][check]["ok"]
        assert found or 503 == answer.status
        return bool(found)


@pytest.fixture(scope="module")
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    redis, tokens = servers.redis(tmp_path_factory.mktemp("redis"))
    redis.start()
    postgres = None
    try:
        postgres, jobs = servers.postgres()
        options: dict[str, Any] = {**tokens, **jobs, "api_session_cache_seconds": 0}
        with PrivateMaster(options=options) as master:
            master.wait_ready(timeout=scaled(60))
            with served(request, master) as api:
                yield Place(api, redis, postgres, api.login())
    finally:
        redis.stop()
        if postgres is not None:
            postgres.remove()


def stuck(server: Server) -> Callable[[], None]:
    server.freeze()
    return server.thaw


def stopped(server: Server) -> Callable[[], None]:
    server.stop()
    return server.start


@pytest.mark.parametrize("fault", [stuck, stopped], ids=lambda fault: fault.__name__)
def test_token_store(
    place: Place, fault: Callable[[Server], Callable[[], None]], tell: Tell
) -> None:
    """Nobody is told to log in again, nothing hangs, and /readyz says so."""
    assert 200 == place.get("/v1/whoami").status
    eventually(lambda: place.ready("token_store"))
    mend = fault(place.token_store)
    try:
        found = [problem(place.get("/v1/whoami")) for _ in range(3)]
        eventually(lambda: not place.ready("token_store"))
    finally:
        mend()
    assert [(503, "token_store_unavailable")] * 3 == found
    began = time.monotonic()
    eventually(lambda: 200 == place.get("/v1/whoami").status, 30)
    eventually(lambda: place.ready("token_store"))
    tell(
        f"token store (redis) {fault.__name__}",
        "503 token_store_unavailable, readyz 503",
        f"by itself, {time.monotonic() - began:.1f} s after",
    )


@pytest.mark.parametrize("fault", [stuck, stopped], ids=lambda fault: fault.__name__)
def test_job_cache(place: Place, fault: Callable[[Server], Callable[[], None]], tell: Tell) -> None:
    """What this process knows is answered, the rest is 503, and /readyz says so."""
    body = {"tgt": "*", "fun": "test.ping"}
    headers = {"X-Auth-Token": place.token}
    run = place.api.send("POST", "/v1/run", json_body=body, headers=headers)
    (known,) = [result["jid"] for result in run.value()["results"]]
    past = f"/v1/jobs/{'2' * 8}101010101010"
    assert 404 == place.get(past).status
    eventually(lambda: place.ready("job_cache"))
    mend = fault(place.job_cache)
    try:
        unknown = [problem(place.get(past)) for _ in range(3)]
        document = place.get(f"/v1/jobs/{known}")
        eventually(lambda: not place.ready("job_cache"))
        eventually(lambda: place.get("/v1/jobs?limit=1").value()["partial"], 60)
        listed = place.get("/v1/jobs?limit=500").value()["jobs"]
    finally:
        mend()
    assert known in [job["jid"] for job in listed]
    assert [(503, "job_cache_unavailable")] * 3 == unknown
    assert (200, True) == (document.status, document.value()["complete"])
    began = time.monotonic()
    eventually(lambda: 404 == place.get(past).status, 30)
    eventually(lambda: place.ready("job_cache"))
    eventually(lambda: not place.get("/v1/jobs?limit=1").value()["partial"], 60)
    tell(
        f"job cache (PostgreSQL) {fault.__name__}",
        "jobs of late 200, others 503 job_cache_unavailable, readyz 503",
        f"by itself, {time.monotonic() - began:.1f} s after",
    )
