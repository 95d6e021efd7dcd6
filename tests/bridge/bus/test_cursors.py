"""Ids that other processes understand."""

import datetime

import pytest
import salt.payload

from saltapi.bridge.bus import cursors
from saltapi.bridge.bus.cursors import Cursor

NOW = "2026-11-23T18:18:28.092277"
NOW_US = 1_795_457_908_092_277


def payload(**data: object) -> bytes:
    packed = salt.payload.dumps(data, use_bin_type=True)
    assert isinstance(packed, bytes)
    return packed


@pytest.mark.parametrize(
    ("data", "time_us"),
    [
        ({"a": 1, "_stamp": f"{NOW}+00:00"}, NOW_US),
        ({"_stamp": NOW, "a": 1}, NOW_US),
        ({"_stamp": "2026-11-23T18:18:28"}, NOW_US // 1_000_000 * 1_000_000),
        ({"a": 1}, None),
        ({}, None),
        ({"_stamp": "today"}, None),
        ({"_stamp": 7}, None),
        ({"_stamp": "x" * 300}, None),
        ({"_stamp": "1500-01-01T00:00:00"}, 0),
    ],
    ids=str,
)
def test_the_time_of_an_event(data: dict[str, object], time_us: int | None) -> None:
    """The time is that of `_stamp`, in UTC, wherever in the event it stands."""
    assert time_us == cursors.time_of(payload(**data))
    assert NOW_US == datetime.datetime.fromisoformat(f"{NOW}+00:00").timestamp() * 1_000_000


@pytest.mark.parametrize("cut", range(12))
def test_a_cut_event_has_no_time(cut: int) -> None:
    """What ends in the middle of its stamp harms nobody."""
    whole = payload(_stamp=NOW)
    cursors.time_of(whole[: len(whole) - len(NOW) - 2 + cut])


def test_an_id_says_what_it_was_made_of() -> None:
    """Time, check, epoch and offset of an event are in its id, and a place has no check."""
    found = cursors.parse(cursors.event_id("tag", b"abc", NOW_US, "e1", 7))
    assert found is not None
    assert ("e1", 7, NOW_US) == (found.epoch, found.offset, found.time_us)
    assert found.check is not None
    assert Cursor("e1", 7, NOW_US) == cursors.parse(cursors.cursor_id(NOW_US, "e1", 7))
    assert Cursor("e1", 7) == cursors.parse(cursors.cursor_id(None, "e1", 7))
    assert Cursor("e1", 7) == cursors.parse(cursors.event_id("tag", b"abc", None, "e1", 7))


def test_two_events_of_one_moment_differ() -> None:
    """The check tells events apart that were fired at the same time."""
    ids = {cursors.event_id(tag, data, 1, "e", 1) for tag in ("a", "b") for data in (b"c", b"d")}
    assert 4 == len(ids)


@pytest.mark.parametrize("text", ["", "-", "x", "1-2-3-4-5", "e-x", "z-e-1", "1-z-e-1", "e-1\n"])
def test_what_is_no_id(text: str) -> None:
    """Anything else is no id."""
    assert cursors.parse(text) is None
