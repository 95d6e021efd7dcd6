"""What tags say."""

import pytest

from saltapi.bridge.bus.tags import EXPECTED, STATE_RESULT, Kind, TagParts, take_apart

JID = "20261127120000000000"


@pytest.mark.parametrize(
    ("tag", "parts"),
    [
        ("salt/job/J/new", (Kind.JOB, "J", "new", None)),
        ("salt/job/J/ret/m", (Kind.JOB, "J", "ret", "m")),
        ("salt/job/J/ret/a/b", (Kind.JOB, "J", "ret", "a/b")),
        ("salt/job/J/prog/m/1", (Kind.JOB, "J", "prog", "m/1")),
        ("salt/job/J/new/", (Kind.JOB, "J", "new", "")),
        ("salt/job/J", (Kind.OTHER, None, None, None)),
        ("salt/state_result/J/m/x", (Kind.JOB, "J", STATE_RESULT, "m")),
        (JID, (Kind.JOB, JID, EXPECTED, None)),
        ("salt/run/J", (Kind.RUNNER, "J", None, None)),
        ("salt/run/J/ret", (Kind.RUNNER, "J", "ret", None)),
        ("salt/wheel/J/new", (Kind.WHEEL, "J", "new", None)),
        ("salt/key", (Kind.KEY, None, None, None)),
        ("salt/auth", (Kind.KEY, None, None, None)),
        ("key/x", (Kind.KEY, None, None, None)),
        ("salt/presence/change", (Kind.PRESENCE, None, None, None)),
        ("salt/minion/m/start", (Kind.MINION, None, "start", "m")),
        ("salt/beacon/m/load/", (Kind.MINION, None, "load/", "m")),
        ("salt/minion", (Kind.OTHER, None, None, None)),
        ("syndic", (Kind.OTHER, None, None, None)),
        ("my/own", (Kind.OTHER, None, None, None)),
        ("", (Kind.OTHER, None, None, None)),
    ],
)
def test_take_apart(tag: str, parts: tuple[Kind, str | None, str | None, str | None]) -> None:
    """A tag says what sort of thing, which job, what of it, and whom it is about."""
    assert TagParts(*parts) == take_apart(tag)
    if "/" in tag and tag != JID:
        assert TagParts(*parts, 1) == take_apart(f"syndic/below/{tag}")
        assert TagParts(*parts, 2) == take_apart(f"syndic/a/syndic/b/{tag}")


@pytest.mark.parametrize(
    ("tag", "jid"),
    [
        ("salt/job/J/ret/m", "J"),
        ("salt/job/J/new", "J"),
        ("salt/run/J/ret", "J"),
        ("salt/wheel/J/new", "J"),
        ("syndic/master/J", "J"),
        ("syndic/above/syndic/below/J", "J"),
        ("syndic/master/salt/job/J/new", "J"),
        ("syndic/above/syndic/below/salt/job/J/new", "J"),
        ("syndic/master/salt/job/J/new/m", None),
        ("syndic/master/salt/job/J/ret/m", None),
        ("syndic/master/salt/run/J/new", None),
        ("salt/state_result/J/m", None),
        (JID, None),
        ("salt/job/J", None),
        ("salt/run/J", None),
        ("salt/job/", None),
        ("salt/key", None),
        ("", None),
    ],
)
def test_followed(tag: str, jid: str | None) -> None:
    """Who waits for a job gets its events, and what a syndic says of its minions."""
    assert jid == take_apart(tag).followed


@pytest.mark.parametrize(
    ("tag", "is_new"),
    [
        ("salt/job/J/new", True),
        ("salt/run/J/new", True),
        ("salt/wheel/J/new", True),
        ("salt/job/J/new/", False),
        ("salt/job/J/new/m", False),
        ("salt/minion/m/new", False),
        ("syndic/below/salt/job/J/new", False),
        (JID, False),
    ],
)
def test_is_new(tag: str, is_new: bool) -> None:
    """A job is announced by one tag of its own, on the master that has started it."""
    assert is_new is take_apart(tag).is_new
