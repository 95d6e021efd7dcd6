"""The audit log: in every module the same lines for the same requests."""

from typing import Any

import pytest

from tests.netapi.conformance.engines import ONE, WRONG_PASSWORD, Counted, Equipped
from tests.waiting import eventually

JID_DIGITS = 20
PING = {"client": "local", "tgt": ONE, "fun": "test.ping"}


def facts(line: dict[str, Any], *names: str) -> list[Any]:
    """Return the values of *names* in *line*."""
    return [line.get(name) for name in names]


def test_what_a_line_says(equipped: Equipped) -> None:
    """A command has a line with who, what, where and which job, and no password."""
    credentials = equipped.master.credentials()
    answer = equipped.run({**PING, "kwarg": {"password": WRONG_PASSWORD}, "fun": "test.arg"})
    (line,) = equipped.lines_of(answer)

    assert 200 == answer.status
    assert ["command", "ok", credentials["username"], credentials["eauth"]] == facts(
        line, "event", "outcome", "user", "eauth"
    )
    assert [equipped.module, "127.0.0.1", "POST", equipped.run_url] == facts(
        line, "module", "address", "method", "path"
    )
    assert ["local", "test.arg", ONE, {"password": "***"}] == facts(
        line, "client", "function", "target", "named_arguments"
    )
    assert [JID_DIGITS] == [len(jid) for jid in line["jid"]]
    text = equipped.audit_log.read_text()
    assert credentials["password"] not in text.replace(credentials["username"], "")
    assert WRONG_PASSWORD not in text


def test_each_chunk(equipped: Equipped) -> None:
    """Each chunk of a lowstate has a line of its own."""
    who = equipped.master.credentials()
    body = [{**PING, **who}, {"client": "runner", "fun": "jobs.active", **who}]
    answer = equipped.server.send("POST", equipped.run_url, json_body=body)

    assert [["local", "test.ping"], ["runner", "jobs.active"]] == [
        facts(line, "client", "function") for line in equipped.lines_of(answer, 2)
    ]


def test_not_permitted(equipped: Equipped) -> None:
    """A command that the user may not run has a line that says so, and what it was."""
    answer = equipped.run({**PING, "fun": "cmd.run", "arg": ["id"]}, "low")
    (line,) = equipped.lines_of(answer)

    assert equipped.refused(answer)
    assert ["command", "refused", "authorization", "low", "cmd.run", ONE] == facts(
        line, "event", "outcome", "code", "user", "function", "target"
    )


def test_wrong_password(equipped: Equipped) -> None:
    """A wrong password has a line with the name, and not the password."""
    answer = equipped.run({**PING, "password": WRONG_PASSWORD})
    (line,) = equipped.lines_of(answer)

    assert equipped.refused(answer)
    name = equipped.master.credentials()["username"]
    assert ["refusal", "refused", "authentication", name] == facts(
        line, "event", "outcome", "code", "user"
    )
    assert WRONG_PASSWORD not in equipped.audit_log.read_text()


def test_nothing_runs_without_a_line(equipped: Equipped, counted: Counted) -> None:
    """While the audit log cannot be written nothing runs, and the client is told."""
    directory = equipped.audit_log.parent
    away = directory.with_name("away")
    directory.rename(away)
    try:
        answer = equipped.run(counted.chunk)
    finally:
        away.rename(directory)

    assert 503 == answer.status, answer
    assert 0 == counted.runs
    eventually(lambda: equipped.run(counted.chunk).status == 200)
    assert 1 == counted.runs


@pytest.mark.parametrize("path", ["/jobs", "/keys", "/minions"])
def test_strangers(equipped: Equipped, path: str) -> None:
    """Whoever comes without a session leaves a line, and so does who asks for what there is not."""
    answer = equipped.server.send("GET", path)
    if equipped.module == "rest_wsgi":
        assert 404 == answer.status
        return
    (line,) = equipped.lines_of(answer)
    assert answer.status in {302, 401}
    assert ["refusal", "refused", "authentication", path, None] == facts(
        line, "event", "outcome", "code", "path", "user"
    )


def test_whatever_is_posted(equipped: Equipped) -> None:
    """No request that may change something goes by without a line."""
    for path in ("/", "/nowhere"):
        answer = equipped.server.send("POST", path, body=b"{", headers={"Content-Type": "x/y"})
        (line,) = equipped.lines_of(answer)
        assert answer.status in {401, 404, 406}
        assert ["POST", path] == facts(line, "method", "path")


def test_sessions(equipped: Equipped) -> None:
    """Logins and logouts have lines with the user."""
    if equipped.module == "rest_wsgi":
        pytest.skip("there are no sessions")
    answer = equipped.server.send("POST", "/login", json_body=equipped.master.credentials("low"))
    token = answer.value()["return"][0]["token"]
    (line,) = equipped.lines_of(answer)
    assert ["login", "ok", "low"] == facts(line, "event", "outcome", "user")

    answer = equipped.server.send("POST", "/logout", headers={"X-Auth-Token": token})
    (line,) = equipped.lines_of(answer)
    assert ["logout", "ok", "low"] == facts(line, "event", "outcome", "user")
    assert token not in equipped.audit_log.read_text()
