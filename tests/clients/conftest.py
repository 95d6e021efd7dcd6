"""The server that the clients talk to."""

from collections.abc import Iterator

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer
from tests.kept import Kept


@pytest.fixture(scope="package")
def kept(master: PrivateMaster) -> Iterator[Kept]:
    with Kept() as kept:
        yield kept


@pytest.fixture(scope="package", params=["rest_cherrypy", "rest_asgi"])
def api(request: pytest.FixtureRequest, master: PrivateMaster, kept: Kept) -> ApiServer:
    """One of the modules with these URLs on the session's master, over plain HTTP."""
    module, section = request.param, {"collect_stats": True}
    return kept.get(module, lambda: ApiServer(master, OURS, section, module=module))
