"""Large values in JSON."""

from collections import OrderedDict
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saltapi.formats import dump_json, dump_json_in_parts, is_large, large


class Pair(NamedTuple):
    """A tuple that is not a plain one."""

    a: int
    b: int


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(SCALARS, inner, max_size=9),
    max_leaves=60,
)


@settings(max_examples=300)
@given(value=VALUES)
def test_the_same_as_in_one_piece(value: Any) -> None:
    """What is written in parts is what is written at once, byte for byte."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(large, "PIECE_ITEMS", 3)
        assert dump_json(value) == dump_json_in_parts(value)


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        (),
        {"a": [], "b": {}},
        {2: 2, None: 3, True: 4},
        {"a": {1, 2}},
        [b"x", float("nan"), "\ud800"],
        {b"x": 1},
        OrderedDict(b=1, a=2),
        [Pair(1, 2)],
        {"return": [{f"minion-{i}": {"a": (1, 2)} for i in range(200)}]},
        {str(i): {1, 2} for i in range(200)},
    ],
    ids=repr,
)
def test_what_is_no_json(value: Any) -> None:
    """So is what JSON does not know."""
    assert dump_json(value) == dump_json_in_parts(value)


@pytest.mark.parametrize(
    "value",
    [
        "a" * 1001,
        [1] * 200,
        {f"a{i}": 1 for i in range(200)},
        {"a" * 1001: 1},
        [[[{"a": "a" * 1001}]]],
        ["aaaaa"] * 100,
        {"a": {1, 2}, "b": b"a" * 1001},
    ],
    ids=lambda value: repr(value)[:20],
)
def test_large(value: Any) -> None:
    """Texts, names and items count, at whatever depth."""
    assert is_large(value, 1000)
    assert not is_large(value, 10_000)


def test_small() -> None:
    """What is small is known to be, and what is very large soon."""
    assert not is_large({"return": [{"minion-1": True}]}, 1000)
    assert not is_large(None, 1000)
    assert is_large([[1] * 10_000_000] * 100, 1000)
