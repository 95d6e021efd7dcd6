"""The server that the clients talk to."""

from collections.abc import Iterator

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer


@pytest.fixture(scope="session")
def api(master: PrivateMaster) -> Iterator[ApiServer]:
    """rest_cherrypy on the session's master, over plain HTTP."""
    with ApiServer(master, OURS, {"collect_stats": True}) as server:
        yield server
