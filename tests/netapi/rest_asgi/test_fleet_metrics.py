"""Numbers of the fleet for Prometheus: jobs, returns, states and minions."""

from collections.abc import Iterator

import pytest

from saltapi.demo import PrivateMaster
from saltapi.engine.monitoring import metrics
from tests.apis import OURS, ApiServer
from tests.engine.monitoring.test_metrics import Values, value, values_of
from tests.swarm import Swarm
from tests.waiting import eventually

SLS = """\
fine:
  test.succeed_without_changes
changing:
  test.succeed_with_changes
failing:
  test.fail_without_changes
"""
SOON = {"timeout": 1, "gather_job_timeout": 1}
OF_FLEET = (metrics.JOBS, metrics.RETURNS, metrics.STATES, metrics.MINIONS)


@pytest.fixture(scope="module")
def api(master: PrivateMaster) -> Iterator[ApiServer]:
    states = master.directory / "states"
    states.mkdir(exist_ok=True)
    (states / "counted.sls").write_text(SLS)
    section = {"workers": 2, "metrics_disable_auth": True}
    with ApiServer(master, OURS, section, module="rest_asgi") as server:
        yield server


def scraped(api: ApiServer) -> Values:
    answer = api.send("GET", "/metrics")
    assert 200 == answer.status, answer
    return values_of(answer.body)


def jobs_in(found: Values) -> float:
    """Return how many commands were counted in all."""
    return sum(number for (name, _), number in found.items() if name == metrics.JOBS)


def test_jobs_returns_and_states(api: ApiServer, swarm: Swarm) -> None:
    """Each command counts once with what became of it, at whichever URL and worker it came."""
    assert swarm.ids
    headers = {"X-Auth-Token": api.login()}
    before = scraped(api)
    for url, chunks in (
        ("/v1/run", {"tgt": "minion-1", "fun": "state.apply", "arg": ["counted"]}),
        ("/", [{"client": "local", "tgt": "minion-2", "fun": "test.ping"}]),
        ("/v1/run", {"tgt": "sim-3", "fun": "sim.never", **SOON}),
        ("/v1/run", {"tgt": "nobody", "fun": "test.ping"}),
        ("/", [{"client": "local_async", "tgt": "minion-1", "fun": "test.ping"}]),
        ("/v1/run", {"client": "runner", "fun": "test.arg"}),
        ("/", [{"client": "wheel", "fun": "key.list_all"}]),
    ):
        answer = api.send("POST", url, headers=headers, json_body=chunks)
        assert answer.status < 500, answer

    def all_counted() -> Values | None:
        """Return the numbers once the worker that is not asked has written its own."""
        found = scraped(api)
        return found if jobs_in(found) >= jobs_in(before) + 7 else None

    after = eventually(all_counted)
    assert after is not None

    def grown(name: str, **labels: str) -> float:
        return (value(after, name, **labels) or 0) - (value(before, name, **labels) or 0)

    outcomes = {"complete": 2.0, "incomplete": 1.0, "no_minions": 1.0, "error": 0.0, "left": 0.0}
    found = {o: grown(metrics.JOBS, client="local", outcome=o) for o in outcomes}
    assert outcomes == found
    assert 1.0 == grown(metrics.JOBS, client="local_async", outcome="started")
    assert 1.0 == grown(metrics.JOBS, client="runner", outcome="complete")
    assert 1.0 == grown(metrics.JOBS, client="wheel", outcome="complete")
    returned = {"returned": 1.0, "failed": 1.0, "missing": 1.0}
    found = {o: grown(metrics.RETURNS, client="local", outcome=o) for o in returned}
    assert returned == found
    states = {"succeeded": 2.0, "changed": 1.0, "failed": 1.0, "would_change": 0.0}
    assert states == {r: grown(metrics.STATES, result=r) for r in states}


def test_minions(api: ApiServer, swarm: Swarm) -> None:
    """Minions are counted by key and connection; more of them make no more series."""
    found = scraped(api)
    held = {c: value(found, metrics.MINIONS, key="accepted", connected=c) for c in ("yes", "no")}
    assert (held["yes"] or 0) >= 2
    total = sum(number for (name, _), number in found.items() if name == metrics.MINIONS)
    assert total >= 2 + len(swarm.ids)
    series = [name for name, _ in found if name in OF_FLEET]
    assert 15 == series.count(metrics.MINIONS)
    labels = {pair for name, pairs in found if name in OF_FLEET for pair in pairs}
    assert not [text for _, text in labels if "minion-" in text or "sim-" in text]


def test_of_one_process() -> None:
    """What each process sees for itself is not added up."""
    plain = [[metrics.MINIONS, "", "gauge", [[metrics.MINIONS, {"key": "none"}, 3.0]]]]
    (family,) = metrics.merged([plain, plain])
    assert [3.0] == [sample.value for sample in family.samples]
