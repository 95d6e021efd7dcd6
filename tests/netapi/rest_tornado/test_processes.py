"""Several processes of the module count together."""

from collections.abc import Iterator

import pytest

from saltapi.demo import PrivateMaster
from saltapi.engine.monitoring import metrics
from tests.apis import OURS, ApiServer
from tests.engine.monitoring.test_metrics import Values, value, values_of
from tests.waiting import eventually

PROCESSES = 2
FAILURES = 6


@pytest.fixture(scope="module")
def api(master: PrivateMaster) -> Iterator[ApiServer]:
    """The module in two processes."""
    section = {"num_processes": PROCESSES, "monitoring_urls": True, "metrics_disable_auth": True}
    options = {"api_login_failures": FAILURES}
    with ApiServer(master, OURS, section, module="rest_tornado", options=options) as api:
        yield api


def scrape(api: ApiServer) -> Values:
    return values_of(api.send("GET", "/metrics").body)


def test_metrics(api: ApiServer) -> None:
    """Whichever process answers, a scrape has the requests of all."""
    labels = {"route": "/livez", "method": "GET", "status": "200"}
    eventually(lambda: value(scrape(api), "saltapi_processes") == PROCESSES)
    before = value(scrape(api), metrics.REQUESTS, **labels) or 0
    for _ in range(20):
        assert 200 == api.send("GET", "/livez").status
    for _ in range(5):
        eventually(lambda: value(scrape(api), metrics.REQUESTS, **labels) == before + 20)


def test_failed_logins(api: ApiServer) -> None:
    """Wrong passwords count in all processes together."""
    wrong = {**api.master.credentials("low"), "password": "wrong"}
    found = [api.send("POST", "/login", json_body=wrong).status for _ in range(FAILURES + 4)]

    assert [401] * FAILURES == found[:FAILURES]
    assert {429} == set(found[FAILURES:])
