"""Whether minions are connected, by what the kernel counts and what they say."""

from collections import Counter

import pytest

from saltapi.bridge.fleet.minion_data import Summary
from saltapi.engine.fleet import presence
from saltapi.engine.fleet.minion import Minion
from saltapi.engine.fleet.presence import Presences

PLACE = "10.0.0.1"
NOW = 10_000.0


def minion(name: str) -> Minion:
    found = Minion(name)
    found.summary = Summary("Debian", "3008.3", (PLACE,), 1.0)
    return found


@pytest.mark.parametrize(
    ("connections", "expected"), [(3, [True] * 3), (2, [True, True, False]), (0, [False] * 3)]
)
async def test_of_those_who_share_an_address(
    monkeypatch: pytest.MonkeyPatch, connections: int, expected: list[bool]
) -> None:
    """Who gave no sign of life is not connected where there are only the others' connections."""
    found = Counter({PLACE: connections, "10.0.0.9": 1})
    monkeypatch.setattr(presence, "connections_to", lambda _port: found)
    monkeypatch.setattr(presence, "own_addresses", frozenset)
    minions = [minion(name) for name in "abc"]
    stranger = minion("d")
    stranger.summary = Summary(None, None, ("10.0.0.9",), 1.0)
    minions[2].seen(NOW - 100, "return")
    minions[2].lost_at = NOW - 50
    presences = Presences(4505)
    await presences.look([*minions, stranger])

    assert expected == [presences.connected(one, NOW) for one in minions]
