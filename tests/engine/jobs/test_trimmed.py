"""Returns that Salt has cut are told apart from those that are whole."""

from typing import Any

import pytest
import salt.utils.dicttrim

from saltapi.engine.jobs.values import TRIMMED, is_trimmed


@pytest.mark.parametrize("value", ["x" * 10_000, {"a": "x" * 10_000}, {"a": {"b": "x" * 9000}}])
def test_as_salt_trims(value: Any) -> None:
    """What Salt cuts out of a return that does not fit into an event is found."""
    event = salt.utils.dicttrim.trim_dict({"id": "m", "return": value}, 2000)

    assert is_trimmed(event["return"])


@pytest.mark.parametrize(
    "value", [None, True, 1, "", "text", [TRIMMED], {"a": {"b": 1}}, {TRIMMED: 1}, {"a": [TRIMMED]}]
)
def test_whole(value: Any) -> None:
    """Everything else is whole."""
    assert not is_trimmed(value)
