"""The exit status has the same meaning for each command."""

import json
from pathlib import Path
from typing import Any

import pytest

from saltapi_client.cli import status
from saltapi_client.cli.declarations import COMMANDS as DECLARED
from saltapi_client.client import STAGES_PATH
from tests.client.answers import Answers
from tests.client.inside import COMMANDS, Run

DOCS = Path(__file__).parents[2] / "docs" / "saltctl.md"
REFUSALS = {400: 2, 403: 4, 404: 3, 409: 2, 412: 2, 413: 2, 429: 5, 500: 1, 501: 2, 503: 5}
ASKS_FIRST = {"whoami"}
"""Commands whose only request is the one that finds out what the server has."""
OFFLINE = {"completion", "man"}
JOB = {"type": "job", "jid": "1", "id": "a", "expected": ["a", "b"], "client": "local"}


def lines(*records: dict[str, Any]) -> bytes:
    """Return records as a server sends them."""
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def ended(**more: Any) -> bytes:
    """Return the records of a job that has ended so."""
    return lines(JOB, {"type": "summary", "jid": "1", **more})


def test_every_command_is_here() -> None:
    """Every command is tested, and the table of the documentation is the one of the code."""
    assert {c.name for c in DECLARED} - OFFLINE - {"login", "logout"} <= {
        words[0] for words in COMMANDS.values()
    }
    for code, meaning in status.MEANINGS.items():
        assert f"| {code} | {meaning} |" in DOCS.read_text()


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_refused(run: Run, words: list[str]) -> None:
    """What a server refuses has the same status whichever command was refused."""
    for refused, expected in REFUSALS.items():
        body = {"detail": "no", "status": refused}
        with Answers(body, refused) as server:
            server.by_path["/openapi.json"]["paths"][STAGES_PATH] = {}
            if words[0] in ASKS_FIRST or (words[0] == "events" and refused == 503):
                continue  # asked for until the server is back
            code, text = run(server, *words)
            assert (refused, expected) == (refused, code), text
            assert text.startswith("saltctl: ")


@pytest.mark.parametrize("words", [*COMMANDS.values(), ["login"]], ids=lambda words: words[0])
def test_not_there(run: Run, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody who answers is 5, nobody who knows the password is 4, and a wrong option is 2."""
    with Answers() as server:
        assert 2 == run(server, *words, "--no-such-option")[0]
        server.by_path["/login"], server.status = None, 401
        assert 4 == run(server, *words)[0]
    assert 5 == run(server, *words)[0]
    monkeypatch.delenv("SALTAPI_URL")
    monkeypatch.setattr(server, "url", "")
    assert 2 == run(server, *words)[0]


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (ended(returned=["a", "b"]), 0),
        (ended(returned=["a", "b"], failed=["a"]), 1),
        (ended(returned=["a"], missing={"b": "no_response"}), 3),
        (ended(returned=["a"], failed=["a"], missing={"b": "no_response"}), 1),
        (ended(missing={"b": "not_run"}, batch={"state": "stopped", "reason": "asked"}), 3),
        (ended(state="running"), 0),
        (lines({"type": "error", "error": {"status": 404, "code": "no_minions_matched"}}), 3),
        (lines({"type": "error", "error": {"status": 403}}), 4),
        (lines({"type": "error", "error": {"status": 503}}), 5),
        (lines(JOB, {"type": "error", "error": {"status": 500}}), 1),
    ],
)
@pytest.mark.parametrize("name", ["salt", "run", "wheel", "follow", "rerun"])
def test_results(run: Run, name: str, records: bytes, expected: int) -> None:
    """What came of a job is said the same by each command that shows one."""
    with Answers(records) as server:
        for layout in ("ndjson", "table", "quiet", "highstate"):
            assert expected == run(server, *COMMANDS[name], "--out", layout)[0]


def test_succeeds(run: Run) -> None:
    """What has succeeded is 0; what is not allowed is 4, and a job has a status of its own."""
    with Answers({"jobs": [], "minions": [], "keys": []}) as server:
        for name in ("whoami", "jobs", "minions", "keys", "hook", "api"):
            assert 0 == run(server, *COMMANDS[name])[0]
        server.body = {"checks": [{"allowed": False}]}
        assert 4 == run(server, *COMMANDS["check"])[0]
        for returned, expected in ({}, 0), ({"failed": ["a"]}, 1), ({"missing": {"a": "x"}}, 3):
            server.body = {"jid": "1", **returned}
            assert expected == run(server, "job", "1")[0]
        for outcome, expected in ("terminated", 0), ("still_running", 1):
            server.body = {"outcomes": {"a": outcome}}
            assert expected == run(server, "stop", "1")[0]
        assert 0 == run(server, "logout")[0]


def test_offline(run: Run) -> None:
    """What needs no server asks none."""
    with Answers() as server:
        for words in (["completion", "bash"], ["man"]):
            assert 0 == run(server, *words)[0]
            assert 2 == run(server, *words, "--no")[0]
        assert [] == server.asked
