"""What is read in pieces comes to the same."""

import datetime
from typing import Any

import pytest
import salt.payload

from saltapi.bridge.worker import pieces

AT = datetime.datetime(2026, 1, 2, 3, 4, 5)
"""Of a type that MessagePack does not have."""


@pytest.mark.parametrize(
    "value",
    [
        {
            "data": {
                "return": {str(number): {"fun": "x", "arg": [1, {}]} for number in range(70_000)}
            }
        },
        {"data": {"return": [[number] * 20 for number in range(300)]}, "retire": False},
        {"a": {1: None, "b": [], "c": {}, "d": -1.5, "e": b"\xff", "f": "é" * 70_000, "g": 2**63}},
        {"at": AT},
        [{"x": {"y": {"z": {"deep": [{"er": [True]}]}}}}] * 20,
        "text",
    ],
)
def test_loads(value: Any) -> None:
    """It is what Salt's reader makes of it, types of Salt's own among it."""
    body = salt.payload.dumps(value, use_bin_type=True)
    assert salt.payload.loads(body, encoding="utf-8") == pieces.loads(body) == value


@pytest.mark.parametrize("more", [{}, {"return": {"a": [1, {"b": {}}]}}, {"return": ["x"] * 9}])
@pytest.mark.parametrize("load", [{"jid": "1", "arg": ["é", b"\xff", {"return": 1}]}, {"at": AT}])
def test_loads_without(load: dict[str, Any], more: dict[str, Any]) -> None:
    """What is skipped is gone, and everything else as Salt reads it."""
    body = salt.payload.dumps({"first": 1, **more, **load}, use_bin_type=True)
    expected = salt.payload.loads(body)
    found = pieces.loads_without(body, "return")
    found.pop("return", None)  # Salt's own types are read by Salt
    assert {name: expected[name] for name in expected if name != "return"} == found


def test_peeked() -> None:
    """One value of a mapping is found without the others, and nothing where there is none."""
    body = salt.payload.dumps({"a": {"fun": 1}, "fun": "x", "b": AT}, use_bin_type=True)
    assert "x" == pieces.peeked(body, "fun")
    assert [None] * 4 == [
        pieces.peeked(each, "fun") for each in (b"", body[:9], b"\xc1", salt.payload.dumps([1]))
    ]
    assert pieces.peeked(body, "c") is None


def test_no_mapping() -> None:
    """What is no mapping is read as it is."""
    assert [1] == pieces.loads_without(salt.payload.dumps([1]), "return")
