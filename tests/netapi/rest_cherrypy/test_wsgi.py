"""The module under a WSGI server that is not ours: gunicorn, and the checks of PEP 3333."""

import http.client
import io
import json
import os
import signal
import subprocess
import sys
import wsgiref.util
import wsgiref.validate
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import psutil
import pytest

from saltapi.demo import PrivateMaster
from saltapi.demo.master import merge, write_yaml
from tests.daemons import free_port
from tests.netapi.rest_cherrypy.doors import WsgiDoor
from tests.waiting import eventually, scaled
from tests.wire import Answer, send

PING = {"client": "local", "tgt": "*", "fun": "test.ping"}
PONG = {"return": [{"minion-1": True, "minion-2": True}]}
APPLICATION = "saltapi.netapi.rest_cherrypy.wsgi:application"
ANSWER_SECONDS = 60.0


class Gunicorn:
    """gunicorn with the module, on loopback; its access log begins each line with a pid."""

    def __init__(self, directory: Path, config: Path, *options: str) -> None:
        self.port = free_port()
        self.access = directory / "access"
        self._log = (directory / "log").open("wb")
        # A stream whose client has gone is noticed with its second heartbeat.
        bind = ["--bind", f"127.0.0.1:{self.port}", "--graceful-timeout", "2"]
        logs = ["--access-logfile", str(self.access), "--access-logformat", "%(p)s %(U)s %(s)s"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *bind, *logs, *options, APPLICATION],
            env={**os.environ, "SALT_MASTER_CONFIG": str(config)},
            stdout=self._log,
            stderr=self._log,
        )

    def __enter__(self) -> Self:
        eventually(self._answers, ANSWER_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        below = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(scaled(ANSWER_SECONDS))
        self._log.close()
        eventually(lambda: not any(is_alive(process) for process in below))

    def _answers(self) -> bool:
        assert self.process.poll() is None
        try:
            return self.send("GET", "/").status == 200
        except OSError:
            return False

    def send(self, method: str, path: str, **options: Any) -> Answer:
        """Send a request, as `tests.wire.send`."""
        return send(self.port, method, path, **options)

    def workers(self, path: str, status: int) -> set[str]:
        """Return the workers that have answered requests for *path* with *status*."""
        lines = (line.split() for line in self.access.read_text().splitlines())
        return {pid.strip("<>") for pid, *rest in lines if rest == [path, str(status)]}


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.fixture(scope="module")
def config(master: PrivateMaster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A master config with a section that has no port and no certificate: the server has them."""
    file = tmp_path_factory.mktemp("config") / "master"
    write_yaml(file, merge(master.options, {"rest_cherrypy": {"webhook_url": "/in"}}))
    return file


@pytest.fixture(scope="module", params=["sync", "gthread", "preload"])
def gunicorn(
    request: pytest.FixtureRequest, config: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gunicorn]:
    """Two workers, of each kind that serves WSGI without patching Python."""
    options = {
        "sync": ["--worker-class", "sync"],
        "gthread": ["--worker-class", "gthread", "--threads", "4"],
        "preload": ["--preload"],
    }
    directory = tmp_path_factory.mktemp("gunicorn")
    with Gunicorn(directory, config, "--workers", "2", *options[request.param]) as server:
        yield server


def test_any_worker_takes_any_token(gunicorn: Gunicorn, master: PrivateMaster) -> None:
    """A token that one worker has made is good at every other, and its logout too."""
    login = gunicorn.send("POST", "/login", json_body=master.credentials())
    token = login.value()["return"][0]["token"]
    headers = {"X-Auth-Token": token}

    def ping(_: int) -> Any:
        return gunicorn.send("POST", "/", json_body=PING, headers=headers).value()

    def both_have_answered() -> bool:
        with ThreadPoolExecutor(8) as clients:
            assert [PONG] * 8 == list(clients.map(ping, range(8)))
        return len(gunicorn.workers("/", 200)) == 2

    eventually(both_have_answered, ANSWER_SECONDS)
    assert 200 == gunicorn.send("POST", "/logout", headers=headers).status
    eventually(lambda: ping(0).get("status") == 401)


def test_config_of_the_environment(gunicorn: Gunicorn, master: PrivateMaster) -> None:
    """The section of the config that `SALT_MASTER_CONFIG` names counts."""
    answer = gunicorn.send("POST", "/run", json_body={**PING, **master.credentials()})

    assert PONG == answer.value()
    assert 401 == gunicorn.send("POST", "/in", json_body={}).status
    assert 404 == gunicorn.send("POST", "/hook", json_body={}).status


def test_body_limit(gunicorn: Gunicorn) -> None:
    """The limits of bodies, chunked ones too, do not depend on our own server."""
    large = b" " * (2**20 + 1)
    json_type = {"Content-Type": "application/json"}
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(large), large)
    chunked = {**json_type, "Transfer-Encoding": "chunked"}

    assert 413 == gunicorn.send("POST", "/login", headers=json_type, body=large).status
    connection = http.client.HTTPConnection("127.0.0.1", gunicorn.port, timeout=scaled(60))
    connection.putrequest("POST", "/login")
    for name, value in chunked.items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(chunks)
    assert 413 == connection.getresponse().status
    connection.close()


def test_events(gunicorn: Gunicorn, master: PrivateMaster) -> None:
    """Events come here too, one thread of the server for each listener."""
    login = gunicorn.send("POST", "/login", json_body=master.credentials())
    headers = {"X-Auth-Token": login.value()["return"][0]["token"]}
    connection = http.client.HTTPConnection("127.0.0.1", gunicorn.port, timeout=scaled(60))
    connection.request("GET", "/events", headers=headers)
    stream = connection.getresponse()
    assert b"retry: 400\n" == stream.readline()
    sent = gunicorn.send("POST", "/in/wsgi", json_body={"a": 1}, headers=headers)
    assert {"success": True} == sent.value()
    while stream.readline() != b"tag: salt/netapi/hook/wsgi\n":
        pass
    data = json.loads(stream.readline().removeprefix(b"data: "))["data"]
    connection.close()

    assert {"a": 1} == data["post"]


def test_websocket(gunicorn: Gunicorn) -> None:
    """A WebSocket needs our own server, and the answer says so."""
    answer = gunicorn.send("GET", "/ws")

    assert 501 == answer.status
    assert "run the module by saltapi" in answer.value()["return"]


def test_missing_config(tmp_path: Path) -> None:
    """A config that cannot be read is named in the server's log."""
    code = f"from {APPLICATION.partition(':')[0]} import application; application({{}}, None)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "SALT_MASTER_CONFIG": str(tmp_path / "none")},
        capture_output=True,
        text=True,
        check=False,
        timeout=scaled(60),
    )

    assert f"The master config {tmp_path}/none cannot be read: No such file" in done.stderr


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "POST"])
@pytest.mark.parametrize("path", ["/run", "/login", "/nope", "/static/file", "/favicon.ico"])
def test_pep_3333(tmp_path: Path, method: str, path: str) -> None:
    """The application keeps to PEP 3333, as far as Python's validator can tell."""
    (tmp_path / "file").write_text("text")
    door = WsgiDoor(static=str(tmp_path), favicon=str(tmp_path / "file")).application
    environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": path, "SCRIPT_NAME": ""}
    environ["QUERY_STRING"] = ""
    environ |= {"CONTENT_LENGTH": "2", "CONTENT_TYPE": "image/png", "REMOTE_ADDR": "127.0.0.1"}
    environ["wsgi.input"] = io.BytesIO(b"{}")
    wsgiref.util.setup_testing_defaults(environ)
    statuses: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        statuses.append(status)
        return lambda _data: None

    parts = wsgiref.validate.validator(door)(environ, start_response)
    b"".join(parts)
    parts.close()  # type: ignore[attr-defined]

    assert 1 == len(statuses)
