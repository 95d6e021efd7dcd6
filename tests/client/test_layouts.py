"""Results as text, beside Salt's outputters."""

import copy
from typing import Any

import pytest
import salt.config
import salt.loader

from saltapi_client.cli.output import folding, nested, states, tables
from saltapi_client.cli.output.names import folded
from saltapi_client.cli.terminal import Paint, cut

PLAIN = Paint(False)
VALUES: list[Any] = [
    True, None, 1, 1.5, "text", "two\nlines", "", [], {}, ["a", "b"], [["a"], {"b": 1}],
    {"a": {"b": [1, {"c": None}]}},
    {"b": 1, "a": ["x", ["y", ["z"]]]}, {"a": {}, "b": []}, [{"a": "two\nlines"}, "x\ny"], {1: 2},
]  # fmt: skip


def state(number: int, result: bool | None, **more: Any) -> dict[str, Any]:
    """Return a state's result as a minion has it."""
    return {
        "result": result,
        "changes": {},
        "comment": "All is well\nin two lines",
        "name": "nginx",
        "__run_num__": number,
        "__id__": "web",
        "__sls__": "nginx",
        "start_time": "10:00:00.000000",
        "duration": 12.5,
        **more,
    }


STATES: list[dict[str, Any]] = [
    {"pkg_|-web_|-nginx_|-installed": state(0, True)},
    {"pkg_|-web_|-web_|-installed": state(0, True, changes={"nginx": {"new": "1.2", "old": ""}})},
    {
        "file_|-b_|-/etc/b_|-managed": state(1, False, comment="No.", duration=1234.5),
        "pkg_|-a_|-a_|-installed": state(0, None, changes={"diff": "-a\n+b"}),
        "cmd_|-c_|-echo_|-run": state(2, True, warnings=["old " * 40, "and more"]),
    },
    {f"test_|-{n}_|-{n}_|-nop": state(n, n % 3 != 0, __parallel__=True) for n in range(12)},
]


def salt_shows(name: str, value: Any) -> str:
    """Return what Salt's outputter makes of a value."""
    opts = salt.config.minion_config("/nonexistent/minion")
    opts.update(color=False, strip_colors=True, state_verbose=True, state_output="full")
    opts.update(state_output_profile=True)
    text = salt.loader.outputters(opts)[name](copy.deepcopy(value))  # it changes what it shows
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_nested(value: Any) -> None:
    """`--out nested` is Salt's."""
    assert salt_shows("nested", {"minion-1": value}) == nested.minion("minion-1", value, PLAIN)


@pytest.mark.parametrize("value", STATES, ids=len)
def test_highstate(value: dict[str, Any]) -> None:
    """`--out highstate` is Salt's."""
    assert salt_shows("highstate", {"minion-1": value}) == states.highstate(
        "minion-1", value, PLAIN
    )


def test_highstate_of_errors() -> None:
    """What did not compile is shown as Salt shows it."""
    value = ["Rendering SLS 'x' failed", "Second"]

    assert salt_shows("highstate", {"minion-1": value}) == states.highstate(
        "minion-1", value, PLAIN
    )


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["web-1"], "web-1"),
        (["web-3", "web-1", "web-2"], "web-[1-3]"),
        (["web-1", "web-3", "db"], "db, web-[1,3]"),
        (["n001", "n002", "n10"], "n[001-002], n10"),
        (["n0", "n1", "n2"], "n[0-2]"),
        (["a1.x", "a2.x", "a1.y"], "a[1-2].x, a1.y"),
        ([], ""),
    ],
)
def test_names(names: list[str], expected: str) -> None:
    """Many names are few characters."""
    assert expected == folded(names)


def test_fold() -> None:
    """A thousand minions with three answers are three groups, failures first."""
    returns: dict[str, Any] = {f"m{n}": {"version": n % 10 == 0} for n in range(1000)}
    returns["m7"] = "boom"
    groups = folding.groups_of(returns, ["m7"])

    assert [["m7"], 899, 100] == [groups[0].minions, *[len(g.minions) for g in groups[1:]]]
    text = folding.text(returns, ["m7"], PLAIN, 80)
    assert text.startswith("m7:\n    boom\n899 minions: m[")
    assert all(len(line) <= 80 for line in text.splitlines())


def test_fold_states() -> None:
    """Equal failures are told once, and who has them."""
    bad = {"pkg_|-a_|-nginx_|-installed": state(0, False, comment="No such package")}
    good = {"pkg_|-a_|-nginx_|-installed": state(0, True)}
    returns = {f"web-{n}": bad if n > 1 else good for n in range(5)}

    text = folding.text(returns, [], PLAIN, 80)

    assert 1 == text.count("No such package")
    assert "3 minions: web-[2-4]" in text
    assert "failed on 3" in text


def test_table() -> None:
    """A table fits; what is copied from it is whole, and empty columns are left out."""
    rows = [("20261123180812345678", "state.apply " * 10, None), ("1", "x", None)]

    text = tables.text(("jid", "fun", "user"), rows, PLAIN, 50)

    assert all(len(line) <= 50 for line in text.splitlines())
    assert "20261123180812345678  state.apply" in text
    assert "USER" not in text


def test_nothing_moves_the_cursor() -> None:
    """What a minion returns is shown without the escapes in it."""
    assert "\x1b" not in nested.minion("m\x1b[2J", "a\x1b]0;x\x07", PLAIN)
    assert "\x1b" not in folding.text({"m": "a\x1b[31m"}, [], PLAIN, 80)
    assert "a…" == cut("a\x1b[31m", 2)
