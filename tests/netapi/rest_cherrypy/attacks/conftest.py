"""The modules under attack, one after the other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from saltapi.demo import PrivateMaster
from saltapi.demo.master import ENABLED_CLIENTS
from tests.apis import OURS, ApiServer
from tests.kept import Kept
from tests.netapi.rest_cherrypy.attacks.attack import MODULES


@pytest.fixture(scope="package")
def kept(master: PrivateMaster) -> Iterator[Kept]:
    with Kept() as kept:
        yield kept


@pytest.fixture(scope="package", params=MODULES)
def api(request: pytest.FixtureRequest, master: PrivateMaster, kept: Kept) -> ApiServer:
    """A server with all clients, ssh too, that logs all that it can log."""
    options = {
        "netapi_enable_clients": [*ENABLED_CLIENTS, "ssh"],
        "log_level": "debug",
        "log_level_logfile": "debug",
    }
    module = request.param
    server = kept.get(module, lambda: ApiServer(master, OURS, options=options, module=module))
    (server.directory / "roster").write_text("box: {host: 127.0.0.1, port: 1}\n")
    return server


@pytest.fixture(scope="package")
def token(api: ApiServer) -> str:
    """The session of somebody who may run everything."""
    return api.login()


@pytest.fixture(scope="package")
def low_token(api: ApiServer) -> str:
    """The session of somebody who may run test.ping."""
    return api.login("low")


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file that must never exist."""
    return tmp_path / "pwned"
