"""The modules that keep the promises in here, one after the other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.kept import Kept
from tests.netapi.conformance.client import MODULES, Client
from tests.netapi.conformance.engines import ALL_MODULES, Counted, Equipped


@pytest.fixture(scope="package")
def kept(master: PrivateMaster) -> Iterator[Kept]:
    with Kept() as kept:
        yield kept


@pytest.fixture(scope="package", params=MODULES)
def api(request: pytest.FixtureRequest, master: PrivateMaster, kept: Kept) -> ApiServer:
    module = request.param
    return kept.get(module, lambda: ApiServer(master, OURS, module=module))


@pytest.fixture(scope="package")
def client(api: ApiServer) -> Client:
    return Client(api)


@pytest.fixture
def own(api: ApiServer) -> Client:
    """A session for one test alone, to end it."""
    return Client(api)


@pytest.fixture(scope="package", params=ALL_MODULES)
def equipped(
    request: pytest.FixtureRequest,
    master: PrivateMaster,
    kept: Kept,
    tmp_path_factory: pytest.TempPathFactory,
) -> Equipped:
    module = request.param
    directory = tmp_path_factory.mktemp("equipped")
    return kept.get(("equipped", module), lambda: Equipped(master, module, directory))


@pytest.fixture
def counted(tmp_path: Path) -> Counted:
    return Counted(tmp_path / "runs")
