"""JSON in and out."""

import contextlib
import datetime
import decimal
import json
from typing import Any

import msgpack
import pytest
import salt.payload
import salt.utils.json
from hypothesis import given, settings
from hypothesis import strategies as st

from saltapi.errors import BadRequest
from saltapi.formats import DEPTH_LIMIT_LEVELS, dump_json, load_json

TOO_DEEP = f"deeper than {DEPTH_LIMIT_LEVELS} levels"
CHARACTERS = st.text(st.characters(exclude_categories=["Cs"]))
ORDINARY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | CHARACTERS,
    lambda inner: st.lists(inner) | st.dictionaries(CHARACTERS, inner),
    max_leaves=20,
)
MSGPACK_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text()
    | st.binary()
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=9))
    | st.builds(msgpack.Timestamp, st.integers(0, 2**40), st.integers(0, 999_999_999))
    | st.datetimes()
)
MSGPACK = st.recursive(
    MSGPACK_SCALARS,
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(MSGPACK_SCALARS | st.tuples(st.integers(), st.binary()), inner)
    ),
    max_leaves=20,
)


def strict(body: bytes) -> Any:
    """Return the value in *body*, which must be JSON as RFC 8259 has it."""

    def refuse(name: str) -> None:
        pytest.fail(f"{name} is no JSON")

    return json.loads(body.decode("utf-8"), parse_constant=refuse)


@given(ORDINARY)
def test_ordinary_data_is_written_as_salt_writes_it(value: Any) -> None:
    """What JSON can carry comes out byte for byte as from `salt.utils.json`."""
    assert salt.utils.json.dumps(value).encode() == dump_json(value)


@given(MSGPACK)
def test_whatever_msgpack_carries_is_written(value: Any) -> None:
    """Anything that can come over Salt's wires becomes valid JSON."""
    strict(dump_json(value))


@given(st.binary())
@settings(max_examples=300)
def test_whatever_salt_unpacks_is_written(payload: bytes) -> None:
    """Whatever a hostile payload unpacks to becomes valid JSON."""
    try:
        value = salt.payload.loads(payload, encoding="utf-8")
    except Exception:  # noqa: BLE001 - only what can be unpacked is of interest
        return
    strict(dump_json(value))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"text", "text"),
        ("ü".encode(), "ü"),
        (b"\xff\x00", "/wA="),
        ({b"k": b"v"}, {"k": "v"}),
        ({b"\xff": 1}, {"/w==": 1}),
        (float("nan"), None),
        ([float("inf"), 1.5], [None, 1.5]),
        ({1: {2.5: None}, None: True}, {"1": {"2.5": None}, "null": True}),
        ({(1, 2): 3}, {"(1, 2)": 3}),
        ({3, 1, 2}, [1, 2, 3]),
        ((1, (2,)), [1, [2]]),
        (frozenset(), []),
        (datetime.datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (decimal.Decimal("1.50"), "1.50"),
        ("\ud800", "?"),
        pytest.param(10**5000, hex(10**5000), id="long number"),
        pytest.param({10**5000: 1}, {hex(10**5000): 1}, id="long number as key"),
    ],
)
def test_what_json_cannot_carry(value: Any, expected: Any) -> None:
    """The nearest thing that JSON can carry is written."""
    assert expected == strict(dump_json(value))


def test_one_odd_value_changes_nothing_else() -> None:
    """Numbers, text and order stay as they are beside a value that JSON cannot carry."""
    value = {"z": 1, "a": 1.0, "ü": "é\u2028", 5: True, "b": b"x", "n": None}
    assert {"z": 1, "a": 1.0, "ü": "é\u2028", "5": True, "b": "x", "n": None} == strict(
        dump_json(value)
    )
    assert dump_json(value).startswith('{"z": 1, "a": 1.0, "ü": '.encode())


@pytest.mark.parametrize("bottom", [0, b"\xff"])
@pytest.mark.parametrize("levels", [150, 1000, 100_000])
def test_deep_output_is_cut_and_valid(bottom: Any, levels: int) -> None:
    """However deep a value is nested, it becomes valid JSON."""
    value = bottom
    for number in range(levels):
        value = [value] if number % 2 else {"a": value}
    strict(dump_json(value))


@given(ORDINARY)
def test_what_was_written_can_be_read(value: Any) -> None:
    """Reading gives back what was written."""
    assert value == load_json(dump_json(value))


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "no valid JSON"),
        (b"{", "line 1, column 2"),
        (b"[1,]", "no valid JSON"),
        (b'{"a": NaN}', "NaN"),
        (b"[-Infinity]", "-Infinity"),
        (b"\xff\xfe[\x00]\x00", "UTF-8"),
        (b'["\xe4"]', "UTF-8"),
        pytest.param(b"1" * 5000, "number that is too long", id="long number"),
        (b'["\\ud800"]', "surrogate"),
        (b'{"\\uDFFF": 1}', "surrogate"),
        pytest.param(b"[" * 101 + b"]" * 101, TOO_DEEP, id="101 lists"),
        pytest.param(b'{"a":' * 101 + b"1" + b"}" * 101, TOO_DEEP, id="101 mappings"),
        pytest.param(b"[" * 1_000_000, TOO_DEEP, id="1,000,000 lists"),
    ],
)
def test_a_bad_body_is_refused(body: bytes, problem: str) -> None:
    """A body that is no JSON is a bad request that says what is wrong."""
    with pytest.raises(BadRequest, match=problem):
        load_json(body)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"null", None),
        (b" [] \n", []),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\\\\ud800"', "\\ud800"),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b"[" * 100 + b"]" * 100, None),
    ],
)
def test_a_good_body_is_read(body: bytes, expected: Any) -> None:
    """JSON in UTF-8, with or without a byte order mark, is read."""
    if expected is None:
        load_json(body)
    else:
        assert expected == load_json(body)


@given(st.binary())
def test_no_body_makes_an_error_of_ours(body: bytes) -> None:
    """Whatever the bytes, the answer is a value or a bad request."""
    with contextlib.suppress(BadRequest):
        load_json(body)
