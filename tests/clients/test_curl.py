"""
Every `curl` of the 0.8.4 documentation of rest_cherrypy, as it is printed there.

Only names of the example are changed: the address, the user, the password, the eauth module, the
token, the minion and the jid. Where the text says that the client is authenticated, curl gets the
token from its configuration file.
"""

import base64
import hashlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.apis import ApiServer
from tests.waiting import eventually, scaled

SECONDS = 60
STREAM_SECONDS = 30.0
WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Shell:
    """A shell in which `curl` may have a session."""

    def __init__(self, api: ApiServer, home: Path) -> None:
        self.api = api
        self.home = home
        self.token = api.login()

    def authenticated(self) -> "Shell":
        """Let every `curl` send the token."""
        (self.home / ".curlrc").write_text(f'header = "X-Auth-Token: {self.token}"\n')
        return self

    def script(self, text: str) -> str:
        """Return the printed *text* with the names of the example changed."""
        credentials = self.api.master.credentials()
        for printed, ours in {
            "https://localhost:8000": self.api.url,
            "http://localhost:8000": self.api.url,
            "localhost:8000": self.api.url.removeprefix("http://"),
            "'saltuser'": f"'{credentials['username']}'",
            "'saltpass'": f"'{credentials['password']}'",
            "username='saltdev'": f"username='{credentials['username']}'",
            "password='saltdev'": f"password='{credentials['password']}'",
            "username=saltdev": f"username={credentials['username']}",
            "password=saltdev": f"password={credentials['password']}",
            "'pam'": f"'{credentials['eauth']}'",
            "eauth=pam": f"eauth={credentials['eauth']}",
            "d40dlele": self.token,
            "6d1b722e": self.token,
            "ffedf49d": self.token,
            "ms-3": "minion-1",
        }.items():
            text = text.replace(printed, ours)
        return text

    def environment(self) -> dict[str, str]:
        """Return the environment that the scripts run in."""
        return {"HOME": str(self.home), "CURL_HOME": str(self.home), "PATH": os.environ["PATH"]}

    def run(self, text: str) -> str:
        """Run a printed script to its end and return what it prints."""
        finished = subprocess.run(
            ["bash", "-c", self.script(text)],
            capture_output=True,
            timeout=scaled(SECONDS),
            env=self.environment(),
            check=True,
        )
        return finished.stdout.decode().replace("\r\n", "\n")

    def follow(self, text: str, wanted: str) -> str:
        """
        Run a printed script that follows a stream, until it has printed *wanted*.

        Meanwhile a hook is called again and again, so that there are events.
        """
        output = self.home / "stream"
        with output.open("wb") as file:
            process = subprocess.Popen(
                ["bash", "-c", self.script(text)],
                stdout=file,
                env=self.environment(),
                start_new_session=True,
            )
        try:
            eventually(lambda: wanted in self._after_a_hook(output), STREAM_SECONDS)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(scaled(SECONDS))
        return output.read_text(errors="replace").replace("\r\n", "\n")

    def _after_a_hook(self, output: Path) -> str:
        headers = {"X-Auth-Token": self.token}
        answer = self.api.send("POST", "/hook/from/curl", headers=headers, json_body={"x": 1})
        assert 200 == answer.status
        time.sleep(0.1)
        return output.read_text(errors="replace")


@pytest.fixture
def shell(api: ApiServer, tmp_path: Path) -> Shell:
    """A shell whose `curl` has no session."""
    return Shell(api, tmp_path)


def parts(printed: str) -> tuple[str, dict[str, str], str]:
    """Return status line, headers and body of what `curl -i` prints."""
    head, _, body = printed.partition("\n\n")
    status, *lines = head.splitlines()
    return status, dict(line.split(": ", 1) for line in lines), body


def test_root(shell: Shell) -> None:
    """`/`, GET."""
    status, headers, body = parts(shell.run("curl -i localhost:8000"))
    assert "HTTP/1.1 200 OK" == status
    assert "application/json" == headers["Content-Type"]
    assert "Welcome" == json.loads(body)["return"]


def test_root_command(shell: Shell) -> None:
    """`/`, POST: a command, with an `arg` that has no value, and a YAML answer."""
    status, headers, body = parts(
        shell.run(
            """curl -si https://localhost:8000 \\
  -H "Accept: application/x-yaml" \\
  -H "X-Auth-Token: d40dlele" \\
  -d client=local \\
  -d tgt='*' \\
  -d fun='test.ping' \\
  -d arg"""
        )
    )
    assert "HTTP/1.1 200 OK" == status
    assert "application/x-yaml" == headers["Content-Type"]
    assert str(len(body)) == headers["Content-Length"]
    assert {"GET", "HEAD", "POST"} <= set(headers["Allow"].split(", "))
    assert "return:\n- minion-1: true\n  minion-2: true\n" == body


def test_login_page(shell: Shell) -> None:
    """`/login`, GET."""
    status, headers, body = parts(shell.run("curl -i localhost:8000/login"))
    assert "HTTP/1.1 200 OK" == status
    assert "Session" == headers.get("WWW-Authenticate", headers.get("Www-Authenticate"))
    assert "Please log in" == json.loads(body)["return"]


def test_login(shell: Shell) -> None:
    """`/login`, POST: the token comes as a header, a cookie and in the body."""
    status, headers, body = parts(
        shell.run(
            """curl -si localhost:8000/login \\
-H "Accept: application/json" \\
-d username='saltuser' \\
-d password='saltpass' \\
-d eauth='pam'"""
        )
    )
    assert "HTTP/1.1 200 OK" == status
    assert "application/json" == headers["Content-Type"]
    (session,) = json.loads(body)["return"]
    assert {"token", "start", "expire", "user", "eauth", "perms"} == session.keys()
    assert session["token"] == headers["X-Auth-Token"]
    assert headers["Set-Cookie"].startswith(f"session_id={session['token']}; expires=")
    assert "Path=/" in headers["Set-Cookie"]


def test_login_in_yaml(shell: Shell) -> None:
    """`/login` in YAML (release notes of 0.8.1)."""
    found = yaml.safe_load(
        shell.run(
            """curl -sS localhost:8000/login \\
  -H 'Accept: application/x-yaml' \\
  -d username='saltdev' \\
  -d password='saltdev' \\
  -d eauth='pam'"""
        )
    )
    assert shell.api.master.username == found["return"][0]["user"]
    assert "@wheel" in found["return"][0]["perms"]


def test_minion(shell: Shell) -> None:
    """`/minions/(mid)`, GET: the grains of one minion."""
    status, _, body = parts(shell.authenticated().run("curl -i localhost:8000/minions/ms-3"))
    assert "HTTP/1.1 200 OK" == status
    (found,) = json.loads(body)["return"]
    assert ["minion-1"] == list(found)
    assert "minion-1" == found["minion-1"]["id"]


def test_minion_without_a_session(shell: Shell) -> None:
    """The same without a token is 401."""
    status, _, _ = parts(shell.run("curl -i localhost:8000/minions/ms-3"))
    assert "HTTP/1.1 401 Unauthorized" == status


def test_start_a_job(shell: Shell) -> None:
    """`/minions`, POST: 202, the jid and a link to the job."""
    status, headers, body = parts(
        shell.authenticated().run(
            """curl -sSi localhost:8000/minions \\
  -H "Accept: application/x-yaml" \\
  -d tgt='*' \\
  -d fun='status.diskusage'"""
        )
    )
    assert "HTTP/1.1 202 Accepted" == status
    assert "application/x-yaml" == headers["Content-Type"]
    found = yaml.safe_load(body)
    (job,) = found["return"]
    assert ["minion-1", "minion-2"] == sorted(job["minions"])
    assert {"jobs": [{"href": f"/jobs/{job['jid']}"}]} == found["_links"]


def test_jobs(shell: Shell) -> None:
    """`/jobs` and `/jobs/(jid)`, GET."""
    shell.authenticated()
    started = yaml.safe_load(
        shell.run("curl -sS localhost:8000/minions -d tgt='*' -d fun='test.fib' -d arg=3")
    )
    jid = started["return"][0]["jid"]

    def one() -> Any:
        status, _, body = parts(shell.run(f"curl -i localhost:8000/jobs/{jid}"))
        assert "HTTP/1.1 200 OK" == status
        found = json.loads(body)
        return found if len(found["return"][0]) == 2 else None

    found = eventually(one)
    (info,) = found["info"]
    assert (jid, "test.fib", [3]) == (info["jid"], info["Function"], info["Arguments"])
    assert ("*", "glob") == (info["Target"], info["Target-type"])
    assert ["minion-1", "minion-2"] == sorted(info["Minions"])
    assert 2 == found["return"][0]["minion-1"][0]
    status, _, body = parts(shell.run("curl -i localhost:8000/jobs"))
    assert "HTTP/1.1 200 OK" == status
    listed = json.loads(body)["return"][0][jid]
    assert {"Arguments", "Function", "StartTime", "Target", "Target-type", "User"} <= listed.keys()


def test_run(shell: Shell) -> None:
    """`/run`, POST: a command with credentials."""
    printed = shell.run(
        """curl -sS localhost:8000/run \\
  -H 'Accept: application/x-yaml' \\
  -d client='local' \\
  -d tgt='*' \\
  -d fun='test.ping' \\
  -d username='saltdev' \\
  -d password='saltdev' \\
  -d eauth='pam'"""
    )
    assert "return:\n- minion-1: true\n  minion-2: true\n" == printed


def test_run_of_the_release_notes(shell: Shell) -> None:
    """`/run` as the release notes of 0.8.0 print it."""
    printed = shell.run(
        """curl -sS localhost:8000/run \\
-d client='local' \\
-d tgt='*' \\
-d fun='test.ping' \\
-d eauth='pam' \\
-d username='saltdev' \\
-d password='saltdev'"""
    )
    assert {"return": [{"minion-1": True, "minion-2": True}]} == json.loads(printed)


def test_credentials_to_the_root(shell: Shell) -> None:
    """The proof of concept of 0.6.0 has had no session since 0.7.0: 401, as in Salt's module."""
    status, _, _ = parts(
        shell.run(
            """curl -si localhost:8000 \\
-d client=local \\
-d tgt='*' \\
-d fun='test.ping' \\
-d arg \\
-d eauth=pam \\
-d username=saltdev \\
-d password=saltdev"""
        )
    )
    assert "HTTP/1.1 401 Unauthorized" == status


def test_hook(shell: Shell) -> None:
    """`/hook`, POST: an event."""
    printed = shell.authenticated().run("curl -sS localhost:8000/hook -d foo='Foo!' -d bar='Bar!'")
    assert '{"success": true}' == printed


def test_events_by_token(shell: Shell) -> None:
    """`/events/(token)`, GET: the token in the URL."""
    printed = shell.follow("curl -NsS localhost:8000/events/6d1b722e", "hook/from/curl")
    assert printed.startswith("retry: 400\ntag: ")


def test_events(shell: Shell) -> None:
    """`/events`, GET: headers and framing."""
    printed = shell.authenticated().follow("curl -iNsS localhost:8000/events", "hook/from/curl")
    status, headers, body = parts(printed)
    assert "HTTP/1.1 200 OK" == status
    assert "text/event-stream;charset=utf-8" == headers["Content-Type"]
    assert "no-cache" == headers["Cache-Control"]
    assert "keep-alive" == headers.get("Connection", "keep-alive")  # as it is without the header
    first, *_ = body.removeprefix("retry: 400\n").split("\n\n")
    tag, data = first.split("\n")
    assert {"tag", "data"} == json.loads(data.removeprefix("data: ")).keys()
    assert tag == "tag: " + json.loads(data.removeprefix("data: "))["tag"]


def test_events_line_by_line(shell: Shell) -> None:
    """The stream, read by the shell."""
    printed = shell.authenticated().follow(
        """curl -NsS localhost:8000/events | \\
    while IFS= read -r line ; do
        echo $line
    done""",
        "tag: salt/netapi/hook/from/curl",
    )
    assert printed.startswith("retry: 400\n")


def test_events_filtered(shell: Shell) -> None:
    """The stream, filtered by awk as in the text (there for new jobs)."""
    printed = shell.authenticated().follow(
        """curl -NsS localhost:8000/events | \\
    awk '
        BEGIN { RS=""; FS="\\n" }
        $1 ~ /^tag: salt\\/netapi\\/hook\\/from/ { print $0; fflush() }
    '""",
        "tag: salt/netapi/hook/from/curl",
    )
    assert printed.startswith("tag: salt/netapi/hook/from/curl\ndata: {")


@pytest.mark.parametrize("path", ["/ws", "/ws/ffedf49d", "/ws?format_events"])
def test_websocket_handshake(shell: Shell, path: str) -> None:
    """`/ws`, GET: the connection changes to websockets (curl gives up after two seconds)."""
    key = "s65VsgHigh7v/Jcf4nXHnA=="
    printed = shell.run(
        f"""curl -NsS \\
  -H 'X-Auth-Token: ffedf49d' \\
  -H 'Host: localhost:8000' \\
  -H 'Connection: Upgrade' \\
  -H 'Upgrade: websocket' \\
  -H 'Origin: http://localhost:8000' \\
  -H 'Sec-WebSocket-Version: 13' \\
  -H 'Sec-WebSocket-Key: {key}' \\
  --include --max-time 2 localhost:8000{path} || [ $? = 28 ]"""
    )
    status, headers, _ = parts(printed)
    assert "HTTP/1.1 101 Switching Protocols" == status
    assert "websocket" == headers["Upgrade"].lower()
    digest = hashlib.sha1(f"{key}{WEBSOCKET_GUID}".encode()).digest()  # noqa: S324 - RFC 6455
    assert base64.b64encode(digest).decode() == headers["Sec-WebSocket-Accept"]
