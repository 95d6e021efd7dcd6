"""Log lines that outsiders can cause."""

import logging

import pytest

from saltapi import seldom

log = logging.getLogger("saltapi.test.seldom")


@pytest.fixture(autouse=True)
def afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seldom, "_said", {})
    monkeypatch.setattr(seldom, "counts", type(seldom.counts)())


def test_once_a_minute(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind is logged once a minute, with how many there were, and every one is counted."""
    for number in range(5):
        seldom.warning(log, "unknown_token", "Somebody did %d.", number)
    seldom.warning(log, "job_index", "Somebody did that.")
    assert ["Somebody did 0.", "Somebody did that."] == caplog.messages

    monkeypatch.setattr(seldom, "INTERVAL_SECONDS", 0.0)
    seldom.warning(log, "unknown_token", "Somebody did %d.", 6)
    assert "Somebody did 6. (4 more since the last such line)" == caplog.messages[-1]
    assert {"unknown_token": 6, "job_index": 1} == seldom.counts


def test_lines_of_others(caplog: pytest.LogCaptureFixture) -> None:
    """What a library logs so, traceback and all, becomes a line a minute; its other lines stay."""
    theirs = logging.getLogger("saltapi.test.library")
    seldom.quiet(theirs.name, "Invalid frame", "websocket_not_utf8")
    seldom.quiet(theirs.name, "Invalid frame", "websocket_not_utf8")
    for _ in range(3):
        try:
            b"\xff".decode()
        except UnicodeDecodeError:
            theirs.exception("Invalid frame from %s", "a client")
        theirs.error("Something else")

    assert 1 == caplog.messages.count("Invalid frame from a client")
    assert 3 == caplog.messages.count("Something else")
    assert all(record.exc_info is None for record in caplog.records)
    assert {"websocket_not_utf8": 3} == seldom.counts
