"""`saltapi check --against-salt-api`: both daemons on one master, asked the same."""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import salt.auth
import salt.config

from saltapi.check import against
from saltapi.check.against.request import Request
from saltapi.check.against.servers import PEERS
from saltapi.check.against.sides import Side
from saltapi.check.against.wire import Answer
from saltapi.demo import PrivateMaster
from saltapi.demo.master import HOST, free_ports, write_yaml
from saltapi.errors import CannotStart
from tests.waiting import eventually, scaled

COMMAND = [sys.executable, "-P", "-m", "saltapi", "check", "--against-salt-api"]


@pytest.fixture
def running(master: PrivateMaster, tmp_path: Path) -> Path:
    """The config of a `salt-api` in use."""
    cherrypy, tornado, asgi = free_ports(3)
    sections = {
        "rest_cherrypy": {"port": cherrypy, "ssl_crt": "/none.crt", "ssl_key": "/none.key"},
        "rest_tornado": {"port": tornado, "address": HOST, "disable_ssl": True},
        "rest_wsgi": {"port": tornado},
        "rest_asgi": {"port": asgi, "host": HOST, "disable_ssl": True},
    }
    write_yaml(tmp_path / "config" / "master", {**master.options, **sections})
    return tmp_path / "config"


def token_of(master: PrivateMaster) -> str:
    """Return a token of Salt's."""
    opts = salt.config.client_config(str(master.config_dir / "master"))
    return str(salt.auth.LoadAuth(opts).mk_token(master.credentials())["token"])


@pytest.fixture
def temporary(tmp_path: Path) -> Iterator[Path]:
    """A directory for temporary files; nothing is left in it, nor running of it."""
    made = tmp_path / "temporary"
    made.mkdir()
    yield made
    assert [] == list(made.iterdir())
    assert [] == running_in(made)


def running_in(folder: Path) -> list[psutil.Process]:
    """Return the processes whose command lines name *folder*."""
    found = psutil.process_iter(["cmdline"])
    return [one for one in found if str(folder) in " ".join(one.info["cmdline"] or [])]


@pytest.mark.long
@pytest.mark.timeout(300)
def test_no_difference(master: PrivateMaster, running: Path, temporary: Path) -> None:
    """A config as Salt's has no difference that is not on the list."""
    written = {path: path.read_bytes() for path in running.iterdir()}
    done = subprocess.run(
        [*COMMAND, "-v", "-c", running, "--token-file", "-"],
        env={**os.environ, "TMPDIR": str(temporary)},
        input=token_of(master),
        capture_output=True,
        text=True,
        timeout=scaled(240),
        check=False,
    )

    assert "" == done.stderr
    assert 0 == done.returncode, done.stdout
    notes = [line for line in done.stdout.splitlines() if line.startswith("note")]
    lines = [line for line in done.stdout.splitlines() if line not in notes]
    assert "note     rest_wsgi: not compared, since Salt's own cannot answer on Python 3." in notes
    for module, line in zip(PEERS, lines, strict=True):
        assert line.startswith(f"ok       {module}: ")
        assert line.endswith("no others.")
    assert written == {path: path.read_bytes() for path in running.iterdir()}


@pytest.mark.long
def test_ended_in_the_middle(master: PrivateMaster, running: Path, temporary: Path) -> None:
    """Who ends it ends what it has started."""
    env = {**os.environ, "TMPDIR": str(temporary), against.ENVIRONMENT: token_of(master)}
    with subprocess.Popen([*COMMAND, "-c", running], env=env) as check:
        eventually(lambda: len(running_in(temporary)) > 3)
        check.terminate()
        assert 128 + signal.SIGTERM == check.wait(scaled(30))


class Answering(Side):
    """A server that gives one answer to everything."""

    def __init__(self, status: int) -> None:
        super().__init__(0, {})
        self.status = status

    def answer(self, request: Request) -> Answer:
        headers = (("Content-Type", "application/json"),)
        return Answer(self.status, headers, b'{"return": [{}]}')


def test_difference() -> None:
    """A difference that is not on the list is an error with what both answer."""
    asked = [Request("token GET /jobs", path="/jobs")]
    (told, summary) = against._differences("rest_tornado", [Answering(200), Answering(404)], asked)

    assert "error" == told.level
    assert told.text.startswith("rest_tornado: token GET /jobs: status: Salt 200 / ours 404")
    assert "error" == summary.level
    assert "1 have differences that are not on it." in summary.text


@pytest.fixture
def args() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    against.add_arguments(parser)
    return parser.parse_args(["--against-salt-api"])


def test_token(args: argparse.Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token comes from a file or the environment; without one it is said how to get it."""
    (tmp_path / "token").write_text("abc\n")

    assert "abc" == against._token(str(tmp_path / "token"))
    monkeypatch.setenv(against.ENVIRONMENT, "def")
    assert "def" == against._token(None)
    monkeypatch.delenv(against.ENVIRONMENT)
    with pytest.raises(CannotStart, match="--token-file"):
        against._token(None)
    with pytest.raises(CannotStart, match="cannot be read"):
        against._token(str(tmp_path / "none"))


def test_nothing_to_compare(args: argparse.Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A config without a module of Salt's is an error."""
    monkeypatch.setenv(against.ENVIRONMENT, "abc")
    found = list(against.lines({"conf_file": "/m", "rest_asgi": {"port": 1}}, args))

    assert ["error"] == [line.level for line in found]
    assert "/m has neither rest_cherrypy nor rest_tornado." == found[0].text


@pytest.mark.long
def test_token_that_is_none(master: PrivateMaster, running: Path, tmp_path: Path) -> None:
    """A token that is not taken ends it, before anything is compared."""
    (tmp_path / "token").write_text("0" * 64)
    done = subprocess.run(
        [*COMMAND, "-c", running, "--token-file", tmp_path / "token"],
        capture_output=True,
        text=True,
        timeout=scaled(100),
        check=False,
    )

    assert 1 == done.returncode
    assert done.stderr.startswith("The token is not taken: ")
