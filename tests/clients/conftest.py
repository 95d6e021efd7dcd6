"""The server that the clients talk to."""

from collections.abc import Iterator

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer


@pytest.fixture(scope="session", params=["rest_cherrypy", "rest_asgi"])
def api(request: pytest.FixtureRequest, master: PrivateMaster) -> Iterator[ApiServer]:
    """One of the modules with these URLs on the session's master, over plain HTTP."""
    with ApiServer(master, OURS, {"collect_stats": True}, module=request.param) as server:
        yield server
