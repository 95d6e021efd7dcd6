"""Steps of orchestrations, from the events that Salt fires: which jobs are taken for theirs."""

from typing import Any

import pytest

from saltapi.bridge.bus.hub import Hub
from saltapi.bridge.jobs.orchestrations import STEPS_LIMIT, Orchestration
from saltapi.bridge.jobs.registered import RegisteredJob
from saltapi.bridge.jobs.registry import JobRegistry
from tests.bridge.jobs.test_registry import fire, publish, registered
from tests.fake_master import new_hub

RUN, OWN = "20260101000000000001", "20260101000000000009"
JOB, OTHER = "20260101000000000002", "20260101000000000003"
FIRST: dict[str, Any] = {
    "type": "function",
    "tgt": "web-*",
    "name": "test.arg",
    "args": {"arg": ["one"], "kwarg": {"two": 2}, "tgt_type": "glob", "timeout": None},
}
AS_FIRST: dict[str, Any] = {
    "fun": "test.arg",
    "tgt": "web-*",
    "arg": ["one", {"__kwarg__": True, "two": 2}],
    "user": "root",
}


@pytest.fixture
def hub() -> Hub:
    return new_hub()


@pytest.fixture
def registry(hub: Hub) -> JobRegistry:
    return JobRegistry(
        hub, master_id="the_master", jobs=10, limit_bytes=10_000_000, masters_users={"root"}
    )


def orchestrate(hub: Hub, jid: str = RUN, own: str = OWN) -> None:
    arg = [{"mods": "deploy", "orchestration_jid": own}]
    data = {"jid": jid, "fun": "runner.state.orchestrate", "user": "me", "fun_args": arg}
    fire(hub, f"salt/run/{jid}/new", {**data, "_stamp": "2026-01-01T00:00:00.000000"})


def steps_of(registry: JobRegistry, jid: str = RUN) -> Orchestration:
    found = registered(registry, jid).orchestration
    assert found is not None
    return found


def test_a_step_and_its_job(hub: Hub, registry: JobRegistry) -> None:
    """The next job like it is the step's, once; the orchestration changes with it."""
    orchestrate(hub)
    fire(hub, f"salt/run/{OWN}/args", FIRST)
    publish(hub, JOB, **AS_FIRST)
    publish(hub, OTHER, **AS_FIRST)
    (step,) = steps_of(registry).steps
    assert ([JOB], "test.arg", "web-*", False) == (step.jids, step.name, step.tgt, step.ended)
    assert (RUN, "") == (registered(registry, JOB).parent, registered(registry, OTHER).parent)
    pulse = registered(registry, RUN).pulse()
    registered(registry, JOB).changed()
    assert pulse.is_set()


@pytest.mark.parametrize(
    "other",
    [
        {"fun": "test.ping"},
        {"tgt": "*"},
        {"tgt_type": "list"},
        {"arg": ["one"]},
        {"user": "me"},
        {"fun": ["test.arg"]},
    ],
    ids=str,
)
def test_another_job(hub: Hub, registry: JobRegistry, other: dict[str, Any]) -> None:
    """A job that is not the same, or is another user's, is not the step's."""
    orchestrate(hub)
    fire(hub, f"salt/run/{OWN}/args", FIRST)
    publish(hub, JOB, **{**AS_FIRST, **other})
    assert [] == steps_of(registry).steps[0].jids


def test_states_and_parts(hub: Hub, registry: JobRegistry) -> None:
    """A step of states has a function of states; one with a batch has several jobs."""
    orchestrate(hub)
    args = {"arg": ["web"], "kwarg": {"queue": False}, "batch": "1"}
    fire(hub, f"salt/run/{OWN}/args", {"type": "state", "tgt": "*", "name": "x", "args": args})
    like = {"fun": "state.sls", "arg": ["web", {"__kwarg__": True, "queue": False}], "user": "root"}
    publish(hub, JOB, tgt=["a"], tgt_type="list", **like)
    publish(hub, OTHER, tgt=["b"], tgt_type="list", **like)
    assert [JOB, OTHER] == steps_of(registry).steps[0].jids


def test_of_salt_run(hub: Hub, registry: JobRegistry) -> None:
    """An orchestration of `salt-run` is known by its jid; of nobody's event nothing comes."""
    orchestrate(hub, own=RUN)
    fire(hub, f"salt/run/{OTHER}/args", FIRST)
    fire(hub, f"salt/run/{RUN}/args", {"type": 1})
    fire(hub, f"salt/run/{RUN}/args", FIRST)
    assert 1 == len(steps_of(registry).steps)


def test_within_another(hub: Hub, registry: JobRegistry) -> None:
    """What runs within an orchestration shows its steps in the outer one, and has a parent."""
    orchestrate(hub)
    fire(hub, f"salt/run/{OWN}/args", {"type": "runner", "name": "state.orchestrate", "args": []})
    orchestrate(hub, OTHER)
    fire(hub, f"salt/run/{OWN}/args", FIRST)
    outer = steps_of(registry)
    assert ([[OTHER], []], []) == ([s.jids for s in outer.steps], steps_of(registry, OTHER).steps)
    assert RUN == registered(registry, OTHER).parent


def test_what_it_returned() -> None:
    """Its return says what came of every step, also of those that nobody has heard of."""
    found = Orchestration()
    found.begin(FIRST)
    found.begin({**FIRST, "name": "test.ping"})
    assert found.announced(JOB, "local", {**AS_FIRST, "tgt_type": "glob"})
    states = {
        "test_|-c_|-c_|-nop": {"name": "c", "result": True, "__run_num__": 2, "__id__": "c"},
        "salt_|-b_|-test.ping_|-function": {"name": "test.ping", "result": False, "comment": "x"},
        "salt_|-a_|-test.arg_|-function": {
            "name": "test.arg",
            "result": True,
            "duration": 1.5,
            "__jid__": JOB,
            "__id__": "a",
        },
        "odd": 1,
    }
    found.end({"data": {"the_master": states}})
    told = [(s.number, s.kind, s.id, s.result, s.jids) for s in found.steps]
    assert [
        (1, "function", "a", True, [JOB]),
        (2, "function", None, False, []),
        (3, "test", "c", True, []),
    ] == told
    assert not found.begin(FIRST)


@pytest.mark.parametrize("value", [None, "error", {}, {"data": []}, {"data": {"m": ["error"]}}])
def test_no_states(value: Any) -> None:
    """An orchestration that could not be read has no steps."""
    found = Orchestration()
    found.end(value)
    assert [] == found.steps


def test_limits(hub: Hub, registry: JobRegistry) -> None:
    """Steps are told apart up to a limit."""
    orchestrate(hub)
    for _ in range(STEPS_LIMIT + 1):
        fire(hub, f"salt/run/{OWN}/args", FIRST)
    assert STEPS_LIMIT == len(steps_of(registry).steps)
    assert isinstance(registry.get(RUN), RegisteredJob)
