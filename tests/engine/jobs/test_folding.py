"""Returns of many minions, each value once; and what differs from another job."""

import time
from typing import Any

from saltapi.engine.jobs.differences import differences
from saltapi.engine.jobs.folding import fold
from tests.waiting import scaled


def shown(value: Any, retcode: int = 0) -> dict[str, Any]:
    return {"return": value, "retcode": retcode, "success": not retcode}


def state(result: bool | None, comment: str = "", changes: Any = None, **more: Any) -> Any:
    return {"result": result, "comment": comment, "changes": changes or {}, **more}


def test_three_kinds_of_a_thousand() -> None:
    """A thousand minions with three kinds of answers give three groups in under 50 ms."""
    values: list[Any] = [{"version": "1.2", "list": [1, 2]}, "1.2", True]
    returns = [(f"web-{n}", shown(values[min(n % 10, 2)])) for n in range(1000)]
    started = time.perf_counter()
    groups = fold(returns)["groups"]
    took = time.perf_counter() - started

    assert [800, 100, 100] == [group["count"] for group in groups]
    assert {True} == {groups[0]["return"]}
    assert 1000 == len({minion for group in groups for minion in group["minions"]})
    assert took < scaled(0.05)


def test_what_differs_is_not_equal() -> None:
    """Values that only look the same to Python, and other retcodes, are groups of their own."""
    values = [True, 1, 1.5, "1", None, [1], [True], b"\xff", {"a": 1}, {"a": True}]
    returns = [(str(n), shown(value)) for n, value in enumerate(values)]
    assert len(values) == len(fold(returns)["groups"])
    assert 2 == len(fold([("a", shown("x")), ("b", shown("x", 1))])["groups"])
    assert 1 == len(fold([("a", shown({1: 2, 3: 4})), ("b", shown({3: 4, 1: 2}))])["groups"])


def test_states() -> None:
    """States are folded by state, what failed on top; times do not count."""
    tag = "pkg_|-nginx_|-nginx_|-installed"
    fine = {"file_|-conf_|-/etc/x_|-managed": state(True, "ok", __run_num__=0)}
    returns = []
    for n in range(10):
        found = {**fine, tag: state(n > 1, "no repository" if n < 2 else "there", __run_num__=1)}
        found["file_|-conf_|-/etc/x_|-managed"] = state(True, "ok", __run_num__=0, duration=n)
        if n == 9:
            found[tag] = state(True, "new", {"nginx": {"new": "1"}}, __run_num__=1)
        returns.append((f"m{n}", shown(found)))
    folded = fold(returns)

    assert [] == folded["groups"]
    first, second = folded["states"]
    assert ("nginx", "pkg.installed", 2, 1, 7) == (
        first["id"],
        first["fun"],
        first["failed"],
        first["changed"],
        first["succeeded"],
    )
    assert ["failed", "changed", "succeeded"] == [group["outcome"] for group in first["groups"]]
    assert ["m0", "m1"] == first["groups"][0]["minions"]
    assert (10, 1) == (second["succeeded"], len(second["groups"]))


def test_differences() -> None:
    """What differs from another job is told once for all minions for which it is the same."""
    before: dict[str, Any] = {
        f"m{n}": {"kernel": "6.1", "os": {"name": "Debian", "major": 12}} for n in range(5)
    }
    after: dict[str, Any] = {**before, "m1": {**before["m1"], "kernel": "6.6"}, "m9": {}}
    after["m2"] = {**before["m2"], "kernel": "6.6"}
    after["m3"] = {"os": {"name": "Debian", "major": 13}, "new": 1}
    del after["m0"]
    found = differences(before, after)

    assert (1, ["m0"], ["m9"]) == (found["same"], found["only_before"], found["only_after"])
    one, other = found["groups"]
    assert (["m1", "m2"], 2) == (one["minions"], one["count"])
    assert [{"path": ["kernel"], "before": "6.1", "after": "6.6"}] == one["differences"]
    assert [
        {"path": ["kernel"], "before": "6.1"},
        {"path": ["os", "major"], "before": 12, "after": 13},
        {"path": ["new"], "after": 1},
    ] == other["differences"]


def test_states_that_only_took_longer_are_the_same() -> None:
    """Times of states are no difference."""
    tag = "test_|-a_|-a_|-nop"
    before = {"m": {tag: state(True, "ok", duration=1, start_time="1")}}
    assert 1 == differences(before, {"m": {tag: state(True, "ok", duration=2)}})["same"]
    (group,) = differences(before, {"m": {tag: state(False, "no")}})["groups"]
    assert ["result", "comment"] == [each["path"][-1] for each in group["differences"]]
