"""`/livez`, `/readyz`, `/metrics`, trace context, and logs with request ids."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from saltapi import config
from saltapi.demo import PrivateMaster
from saltapi.engine.monitoring import metrics
from tests.apis import OURS, ApiServer
from tests.daemons import children_of
from tests.engine.monitoring.test_metrics import Values, value, values_of
from tests.netapi.rest_asgi.running import RunningServer
from tests.waiting import eventually

WORKERS = 2
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def api(master: PrivateMaster) -> Iterator[ApiServer]:
    """The module in several processes, with a log of JSON lines."""
    options = {"api_log_format": "json", "log_level": "info"}
    section = {"workers": WORKERS}
    with ApiServer(master, OURS, section, module="rest_asgi", options=options) as api:
        yield api


def scrape(api: ApiServer, token: str) -> Values:
    """Return all numbers."""
    answer = api.send("GET", "/metrics", headers={"X-Auth-Token": token})
    assert 200 == answer.status, answer
    assert answer.header("Content-Type") == metrics.CONTENT_TYPE
    return values_of(answer.body)


def processes(api: ApiServer) -> list[int]:
    """Return the ids of the processes that serve."""
    supervisor = int(Path(config.load(api.directory)["pidfile"]).read_text())
    return [pid for module in children_of(supervisor) for pid in children_of(module)]


def alive(values: Values) -> float:
    """Return how many requests for `/livez` were counted."""
    return value(values, metrics.REQUESTS, route="/livez", method="GET", status="200") or 0.0


def test_livez(api: ApiServer) -> None:
    """The process answers, without a session."""
    answer = api.send("GET", "/livez")

    assert (200, {"alive": True}) == (answer.status, answer.value())
    assert 200 == api.send("HEAD", "/livez").status


def test_readyz(api: ApiServer) -> None:
    """With a master that answers and its bus connected the module is ready; it says no names."""

    def ready() -> Any:
        answer = api.send("GET", "/readyz")
        return answer.status == 200 and answer.value()

    found = eventually(ready)
    assert found["ready"] is True
    checks = {"service", "master", "event_bus", "job_cache", "token_store", "store"}
    assert checks | {"function_workers"} == set(found["checks"])
    assert all(check["ok"] for check in found["checks"].values())
    assert 0 <= found["checks"]["event_bus"]["details"]["age_seconds"]
    text = json.dumps(found)
    assert str(api.master.directory) not in text
    assert api.master.options["interface"] not in text


def test_metrics_need_a_session(api: ApiServer) -> None:
    """Without a session there are no numbers, and the refusal is counted."""
    assert 401 == api.send("GET", "/metrics").status
    token = api.login()
    labels = {"route": "/metrics", "method": "GET", "status": "401"}
    eventually(lambda: value(scrape(api, token), metrics.REQUESTS, **labels))
    eventually(lambda: value(scrape(api, token), metrics.ERRORS, code="authentication"))


def test_metrics_of_all_processes(api: ApiServer) -> None:
    """Whichever process answers, a scrape has the requests of all; none is lost with a process."""
    token = api.login()
    eventually(lambda: value(scrape(api, token), "saltapi_processes") == WORKERS)
    before = alive(scrape(api, token))
    for _ in range(20):
        assert 200 == api.send("GET", "/livez").status
    for _ in range(5):
        eventually(lambda: alive(scrape(api, token)) == before + 20)
    started = value(scrape(api, token), "process_start_time_seconds")
    assert started is not None

    victim = processes(api)[0]
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: victim not in processes(api) and len(processes(api)) == WORKERS)
    eventually(lambda: value(scrape(api, token), "saltapi_processes") == WORKERS)
    assert before + 20 == alive(scrape(api, token))
    assert 1 == value(scrape(api, token), "saltapi_processes_ended_total")
    eventually(lambda: value(scrape(api, token), "saltapi_processes_missing") == 0)


def test_metrics_say_no_names(api: ApiServer) -> None:
    """Labels are templates and words of ours: no user, no minion, no job, no URL of a client."""
    token = api.login()
    headers = {"X-Auth-Token": token}
    api.send("GET", "/nowhere/20261123180000000000", headers=headers)
    api.send("BREW", "/livez", headers=headers)
    chunk = {"client": "local", "tgt": "minion-1", "fun": "test.ping"}
    api.send("POST", "/", headers=headers, json_body=[chunk])
    answer = api.send("GET", "/metrics", headers=headers)
    values = values_of(answer.body)

    text = answer.body.decode()
    for word in (api.master.username, "minion-1", "20261123180000000000", "nowhere", "BREW"):
        assert word not in text
    labels = {key for _, labels in values for key, _ in labels}
    requests = {"route", "method", "status", "le", "code", "result", "kind"}
    assert labels <= {*requests, "client", "outcome", "key", "connected"}


def test_trace_context(api: ApiServer) -> None:
    """A request goes on with the trace that it came with; an invalid one is as good as none."""
    answer = api.send("GET", "/livez", headers={"traceparent": PARENT})
    assert PARENT == answer.header("traceresponse")
    for headers in ({}, {"traceparent": "00-nonsense"}):
        began = api.send("GET", "/livez", headers=headers).header("traceresponse")
        assert began is not None
        assert TRACE_ID not in began
        assert len(PARENT) == len(began)


def test_json_log(api: ApiServer) -> None:
    """The line of a request says which: its id, its user and its trace."""
    token = api.login()
    answer = api.send("GET", "/metrics", headers={"X-Auth-Token": token, "traceparent": PARENT})
    request_id = answer.header("X-Request-Id")

    def found() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in api.log().splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("request_id") == request_id]

    (line,) = eventually(found)
    assert {"user": api.master.username, "trace_id": TRACE_ID}.items() <= line.items()
    assert "saltapi.access" == line["logger"]
    assert '"GET /metrics" 200' in line["message"]


def test_without_a_master(tmp_path: Path) -> None:
    """Without a master the process lives and is not ready; it stays so when it stops."""
    with RunningServer(tmp_path) as server:
        answer = server.send("GET", "/readyz")
        assert 503 == answer.status
        found = answer.value()
        assert found["ready"] is False
        assert [False, False] == [found["checks"][n]["ok"] for n in ("master", "event_bus")]
        assert found["checks"]["service"]["ok"] is True
        assert 200 == server.send("GET", "/livez").status

        server.loop.call_soon_threadsafe(server.server.application.engine.end_streams)
        eventually(lambda: not server.send("GET", "/readyz").value()["checks"]["service"]["ok"])


def test_metrics_for_addresses(tmp_path: Path) -> None:
    """Addresses in `metrics_addresses` need no session, nor does anybody when that is said."""
    for options, status in (
        ({}, 401),
        ({"metrics_addresses": ["192.0.2.0/24"]}, 401),
        ({"metrics_addresses": ["127.0.0.0/8"]}, 200),
        ({"metrics_disable_auth": True}, 200),
    ):
        with RunningServer(tmp_path, **options) as server:
            assert status == server.send("GET", "/metrics").status, options


def test_streams_are_counted(tmp_path: Path) -> None:
    """What listeners hold back, and events that came, are numbers."""
    with RunningServer(tmp_path, metrics_disable_auth=True) as server:

        def numbers() -> Values:
            return values_of(server.send("GET", "/metrics").body)

        async def listen() -> Any:
            return server.hub.listen()

        listener = server.call(listen())
        server.fire("salt/test", {"text": "x" * 1000})
        eventually(lambda: value(numbers(), "saltapi_events_received_total") == 1.0)
        found = numbers()
        assert 1.0 == value(found, "saltapi_listeners")
        assert 1000 < (value(found, "saltapi_listener_queue_bytes") or 0)
        assert 1000 < (value(found, "saltapi_event_history_bytes") or 0)
        server.loop.call_soon_threadsafe(listener.close)
        eventually(lambda: value(numbers(), "saltapi_listeners") == 0.0)


@pytest.mark.long
def test_master_killed(private_master: Callable[..., PrivateMaster]) -> None:
    """A master that dies makes the module not ready; when it is back, the module is, too."""
    master = private_master(minions=0)
    with ApiServer(master, OURS, module="rest_asgi") as api:
        eventually(lambda: api.send("GET", "/readyz").status == 200)
        master.kill_master()
        found: Any = eventually(
            lambda: (answer := api.send("GET", "/readyz")).status == 503 and answer.value()
        )
        assert found["ready"] is False
        assert 200 == api.send("GET", "/livez").status
        eventually(lambda: not api.send("GET", "/readyz").value()["checks"]["master"]["ok"])

        master.start_master()
        eventually(lambda: api.send("GET", "/readyz").status == 200, 60)
