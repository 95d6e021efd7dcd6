"""Servers that answer what no server should, and what comes of it on a terminal."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from saltapi_client import Client, errors
from saltapi_client.cli.options import OUTPUTS
from saltapi_client.cli.output.writing import in_json
from saltapi_client.cli.places import write_private
from tests.client.answers import Answers
from tests.client.inside import COMMANDS, Run

EVIL = "a\x1b]0;x\x07\x9b2J\u202eb\x7f\rc\ud800"


@pytest.fixture
def evil() -> Iterator[Answers]:
    """A server whose every text has what moves a cursor in it."""
    states = {
        f"pkg_|-{EVIL}_|-{EVIL}_|-{EVIL}": {
            "result": False,
            "comment": EVIL,
            "changes": {EVIL: EVIL},
        }
    }
    records = [
        {"type": "job", "jid": EVIL, "fun": EVIL, "expected": [EVIL, "s"], "client": "local"},
        {"type": "return", "jid": EVIL, "minion": EVIL, "return": {EVIL: EVIL}},
        {"type": "return", "jid": EVIL, "minion": "s", "return": states},
        {"type": "event", "id": EVIL, "tag": EVIL, "data": {EVIL: EVIL}},
        {"type": "summary", "jid": EVIL, "failed": [EVIL], "missing": {EVIL: EVIL}, "result": EVIL},
        {"type": "error", "error": {"detail": EVIL}},
    ]  # fmt: skip
    lines = "".join(json.dumps(record) + "\n" for record in records).encode()
    job = {
        "jid": EVIL, "fun": EVIL, "tgt": EVIL, "user": EVIL, "state": EVIL, "expected": [EVIL],
        "returned": [EVIL], "missing": {EVIL: EVIL}, "returns": {EVIL: {"return": EVIL}},
    }  # fmt: skip
    with Answers({EVIL: [EVIL, {EVIL: EVIL}]}) as server:
        server.by_path |= {
            "/v1/run": lines, "/v1/events": lines, "/v1/jobs/1/events": lines,
            "/v1/jobs/1/rerun": lines, "/v1/jobs": {"jobs": [job]}, "/v1/jobs/1": job,
            "/v1/jobs/2": {**job, "returns": {}}, "/v1/whoami": {"user": EVIL, "groups": [EVIL]},
            "/v1/minions": {"minions": [{"id": EVIL, "os": EVIL, "last_job": {"jid": EVIL}}]},
            "/v1/minions/m/why": {"code": EVIL, "sentence": EVIL, "next": EVIL,
                                  "facts": [{"time": EVIL, "what": EVIL}]},
            "/v1/keys": {"keys": [{"id": EVIL, "state": EVIL, "fingerprint": EVIL}]},
            "/v1/check": {"checks": [{"allowed": True, "minions": [EVIL], "reason": EVIL}]},
            "/v1/functions": {"functions": {"x" + EVIL: {"doc": EVIL}}},
        }  # fmt: skip
        yield server


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_terminal(evil: Answers, run: Run, words: list[str]) -> None:
    """Nothing that a server or a minion says reaches a terminal as anything but text."""
    evil.by_path["/v1/jobs/1"] = (
        evil.by_path["/v1/jobs/1"] if words[0] != "stop" else {"outcomes": {EVIL: EVIL}}
    )
    for layout in [None, *OUTPUTS.split()]:
        chosen = ["--out", layout] if layout else []
        code, text = run(evil, *words, "--color", "never", *chosen, terminal=True)
        assert code in range(7)
        assert "Traceback" not in text
        shown = text.replace("\n", "").replace("\t", "")
        assert shown.isprintable(), ascii(text)


def test_programs_lose_nothing() -> None:
    """JSON is escaped, and the same value when it is read."""
    for value in (EVIL, {EVIL: [EVIL]}, "\U0001f600 é"):
        text = in_json(value)
        assert text.isprintable()
        assert value == json.loads(text)


SHAPES: list[Any] = [
    None, [], {}, "x", 1, True, [1], [[]], {"return": 1}, {"return": [1]}, {"return": [{}]}, b"",
    b"{", b"<html>", b"\xff", b"[" * 100_000, b"1e999", b'{"type": "return", "minion": {}}\n',
    b'{"type": "job", "jid": 5, "expected": 7, "client": [], "unknown_minions": [1]}\n',
    b'{"type": "state", "number": 1e300, "minion": []}\n{"type": "state", "number": -1}\n',
    b'{"type": "summary", "missing": [1], "failed": {"a": 1}, "not_run": 3, "state": {}}\n',
    b'{"type": "error", "error": "x"}\n', b'{"type": "error", "error": {"status": "x"}}\n',
    b'{"type": "event", "tag": {}, "id": []}\n', b'{"type": "progress", "waiting": {"a": {}}}\n',
    {"jobs": 1}, {"jobs": [1]}, {"jobs": [{"jid": {}}]}, {"minions": [{"id": 1}]}, {"keys": {}},
    {"keys": [{"id": "a", "state": []}]}, {"checks": []}, {"checks": [1]}, {"outcomes": []},
    {"functions": []}, {"functions": {"x": 1}}, {"jid": "1", "returns": [], "expected": {}},
    {"code": "x", "sentence": "y", "facts": {}, "next": []}, {"jid": "1", "returns": {"a": 1}},
    {"jid": "1", "returns": {"a": {"return": {"__run_num__": [], "x": 1}}}, "expected": ["a"]},
    {"return": [{"jid": {}, "minions": {}}]}, {"info": {}},
    {"info": [{"Function": "x", "Result": []}]},
]  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("classic", [False, True], ids=["v1", "classic"])
def test_shapes(run: Run, words: list[str], classic: bool) -> None:
    """An answer of a shape that it cannot have is a sentence and a status, never a traceback."""
    if words[0] == "events":
        return  # waits for the server to be itself again
    with Answers() as server:
        server.by_path |= {"/v1/events": b'{"type": "end", "code": "x"}\n'}
        if classic:
            server.by_path["/v1/whoami"] = b"<html>"
        for server.body in SHAPES:
            for server.status in (200,) if classic else (200, 400, 500):
                code, _ = run(server, *words, "--out", "table")
                assert code in range(7)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: repr(shape)[:30])
def test_logins(run: Run, shape: Any) -> None:
    """The same holds for the login."""
    with Answers() as server:
        server.by_path["/login"] = shape if shape is not None else b"null"
        assert run(server, "whoami")[0] == 1
        server.by_path["/login"] = {"return": [{"token": "a\r\nX: y"}]}
        assert run(server, "whoami")[0] == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects(run: Run, status: int) -> None:
    """A redirect is not followed: neither token nor password goes to another server."""
    with Answers() as other, Answers({}, status, Location=f"{other.url}/v1/jobs") as server:
        code, text = run(server, "jobs")
        assert 2 == code
        assert other.url in text
        server.by_path.pop("/login")
        assert 2 == run(server, "login", "--no-save")[0]
        assert [] == other.asked


def test_token_stays_where_it_is_from(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session of one server is not sent to another one."""
    with Answers({"jobs": []}) as first, Answers({"jobs": []}) as second:
        assert 0 == run(first, "jobs")[0]
        monkeypatch.delenv("SALTAPI_PASS")
        assert 0 == run(first, "jobs")[0]
        assert 4 == run(second, "jobs")[0]
        assert [] == second.asked


def test_rejected_token(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A token that the server does not know any more is forgotten, and what to do is said."""
    with Answers({"jobs": []}) as server:
        run(server, "jobs")
        server.status = 401
        monkeypatch.delenv("SALTAPI_PASS")
        code, text = run(server, "jobs")
        assert 4 == code
        assert "saltctl login" in text
        assert "aaaa" not in (tmp_path / "state" / "sessions.json").read_text()
        assert 4 == run(server, "jobs")[0]


def test_files_are_private(run: Run, tmp_path: Path) -> None:
    """Sessions are private, also where the file was open before; a link is not written through."""
    file = tmp_path / "state" / "sessions.json"
    file.parent.mkdir()
    file.write_text("{}")
    file.chmod(0o644)
    with Answers({"jobs": []}) as server:
        run(server, "jobs")
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    assert "aaaa" in file.read_text()

    target, new = tmp_path / "precious", file.with_name(f".{file.name}.{os.getpid()}")
    target.write_text("mine")
    new.symlink_to(target)
    write_private(file, "x")
    assert ("mine", "x") == (target.read_text(), file.read_text())


@pytest.mark.parametrize(
    "words",
    [
        ["*", "test.ping", "--key", "a\nb"],
        ["*", "test.ping", "--key", "☃"],
        ["*", "test.arg", ".nan"],
        ["*", "test.arg", "{a: !!binary aGk=}"],
        ["api", "G T", "/v1/x"],
        ["api", "G\nT", "/v1/x"],
    ],
)
def test_what_cannot_be_sent(run: Run, words: list[str]) -> None:
    """What HTTP or JSON cannot say is an error of the command line."""
    with Answers({}, 400) as server:
        assert 2 == run(server, *words)[0]


def test_paths(run: Run) -> None:
    """A path that somebody has typed is quoted where it has to be."""
    with Answers({}) as server:
        assert 0 == run(server, "api", "GET", "/v1/jobs/é x%20y?a=b&c=[d]")[0]
        assert "/v1/jobs/%C3%A9%20x%20y" == server.asked[-1][1]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--batch", "10%"], {"batch": "10%"}),
        (["--batch", "5", "--batch-wait", "2"], {"batch": "5", "batch_wait": 2.0}),
        (["--batch", "5", "--max-failed", "1"], {"batch": {"size": 5, "max_failed": 1}}),
        (["--stages", "1,50%,100%"], {"batch": {"stages": [1, "50%", "100%"]}}),
        (["--stages", "1,100%", "--async"], {"client": "local_async"}),
    ],
)
def test_stages(run: Run, words: list[str], expected: dict[str, Any]) -> None:
    """Where the server runs changes in stages it is asked to; elsewhere it is not done silently."""
    with Answers(b'{"type": "summary", "state": "complete"}\n') as server:
        run(server, *words, "*", "test.ping")
        assert all(json.loads(body)[0]["client"] == "local_batch" for body in server.bodies)
        server.by_path["/openapi.json"]["paths"]["/v1/jobs/{jid}/pause"] = {}
        assert 0 == run(server, *words, "*", "test.ping")[0]
        (sent,) = json.loads(server.bodies[-1])
    assert {"client": "local", **expected}.items() <= sent.items()


def test_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server cannot make a client wait for longer than it would."""
    for asked in (float("nan"), float("inf"), -5, 1e300):
        with Answers({"code": "too_many_requests", "retry_after_seconds": asked}, 429) as server:
            client = Client(server.url, "u", "p", retry_seconds=0.5)
            with pytest.raises(errors.TooManyRequests):
                client.request("GET", "/v1/x")
