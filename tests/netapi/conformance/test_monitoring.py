"""`/livez`, `/readyz`, `/metrics`: in every module the same, and off unless it is rest_asgi."""

from typing import Any

from saltapi.demo import PrivateMaster
from saltapi.engine.monitoring import metrics
from tests.apis import ApiServer
from tests.engine.monitoring.test_metrics import Values, value, values_of
from tests.netapi.conformance.engines import Equipped
from tests.netapi.rest_wsgi.serving import token_of
from tests.waiting import eventually

PATHS = ["/livez", "/readyz", "/metrics"]


def scrape(equipped: Equipped, token: str) -> Values:
    """Return all numbers."""
    answer = equipped.server.send("GET", "/metrics", headers={"X-Auth-Token": token})
    assert 200 == answer.status, answer
    content_type = (answer.header("Content-Type") or "").replace(" ", "")
    assert metrics.CONTENT_TYPE.replace(" ", "") == content_type
    return values_of(answer.body)


def test_livez(equipped: Equipped) -> None:
    """The process answers, without a session, whatever the client accepts."""
    for accept in ("*/*", "text/plain", "text/html"):
        answer = equipped.server.send("GET", "/livez", headers={"Accept": accept})
        assert (200, {"alive": True}) == (answer.status, answer.value())
        assert (answer.header("Content-Type") or "").startswith("application/json")
    assert (200, b"") == (
        equipped.server.send("HEAD", "/livez").status,
        equipped.server.send("HEAD", "/livez").body,
    )
    assert 405 == equipped.server.send("POST", "/livez").status


def test_readyz(equipped: Equipped) -> None:
    """With a master that answers and its bus connected the module is ready; it says no names."""

    def ready() -> Any:
        answer = equipped.server.send("GET", "/readyz")
        return answer.status == 200 and answer.value()

    found = eventually(ready)
    assert found["ready"] is True
    checks = {"service", "master", "event_bus", "function_workers"}
    checks |= {"job_cache", "token_store", "store"}
    assert checks == set(found["checks"])
    assert str(equipped.master.directory) not in str(found)


def test_metrics(equipped: Equipped, master: PrivateMaster) -> None:
    """Requests are counted by the template of their URL; refusals by their code."""
    assert 401 == equipped.server.send("GET", "/metrics").status
    token = token_of(master)
    before = scrape(equipped, token)
    equipped.server.send("GET", "/nowhere/20261123180000000000")
    equipped.run({"client": "local", "tgt": "minion-1", "fun": "test.ping"})
    after = scrape(equipped, token)

    def more(name: str, **labels: str) -> float:
        return (value(after, name, **labels) or 0) - (value(before, name, **labels) or 0)

    run = {"route": equipped.run_url, "method": "POST", "status": "200"}
    assert 1 == more(metrics.REQUESTS, **run)
    nowhere = {"route": "none", "method": "GET", "status": "404"}
    assert 1 == more(metrics.REQUESTS, **nowhere)
    assert 1 == more(metrics.ERRORS, code="not_found")
    assert 1 == value(after, "saltapi_processes")
    assert 1 == value(after, metrics.IN_FLIGHT)
    refused = {"route": "/metrics", "method": "GET", "status": "401"}
    assert 1 <= (value(after, metrics.REQUESTS, **refused) or 0)


def test_templates(equipped: Equipped, master: PrivateMaster) -> None:
    """No label holds what a client has written into a URL."""
    if equipped.module == "rest_wsgi":
        return
    token = token_of(master)
    for path in ("/jobs/20200101000000000000", "/jobs", "/minions/x", "/events/x", "/hook/a/b"):
        equipped.server.send("GET", path)
    answer = equipped.server.send("GET", "/metrics", headers={"X-Auth-Token": token})

    assert b'route="/jobs"' in answer.body
    assert b'route="/jobs/{' in answer.body
    assert b"20200101000000000000" not in answer.body
    assert b'/x"' not in answer.body


def test_off_by_default(api: ApiServer) -> None:
    """In the classic modules these URLs are not there unless the config asks for them."""
    expected = [200, 200, 401] if api.module == "rest_asgi" else [404] * 3

    assert expected == [api.send("GET", path).status for path in PATHS]
