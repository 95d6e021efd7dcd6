"""Changes in stages: what `batch` may say, and how many minions each stage has."""

from typing import Any

import pytest

from saltapi.config import EngineConfig
from saltapi.errors import InvalidChunk
from saltapi.lowstate import check
from saltapi.lowstate.stages import STAGES_LIMIT, StagePlan, plan_of

CONFIG = EngineConfig(netapi_enable_clients=["local", "local_async", "local_batch", "local_subset"])


def plan(batch: Any, client: str = "local", **more: Any) -> StagePlan | None:
    chunk = {"client": client, "tgt": "*", "fun": "test.ping", "token": "0" * 64, "batch": batch}
    return check({**chunk, **more}, CONFIG).stages


@pytest.mark.parametrize(
    ("batch", "minions", "expected"),
    [
        ({"stages": [1, "10%", "50%", "100%"]}, 1000, [1, 100, 500, 1000]),
        ({"stages": [1, "10%", "50%", "100%"]}, 5, [1, 3, 5]),
        ({"stages": [1, "10%", "50%", "100%"]}, 1, [1]),
        ({"stages": ["0.1%", 20, "100%"]}, 10, [1, 10]),
        ({"stages": [5, "10%", "100%"]}, 30, [5, 30]),
        ({"stages": ["100%"]}, 0, []),
        ({"size": "10%"}, 25, [2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 25]),
        ({"size": "10%"}, 3, [1, 2, 3]),
        ({"size": 2}, 5, [2, 4, 5]),
        ({"size": 10}, 5, [5]),
        ("33%", 100, [33, 66, 99, 100]),
        (3, 7, [3, 6, 7]),
        ("3", 7, [3, 6, 7]),
    ],
)
def test_ends(batch: Any, minions: int, expected: list[int]) -> None:
    """Percentages of `stages` are rounded up, those of a size down; empty stages fall out."""
    found = plan(batch)
    assert found is not None
    assert expected == found.ends(minions)
    assert found.ends(minions) == plan_of(found.value).ends(minions)


@pytest.mark.parametrize(
    ("batch", "failed", "expected"),
    [
        ({"size": 1}, 0, True),
        ({"size": 1}, 1, False),
        ({"size": 1, "max_failed": 2}, 2, True),
        ({"size": 1, "max_failed": "5%"}, 4, True),
        ({"size": 1, "max_failed": "5%"}, 5, False),
        ({"size": 1, "max_failed": None}, 99, True),
        ("1", 99, True),
    ],
)
def test_allows(batch: Any, failed: int, expected: bool) -> None:
    """None may fail unless it is said otherwise; parts of a minion do not count."""
    found = plan(batch)
    assert found is not None
    assert expected is found.allows(failed, 99)
    assert expected is plan_of(found.value).allows(failed, 99)


@pytest.mark.parametrize(
    "batch",
    [
        {},
        {"size": 1, "stages": [1]},
        {"size": 0},
        {"size": "0%"},
        {"size": "101%"},
        {"size": True},
        {"size": 1.5},
        {"size": "1.5"},
        {"size": [1]},
        {"size": "9" * 40},
        {"size": 1, "wait": -1},
        {"size": 1, "wait": "soon"},
        {"size": 1, "wait": 86_401},
        {"size": 1, "max_failed": -1},
        {"size": 1, "max_failed": "all"},
        {"size": 1, "maxfailed": 1},
        {"stages": []},
        {"stages": "100%"},
        {"stages": [1, 10]},
        {"stages": ["50%", "10%", "100%"]},
        {"stages": [5, 5, "100%"]},
        {"stages": [*range(1, 101), "100%"]},
        {"stages": [None, "100%"]},
        [1, "100%"],
        "",
        "all",
    ],
    ids=str,
)
def test_wrong(batch: Any) -> None:
    """What cannot be done is refused with a sentence about it."""
    with pytest.raises(InvalidChunk) as error:
        plan(batch)
    assert "batch" == error.value.key or "wait" == error.value.key


def test_too_many() -> None:
    """A change has a thousand stages at most."""
    found = plan({"size": 1})
    assert found is not None
    assert STAGES_LIMIT == len(found.ends(STAGES_LIMIT))
    with pytest.raises(InvalidChunk, match="too many stages"):
        found.ends(STAGES_LIMIT + 1)


def test_as_in_salt() -> None:
    """A size alone takes `batch_wait` and `failhard` from the chunk."""
    found = plan("10%", batch_wait=3, failhard=True)
    assert found is not None
    assert (3.0, False, False) == (found.wait_seconds, found.allows(1, 10), found.own)


@pytest.mark.parametrize("client", ["local_batch", "local_subset"])
def test_other_clients(client: str) -> None:
    """Other clients have no stages, and refuse what asks for them."""
    assert plan("10%", client) is None
    with pytest.raises(InvalidChunk):
        plan({"size": 1}, client)
