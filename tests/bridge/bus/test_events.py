"""Events as they come from the bus."""

from typing import Any

import pytest
import salt.payload
import salt.utils.event
from hypothesis import given
from hypothesis import strategies as st

from saltapi.bridge.bus.events import (
    Event,
    Gap,
    any_of,
    split,
    tag_glob,
    tag_prefix,
    tag_regex,
    without_secrets,
)
from saltapi.formats import dump_json
from saltapi.masking import HIDDEN
from tests.secret_cases import PRIVATE_KEY, PUBLIC_KEY


def event(tag: str, data: Any) -> Event:
    return Event("e-1", tag, salt.payload.dumps(data, use_bin_type=True))


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n")))
def test_split_undoes_what_salt_packs(tag: str) -> None:
    """Tag and data come out of a frame as Salt put them in, also with an empty line in the data."""
    body = salt.utils.event.SaltEvent.pack(tag, {"a": "x\n\ny", "b": b"\xff"})
    found, payload = split(body)
    assert (tag, {"a": "x\n\ny", "b": b"\xff"}) == (found, Event("e-1", found, payload).data)


@given(st.binary())
def test_no_frame_breaks_an_event(body: bytes) -> None:
    """Whatever a frame holds, it is an event with a tag and data that JSON can show."""
    tag, payload = split(body)
    found = Event("e-1", tag, payload)
    assert isinstance(found.data, dict)
    dump_json({"tag": found.tag, "data": found.data})


@pytest.mark.parametrize("tag", ["x", "salt/job/20260101000000000001/error"])
@pytest.mark.parametrize("levels", [100, 600, 1000, 5000])
def test_deep_data_breaks_nothing(tag: str, levels: int) -> None:
    """Data that a hostile minion nested deeply is shown, or named as what cannot be decoded."""
    payload = b"\x81\xa1a" + b"\x91" * levels + b"\xc0"
    found = Event("e-1", tag, payload).data
    assert found.keys() in ({"a"}, {"error"})
    dump_json(found)


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x81", b"\x81\x90\xc0", b"\xa5ab"])
def test_data_that_cannot_be_decoded_is_named(payload: bytes) -> None:
    """An event whose data is damaged is an event that says so."""
    assert {"error": "The data of this event cannot be decoded."} == Event("e-1", "x", payload).data


def test_data_that_is_no_mapping_is_wrapped() -> None:
    """The data of an event is always a mapping."""
    assert {"data": [1, 2]} == event("x", [1, 2]).data


def test_data_is_decoded_once() -> None:
    """However many look at the data, it is one object."""
    found = event("x", {"a": 1})
    assert found.data is found.data


def test_an_event_is_rendered_once_for_each_form() -> None:
    """Each form is made once, whoever asks."""
    found = event("x", {"a": 1})
    calls: list[str] = []

    def make(form: str) -> bytes:
        def encode(_: Event) -> bytes:
            calls.append(form)
            return form.encode()

        return found.render(form, encode)

    assert [b"sse", b"ws", b"sse", b"ws"] == [make(form) for form in ("sse", "ws", "sse", "ws")]
    assert ["sse", "ws"] == calls


def test_the_credentials_of_a_refused_publish_are_masked() -> None:
    """The load that the master fires when it refuses a publish is shown without credentials."""
    load = {
        "fun": "test.ping",
        "kwargs": {"token": "SECRET", "password": "SECRET", "username": "fred"},
        "arg": [{"__kwarg__": True, "deep": [{"password": "SECRET"}]}],
        "key": "",
    }
    found = event("salt/job/20260101000000000001/error", load).data
    assert b"SECRET" not in dump_json(found)
    assert ("fred", HIDDEN, "") == (
        found["kwargs"]["username"],
        found["kwargs"]["token"],
        found["key"],
    )


def test_other_events_are_shown_as_they_are() -> None:
    """A minion may return something called token."""
    data = {"return": {"token": "t", "password": "p"}}
    assert data == event("salt/job/20260101000000000001/ret/m", data).data


def test_masking_copies() -> None:
    """Masking leaves the original alone."""
    value = {"a": [{"token": "t"}], "token": None}
    assert {"a": [{"token": HIDDEN}], "token": None} == without_secrets(value)
    assert {"a": [{"token": "t"}], "token": None} == value


def test_sizes_count_what_memory_holds() -> None:
    """Events and gaps never count for nothing."""
    small, large = event("t", None), event("t", "x" * 1000)
    assert large.size_bytes - small.size_bytes > 990
    assert small.size_bytes > 100
    assert Gap("e-1", "").size_bytes > 100


@pytest.mark.parametrize(
    ("passes", "yes", "no"),
    [
        (tag_prefix("salt/job/"), "salt/job/1/new", "xsalt/job/"),
        (tag_prefix(""), "", None),
        (tag_glob("salt/job/*/ret/*"), "salt/job/1/ret/a/b", "salt/job/1/new"),
        (tag_glob("salt/[!j]*"), "salt/key", "salt/job"),
        (tag_glob("a.c"), "a.c", "abc"),
        (tag_glob("a*"), "a\nb", "ba"),
        (tag_regex("salt/(job|run)/"), "salt/run/1/new", "x salt/run/"),
        (any_of([tag_prefix("a"), tag_glob("*z")]), "xz", "b"),
    ],
)
def test_filters(passes: Any, yes: str, no: str | None) -> None:
    """A filter passes the tags that it describes and no other."""
    assert passes(yes) is True
    if no is not None:
        assert passes(no) is False


def test_no_filter_is_none() -> None:
    """Without filters everything passes, and that costs nothing."""
    assert any_of([]) is None


def test_binary_and_times_survive() -> None:
    """Bytes stay bytes, and what Salt packs in its own way comes back."""
    assert {"b": b"\xff\x00", "n": -1, "s": [1, 2]} == event(
        "x", {"b": b"\xff\x00", "n": -1, "s": (1, 2)}
    ).data


def test_masked_event() -> None:
    """Who is no administrator gets another event, which is made once, and keeps id and tag."""
    pair = {"pub": PUBLIC_KEY, "priv": PRIVATE_KEY}
    made = event("salt/wheel/1/ret", {"fun": "wheel.key.gen", "return": pair})
    masked = made.masked

    assert masked is made.masked is masked.masked
    assert (made.id, made.tag) == (masked.id, masked.tag)
    assert {"pub": PUBLIC_KEY, "priv": HIDDEN} == masked.data["return"]
    assert pair == made.data["return"]
    assert b"SECRET" not in masked.render("json", lambda each: dump_json(each.data))
    assert b"SECRET" in made.render("json", lambda each: dump_json(each.data))


def test_other_events_are_the_same_for_everybody() -> None:
    """An event without such secrets is one, so that it is encoded once for all."""
    for data in ({"fun": "test.ping", "return": True}, {"fun": "runner.test.arg", "return": 1}):
        made = event("salt/job/1/ret/minion-1", data)
        assert made.masked is made
