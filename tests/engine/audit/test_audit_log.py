"""The audit log: what is in its lines, and what becomes of them when the file is in trouble."""

import asyncio
import json
import os
import re
import resource
import stat
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from saltapi import trace
from saltapi.config import EngineConfig, RestAsgiConfig
from saltapi.engine.audit import activity, audit_log
from saltapi.engine.audit.activity import acting, facts_of
from saltapi.engine.audit.audit_log import AuditFile, AuditLog
from saltapi.errors import (
    AddressRefused,
    AuditUnavailable,
    AuthenticationFailed,
    BadRequest,
    CannotStart,
    CommandTimeout,
    TooManyRequests,
)
from saltapi.lowstate import check
from tests.waiting import eventually

FACTS = {"module": "rest_asgi", "address": "192.0.2.1", "method": "POST", "path": "/run"}
CONFIG = EngineConfig.parse({"netapi_enable_clients": ["local", "wheel"]})


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of an audit log."""
    return [json.loads(line) for line in path.read_text().splitlines()]


class Request:
    """A request whose acts go to a log in a file."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path
        section = RestAsgiConfig.parse({"audit_log": str(path), **options})
        self.audit = AuditLog(section)
        self.audit.start()
        self.trace = trace.Trace()
        trace.current.set(self.trace)
        recorder = self.audit.record(self.trace, **FACTS)
        assert recorder is not None
        self.recorder = recorder

    async def finish(self, status: int | None = 200) -> list[dict[str, Any]]:
        """End the request and return the lines."""
        self.recorder.finish(status)
        await self.audit.close()
        activity.recorder.set(None)
        return lines(self.path)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let this process write no file beyond *size* bytes: what a full disk does, for real."""
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


# Lines


async def test_command(tmp_path: Path) -> None:
    """A command's line says who did what from where, its job and what became of it."""
    request = Request(tmp_path / "audit")
    trace.note_user("fred", "pam")
    chunk = {
        "client": "local",
        "tgt": "web*",
        "fun": "user.add",
        "arg": ["fred"],
        "kwarg": {"password": "hunter2"},
        "token": "a" * 64,
    }
    async with acting(**facts_of(check(chunk, CONFIG))):
        trace.note_jid("20260101000000000001")
    (line,) = await request.finish()

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert 0 <= line.pop("duration_ms")
    assert {
        "event": "command",
        "outcome": "ok",
        "user": "fred",
        "eauth": "pam",
        "request_id": request.trace.request_id,
        **FACTS,
        "client": "local",
        "function": "user.add",
        "target": "web*",
        "target_type": "glob",
        "jid": ["20260101000000000001"],
        "arguments": ["fred"],
        "named_arguments": {"password": "***"},
    } == line


async def test_key_operation(tmp_path: Path) -> None:
    """A wheel function of keys is an event of its own kind."""
    request = Request(tmp_path / "audit")
    chunk = {"client": "wheel", "fun": "key.accept", "match": "web1", "token": "a" * 64}
    async with acting(**facts_of(check(chunk, CONFIG))):
        pass
    (line,) = await request.finish()

    assert ("key", "key.accept", {"match": "web1"}) == (
        line["event"],
        line["function"],
        line["named_arguments"],
    )


async def test_each_chunk_has_its_jids(tmp_path: Path) -> None:
    """The jobs of one chunk are not those of the next."""
    request = Request(tmp_path / "audit")
    for number in range(2):
        async with acting("command"):
            trace.note_jid(f"2026010100000000000{number}")
    found = await request.finish()

    assert [["20260101000000000000"], ["20260101000000000001"]] == [line["jid"] for line in found]


@pytest.mark.parametrize(
    ("error", "outcome", "code"),
    [
        (AuthenticationFailed("x"), "refused", "authentication"),
        (TooManyRequests("x", retry_after_seconds=1), "refused", "too_many_requests"),
        (CommandTimeout("x"), "failed", "timeout"),
        (ValueError("x"), "failed", "internal"),
        (asyncio.CancelledError(), "failed", "cancelled"),
    ],
)
async def test_error(tmp_path: Path, error: BaseException, outcome: str, code: str) -> None:
    """What failed, or was refused, says so once."""
    request = Request(tmp_path / "audit")
    with pytest.raises(type(error)):
        async with acting("command"):
            raise error
    if isinstance(error, AuthenticationFailed | TooManyRequests | CommandTimeout):
        trace.note_error(error)
    found = await request.finish(500)

    assert [("command", outcome, code)] == [(f["event"], f["outcome"], f["code"]) for f in found]


async def test_refusal(tmp_path: Path) -> None:
    """A request that is refused before it does anything leaves a line, with the status."""
    request = Request(tmp_path / "audit")
    trace.note_error(AddressRefused("x"))
    (line,) = await request.finish(403)

    assert ("refusal", "refused", "address_refused", 403) == (
        line["event"],
        line["outcome"],
        line["code"],
        line["status"],
    )


async def test_whatever_may_change_something(tmp_path: Path) -> None:
    """A request that says nothing of what it did leaves a line all the same, unless it is GET."""
    request = Request(tmp_path / "audit")
    trace.note_error(BadRequest("x"))
    (line,) = await request.finish(400)
    assert ("request", "failed", "bad_request") == (line["event"], line["outcome"], line["code"])

    request = Request(tmp_path / "other")
    request.recorder._facts = {**FACTS, "method": "GET"}
    assert [] == await request.finish(200)


async def test_one_line(tmp_path: Path) -> None:
    """Whatever a client sends, its line is one line, and valid JSON."""
    request = Request(tmp_path / "audit")
    trace.note_user('fred\n{"event": "login"}\x00\u2028\ud800', "pam")
    async with acting("command", fun="x.y", arguments=("\r\n", float("nan"), b"\xff")):
        pass
    (line,) = await request.finish()

    assert line["user"].startswith('fred\n{"event"')


async def test_long_line(tmp_path: Path) -> None:
    """Arguments that would make a line too long are left out, and a long list of targets cut."""
    request = Request(tmp_path / "audit")
    many = [f"minion-{number}" for number in range(1000)]
    async with acting("command", fun="x.y", tgt=many, arguments=("x" * 1000,) * 100):
        pass
    (line,) = await request.finish()

    assert "arguments" not in line
    assert audit_log.LINE_LIMIT_BYTES < line["arguments_omitted_bytes"]
    assert [*many[: audit_log.TARGETS_SHOWN], "… and 900 more"] == line["target"]


async def test_long_names(tmp_path: Path) -> None:
    """Also a user's name, a target or a list of functions without end do not make long lines."""
    request = Request(tmp_path / "audit")
    trace.note_user("x" * 100_000, "y" * 100_000)
    async with acting("command", fun=["x.y"] * 100_000, tgt="z" * 100_000):
        pass
    (line,) = await request.finish()

    assert audit_log.LINE_LIMIT_BYTES > len(json.dumps(line))
    assert "x" * audit_log.TEXT_LIMIT_CHARACTERS == line["user"]


async def test_off() -> None:
    """Without an audit log nothing is recorded."""
    found = AuditLog(RestAsgiConfig.parse({}))
    assert found.record(trace.Trace(), **FACTS) is None
    async with acting("command"):
        pass
    await found.close()


# The file


async def test_mode(tmp_path: Path) -> None:
    """Only its owner can read the file."""
    await Request(tmp_path / "audit").finish()

    assert 0o600 == stat.S_IMODE((tmp_path / "audit").stat().st_mode)


def test_cannot_start(tmp_path: Path) -> None:
    """A file that cannot be written, or is none, keeps the module from starting."""
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "fifo")
    for name in ("missing/audit", "link", "fifo", "."):
        with pytest.raises(CannotStart, match="audit_log"):
            AuditLog(RestAsgiConfig.parse({"audit_log": str(tmp_path / name)}))
    with pytest.raises(CannotStart, match="audit_required"):
        AuditLog(RestAsgiConfig.parse({"audit_required": True}))


def test_moved_away(tmp_path: Path) -> None:
    """A file that was moved away is made again with the next line; none is lost."""
    path = tmp_path / "audit"
    file = AuditFile(str(path))
    file.start()
    file.put(b"1\n")
    eventually(lambda: path.read_bytes() == b"1\n")
    path.rename(tmp_path / "audit.1")
    file.put(b"2\n")
    eventually(lambda: path.exists() and path.read_bytes() == b"2\n")
    file.close()

    assert b"1\n" == (tmp_path / "audit.1").read_bytes()
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)


def append(path: str, name: int) -> None:
    file = AuditFile(path)
    file.start()
    for number in range(300):
        file.put(json.dumps({"name": name, "number": number, "text": "x" * 5000}).encode() + b"\n")
    file.close()


def test_several_processes(tmp_path: Path) -> None:
    """Processes that write the same file never mix their lines."""
    path = tmp_path / "audit"
    with ProcessPoolExecutor(3) as pool:
        list(pool.map(append, [str(path)] * 3, range(3)))

    found = lines(path)
    assert [(name, number) for name in range(3) for number in range(300)] == sorted(
        (line["name"], line["number"]) for line in found
    )


def test_full_disk(tmp_path: Path) -> None:
    """While the disk is full lines wait; they are written when there is room, torn ones again."""
    path = tmp_path / "audit"
    file = AuditFile(str(path))
    file.start()
    with file_size_limit(15):
        file.put(b'{"line": 1}\n')
        file.put(b'{"line": 2}\n')
        eventually(lambda: file.failing)
        assert b'{"line": 1}\n{"l' == path.read_bytes()
    eventually(lambda: not file.failing)
    file.close()

    assert b'{"line": 1}\n{"l\n{"line": 2}\n' == path.read_bytes()


def test_too_many_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When too many lines wait the next are lost, and the log says how many."""
    monkeypatch.setattr(audit_log, "QUEUE_LINES", 2)
    path = tmp_path / "audit"
    file = AuditFile(str(path))
    for number in range(5):
        file.put(json.dumps({"line": number}).encode() + b"\n")
    file.start()
    file.close()

    found = lines(path)
    assert {"event": "lost", "lines": 3} == {name: found[0][name] for name in ("event", "lines")}
    assert [{"line": 0}, {"line": 1}] == found[1:]


# audit_required


async def test_required(tmp_path: Path) -> None:
    """Where the log is required, a line says that a command begins before it does."""
    request = Request(tmp_path / "audit", audit_required=True)
    async with acting("command", fun="test.ping"):
        (before,) = lines(tmp_path / "audit")
    before_again, after = await request.finish()

    assert ("command", "started", "test.ping") == (
        before["event"],
        before["outcome"],
        before["function"],
    )
    assert (before, "ok") == (before_again, after["outcome"])


async def test_required_and_full(tmp_path: Path) -> None:
    """Where the log is required and cannot be written, nothing runs; later it does again."""
    request = Request(tmp_path / "audit", audit_required=True)
    ran = False
    with file_size_limit(0):
        with pytest.raises(AuditUnavailable) as refused:
            async with acting("command", fun="test.ping"):
                ran = True
        assert (503, False) == (refused.value.status, ran)
        trace.note_error(refused.value)
        request.recorder.finish(503)
        eventually(lambda: request.audit.file is not None and request.audit.file.failing)
        with pytest.raises(AuditUnavailable):
            async with acting("command", fun="test.ping"):
                ran = True
    assert not ran
    eventually(lambda: request.audit.file is not None and not request.audit.file.failing)
    async with acting("command", fun="test.ping"):
        ran = True
    trace.current.get().error = None  # type: ignore[union-attr]
    outcomes = [line["outcome"] for line in await request.finish()]

    assert ran
    assert ["refused", "started", "ok"] == outcomes
