"""What a request is about, and the trace that it belongs to."""

import pytest

from saltapi import trace
from saltapi.trace import Trace, TraceContext, carried

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
"""The example of the W3C recommendation."""
TRACING = {"tracing": {"enabled": True}}


def test_read() -> None:
    """A valid `traceparent` is handed on as it is, with its `tracestate`."""
    context = TraceContext.read([PARENT], ["rojo=00f067aa0ba902b7, congo=t61rcWkgMzE", "a@b=1"])

    assert context is not None
    assert TRACE_ID == context.trace_id
    wanted = {
        "traceparent": PARENT,
        "tracestate": "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE,a@b=1",
    }
    assert wanted == context.as_mapping()


@pytest.mark.parametrize(
    "values",
    [
        [],
        [PARENT, PARENT],
        [""],
        [PARENT.upper()],
        [PARENT[:-1]],
        [PARENT + "-more"],
        [PARENT + "\nx"],
        ["ff" + PARENT[2:]],
        ["cc" + PARENT[2:] + "x"],
        [f"00-{'0' * 32}-00f067aa0ba902b7-01"],
        [f"00-{TRACE_ID}-{'0' * 16}-01"],
        [f"00-{TRACE_ID}-00f067aa0ba902b7-0x"],
    ],
)
def test_invalid(values: list[str]) -> None:
    """What is no valid `traceparent` is passed over."""
    assert TraceContext.read(values, ["a=b"]) is None


def test_later_version() -> None:
    """Of a version that is not known yet, what is known goes on as version 00."""
    context = TraceContext.read([f"cc-{TRACE_ID}-00f067aa0ba902b7-ff-more"])

    assert context is not None
    assert f"{PARENT[:-2]}03" == context.traceparent


@pytest.mark.parametrize(
    "values",
    [
        "a",
        "a=",
        "A=1",
        "a=1,a=2",
        "a=\x01",
        "a=ü",
        "a=" + "x" * 257,
        ",".join(["k=" + "x" * 200] * 3),
    ],
)
def test_invalid_state(values: str) -> None:
    """A `tracestate` that is not valid is left out; the trace goes on."""
    context = TraceContext.read([PARENT], [values])

    assert context is not None
    assert {"traceparent": PARENT} == context.as_mapping()


def test_begin() -> None:
    """A new trace has ids of its own, in the form of the recommendation."""
    one, other = TraceContext.begin(), TraceContext.begin()

    assert one.trace_id != other.trace_id
    assert TraceContext.read([one.traceparent]) is not None


def test_carried() -> None:
    """Salt gets the trace that a client has sent, where it looks for one; nothing else."""
    received = TraceContext.read([PARENT])
    token = trace.current.set(Trace(context=received))
    try:
        assert {"traceparent": PARENT} == carried(TRACING)
        for opts in ({}, {"tracing": {"enabled": False}}, {"tracing": None}):
            assert {} == carried(opts)
        trace.current.set(Trace(context=TraceContext.begin()))
        assert {} == carried(TRACING)
        trace.current.set(None)
        assert {} == carried(TRACING)
    finally:
        trace.current.reset(token)


def test_line_and_mapping() -> None:
    """The end of a log line, and the keys of a JSON log, say the same."""
    found = Trace(request_id="ab", user="fred x", jids=["1", "2"])
    assert "request=ab user=fred?x jid=1,2" == str(found)
    assert {"request_id": "ab", "user": "fred x", "jid": ["1", "2"]} == found.as_mapping()

    found.context = TraceContext.read([PARENT])
    assert str(found).endswith(f" trace={TRACE_ID}")
    assert TRACE_ID == found.as_mapping()["trace_id"]
    assert {"request_id": "ab"} == Trace(request_id="ab").as_mapping()


def test_missing_headers() -> None:
    """An answer names the minions that it leaves out, of many the first ones and how many more."""
    trace = Trace()
    assert {} == trace.missing_headers()
    trace.silent.extend(["one", "tw\r\no"])
    assert {"X-Salt-Missing": "one, ?"} == trace.missing_headers()
    trace.silent.extend(["m"] * 30)
    assert trace.missing_headers()["X-Salt-Missing"].endswith("m, +12")
