"""Of a request that was answered nothing stays in memory but what is meant to."""

import gc
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from saltapi.errors import SaltApiError
from tests.netapi.rest_asgi.running import RunningServer as RunningAsgi
from tests.netapi.rest_cherrypy.doors import serving
from tests.netapi.rest_tornado.running import RunningServer as RunningTornado
from tests.waiting import eventually
from tests.wire import send

REFUSED = [("GET", "/keys", 401), ("GET", "/stats", 401), ("GET", "/nothing", 404)]


@pytest.fixture(params=["rest_cherrypy", "rest_asgi", "rest_tornado"])
def port(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """Where a module answers, with a few threads if it has any."""
    server: AbstractContextManager[Any]
    if request.param == "rest_cherrypy":
        with serving(thread_pool=6) as cheroot:
            yield cheroot.bind_addr[1]
        return
    server = RunningAsgi(tmp_path) if request.param == "rest_asgi" else RunningTornado(tmp_path)
    with server as running:
        yield running.port


def errors_kept() -> list[SaltApiError]:
    """Return the errors that anything still holds."""
    gc.collect()
    return [found for found in gc.get_objects() if isinstance(found, SaltApiError)]


def test_errors(port: int) -> None:
    """An error, which holds all of its request by its traceback, is gone when it was told."""
    before = len(errors_kept())
    for method, path, status in REFUSED * 4:
        assert status == send(port, method, path).status
    assert eventually(lambda: len(errors_kept()) <= before)
