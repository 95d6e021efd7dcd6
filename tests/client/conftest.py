"""The servers that the client talks to, and the command as a program."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from saltapi.demo import PrivateMaster
from saltapi_client import Client
from tests.apis import OURS, SALTS, ApiServer
from tests.waiting import scaled

CLIENT = Path(__file__).parents[2] / "client"
SECONDS = 60
Ctl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def asgi(master: PrivateMaster) -> Iterator[ApiServer]:
    """`rest_asgi`, which has `/v1`."""
    with ApiServer(master, OURS, module="rest_asgi") as server:
        yield server


SERVERS = ["rest_asgi", "rest_cherrypy", pytest.param("salt", marks=pytest.mark.long)]


@pytest.fixture(scope="session", params=SERVERS)
def api(request: pytest.FixtureRequest, master: PrivateMaster) -> Iterator[ApiServer]:
    """`/v1`, the classic URLs here, and Salt's own salt-api."""
    if request.param == "rest_asgi":
        yield request.getfixturevalue("asgi")
        return
    command = SALTS if request.param == "salt" else OURS
    with ApiServer(master, command, module="rest_cherrypy") as server:
        yield server


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
    env: dict[str, str], *args: str, stdin: str = "", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command with an environment."""
    return subprocess.run(
        [sys.executable, "-m", "saltapi_client", *args],
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
