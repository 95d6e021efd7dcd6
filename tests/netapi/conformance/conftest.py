"""The modules that keep the promises in here, one after the other."""

from collections.abc import Iterator

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.netapi.conformance.client import MODULES, Client


@pytest.fixture(scope="package", params=MODULES)
def api(request: pytest.FixtureRequest, master: PrivateMaster) -> Iterator[ApiServer]:
    with ApiServer(master, OURS, module=request.param) as server:
        yield server


@pytest.fixture(scope="package")
def client(api: ApiServer) -> Client:
    return Client(api)


@pytest.fixture
def own(api: ApiServer) -> Client:
    """A session for one test alone, to end it."""
    return Client(api)
