"""The audit log of a service with a real master."""

import json
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from saltapi import config
from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.netapi.rest_asgi.running import NAME
from tests.waiting import eventually
from tests.wire import Answer

SECRET = "hunter2-in-an-argument"
JID_DIGITS = 20


class Audited:
    """A server with an audit log."""

    def __init__(self, server: ApiServer, path: Path) -> None:
        self.server = server
        self.path = path

    def lines(self) -> list[dict[str, Any]]:
        """Return all lines."""
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def lines_of(self, answer: Answer, count: int = 1) -> list[dict[str, Any]]:
        """Return the lines of the request that got *answer*, at least *count*."""
        request_id = answer.header("X-Request-Id")

        def found() -> list[dict[str, Any]]:
            return [line for line in self.lines() if line.get("request_id") == request_id]

        eventually(lambda: len(found()) >= count)
        return found()

    def post(self, path: str, value: Any, token: str | None = None) -> Answer:
        """Send a request."""
        headers = {"X-Auth-Token": token} if token else {}
        return self.server.send("POST", path, headers=headers, json_body=value)


@pytest.fixture(scope="module")
def audited(master: PrivateMaster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    """The module in two processes with an audit log."""
    path = tmp_path_factory.mktemp("audit") / "audit.log"
    section = {"workers": 2, "audit_log": str(path), "webhook_disable_auth": True}
    with ApiServer(master, OURS, section, module=NAME) as server:
        yield Audited(server, path)


def facts(line: dict[str, Any], *names: str) -> list[Any]:
    """Return the values of *names* in *line*."""
    return [line.get(name) for name in names]


def test_login_and_logout(audited: Audited, master: PrivateMaster) -> None:
    """Logins, those that fail too, and logouts have lines with the user, and no credential."""
    credentials = master.credentials()
    answer = audited.post("/login", credentials)
    token = answer.value()["return"][0]["token"]
    (line,) = audited.lines_of(answer)
    names = ("event", "outcome", "user", "eauth", "address", "module", "method", "path")
    who = [credentials["username"], credentials["eauth"], "127.0.0.1", NAME, "POST"]
    assert ["login", "ok", *who, "/login"] == facts(line, *names)
    assert 0 < line["duration_ms"]

    answer = audited.post("/logout", {}, token)
    (line,) = audited.lines_of(answer)
    assert ["logout", "ok", *who, "/logout"] == facts(line, *names)

    answer = audited.post("/login", {**credentials, "password": SECRET})
    (line,) = audited.lines_of(answer)
    assert 401 == answer.status
    assert ["login", "refused", *who, "/login"] == facts(line, *names)
    assert "authentication" == line["code"]
    text = audited.path.read_text()
    assert token not in text
    assert credentials["password"] not in text.replace(credentials["username"], "")
    assert SECRET not in text


def test_each_chunk(audited: Audited) -> None:
    """Each chunk of a lowstate has a line with its function, target and job."""
    token = audited.server.login()
    lowstate = [
        {"client": "local", "tgt": "minion-1", "fun": "test.ping"},
        {
            "client": "local_async",
            "tgt": ["minion-1", "minion-2"],
            "tgt_type": "list",
            "fun": "test.arg",
            "arg": ["shown"],
            "kwarg": {"password": SECRET},
        },
        {"client": "runner", "fun": "jobs.list_jobs"},
    ]
    answer = audited.post("/", lowstate, token)
    assert 200 == answer.status
    first, second, third = audited.lines_of(answer, 3)

    names = ("event", "outcome", "client", "function", "target", "target_type")
    assert ["command", "ok", "local", "test.ping", "minion-1", "glob"] == facts(first, *names)
    assert ["command", "ok", "local_async", "test.arg", ["minion-1", "minion-2"], "list"] == facts(
        second, *names
    )
    assert ["command", "ok", "runner", "jobs.list_jobs", None, None] == facts(third, *names)
    assert answer.value()["return"][1]["jid"] == second["jid"][0]
    assert [1, 1, 1] == [len(line["jid"]) for line in (first, second, third)]
    assert JID_DIGITS == len(first["jid"][0])
    assert [["shown"], {"password": "***"}] == facts(second, "arguments", "named_arguments")
    assert token not in audited.path.read_text()


def test_what_is_not_permitted(audited: Audited) -> None:
    """A command that the master refuses has a line that says so, and what it was."""
    token = audited.server.login("low")
    answer = audited.post("/", {"client": "local", "tgt": "*", "fun": "cmd.run"}, token)
    (line,) = audited.lines_of(answer)

    assert 401 == answer.status
    assert ["command", "refused", "authorization", "low", "cmd.run", "*"] == facts(
        line, "event", "outcome", "code", "user", "function", "target"
    )


def test_keys(audited: Audited) -> None:
    """Key operations are events of their own."""
    token = audited.server.login("wheels")
    low = {"client": "wheel", "fun": "key.accept", "match": "nobody"}
    (line,) = audited.lines_of(audited.post("/", low, token))

    assert ["key", "ok", "wheels", "key.accept"] == facts(
        line, "event", "outcome", "user", "function"
    )


def test_hook(audited: Audited) -> None:
    """A web hook has a line with its tag, and not what was sent."""
    answer = audited.post("/hook/build/done", {"password": SECRET})
    (line,) = audited.lines_of(answer)

    assert ["hook", "ok", "salt/netapi/hook/build/done"] == facts(
        line, "event", "outcome", "target"
    )
    assert SECRET not in audited.path.read_text()


@pytest.mark.parametrize("path", ["/jobs", "/keys", "/minions"])
def test_strangers(audited: Audited, path: str) -> None:
    """Whoever comes without a session leaves a line."""
    answer = audited.server.send("GET", path)
    (line,) = audited.lines_of(answer)

    assert 401 == answer.status
    assert ["refusal", "refused", "authentication", 401, path, None] == facts(
        line, "event", "outcome", "code", "status", "path", "user"
    )


def test_credentials_in_the_chunk(audited: Audited, master: PrivateMaster) -> None:
    """A command that comes with name and password shows the name, and not the password."""
    low = {"client": "local", "tgt": "minion-1", "fun": "test.ping", **master.credentials()}
    (line,) = audited.lines_of(audited.post("/run", low))
    assert ["command", "ok", low["username"], low["eauth"]] == facts(
        line, "event", "outcome", "user", "eauth"
    )
    answer = audited.post("/run", {**low, "password": SECRET})
    (line,) = audited.lines_of(answer)

    assert ["refusal", "refused", "authentication", low["username"]] == facts(
        line, "event", "outcome", "code", "user"
    )
    assert SECRET not in audited.path.read_text()


def test_run(audited: Audited) -> None:
    """Commands of `/v1/run` have the same lines."""
    token = audited.server.login()
    low = {"tgt": "minion-1", "fun": "test.ping"}
    answer = audited.post("/v1/run", low, token)
    (line,) = audited.lines_of(answer)

    assert 200 == answer.status
    assert ["command", "ok", "test.ping", "minion-1"] == facts(
        line, "event", "outcome", "function", "target"
    )
    assert 1 == len(line["jid"])


def test_a_job_is_ended_and_run_again(audited: Audited) -> None:
    """Ending a job, and running one again, are commands with lines of their own."""
    token = audited.server.login()
    low = {"client": "local_async", "tgt": "minion-1", "fun": "test.sleep", "kwarg": {"length": 60}}
    jid = audited.post("/", low, token).value()["return"][0]["jid"]
    headers = {"X-Auth-Token": token}
    answer = audited.server.send("DELETE", f"/v1/jobs/{jid}", headers=headers)
    line = audited.lines_of(answer)[0]
    assert ["DELETE", "command", "ok", "saltutil.term_job"] == facts(
        line, "method", "event", "outcome", "function"
    )
    assert jid in str(line["arguments"])

    low = {"tgt": "minion-1", "fun": "test.ping"}
    done = audited.post("/v1/run", low, token)
    (first,) = audited.lines_of(done)
    answer = audited.post(f"/v1/jobs/{first['jid'][0]}/rerun", {}, token)
    (line,) = audited.lines_of(answer)
    assert ["command", "ok", "test.ping"] == facts(line, "event", "outcome", "function")
    assert first["jid"] != line["jid"]


def test_whatever_is_posted(audited: Audited) -> None:
    """No request that may change something goes by without a line."""
    token = audited.server.login()
    for method, path in (("POST", "/v1/check"), ("DELETE", "/v1/jobs/20260101000000000001")):
        answer = audited.server.send(method, path, headers={"X-Auth-Token": token}, json_body=None)
        (line,) = audited.lines_of(answer)
        assert [method, path] == facts(line, "method", "path")


def test_moved_away(audited: Audited) -> None:
    """After SIGHUP a log that was moved away is made again by every process, for its owner only."""
    away = audited.path.with_suffix(".1")
    audited.path.rename(away)
    os.kill(int(Path(config.load(audited.server.directory)["pidfile"]).read_text()), signal.SIGHUP)
    answers = [audited.server.send("GET", "/jobs") for _ in range(8)]
    for answer in answers:
        audited.lines_of(answer)

    assert 0o600 == stat.S_IMODE(audited.path.stat().st_mode)
    assert 0o600 == stat.S_IMODE(away.stat().st_mode)


def test_read_by_administrators(audited: Audited) -> None:
    """`/v1/audit` has the lines, the newest first, for administrators and nobody else."""
    server = audited.server
    (me,) = server.send("POST", "/login", json_body=server.master.credentials()).value()["return"]
    headers = {"X-Auth-Token": me["token"]}
    answer = audited.post("/v1/run", {"tgt": "*", "fun": "test.ping"}, me["token"])
    audited.lines_of(answer)
    page = server.send("GET", "/v1/audit?search=test.ping&limit=1", headers=headers).value()
    assert ["test.ping"] == [entry["function"] for entry in page["entries"]]
    assert 401 == server.send("GET", "/v1/audit").status
