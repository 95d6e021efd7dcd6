"""The servers that the client talks to, and the command as a program."""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from saltapi.demo import PrivateMaster
from saltapi_client import Client
from saltapi_client.cli.main import main
from tests.apis import OURS, SALTS, ApiServer
from tests.client.answers import Answers
from tests.client.inside import Run, Terminal
from tests.kept import Kept
from tests.waiting import scaled

CLIENT = Path(__file__).parents[2] / "client"
SECONDS = 60
Ctl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="package")
def kept(master: PrivateMaster) -> Iterator[Kept]:
    with Kept() as kept:
        yield kept


@pytest.fixture(scope="package")
def asgi(master: PrivateMaster) -> Iterator[ApiServer]:
    """`rest_asgi`, which has `/v1`."""
    with ApiServer(master, OURS, module="rest_asgi") as server:
        yield server


SERVERS = ["rest_asgi", "rest_cherrypy", pytest.param("salt", marks=pytest.mark.long)]


@pytest.fixture(scope="package", params=SERVERS)
def api(
    request: pytest.FixtureRequest, master: PrivateMaster, asgi: ApiServer, kept: Kept
) -> ApiServer:
    """`/v1`, the classic URLs here, and Salt's own salt-api."""
    if request.param == "rest_asgi":
        return asgi
    command = SALTS if request.param == "salt" else OURS
    return kept.get(request.param, lambda: ApiServer(master, command, module="rest_cherrypy"))


@pytest.fixture
def salt(api: ApiServer) -> Iterator[Client]:
    """The library, at each of the servers."""
    with client_of(api) as client:
        yield client


def client_of(api: ApiServer, username: str | None = None, url: str | None = None) -> Client:
    """Return a client with the credentials of the master's user."""
    known = api.master.credentials(username)
    return Client(
        url or api.url,
        username=known["username"],
        password=known["password"],
        eauth=known["eauth"],
    )


def environment(
    home: Path, api: ApiServer | None = None, username: str | None = None
) -> dict[str, str]:
    """Return the environment of the command: a home of its own, and the credentials."""
    found = {
        "HOME": str(home),
        "SALTCTL_HOME": str(home / "saltctl"),
        "SALTCTL_KEYRING": "no",
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(CLIENT / "src"),
        "TERM": "xterm-256color",
    }
    if api is not None:
        credentials = api.master.credentials(username)
        found["SALTAPI_URL"] = api.url
        found["SALTAPI_USER"] = credentials["username"]
        found["SALTAPI_PASS"] = credentials["password"]
        found["SALTAPI_EAUTH"] = credentials["eauth"]
    return found


def saltctl(
    env: dict[str, str],
    *args: str,
    stdin: str = "",
    cwd: Path | None = None,
    python: str = sys.executable,
) -> subprocess.CompletedProcess[str]:
    """Run the command with an environment."""
    return subprocess.run(
        [python, "-m", "saltapi_client", *args],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=scaled(SECONDS),
        env=env,
        cwd=cwd,
        check=False,
    )


@pytest.fixture
def ctl(api: ApiServer, tmp_path: Path) -> Ctl:
    """Run `saltctl` at each of the servers, with the credentials in its environment."""

    def run(
        *args: str, username: str | None = None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return saltctl(environment(tmp_path, api, username), *args, stdin=stdin)

    return run


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the files and variables of whoever runs the tests alone."""
    for name in [name for name in os.environ if name.startswith(("SALT", "PEPPER"))]:
        monkeypatch.delenv(name)
    values = {"SALTCTL_HOME": str(tmp_path), "SALTCTL_KEYRING": "no", "TERM": "xterm"}
    for name, value in {**values, "SALTAPI_USER": "u", "SALTAPI_PASS": "p"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("saltapi_client.listening.SILENCE_SECONDS", 1.0)
    monkeypatch.setattr("saltapi_client.runs.PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr("saltapi_client.runs.FIRST_PAUSE_SECONDS", 0.005)
    for name in ("LISTEN_SECONDS", "SILENT_SECONDS", "POLL_SECONDS"):
        monkeypatch.setattr(f"saltapi_client.classic_runs.{name}", 0.05)


@pytest.fixture
def run(alone: None, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in this process; return its status, and all that it has written."""

    def run(server: Answers, *args: str, terminal: bool = False) -> tuple[int, str]:
        out = Terminal() if terminal else io.StringIO()
        monkeypatch.setenv("SALTAPI_URL", server.url)
        monkeypatch.setattr("sys.stdout", out)
        monkeypatch.setattr("sys.stderr", out)
        return main(args), out.getvalue()

    return run
