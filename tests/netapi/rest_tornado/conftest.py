"""The server that these tests talk to."""

from collections.abc import Iterator

import pytest

from saltapi.demo import PrivateMaster
from tests.apis import OURS, ApiServer

SECTION = {"websockets": True, "collect_stats": True}


@pytest.fixture(scope="package")
def api(master: PrivateMaster) -> Iterator[ApiServer]:
    """rest_tornado on the session's master, over plain HTTP."""
    with ApiServer(master, OURS, SECTION, module="rest_tornado") as server:
        yield server
