"""Ids that other processes understand."""

import datetime
from types import SimpleNamespace
from typing import Any

import pytest
import salt.crypt
import salt.payload
from salt.channel.server import MasterPubServerChannel

from saltapi.bridge.bus import cursors
from saltapi.bridge.bus.cursors import Cursor
from saltapi.bridge.bus.events import Event

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


def forwarded(data: dict[str, Any], peer: str) -> dict[str, Any]:
    """Return what Salt makes of an event that a master of its cluster sends."""
    key, opts = salt.crypt.Crypticle.generate_key_string(), {"__role": "master"}
    sent = salt.crypt.Crypticle(opts, key).dumps({"event_payload": data})
    channel = SimpleNamespace(peer_keys={peer: key}, opts=opts, cluster_id="c")
    found: dict[str, Any] = MasterPubServerChannel.extract_cluster_event(channel, peer, sent)
    assert peer == found["__peer_id"]
    return found


@pytest.mark.parametrize("peer", ["m", "10.0.0.1", "m" * 31, "m" * 32, "m" * 255])
@pytest.mark.parametrize("items", [0, 1, 13, 14, 15, 16, 70_000])
def test_an_event_has_one_id_at_each_master(items: int, peer: str) -> None:
    """What Salt adds to an event that it forwards does not change its id."""
    if items > 100 and len(peer) > 1:
        pytest.skip("once is enough")
    data = {**{f"k{n}": [n, "ü", None, 0.5] for n in range(items)}, "_stamp": NOW}
    there, here = payload(**data), payload(**forwarded(data, peer))
    assert there != here
    assert cursors.check_of("a/tag", there) == cursors.check_of("a/tag", here)
    assert cursors.time_of(there) == cursors.time_of(here)


@pytest.mark.parametrize(
    "data",
    [
        {"a": 1, "_stamp": NOW, "__peer_id": 7},
        {"a": {"__peer_id": "m"}, "_stamp": NOW},
        {"__peer_id": "m", "_stamp": NOW},
        {"a": "\xa9__peer_idx", "_stamp": NOW},
        {"_stamp": NOW, "a": b"\xa9__peer_id\xa1"},
    ],
    ids=str,
)
def test_only_what_salt_adds_does_not_count(data: dict[str, Any]) -> None:
    """Anything else in an event is part of it, whatever it is called."""
    without = {name: value for name, value in data.items() if name != "__peer_id"}
    assert cursors.check_of("t", payload(**data)) != cursors.check_of("t", payload(**without, x=1))
    if without != data:
        assert cursors.check_of("t", payload(**data)) != cursors.check_of("t", payload(**without))


@pytest.mark.parametrize("raw", [b"", b"\x80", b"\xa9__peer_id", b"\xde", b"\x81\xa9__peer_id\xd9"])
def test_what_is_no_map_has_a_check(raw: bytes) -> None:
    """Whatever somebody puts on the bus gets an id."""
    assert 16 == len(cursors.check_of("t", raw))


def test_an_id_of_before_is_understood() -> None:
    """An id with the checksum of the frame, as it was before 0.9, is of its event."""
    event = Event(cursors.event_id("tag", b"abc", NOW_US, "e1", 7), "tag", b"abc")
    old = cursors.parse(f"{NOW_US:x}-e9b7e7e3-0f-9")
    assert old is not None
    assert cursors.is_of(old, event)
    assert not cursors.is_of(old, Event(event.id, "tag", b"abd"))
    assert not cursors.is_of(Cursor("0f", 9, NOW_US + 1, old.check), event)
