"""rest_wsgi served by others: gunicorn, and the checks of `wsgiref`."""

import io
import json
import os
import subprocess
import sys
import threading
import wsgiref.simple_server
import wsgiref.validate
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import salt.config

from saltapi import config
from saltapi.demo import PrivateMaster
from saltapi.netapi.rest_wsgi import RestWsgi
from tests.daemons import free_port
from tests.netapi.rest_wsgi.serving import (
    ANSWER_SECONDS,
    ONE,
    PING,
    TOO_LARGE,
    TWO,
    Door,
    ask,
    listens,
)
from tests.waiting import eventually, scaled


@pytest.fixture(scope="module")
def gunicorn(tmp_path_factory: pytest.TempPathFactory, master: PrivateMaster) -> Iterator[Door]:
    """The application in gunicorn; `saltapi` itself does not run."""
    port = free_port()
    output = tmp_path_factory.mktemp("gunicorn") / "log"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "--threads", "8"),
                *("--bind", f"127.0.0.1:{port}", "saltapi.netapi.rest_wsgi:application"),
            ],
            env={**os.environ, "SALT_MASTER_CONFIG": str(master.config_dir / "master")},
            stdout=file,
            stderr=file,
        )
    try:
        eventually(lambda: listens(port))
        yield Door(port)
        process.terminate()
        assert 0 == process.wait(scaled(30))
        assert "Traceback" not in output.read_text()
    finally:
        process.kill()
        process.wait()


def test_gunicorn_commands(gunicorn: Door, login: dict[str, str]) -> None:
    """Under gunicorn commands run, several at a time, without `port` in the config."""
    with ThreadPoolExecutor(8) as clients:
        found = list(clients.map(lambda _: gunicorn.returns(PING | login), range(8)))

    assert [[{ONE: True, TWO: True}]] * 8 == found


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"body": b"{nonsense"}, 400),
        ({"body": [PING]}, 401),
        ({"path": "/x", "body": [PING]}, 404),
        ({"method": "GET"}, 405),
        ({"body": [], "headers": {"Content-Type": "text/plain"}}, 406),
        ({"body": TOO_LARGE}, 413),
    ],
)
def test_gunicorn_errors(gunicorn: Door, request_: dict[str, Any], status: int) -> None:
    """Under gunicorn errors look the same."""
    answer = gunicorn.ask(**request_)

    assert status == answer.status == answer.body["status"]
    assert 16 == len(answer.headers["X-Request-Id"])


def test_gunicorn_kept_connection(gunicorn: Door) -> None:
    """Under gunicorn too a connection goes on after an error."""
    connection = gunicorn.connect()

    assert 404 == ask(connection, [PING], path="/x").status
    assert 200 == ask(connection, []).status
    connection.close()


def test_wrong_config_in_another_server(tmp_path: Path) -> None:
    """Another server's clients get a JSON error when the config is wrong; its log says why."""
    config_file = tmp_path / "master"
    config_file.write_text("rest_wsgi:\n  threads: many\n")
    code = (
        "from saltapi.netapi.rest_wsgi import application\n"
        "environ = {'REQUEST_METHOD': 'GET'}\n"
        "print(application(environ, lambda *_: None)[0].decode())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "SALT_MASTER_CONFIG": str(config_file)},
        capture_output=True,
        text=True,
        timeout=scaled(ANSWER_SECONDS),
        check=True,
    )

    assert 500 == json.loads(done.stdout)["status"]
    assert "rest_wsgi.threads" in done.stderr
    assert "Traceback" not in done.stderr


def test_wsgi_conformance(master: PrivateMaster, login: dict[str, str]) -> None:
    """The application keeps to PEP 3333, as the validator of the standard library sees it."""
    parsed = config.RestWsgiConfig.parse({"port": 1})
    app = RestWsgi(config.load(master.config_dir), parsed)
    server = wsgiref.simple_server.make_server("127.0.0.1", 0, wsgiref.validate.validator(app))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        door = Door(server.server_port)
        assert [{ONE: True, TWO: True}] == door.returns(PING | login)
        assert 405 == door.ask(method="GET").status
        assert 413 == door.ask(TOO_LARGE).status
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        app.close()


def test_address_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The log line has the client's address where a trusted proxy tells it."""
    section = config.RestWsgiConfig.parse({"port": 1, "trusted_proxies": "127.0.0.1"})
    app = RestWsgi({**salt.config.DEFAULT_MASTER_OPTS, "conf_file": "/none"}, section)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "HTTP_X_FORWARDED_FOR": "203.0.113.9",
    }
    with caplog.at_level("INFO"):
        for peer in ("127.0.0.1", "127.0.0.2"):
            app({**environ, "REMOTE_ADDR": peer}, lambda *_: lambda _: None)

    lines = [line for line in caplog.messages if "GET" in line]
    assert ["203.0.113.9", "127.0.0.2"] == [line.split()[0] for line in lines]
